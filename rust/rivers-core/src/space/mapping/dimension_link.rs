//! Links between dimensions: for each upstream dimension, the downstream dimension that determines
//! it.

use super::kind::Mapping;
use super::names::Names;
use super::same_keys_check::missing_key;
use crate::error::{did_you_mean, some_of};
use crate::space::axis::Axis;
use crate::space::definition::Dimension;
use crate::space::product::Dim;

/// The properties of a dimension that links depend on.
pub(super) struct Shape {
    /// The dimension's name; empty in a single-dimension definition.
    pub(super) name: String,
    /// Whether it has time windows.
    pub(super) time: bool,
}

impl Shape {
    /// The shape of a resolved dimension.
    pub(super) fn of(dim: &Dim) -> Self {
        Self {
            name: dim.name.clone(),
            time: matches!(dim.axis, Axis::Time(_)),
        }
    }
}

/// How the keys of one upstream dimension are determined.
#[derive(Debug)]
pub(super) struct Link<'a> {
    /// The downstream dimension that determines them, if any does.
    pub(super) down: Option<usize>,
    /// The upstream dimension.
    pub(super) up: usize,
    /// The mapping between the two dimensions.
    pub(super) mapping: &'a Mapping,
}

impl<'a> Link<'a> {
    fn new(down: Option<usize>, up: usize, mapping: &'a Mapping) -> Self {
        // A constant mapping does not depend on a downstream dimension.
        let down = down.filter(|_| !mapping.is_constant());
        Self { down, up, mapping }
    }

    /// Checks that two declared dimensions can be linked; `name` is the upstream dimension's.
    ///
    /// # Errors
    /// The reason for the refusal, as the end of a sentence.
    pub(super) fn check(
        &self,
        down: Option<&Dimension>,
        up: &Dimension,
        name: &str,
    ) -> Result<(), String> {
        match self.mapping {
            Mapping::Identity => {
                let Some(missing) = down.and_then(|down| missing_key(down, up)) else {
                    return Ok(());
                };
                let what = if name.is_empty() {
                    "they have different definitions".to_owned()
                } else {
                    format!("they have different definitions of the dimension {name:?}")
                };
                Err(format!(
                    "{what}, and the upstream does not have {missing}; use subset, static_, or time_window \
                     between time grids"
                ))
            }
            Mapping::Static(pairs) => {
                let known = |key: &String| down.is_none_or(|down| down.may_have(key));
                if let Some(key) = pairs.keys().find(|key| !known(key)) {
                    return Err(format!(
                        "static_ names the key {key:?}, which it does not have"
                    ));
                }
                let mut there = pairs.values().flatten();
                there.find(|key| !up.may_have(key)).map_or(Ok(()), |key| {
                    Err(format!(
                        "static_ leads to the key {key:?}, which the upstream does not have"
                    ))
                })
            }
            Mapping::SpecificPartitions(keys) => {
                let unknown = keys.iter().find(|key| !up.may_have(key));
                unknown.map_or(Ok(()), |key| {
                    Err(format!(
                        "specific_partitions names the key {key:?}, which the upstream does not have"
                    ))
                })
            }
            Mapping::AllPartitions
            | Mapping::TimeWindow { .. }
            | Mapping::ForKeys(_)
            | Mapping::Subset
            | Mapping::Multi(_)
            | Mapping::MultiToSingle { .. } => Ok(()),
        }
    }
}

impl Dimension {
    /// Whether this dimension has the key, or can come to have it.
    pub(super) fn may_have(&self, key: &str) -> bool {
        match self {
            Self::Static(labels) => labels.position(key).is_some(),
            Self::Time(calendar) => calendar.names(key),
            Self::Dynamic(_) => true,
        }
    }
}

