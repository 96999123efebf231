//! The partitions whose time window had not ended at a time.

use std::sync::Arc;

use super::{IndexSet, Members, Selection};
use crate::clock::Micros;
use crate::space::time::{Nanos, TimeAxis};

impl Selection {
    /// The members with a window that ends after `time`; of several time dimensions, one is enough.
    #[must_use]
    pub fn open_at(&self, time: Micros) -> Self {
        let space = self.space();
        let mut open = Self::empty(space);
        for (at, dim) in space.dims().iter().enumerate() {
            let Some(axis) = dim.axis.time() else {
                continue;
            };
            let first = first_open(axis, time);
            if first == axis.len() {
                continue;
            }
            let mut sets: Vec<IndexSet> = space
                .dims()
                .iter()
                .map(|dim| IndexSet::Range(0..dim.axis.len()))
                .collect();
            sets[at] = IndexSet::Range(first..axis.len());
            let ending = Self::new(Arc::clone(space), Members::Product(sets));
            open = open.plus(&self.common(&ending));
        }
        open
    }
}

/// The position of the first window that ends after a time.
fn first_open(axis: &TimeAxis, time: Micros) -> u32 {
    let (mut low, mut high) = (0, axis.len());
    while low < high {
        let middle = low.midpoint(high);
        if axis.window(middle).1 > Nanos::from(time) * 1_000 {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
