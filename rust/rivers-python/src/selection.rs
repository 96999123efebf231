//! Resolved spaces and selections; private to the package.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rivers_core::error::Error;
use rivers_core::plan::{Plan, Strategy, codec};
use rivers_core::space::{
    self, DimRange, IndexSet, Mapping, Members, Nesting, PositionSet, RangeSpec,
};

use crate::convert::datetime;
use crate::error::{Raised, Result};
use crate::key::{expect_key, of_partition};
use crate::mapping::PartitionMapping;
use crate::range::{DimPart, KeyRange};

/// All partitions of a definition, resolved at one time.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Space {
    pub(crate) space: Arc<space::Space>,
}

/// A set of partitions of a space, with an order.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Selection {
    pub(crate) selection: Arc<space::Selection>,
}

/// Minimum number of objects for which the cycle collector is paused.
const MANY: u64 = 10_000;

/// Maximum number of partitions that keys with several values represent; each takes 8 bytes.
const MAX_EXPANDED: u64 = 100_000_000;

/// Builds many objects that cannot be part of a cycle, with the cycle collector paused: it would
/// repeatedly traverse all of them, which takes ten times as long as building them.
fn without_collection<T>(py: Python<'_>, build: impl FnOnce() -> T) -> PyResult<T> {
    let gc = py.import("gc")?;
    let enabled: bool = gc.call_method0("isenabled")?.extract()?;
    gc.call_method0("disable")?;
    let built = build();
    if enabled {
        gc.call_method0("enable")?;
    }
    Ok(built)
}

#[pymethods]
impl Space {
    #[staticmethod]
    fn unpartitioned() -> Self {
        Self {
            space: space::Space::unpartitioned(),
        }
    }

    #[getter]
    fn num_partitions(&self) -> u64 {
        self.space.len()
    }

    #[getter]
    fn has_time_windows(&self) -> bool {
        self.space
            .dims()
            .iter()
            .any(|dim| dim.axis.time().is_some())
    }

