//! A resolved space and the selections in it: private to the package.

use std::sync::Arc;

use chrono::NaiveDateTime;
use pyo3::prelude::*;
use pyo3::types::PyList;
use rivers_core::space::time_format::to_datetime;
use rivers_core::space::{self, DimRange, Members, PositionSet, RangeSpec};

use crate::error::{Raised, Result};
use crate::key::{expect_key, of_partition};

/// All partitions of a definition at one moment.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Space {
    pub(crate) space: Arc<space::Space>,
}

/// Some of them.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Selection {
    pub(crate) selection: Arc<space::Selection>,
}

/// A dimension's part of a range: a 2-tuple is a range, a list is keys.
#[derive(FromPyObject)]
enum DimPart {
    Range((String, String)),
    Keys(Vec<String>),
}

impl From<DimPart> for DimRange {
    fn from(part: DimPart) -> Self {
        match part {
            DimPart::Range((from, to)) => Self::Range(from, to),
            DimPart::Keys(keys) => Self::Keys(keys),
        }
    }
}

/// `rivers.PartitionKeyRange`, with the same fields in the same order.
#[derive(FromPyObject)]
pub(crate) struct KeyRange {
    from_key: Option<String>,
    to_key: Option<String>,
    dimensions: Option<Vec<(String, DimPart)>>,
}

impl From<KeyRange> for RangeSpec {
    fn from(range: KeyRange) -> Self {
        match range.dimensions {
            Some(named) => Self::Multi(named.into_iter().map(|(name, part)| (name, part.into())).collect()),
            None => Self::Single(DimRange::Range(
                range.from_key.unwrap_or_default(),
                range.to_key.unwrap_or_default(),
            )),
        }
    }
}

#[pymethods]
impl Space {
    #[staticmethod]
    fn unpartitioned() -> Self {
        Self { space: space::Space::unpartitioned() }
    }

    #[getter]
    fn num_partitions(&self) -> u64 {
        self.space.len()
    }

    pub(crate) fn all(&self) -> Selection {
        space::Selection::all(Arc::clone(&self.space)).into()
    }

    fn select_range(&self, range: KeyRange) -> Result<Selection> {
        Ok(RangeSpec::from(range).select(&self.space)?.into())
    }

    fn select_keys(&self, keys: &Bound<'_, PyList>) -> PyResult<Selection> {
        let mut numbers: Vec<u64> = Vec::with_capacity(keys.len());
        for key in keys.iter() {
            let key = expect_key(&key)?.get();
            if let Some(number) = key.number_in(&self.space) {
                numbers.push(number);
                continue;
            }
            let located = key.key().locate(&self.space).map_err(Raised)?;
            numbers.extend(space::expand::product_in_order(&self.space, &located));
        }
        let members = Members::Explicit(PositionSet::in_order(numbers));
        Ok(space::Selection::new(Arc::clone(&self.space), members).into())
    }

}

impl From<space::Selection> for Selection {
    fn from(selection: space::Selection) -> Self {
        Self { selection: Arc::new(selection) }
    }
}

#[pymethods]
impl Selection {
    #[getter]
    fn num_partitions(&self) -> u64 {
        self.selection.len()
    }

    pub(crate) fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let space = self.selection.space();
        let keys = PyList::empty(py);
        if !space.dims().is_empty() {
            for partition in self.selection.iter() {
                keys.append(of_partition(py, space, partition)?)?;
            }
        }
        Ok(keys)
    }

    /// The n-th key.
    fn key<'py>(&self, py: Python<'py>, n: u64) -> PyResult<Bound<'py, PyAny>> {
        if n >= self.selection.len() {
            return Err(pyo3::exceptions::PyIndexError::new_err(n));
        }
        of_partition(py, self.selection.space(), self.selection.nth(n))
    }

    /// The text of the n-th key.
    fn text(&self, n: u64) -> String {
        self.selection.space().text(self.selection.nth(n))
    }

    /// Those that another space has too, and how many it has not.
    fn still_in(&self, other: &Space) -> (Self, u64) {
        let (left, gone) = self.selection.still_in(&other.space);
        (left.into(), gone)
    }

    /// The partitions of an upstream that these need.
    fn upstream(&self, other: &Space) -> Result<Self> {
        Ok(self.selection.upstream(&other.space)?.into())
    }

    fn translate(&self, other: &Space, asset: &str) -> Result<Self> {
        Ok(self.selection.translate(&other.space, asset)?.into())
    }

    #[pyo3(signature = (dimension=None))]
    fn time_window(&self, dimension: Option<&str>) -> Result<(NaiveDateTime, NaiveDateTime)> {
        let (start, end) = self.selection.time_window(dimension)?;
        Ok((to_datetime(start), to_datetime(end)))
    }
}
