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

/// The union of the images of all members; a dimension without a route is whole. Where no two routes
/// begin at one dimension, the image of a product is the product of the images.
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
        for (at, route) in routes.iter().enumerate() {
            let from = route.from.map_or(IndexSet::Range(0..0), part);
            place(&mut sets, routes, at, (route.map)(&from)?);
        }
        let found = Selection::new(Arc::clone(to), Members::Product(sets));
        Ok(if found.is_empty() {
            Selection::empty(to)
        } else {
            found
        })
    };
    let members = match of.members() {
        Members::Product(sets) => match divided_at(routes, sets) {
            Some(at) => return union_over(of, at, to, routes),
            None => return product(&|at| sets[at].clone()),
        },
        Members::One(one) => return product(&|at| IndexSet::one(here.index(*one, at))),
        Members::Explicit(set) => set.set(),
    };
    let used: Vec<usize> = (0..routes.len())
        .filter(|&at| routes[at].from.is_some())
        .collect();
    let project = |at: usize| IndexSet::from_positions(members.iter().map(|p| here.index(p, at)));
    if used.len() < 2 {
        return product(&project);
    }
    // Members that agree in the dimensions used have equal images.
    let dims: Vec<usize> = used.iter().filter_map(|&at| routes[at].from).collect();
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
        for ((&at, known), index) in used.iter().zip(&mut images).zip(key) {
            let set = match known.get(&index) {
                Some(set) => set.clone(),
                None => {
                    let set = (routes[at].map)(&IndexSet::one(index))?;
                    known.insert(index, set.clone());
                    set
                }
            };
            place(&mut sets, routes, at, set);
        }
        found |= Selection::new(Arc::clone(to), Members::Product(sets.clone())).to_treemap();
    }
    let members = Members::Explicit(PositionSet::ascending(found));
    Ok(Selection::new(Arc::clone(to), members))
}

/// Sets what one route leads to. Several routes to one dimension all have to lead to a key of it.
fn place(sets: &mut [IndexSet], routes: &[Route<'_>], at: usize, set: IndexSet) {
    let to = routes[at].to;
    sets[to] = match routes[..at].iter().any(|earlier| earlier.to == to) {
        true => sets[to].intersection(&set),
        false => set,
    };
}

/// A dimension of the argument, with several keys, at which several routes begin: their keys belong
/// together one by one, so that the image of a product is none.
fn divided_at(routes: &[Route<'_>], sets: &[IndexSet]) -> Option<usize> {
    let several = |at: &usize| {
        let begin = routes.iter().filter(|route| route.from == Some(*at));
        begin.count() > 1 && sets[*at].len() > 1
    };
    (0..sets.len()).find(several)
}

/// The union of the images for each key of one dimension.
fn union_over(
    of: &Selection,
    dim: usize,
    to: &Arc<Space>,
    routes: &[Route<'_>],
) -> Result<Selection> {
    let mut found = RoaringTreemap::new();
    if let Members::Product(sets) = of.members() {
        let mut part = sets.clone();
        for index in sets[dim].iter() {
            part[dim] = IndexSet::one(index);
            let members = Members::Product(part.clone());
            let part = Selection::new(Arc::clone(of.space()), members);
            found |= spread(&part, to, routes)?.to_treemap();
        }
    }
    let members = Members::Explicit(PositionSet::ascending(found));
    Ok(Selection::new(Arc::clone(to), members))
}