    /// The space as bytes, for a worker process.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let bytes = rivers_core::plan::codec::encode_space(&self.space).map_err(Raised)?;
        let decode = py.import("rivers._rivers")?.getattr("decode_space")?;
        Ok((decode, (PyBytes::new(py, &bytes),)))
    }

    pub(crate) fn all(&self) -> Selection {
        space::Selection::all(Arc::clone(&self.space)).into()
    }

    /// Whether one of these partitions may need several of an upstream's.
    #[pyo3(signature = (upstream, mapping=None))]
    fn needs_several(&self, upstream: &Self, mapping: Option<&PartitionMapping>) -> bool {
        let mapping = mapping.map_or(&Mapping::Identity, |given| &given.mapping);
        mapping.gives_several(&self.space, &upstream.space)
    }

    fn select_range(&self, range: KeyRange) -> Result<Selection> {
        Ok(RangeSpec::from(range).select(&self.space)?.into())
    }

    /// Selects a product: for each named dimension, the part to include or, with `True`, to exclude.
    fn select_parts(&self, parts: Vec<(String, DimPart, bool)>) -> PyResult<Selection> {
        let mut sets: Vec<IndexSet> = self
            .space
            .dims()
            .iter()
            .map(|dim| IndexSet::Range(0..dim.axis.len()))
            .collect();
        for (name, part, leave_out) in parts {
            let at = self.space.dimension(&name).map_err(Raised)?;
            let set = DimRange::from(part)
                .select(&self.space.dims()[at].axis, &name)
                .map_err(Raised)?;
            sets[at] = if leave_out {
                sets[at].difference(&set)
            } else {
                set
            };
        }
        Ok(space::Selection::new(Arc::clone(&self.space), Members::Product(sets)).into())
    }

    /// The partitions with these numbers, in this order.
    fn select_numbers(&self, numbers: Vec<u64>) -> Selection {
        let members = Members::Explicit(PositionSet::in_order(numbers));
        space::Selection::new(Arc::clone(&self.space), members).into()
    }

    /// The name, number of keys and stride of each dimension.
    fn dimensions(&self) -> Vec<(String, u32, u64)> {
        let dims = self.space.dims().iter().enumerate();
        dims.map(|(at, dim)| (dim.name.clone(), dim.axis.len(), self.space.stride(at)))
            .collect()
    }

    /// All keys of a dimension.
    fn labels(&self, at: usize) -> PyResult<Vec<String>> {
        let dim = self
            .space
            .dims()
            .get(at)
            .ok_or_else(|| pyo3::exceptions::PyIndexError::new_err(at))?;
        Ok((0..dim.axis.len())
            .map(|position| dim.axis.label(position).into_owned())
            .collect())
    }

    /// The positions of keys within a dimension.
    fn locate(&self, at: usize, keys: Vec<String>) -> PyResult<Vec<u32>> {
        let dim = self
            .space
            .dims()
            .get(at)
            .ok_or_else(|| pyo3::exceptions::PyIndexError::new_err(at))?;
        let located: rivers_core::Result<_> = keys
            .iter()
            .map(|key| dim.axis.locate(key, "the partition key", &dim.name))
            .collect();
        Ok(located.map_err(Raised)?)
    }

    fn select_keys(&self, keys: &Bound<'_, PyList>) -> PyResult<Selection> {
        let mut numbers: Vec<u64> = Vec::with_capacity(keys.len());
        // Keys of an equal space are numbers in this one; most keys come from the same space.
        let mut equal = Arc::clone(&self.space);
        for key in keys.iter() {
            let key = expect_key(&key)?.get();
            if let Some((space, number)) = key.number()
                && (Arc::ptr_eq(space, &equal) || *space == self.space)
            {
                equal = Arc::clone(space);
                numbers.push(number);
                continue;
            }
            if let Some(number) = key.key().one(&self.space) {
                numbers.push(number);
                continue;
            }
            let located = key.key().locate(&self.space).map_err(Raised)?;
            let count = located.iter().try_fold(1_u64, |count, positions| {
                count.checked_mul(positions.len() as u64)
            });
            let total = count.and_then(|count| count.checked_add(numbers.len() as u64));
            if total.is_none_or(|total| total > MAX_EXPANDED) {
                let message = format!(
                    "partition_keys represent more than {MAX_EXPANDED} partitions; give a \
                     partition_range, which is not listed"
                );
                return Err(Raised(Error::Execution(message)).into());
            }
            numbers.extend(space::product::product_in_order(&self.space, &located));
        }
        let members = Members::Explicit(PositionSet::in_order(numbers));
        Ok(space::Selection::new(Arc::clone(&self.space), members).into())
    }
}

/// Reads an encoded space.
#[pyfunction]
pub(crate) fn decode_space(bytes: &[u8]) -> Result<Space> {
    Ok(Space {
        space: rivers_core::plan::codec::decode_space(bytes)?,
    })
}

/// Reads a selection, which is encoded as the plan of one run.
#[pyfunction]
pub(crate) fn decode_selection(space: &[u8], plan: &[u8]) -> Result<Selection> {
    let space = codec::decode_space(space)?;
    let plan = codec::decode_plan(space, plan)?;
    Ok(Selection {
        selection: Arc::clone(plan.selection()),
    })
}

impl From<space::Selection> for Selection {
    fn from(selection: space::Selection) -> Self {
        Self {
            selection: Arc::new(selection),
        }
    }
}

