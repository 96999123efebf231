//! Images and preimages of selections under the links between dimensions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::dimension_link::Link;
use super::key_image;
use crate::error::Result;
use crate::space::product::Space;
use crate::space::selection::{IndexSet, Members, PositionSet, Selection};

/// The upstream partitions that these downstream partitions need.
///
/// # Errors
/// `PartitionValidation` where the upstream lacks a key under `Identity`.
pub(super) fn image(
    links: &[Link<'_>],
    of: &Selection,
    upstream: &Arc<Space>,
) -> Result<Selection> {
    let here = of.space();
    let routes = links.iter().map(|link| {
        let (there, mapping) = (&upstream.dims()[link.up].axis, link.mapping);
        let map = move |set: &IndexSet| match link.down {
            Some(at) => key_image::image(mapping, set, &here.dims()[at], there),
            None => Ok(key_image::constant(mapping, there)),
        };
        Route {
            from: link.down,
            to: link.up,
            map: Box::new(map),
        }
    });
    spread(of, upstream, &routes.collect::<Vec<_>>())
}

/// The downstream partitions that need at least one of these upstream partitions.
///
/// # Errors
/// Those of `spread`.
pub(super) fn preimage(
    links: &[Link<'_>],
    of: &Selection,
    downstream: &Arc<Space>,
) -> Result<Selection> {
    let there = of.space();
    // Constant links: all downstream partitions need these keys, or none does.
    let wanted = |link: &Link<'_>| key_image::constant(link.mapping, &there.dims()[link.up].axis);
    let wanted = |at: usize| match links
        .iter()
        .find(|link| link.up == at && link.down.is_none())
    {
        Some(link) => wanted(link),
        None => IndexSet::Range(0..there.dims()[at].axis.len()),
    };
    let wanted = Members::Product((0..there.dims().len()).map(wanted).collect());
    let wanted = Selection::new(Arc::clone(there), wanted);
    let of = match of.members() {
        Members::One(one) if wanted.contains(*one) => of.clone(),
        Members::One(_) => Selection::empty(there),
        Members::Product(_) | Members::Explicit(_) => of.intersection(&wanted),
    };
    let routes = links.iter().filter_map(|link| {
        let to = link.down?;
        let (own, up, mapping) = (
            &downstream.dims()[to].axis,
            &there.dims()[link.up].axis,
            link.mapping,
        );
        let map = move |set: &IndexSet| Ok(key_image::preimage(mapping, set, own, up));
        Some(Route {
            from: Some(link.up),
            to,
            map: Box::new(map),
        })
    });
    spread(&of, downstream, &routes.collect::<Vec<_>>())
}

/// Maps keys of one dimension to keys of another.
type Map<'a> = Box<dyn Fn(&IndexSet) -> Result<IndexSet> + 'a>;

/// How one dimension of the result is computed from a dimension of the argument, if it depends on
/// one.
struct Route<'a> {
    from: Option<usize>,
    to: usize,
    map: Map<'a>,
}

/// The union of the images of all members. Each dimension occurs in one route, so that the image of a
/// product is the product of the images; a dimension without a route is whole.
fn spread(of: &Selection, to: &Arc<Space>, routes: &[Route<'_>]) -> Result<Selection> {
    if of.is_empty() {
        return Ok(Selection::empty(to));
    }
    let here = of.space();
    let whole = || -> Vec<IndexSet> {
        to.dims()
            .iter()
            .map(|dim| IndexSet::Range(0..dim.axis.len()))
            .collect()
    };
    let product = |part: &dyn Fn(usize) -> IndexSet| -> Result<Selection> {
        let mut sets = whole();
        for route in routes {
            let from = route.from.map_or(IndexSet::Range(0..0), part);
            sets[route.to] = (route.map)(&from)?;
        }
        let found = Selection::new(Arc::clone(to), Members::Product(sets));
        Ok(if found.is_empty() {
            Selection::empty(to)
        } else {
            found
        })
    };
    let members = match of.members() {
        Members::Product(sets) => return product(&|at| sets[at].clone()),
        Members::One(one) => return product(&|at| IndexSet::one(here.index(*one, at))),
        Members::Explicit(set) => set.set(),
    };
    let used: Vec<&Route<'_>> = routes.iter().filter(|route| route.from.is_some()).collect();
    let project = |at: usize| IndexSet::from_positions(members.iter().map(|p| here.index(p, at)));
    if used.len() < 2 {
        return product(&project);
    }
    // Members that agree in the dimensions used have equal images.
    let dims: Vec<usize> = used.iter().filter_map(|route| route.from).collect();
    let mut seen: HashSet<Vec<u32>> = HashSet::new();
    let mut images: Vec<HashMap<u32, IndexSet>> = vec![HashMap::new(); used.len()];
    let Members::Product(mut sets) = product(&project)?.members().clone() else {
        return Ok(Selection::empty(to));
    };
    let mut found = RoaringTreemap::new();
    for partition in members {
        let key: Vec<u32> = dims.iter().map(|&at| here.index(partition, at)).collect();
        if dims.len() < here.dims().len() && !seen.insert(key.clone()) {
            continue;
        }
        for ((route, known), index) in used.iter().zip(&mut images).zip(key) {
            sets[route.to] = match known.get(&index) {
                Some(set) => set.clone(),
                None => {
                    let set = (route.map)(&IndexSet::one(index))?;
                    known.insert(index, set.clone());
                    set
                }
            };
        }
        found |= Selection::new(Arc::clone(to), Members::Product(sets.clone())).to_treemap();
    }
    let members = Members::Explicit(PositionSet::ascending(found));
    Ok(Selection::new(Arc::clone(to), members))
}
