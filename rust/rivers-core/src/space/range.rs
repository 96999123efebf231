//! Ranges as the user writes them, before they are resolved against a space.

use std::sync::Arc;

use super::axis::Axis;
use super::product::Space;
use super::selection::{IndexSet, Members, Selection};
use crate::error::{Error, Result, some_of};

/// One dimension's part of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DimRange {
    /// From one key to another, both included.
    Range(String, String),
    /// Individual keys.
    Keys(Vec<String>),
}

/// A range of partitions, as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeSpec {
    /// A range of the only dimension.
    Single(DimRange),
    /// Ranges by dimension name; an omitted dimension is selected whole.
    Multi(Vec<(String, DimRange)>),
}

impl RangeSpec {
    /// Resolves the range to a product of positions.
    ///
    /// # Errors
    /// `PartitionValidation` as docs/semantics.md says, "Ranges", row by row.
    pub fn select(&self, space: &Arc<Space>) -> Result<Selection> {
        let refused = |reason: String| Err(Error::PartitionValidation(reason));
        let mut sets: Vec<IndexSet> = space
            .dims()
            .iter()
            .map(|dim| IndexSet::Range(0..dim.axis.len()))
            .collect();
        match self {
            Self::Single(range) => {
                if space.is_multi() {
                    let names = space.dims().iter().map(|dim| dim.name.as_str());
                    return refused(format!(
                        "a range without dimension names was given for partitions with the dimensions {}; \
                         give a range for each dimension, by its name",
                        some_of(names)
                    ));
                }
                let Some(dim) = space.dims().first() else {
                    return refused(
                        "a range was given for something that is not partitioned".into(),
                    );
                };
                sets[0] = range.select(&dim.axis, "")?;
            }
            Self::Multi(ranges) => {
                if !space.is_multi() {
                    return refused(
                        "ranges of named dimensions were given for partitions with a single dimension; \
                         give one range, without a name"
                            .into(),
                    );
                }
                for (name, range) in ranges {
                    let at = space.dimension(name)?;
                    sets[at] = range.select(&space.dims()[at].axis, name)?;
                }
            }
        }
        if let Some(empty) = sets.iter().position(IndexSet::is_empty) {
            let name = &space.dims()[empty].name;
            return refused(if name.is_empty() {
                "the range holds no partition: none is defined yet".into()
            } else {
                format!("the range holds no partition: the dimension {name:?} has no key yet")
            });
        }
        Ok(Selection::new(Arc::clone(space), Members::Product(sets)))
    }
}

impl DimRange {
    /// The positions that this part of the range selects.
    ///
    /// # Errors
    /// `PartitionValidation` as docs/semantics.md says, "Ranges".
    pub fn select(&self, axis: &Axis, name: &str) -> Result<IndexSet> {
        let whose = if name.is_empty() {
            String::new()
        } else {
            format!(" of the dimension {name:?}")
        };
        match self {
            Self::Range(from, to) => {
                let first = axis.locate(from, "the range's start", name)?;
                let last = axis.locate(to, "the range's end", name)?;
                if first > last {
                    return Err(Error::PartitionValidation(format!(
                        "the range{whose} is inverted: it starts at {from:?}, which comes after its end {to:?}; \
                         swap them"
                    )));
                }
                Ok(IndexSet::Range(first..last + 1))
            }
            Self::Keys(keys) => {
                if keys.is_empty() {
                    return Err(Error::PartitionValidation(format!(
                        "the list of keys{whose} is empty; leave the dimension out to take all its keys"
                    )));
                }
                let positions: Result<Vec<u32>> = keys
                    .iter()
                    .map(|key| axis.locate(key, "the partition key", name))
                    .collect();
                Ok(IndexSet::from_positions(positions?))
            }
        }
    }
}