/// A space and a plan over it, as bytes.
type Encoded<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pymethods]
impl Selection {
    /// The selection as bytes, for a worker process.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Encoded<'py>)> {
        let selection = space::Selection::clone(&self.selection);
        let space = codec::encode_space(selection.space()).map_err(Raised)?;
        let plan = Plan::new(selection, Strategy::SingleRun).map_err(Raised)?;
        let plan = codec::encode_plan(&plan).map_err(Raised)?;
        let decode = py.import("rivers._rivers")?.getattr("decode_selection")?;
        Ok((decode, (PyBytes::new(py, &space), PyBytes::new(py, &plan))))
    }

    #[getter]
    fn num_partitions(&self) -> u64 {
        self.selection.len()
    }

    pub(crate) fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let space = self.selection.space();
        if space.dims().is_empty() {
            return Ok(PyList::empty(py));
        }
        let build = || {
            self.selection
                .iter()
                .map(|partition| of_partition(py, space, partition))
                .collect()
        };
        let keys: PyResult<Vec<_>> = if self.selection.len() < MANY {
            build()
        } else {
            without_collection(py, build)?
        };
        PyList::new(py, keys?)
    }

    /// The partitions of another space that are the same: with equal keys and equal windows.
    fn same_in(&self, py: Python<'_>, other: &Space) -> Self {
        py.detach(|| self.selection.same_in(&other.space)).into()
    }

    fn union(&self, other: &Self) -> Self {
        self.selection.plus(&other.selection).into()
    }

    fn intersection(&self, other: &Self) -> Self {
        self.selection.intersection(&other.selection).into()
    }

    /// The members that are not in `other`, in their present order.
    fn difference(&self, other: &Self) -> Self {
        self.selection.minus(&other.selection).into()
    }

    /// The selection in reverse order.
    fn reversed(&self) -> Self {
        self.selection.reversed().into()
    }

    /// The selection ordered by these dimensions, the slowest first; a minus before a name makes its
    /// keys descend.
    fn arranged(&self, py: Python<'_>, dimensions: Vec<String>) -> Result<Self> {
        let selection = py.detach(|| {
            let nesting = Nesting::by_dimensions(self.selection.space(), &dimensions)?;
            self.selection.arranged(&nesting)
        })?;
        Ok(selection.into())
    }

    #[getter]
    fn space(&self) -> Space {
        Space {
            space: Arc::clone(self.selection.space()),
        }
    }

    /// The `n`-th key.
    fn key<'py>(&self, py: Python<'py>, n: u64) -> PyResult<Bound<'py, PyAny>> {
        if n >= self.selection.len() {
            return Err(pyo3::exceptions::PyIndexError::new_err(n));
        }
        of_partition(py, self.selection.space(), self.selection.nth(n))
    }

    /// The one key that represents exactly these partitions; `None` if there is none.
    fn covering_key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let key = py.detach(|| self.selection.covering_key());
        key.map(|key| crate::key::of_key(py, key)).transpose()
    }

    /// The text of the `n`-th key.
    fn text(&self, n: u64) -> String {
        self.selection.space().text(self.selection.nth(n))
    }

    /// Checks that another asset's space has all partitions of this selection.
    fn check_in(&self, other: &Space, asset: &str) -> Result<()> {
        Ok(self.selection.check_in(&other.space, asset)?)
    }

    /// The partitions that another space also has, and the number of those that it lacks.
    fn only_in(&self, other: &Space) -> (Self, u64) {
        let (left, gone) = self.selection.only_in(&other.space);
        (left.into(), gone)
    }

    /// The upstream partitions that these partitions need; by default those with equal keys.
    #[pyo3(signature = (other, mapping=None))]
    fn upstream(&self, other: &Space, mapping: Option<&PartitionMapping>) -> Result<Self> {
        let needed = match mapping {
            Some(given) => given.mapping.upstream(&self.selection, &other.space)?,
            None => self.selection.upstream(&other.space)?,
        };
        Ok(needed.into())
    }

    /// The downstream partitions that need one of these partitions; by default those with equal keys.
    #[pyo3(signature = (other, mapping=None))]
    fn downstream(&self, other: &Space, mapping: Option<&PartitionMapping>) -> Result<Self> {
        let identity = Mapping::Identity;
        let mapping = mapping.map_or(&identity, |given| &given.mapping);
        Ok(mapping.downstream(&self.selection, &other.space)?.into())
    }

    /// Whether two selections have equal spaces, partitions and orders.
    fn equals(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.selection, &other.selection) || self.selection == other.selection
    }

    fn translate(&self, other: &Space, asset: &str) -> Result<Self> {
        Ok(self.selection.translate(&other.space, asset)?.into())
    }

    #[pyo3(signature = (dimension=None))]
    fn time_window<'py>(
        &self,
        py: Python<'py>,
        dimension: Option<&str>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let ((start, end), zone) = self.selection.time_window(dimension).map_err(Raised)?;
        Ok((datetime(py, start, zone)?, datetime(py, end, zone)?))
    }
}
