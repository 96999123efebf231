//! In which order the partitions of a selection are gone through, where the user asks for another than
//! the definition's: for a product it is arithmetic, for single keys a list.

use std::sync::Arc;

use super::position_set::PositionSet;
use super::product::Space;
use super::selection::{Members, Selection};
use crate::error::{Error, Result, did_you_mean, some_of};

/// Most single keys that are arranged by dimensions: they are listed then, at 8 bytes each.
pub const MOST_ARRANGED_KEYS: u64 = 100_000_000;

/// Says that a dimension's last key comes first.
const DESCENDING: char = '-';

/// A dimension in a nesting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Level {
    /// Its place in the space.
    pub dim: usize,
    /// Whether its last key comes first.
    pub descending: bool,
}

/// How a product is gone through: each dimension once, the slowest first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Nesting(Vec<Level>);

impl Nesting {
    /// As the definition has it.
    pub fn definition(dims: usize) -> Self {
        let level = |dim| Level {
            dim,
            descending: false,
        };
        Self((0..dims).map(level).collect())
    }

    /// By these dimensions, then by the others as the definition has them. A name with a minus before it:
    /// the dimension's last key comes first.
    ///
    /// # Errors
    /// `Configuration` for a dimension that is not there or is named twice.
    pub fn by_dimensions(space: &Space, given: &[String]) -> Result<Self> {
        let refused = |reason: String| Error::Configuration(format!("order: {reason}"));
        if !space.is_multi() {
            return Err(refused(
                "the partitions have a single dimension; use \"definition\" or \"reverse\"".into(),
            ));
        }
        let names = || space.dims().iter().map(|dim| dim.name.as_str());
        let mut levels: Vec<Level> = Vec::with_capacity(space.dims().len());
        for text in given {
            // A dimension may itself be called so.
            let whole = names().position(|name| name == text);
            let (dim, descending) = match (whole, text.strip_prefix(DESCENDING)) {
                (Some(dim), _) => (Some(dim), false),
                (None, Some(rest)) => (names().position(|name| name == rest), true),
                (None, None) => (None, false),
            };
            let Some(dim) = dim else {
                let name = text.strip_prefix(DESCENDING).unwrap_or(text);
                return Err(refused(format!(
                    "there is no dimension {name:?}; the dimensions are {}{}",
                    some_of(names()),
                    did_you_mean(name, names())
                )));
            };
            if levels.iter().any(|level| level.dim == dim) {
                return Err(refused(format!(
                    "the dimension {:?} is named twice",
                    space.dims()[dim].name
                )));
            }
            levels.push(Level { dim, descending });
        }
        let rest = Self::definition(space.dims().len()).0;
        for level in rest {
            if levels.iter().all(|other| other.dim != level.dim) {
                levels.push(level);
            }
        }
        Ok(Self(levels))
    }

    /// The dimensions, the slowest first.
    pub fn levels(&self) -> &[Level] {
        &self.0
    }

    /// From the end to the start.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let turned = |level: &Level| Level {
            dim: level.dim,
            descending: !level.descending,
        };
        Self(self.0.iter().map(turned).collect())
    }

    /// Whether it has each of so many dimensions once.
    pub fn fits(&self, dims: usize) -> bool {
        let has = |dim| self.0.iter().any(|level| level.dim == dim);
        self.0.len() == dims && (0..dims).all(has)
    }

    /// Where a partition stands among all of its space.
    fn place(&self, space: &Space, partition: u64) -> u64 {
        self.0.iter().fold(0, |place, level| {
            let (len, index) = (
                space.dims()[level.dim].axis.len(),
                space.index(partition, level.dim),
            );
            let own = if level.descending {
                len - 1 - index
            } else {
                index
            };
            place * u64::from(len) + u64::from(own)
        })
    }
}

impl Selection {
    /// The same partitions, from the end to the start.
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

    /// The same partitions, in this order.
    ///
    /// # Errors
    /// `Execution` when there are too many single keys.
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
        } else if own.len() > MOST_ARRANGED_KEYS {
            return Err(Error::Execution(format!(
                "an order of dimensions lists single keys, at most {MOST_ARRANGED_KEYS}, these are {}; give a \
                 range, or use \"definition\" or \"reverse\"",
                own.len()
            )));
        } else {
            let mut listed: Vec<u64> = own.iter_from(0).collect();
            listed.sort_unstable_by_key(|&partition| nesting.place(space, partition));
            PositionSet::in_order(listed)
        };
        Ok(Self::new(Arc::clone(space), Members::Explicit(set)))
    }

    /// Where a member stands in the order, counted from 0; `None` for a partition that is no member.
    pub fn place(&self, partition: u64) -> Option<u64> {
        let sets = match self.members() {
            Members::Product(sets) => sets,
            Members::Explicit(set) => return set.place(partition),
            Members::One(_) => return self.rank(partition),
        };
        if !self.is_arranged() || !self.contains(partition) {
            return self.rank(partition);
        }
        let step = |place: u64, level: &Level| {
            let (set, index) = (&sets[level.dim], self.space().index(partition, level.dim));
            let at = set.rank(index);
            let at = if level.descending {
                set.len() - 1 - at
            } else {
                at
            };
            place * set.len() + at
        };
        Some(self.nesting().levels().iter().fold(0, step))
    }

    /// The same partitions in the order that another selection of the space has, where that is one of
    /// dimensions.
    ///
    /// # Errors
    /// `Execution` when there are too many single keys.
    pub fn arranged_as(&self, other: &Self) -> Result<Self> {
        match other.members() {
            Members::Product(_) if other.is_arranged() => self.arranged(&other.nesting()),
            _ => Ok(self.clone()),
        }
    }
}
