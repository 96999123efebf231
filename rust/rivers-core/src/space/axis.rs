//! A resolved dimension: its keys, numbered by position.

use std::borrow::Cow;
use std::sync::Arc;

use super::labels::Labels;
use super::time::{Calendar, NotAWindow, TimeAxis};
use crate::error::{Error, Result, did_you_mean, some_of};

/// The keys of one dimension, resolved at one time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "StoredAxis", into = "StoredAxis")]
pub enum Axis {
    /// Names, from a static or a dynamic dimension.
    Labels(Arc<Labels>),
    /// Time windows.
    Time(TimeAxis),
}

/// The stored form: the names, or a calendar and its number of windows.
#[derive(serde::Serialize, serde::Deserialize)]
enum StoredAxis {
    Labels(Arc<Labels>),
    Time(Box<Calendar>, u32),
}

impl TryFrom<StoredAxis> for Axis {
    type Error = Error;

    fn try_from(stored: StoredAxis) -> Result<Self> {
        Ok(match stored {
            StoredAxis::Labels(labels) => Self::Labels(labels),
            StoredAxis::Time(calendar, len) => {
                Self::Time(TimeAxis::with_len(Arc::from(calendar), len)?)
            }
        })
    }
}

impl From<Axis> for StoredAxis {
    fn from(axis: Axis) -> Self {
        match axis {
            Axis::Labels(labels) => Self::Labels(labels),
            Axis::Time(time) => Self::Time(Box::new(Calendar::clone(time.calendar())), time.len()),
        }
    }
}

impl Axis {
    /// Number of keys.
    pub fn len(&self) -> u32 {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Time(time) => time.len(),
        }
    }

    /// Whether the axis has no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key at a position.
    pub fn label(&self, position: u32) -> Cow<'_, str> {
        match self {
            Self::Labels(labels) => Cow::Borrowed(labels.get(position)),
            Self::Time(time) => Cow::Owned(time.label(position)),
        }
    }

    /// The position of `key`, if it is a key of this axis.
    pub fn position(&self, key: &str) -> Option<u32> {
        match self {
            Self::Labels(labels) => labels.position(key),
            Self::Time(time) => time.position(key).ok(),
        }
    }

    /// The position of `key`, or an error that explains why there is none.
    ///
    /// # Errors
    /// `PartitionValidation` with the key, what is wrong with it, and the nearest valid keys. The
    /// message calls the key `subject` ("the partition key", "the range's end").
    pub fn locate(&self, key: &str, subject: &str, dimension: &str) -> Result<u32> {
        match self {
            Self::Labels(labels) => match labels.position(key) {
                Some(position) => Ok(position),
                None => Err(refused(
                    key,
                    subject,
                    dimension,
                    &format!(
                        "is not defined; there are {}{}",
                        if labels.is_empty() {
                            "none".into()
                        } else {
                            some_of(labels.iter())
                        },
                        did_you_mean(key, labels.iter())
                    ),
                )),
            },
            Self::Time(time) => time
                .position(key)
                .or_else(|reason| self.refuse(key, reason, subject, dimension)),
        }
    }

    /// The error for a text that names no window.
    ///
    /// # Errors
    /// `PartitionValidation`, always.
    pub(super) fn refuse(
        &self,
        key: &str,
        reason: NotAWindow,
        subject: &str,
        dimension: &str,
    ) -> Result<u32> {
        let Self::Time(time) = self else {
            return self.locate(key, subject, dimension);
        };
        let format = &time.calendar().declared().fmt;
        let what = match reason {
            NotAWindow::Format => format!("does not have the format {format:?}"),
            NotAWindow::BeforeStart => "is before the start".into(),
            NotAWindow::AfterEnd if time.is_empty() => {
                "is not defined: no window has begun yet".into()
            }
            NotAWindow::AfterEnd => "is after the end".into(),
            NotAWindow::OffGrid => "is not on the grid: no window starts then".into(),
            NotAWindow::Skipped => format!(
                "does not occur: the clock of {} skips it",
                time.zone_name().unwrap_or("UTC")
            ),
            NotAWindow::Repeated => {
                "occurs twice, because the clock is put back; its keys end with an offset".into()
            }
            NotAWindow::Excluded => "is excluded from the definition".into(),
        };
        let nearest = time.nearest(key);
        let hint = if nearest.is_empty() {
            String::new()
        } else {
            format!(
                "; the nearest valid keys: {}",
                some_of(nearest.iter().map(String::as_str))
            )
        };
        Err(refused(key, subject, dimension, &format!("{what}{hint}")))
    }

    /// The windows of a time dimension; `None` for names.
    pub fn time(&self) -> Option<&TimeAxis> {
        match self {
            Self::Time(time) => Some(time),
            Self::Labels(_) => None,
        }
    }

    /// Whether keys that both axes have are at equal positions. Compares in constant time, so `false`
    /// can also mean "not known".
    pub(super) fn numbers_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Time(here), Self::Time(there)) => here.calendar() == there.calendar(),
            (Self::Labels(here), Self::Labels(there)) => Arc::ptr_eq(here, there),
            (Self::Time(_), Self::Labels(_)) | (Self::Labels(_), Self::Time(_)) => false,
        }
    }

    /// The position in `other` of the key that is at `position` here; `None` where `other` lacks it.
    pub fn translate(&self, other: &Self, position: u32) -> Option<u32> {
        if self.numbers_as(other) {
            return (position < other.len()).then_some(position);
        }
        other.position(&self.label(position))
    }
}

/// The error for a key that an axis does not have.
fn refused(key: &str, subject: &str, dimension: &str, reason: &str) -> Error {
    let whose = if dimension.is_empty() {
        String::new()
    } else {
        format!(" of the dimension {dimension:?}")
    };
    Error::PartitionValidation(format!("{subject} {key:?}{whose} {reason}"))
}
