//! Images of key sets under a mapping between two dimensions.

use std::collections::BTreeSet;

use super::kind::Mapping;
use super::time_image;
use crate::error::{Error, Result};
use crate::space::axis::Axis;
use crate::space::product::Dim;
use crate::space::selection::IndexSet;

/// The upstream keys that every downstream key needs, under a constant mapping.
pub(super) fn constant(mapping: &Mapping, up: &Axis) -> IndexSet {
    match mapping {
        Mapping::SpecificPartitions(keys) => positions(keys, up),
        Mapping::Identity
        | Mapping::AllPartitions
        | Mapping::Static(_)
        | Mapping::TimeWindow { .. }
        | Mapping::ForKeys(_)
        | Mapping::Subset
        | Mapping::Multi(_)
        | Mapping::MultiToSingle { .. } => IndexSet::Range(0..up.len()),
    }
}

/// The upstream keys that these downstream keys need.
///
/// # Errors
/// `PartitionValidation` where the upstream lacks a key under `Identity`.
pub(super) fn image(mapping: &Mapping, set: &IndexSet, down: &Dim, up: &Axis) -> Result<IndexSet> {
    let own = &down.axis;
    Ok(match mapping {
        Mapping::Identity => {
            let (same, missing) = same(set, own, up);
            if let Some(missing) = missing {
                return Err(Error::PartitionValidation(format!(
                    "the upstream has no partition {:?}{}",
                    own.label(missing),
                    if down.name.is_empty() {
                        String::new()
                    } else {
                        format!(" in the dimension {:?}", down.name)
                    }
                )));
            }
            same
        }
        Mapping::Subset => same(set, own, up).0,
        Mapping::Static(pairs) => {
            let mut found = Vec::new();
            let mut add = |keys: &BTreeSet<String>| {
                found.extend(keys.iter().filter_map(|key| up.position(key)));
            };
            // Iterate over the shorter of the two.
            if set.len() < pairs.len() as u64 {
                set.iter()
                    .filter_map(|at| pairs.get(&*own.label(at)))
                    .for_each(&mut add);
            } else {
                let chosen = |key: &str| own.position(key).is_some_and(|at| set.contains(at));
                pairs
                    .iter()
                    .filter(|(key, _)| chosen(key))
                    .for_each(|(_, keys)| add(keys));
            }
            IndexSet::from_positions(found)
        }
        Mapping::TimeWindow { start, end } => match own.time().zip(up.time()) {
            Some((own, up)) => time_image::image(set, own, up, (*start, *end)),
            None => IndexSet::Range(0..0),
        },
        Mapping::AllPartitions
        | Mapping::SpecificPartitions(_)
        | Mapping::ForKeys(_)
        | Mapping::Multi(_)
        | Mapping::MultiToSingle { .. } => constant(mapping, up),
    })
}

/// The downstream keys that need at least one of these upstream keys.
pub(super) fn preimage(mapping: &Mapping, set: &IndexSet, own: &Axis, up: &Axis) -> IndexSet {
    match mapping {
        Mapping::Identity | Mapping::Subset => same(set, up, own).0,
        Mapping::Static(pairs) => {
            let chosen = |key: &String| up.position(key).is_some_and(|at| set.contains(at));
            let needing = pairs.iter().filter(|(_, keys)| keys.iter().any(chosen));
            IndexSet::from_positions(needing.filter_map(|(key, _)| own.position(key)))
        }
        Mapping::TimeWindow { start, end } => match own.time().zip(up.time()) {
            Some((own, up)) => time_image::preimage(set, own, up, (*start, *end)),
            None => IndexSet::Range(0..0),
        },
        Mapping::AllPartitions
        | Mapping::SpecificPartitions(_)
        | Mapping::ForKeys(_)
        | Mapping::Multi(_)
        | Mapping::MultiToSingle { .. } => IndexSet::Range(0..own.len()),
    }
}

/// Equal keys on another axis, and the first key that it lacks.
fn same(set: &IndexSet, from: &Axis, to: &Axis) -> (IndexSet, Option<u32>) {
    if from.numbers_as(to) {
        let both = set.intersection(&IndexSet::Range(0..to.len()));
        let missing = (both.len() < set.len()).then(|| set.nth(both.len()));
        return (both, missing);
    }
    let mut missing = None;
    let found = set.iter().filter_map(|at| {
        let there = from.translate(to, at);
        if there.is_none() && missing.is_none() {
            missing = Some(at);
        }
        there
    });
    (IndexSet::from_positions(found), missing)
}

fn positions(keys: &BTreeSet<String>, axis: &Axis) -> IndexSet {
    IndexSet::from_positions(keys.iter().filter_map(|key| axis.position(key)))
}
