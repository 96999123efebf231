//! Rearranges selections: arithmetic for a product, a sorted list for explicit keys.

use std::sync::Arc;

use super::nesting::{Level, Nesting};
use super::position_set::PositionSet;
use super::{Members, Selection};
use crate::error::{Error, Result};

/// Maximum number of explicit keys that are sorted by dimensions, which takes 8 bytes each.
const MAX_ARRANGED_KEYS: u64 = 100_000_000;

impl Selection {
    /// The selection in reverse order.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let space = Arc::clone(self.space());
        match self.members() {
            Members::Product(_) => {
                let turned = self.nesting().reversed();
                self.clone().with_nesting(Some(Arc::new(turned)))
            }
            Members::Explicit(set) => Self::new(space, Members::Explicit(set.reversed())),
            Members::One(_) => self.clone(),
        }
    }

    /// The selection in the order of `nesting`.
    ///
    /// # Errors
    /// `Execution` for more than `MAX_ARRANGED_KEYS` explicit keys.
    pub fn arranged(&self, nesting: &Nesting) -> Result<Self> {
        let space = self.space();
        let own = match self.members() {
            Members::Product(_) => {
                return Ok(self.clone().with_nesting(Some(Arc::new(nesting.clone()))));
            }
            Members::One(_) => return Ok(self.clone()),
            Members::Explicit(set) => set,
        };
        let definition = Nesting::definition(space.dims().len());
        let set = if *nesting == definition {
            own.sorted()
        } else if *nesting == definition.reversed() {
            own.sorted().reversed()
        } else if own.len() > MAX_ARRANGED_KEYS {
            return Err(Error::Execution(format!(
                "an order of dimensions lists single keys, at most {MAX_ARRANGED_KEYS}, these are {}; give a \
                 range, or use \"definition\" or \"reverse\"",
                own.len()
            )));
        } else {
            let mut listed: Vec<u64> = own.iter_from(0).collect();
            listed.sort_unstable_by_key(|&partition| nesting.position(space, partition));
            PositionSet::in_order(listed)
        };
        Ok(Self::new(Arc::clone(space), Members::Explicit(set)))
    }

    /// The position of a member in the selection's order, counted from 0; `None` for other
    /// partitions.
    pub fn position(&self, partition: u64) -> Option<u64> {
        let sets = match self.members() {
            Members::Product(sets) => sets,
            Members::Explicit(set) => return set.position(partition),
            Members::One(_) => return self.rank(partition),
        };
        if !self.is_arranged() || !self.contains(partition) {
            return self.rank(partition);
        }
        let step = |position: u64, level: &Level| {
            let (set, index) = (&sets[level.dim], self.space().index(partition, level.dim));
            let at = set.rank(index);
            let at = if level.descending {
                set.len() - 1 - at
            } else {
                at
            };
            position * set.len() + at
        };
        Some(self.nesting().levels().iter().fold(0, step))
    }

    /// The selection in the dimension order of `other`, or unchanged where `other` has none.
    ///
    /// # Errors
    /// `Execution` for more than `MAX_ARRANGED_KEYS` explicit keys.
    pub fn arranged_as(&self, other: &Self) -> Result<Self> {
        match other.members() {
            Members::Product(_) if other.is_arranged() => self.arranged(&other.nesting()),
            Members::Product(_) | Members::Explicit(_) | Members::One(_) => Ok(self.clone()),
        }
    }
}