/// Determines one link for each upstream dimension.
///
/// # Errors
/// The reason why the mapping cannot relate such definitions, as the end of a sentence.
pub(super) fn links<'a>(
    mapping: &'a Mapping,
    down: &[Shape],
    up: &[Shape],
    names: Names<'_>,
) -> Result<Vec<Link<'a>>, String> {
    let is_single = |dims: &[Shape]| dims.len() == 1 && dims[0].name.is_empty();
    let is_multi = |dims: &[Shape]| dims.first().is_some_and(|dim| !dim.name.is_empty());
    let wanted = |what: &str| Err(format!("{} {what}", mapping.name()));
    if up.is_empty() && *mapping != Mapping::Identity {
        return wanted("chooses partitions, and the upstream has none");
    }
    match mapping {
        Mapping::Identity | Mapping::Subset => {
            let shared = by_name(mapping, down, up, &[]);
            let apart = !down.is_empty() && shared.iter().all(|link| link.down.is_none());
            if apart && !up.is_empty() {
                return wanted("relates dimensions of the same name, and they share none");
            }
            Ok(shared)
        }
        Mapping::AllPartitions => Ok((0..up.len())
            .map(|at| Link::new(None, at, mapping))
            .collect()),
        Mapping::SpecificPartitions(_) if is_single(up) => Ok(vec![Link::new(None, 0, mapping)]),
        Mapping::Static(_) if is_single(down) && is_single(up) => {
            Ok(vec![Link::new(Some(0), 0, mapping)])
        }
        Mapping::ForKeys(_) => wanted("relates an upstream without partitions"),
        Mapping::SpecificPartitions(_) | Mapping::Static(_) => {
            wanted("relates the keys of a single dimension; use it inside multi or multi_to_single")
        }
        Mapping::TimeWindow { .. } => {
            let time = |dims: &[Shape]| {
                let mut timed = (0..dims.len()).filter(|&at| dims[at].time);
                timed.next().filter(|_| timed.next().is_none())
            };
            let (Some(own), Some(there)) = (time(down), time(up)) else {
                return wanted(
                    "relates the one time dimension of each, and not both have exactly one; use it \
                     inside multi or multi_to_single",
                );
            };
            Ok(by_name(
                &Mapping::Identity,
                down,
                up,
                &[(own, there, mapping)],
            ))
        }
        Mapping::Multi(named) => {
            if !is_multi(down) || !is_multi(up) {
                return wanted(
                    "relates two definitions with named dimensions; use multi_to_single",
                );
            }
            let mut given = Vec::with_capacity(named.len());
            for (there, (own, inner)) in named {
                let there = dimension_index(up, there, names.up)?;
                let own = dimension_index(down, own, names.down)?;
                given.push((own, there, pair(inner, &down[own], &up[there])?));
            }
            Ok(by_name(&Mapping::Identity, down, up, &given))
        }
        Mapping::MultiToSingle {
            dim,
            mapping: inner,
        } => {
            let (own, there) = match (is_multi(down), is_multi(up)) {
                (true, false) => (dimension_index(down, dim, names.down)?, 0),
                (false, true) if !down.is_empty() => (0, dimension_index(up, dim, names.up)?),
                _ => {
                    return wanted("relates a definition with named dimensions to one without");
                }
            };
            let inner = pair(inner, &down[own], &up[there])?;
            let link = |at| match at == there {
                true => Link::new(Some(own), at, inner),
                false => Link::new(None, at, &Mapping::AllPartitions),
            };
            Ok((0..up.len()).map(link).collect())
        }
    }
}

/// Links the dimensions in `given`, then others by name; dimensions that only the upstream has are
/// taken whole.
fn by_name<'a>(
    mapping: &'a Mapping,
    down: &[Shape],
    up: &[Shape],
    given: &[(usize, usize, &'a Mapping)],
) -> Vec<Link<'a>> {
    let link = |there: usize| {
        if let Some(&(own, _, inner)) = given.iter().find(|(_, at, _)| *at == there) {
            return Link::new(Some(own), there, inner);
        }
        let free = |at: &usize| given.iter().all(|(own, ..)| own != at);
        let same = (0..down.len())
            .filter(free)
            .find(|&at| down[at].name == up[there].name);
        let mapping = if same.is_some() {
            mapping
        } else {
            &Mapping::AllPartitions
        };
        Link::new(same, there, mapping)
    };
    (0..up.len()).map(link).collect()
}

fn dimension_index(dims: &[Shape], name: &str, whose: &str) -> Result<usize, String> {
    let names = || dims.iter().map(|dim| dim.name.as_str());
    names().position(|own| own == name).ok_or_else(|| {
        format!(
            "{whose} has no dimension {name:?}; the dimensions are {}{}",
            some_of(names()),
            did_you_mean(name, names())
        )
    })
}

/// Checks a mapping between two dimensions.
fn pair<'a>(mapping: &'a Mapping, down: &Shape, up: &Shape) -> Result<&'a Mapping, String> {
    if !mapping.relates_keys() {
        return Err(format!(
            "{} cannot stand inside another mapping",
            mapping.name()
        ));
    }
    if matches!(mapping, Mapping::TimeWindow { .. }) && !(down.time && up.time) {
        return Err("time_window relates two time dimensions".into());
    }
    Ok(mapping)
}
