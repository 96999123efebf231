//! The partitions of another space that are those of a selection: with equal keys and equal windows.

use std::sync::Arc;

use super::{IndexSet, Members, PositionSet, Selection};
use crate::space::axis::Axis;
use crate::space::product::Space;

impl Selection {
    /// The partitions of `other` that are the same as members of this selection: with equal keys in dimensions
    /// of the same names and, in time, equal windows. An order is lost.
    #[must_use]
    pub fn same_in(&self, other: &Arc<Space>) -> Self {
        if **self.space() == **other {
            return Self::new(Arc::clone(other), self.sorted().members().clone());
        }
        let names = |space: &Space| -> Vec<String> {
            space.dims().iter().map(|dim| dim.name.clone()).collect()
        };
        if let Members::Product(sets) = self.members()
            && names(self.space()) == names(other)
        {
            let dims = self.space().dims().iter().zip(other.dims()).zip(sets);
            let sets = dims.map(|((own, there), set)| same_positions(&own.axis, &there.axis, set));
            let sets: Vec<IndexSet> = sets.collect();
            if sets.iter().any(IndexSet::is_empty) {
                return Self::empty(other);
            }
            return Self::new(Arc::clone(other), Members::Product(sets));
        }
        let found = self
            .iter()
            .filter_map(|partition| self.space().same_partition(other, partition));
        let set = PositionSet::ascending(found.collect());
        Self::new(Arc::clone(other), Members::Explicit(set))
    }
}

fn same_positions(own: &Axis, there: &Axis, set: &IndexSet) -> IndexSet {
    if own.numbers_as(there) {
        return set.intersection(&IndexSet::Range(0..there.len()));
    }
    IndexSet::from_positions(set.iter().filter_map(|at| own.same_position(there, at)))
}
