//! Ranges from Python.

use pyo3::prelude::*;
use rivers_core::space::{DimRange, RangeEnd, RangeSpec};

use crate::calendar::End;
use crate::convert::datetime;
use rivers_core::space::time::GivenTime;

/// One dimension's part of a range: a 2-tuple is a range, a list is individual keys.
#[derive(FromPyObject)]
pub(crate) enum DimPart {
    Range((End, End)),
    Keys(Vec<End>),
}

impl From<DimPart> for DimRange {
    fn from(part: DimPart) -> Self {
        match part {
            DimPart::Range((from, to)) => Self::Range(from.0, to.0),
            DimPart::Keys(keys) => Self::Keys(keys.into_iter().map(|key| key.0).collect()),
        }
    }
}

/// `rivers.PartitionKeyRange`, with the same fields in the same order.
#[derive(FromPyObject)]
pub(crate) struct KeyRange {
    from_key: End,
    to_key: End,
    dimensions: Option<Vec<(String, DimPart)>>,
}

impl From<KeyRange> for RangeSpec {
    fn from(range: KeyRange) -> Self {
        match range.dimensions {
            Some(named) => Self::Multi(
                named
                    .into_iter()
                    .map(|(name, part)| (name, part.into()))
                    .collect(),
            ),
            None => Self::Single(DimRange::Range(range.from_key.0, range.to_key.0)),
        }
    }
}

/// An end of a range as the Python value that was given for it.
pub(crate) fn given_end<'py>(py: Python<'py>, end: &RangeEnd) -> PyResult<Bound<'py, PyAny>> {
    match end {
        RangeEnd::Open => Ok(py.None().into_bound(py)),
        RangeEnd::Text(text) => Ok(text.into_pyobject(py)?.into_any()),
        RangeEnd::Time(GivenTime::Day(day)) => datetime(py, *day, None)?.call_method0("date"),
        RangeEnd::Time(GivenTime::Wall(time)) => datetime(py, *time, None),
        RangeEnd::Time(GivenTime::Utc(time)) => datetime(py, *time, Some("UTC")),
    }
}
