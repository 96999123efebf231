//! Ranges as the user writes them, before they are resolved against a space.

use std::fmt;
use std::sync::Arc;

use super::axis::Axis;
use super::product::Space;
use super::selection::{IndexSet, Members, Selection};
use super::time::{GivenTime, iso};
use crate::error::{Error, Result, some_of};

/// An end of a range, or a listed key, as given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum RangeEnd {
    /// The first or the last key.
    Open,
    /// A key or, in a time dimension, a short form of a time.
    Text(String),
    /// A time, for a time dimension.
    Time(GivenTime),
}

impl From<String> for RangeEnd {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for RangeEnd {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl fmt::Display for RangeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("None"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Time(GivenTime::Day(time)) => f.write_str(&iso(*time)[..10]),
            Self::Time(GivenTime::Wall(time)) => f.write_str(&iso(*time)),
            Self::Time(GivenTime::Utc(time)) => write!(f, "{}+00:00", iso(*time)),
        }
    }
}

impl RangeEnd {
    /// The position of the first or of the last key that is meant.
    fn locate(&self, axis: &Axis, last: bool, subject: &str, name: &str) -> Result<u32> {
        let found = match (self, axis) {
            (Self::Open, _) if axis.is_empty() => {
                return axis.locate("", subject, name);
            }
            (Self::Open, _) => Ok(if last { axis.len() - 1 } else { 0 }),
            (Self::Text(text), Axis::Labels(_)) => return axis.locate(text, subject, name),
            (Self::Text(text), Axis::Time(time)) => time.end_of_range(text, last),
            (Self::Time(given), Axis::Time(time)) => time.end_of_time(*given, last),
            (Self::Time(_), Axis::Labels(_)) => {
                return Err(Error::PartitionValidation(format!(
                    "{subject} is the time {self}, and the keys are not those of time windows"
                )));
            }
        };
        found.or_else(|reason| {
            let text = match self {
                Self::Text(text) => text.clone(),
                Self::Open | Self::Time(_) => self.to_string(),
            };
            axis.refuse(&text, reason, subject, name)
        })
    }
}

/// One dimension's part of a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum DimRange {
    /// From one key to another, both included.
    Range(RangeEnd, RangeEnd),
    /// Individual keys.
    Keys(Vec<RangeEnd>),
}

/// A range of partitions, as given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
                if axis.is_empty() && (from, to) == (&RangeEnd::Open, &RangeEnd::Open) {
                    return Ok(IndexSet::Range(0..0));
                }
                let first = from.locate(axis, false, "the range's start", name)?;
                let last = to.locate(axis, true, "the range's end", name)?;
                if first > last {
                    return Err(Error::PartitionValidation(format!(
                        "the range{whose} is inverted: it starts at {from}, which comes after its end {to}; \
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
                let mut positions = Vec::with_capacity(keys.len());
                for key in keys {
                    let subject = "the partition key";
                    let first = key.locate(axis, false, subject, name)?;
                    positions.extend(first..=key.locate(axis, true, subject, name)?);
                }
                Ok(IndexSet::from_positions(positions))
            }
        }
    }
}
