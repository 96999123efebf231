//! `PartitionMapping`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use rivers_core::space::Mapping;

use crate::error::Raised;

/// Which partitions of an upstream a partition needs, for `AssetDef.input` and `AssetDef.dep`.
///
/// Mappings are frozen, comparable, hashable and picklable; a `repr` evaluates to an equal mapping.
#[pyclass(frozen, module = "rivers")]
pub(crate) struct PartitionMapping {
    pub(crate) mapping: Mapping,
}

/// The upstream keys of a downstream key: one, or several.
#[derive(FromPyObject)]
enum Keys {
    One(String),
    Some(Vec<String>),
}

/// Extracts a list of keys; a text is refused.
fn keys(of: &str, given: &Bound<'_, PyAny>) -> PyResult<BTreeSet<String>> {
    given
        .extract::<Vec<String>>()
        .map(|keys| keys.into_iter().collect())
        .map_err(|_| PyTypeError::new_err(format!("{of}() takes a list of str, got {given}")))
}

fn dict<'a, 'py>(of: &str, given: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    given
        .cast::<PyDict>()
        .map_err(|_| PyTypeError::new_err(format!("{of}() takes a dict, got {given}")))
}

fn checked(mapping: Mapping) -> Result<PartitionMapping, Raised> {
    Ok(PartitionMapping {
        mapping: mapping.checked()?,
    })
}

#[pymethods]
impl PartitionMapping {
    #[staticmethod]
    fn identity() -> Self {
        Self {
            mapping: Mapping::Identity,
        }
    }

    #[staticmethod]
    fn all_partitions() -> Self {
        Self {
            mapping: Mapping::AllPartitions,
        }
    }

    #[staticmethod]
    fn static_(pairs: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut named = BTreeMap::new();
        for (key, upstream) in dict("static_", pairs)?.iter() {
            let wrong = || {
                PyTypeError::new_err(format!(
                    "static_() takes a dict of a str to a list of str, got {key}: {upstream}"
                ))
            };
            let own: String = key.extract().map_err(|_| wrong())?;
            let found = match upstream.extract().map_err(|_| wrong())? {
                Keys::One(one) => BTreeSet::from([one]),
                Keys::Some(some) => some.into_iter().collect(),
            };
            named.insert(own, found);
        }
        Ok(checked(Mapping::Static(named))?)
    }

    #[staticmethod]
    #[pyo3(signature = (offset=0))]
    fn time_window(offset: i64) -> Self {
        Self {
            mapping: Mapping::TimeWindow { offset },
        }
    }

    #[staticmethod]
    fn specific_partitions(keys: &Bound<'_, PyAny>) -> PyResult<Self> {
        let named = self::keys("specific_partitions", keys)?;
        Ok(checked(Mapping::SpecificPartitions(named))?)
    }

    #[staticmethod]
    fn for_keys(keys: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(checked(Mapping::ForKeys(self::keys("for_keys", keys)?))?)
    }

    #[staticmethod]
    fn subset() -> Self {
        Self {
            mapping: Mapping::Subset,
        }
    }

    #[staticmethod]
    fn multi(dimensions: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut named = BTreeMap::new();
        for (dim, given) in dict("multi", dimensions)?.iter() {
            let wrong = || {
                PyTypeError::new_err(format!(
                    "multi() takes a dict of a dimension to a PartitionMapping or (dimension of the \
                     upstream, PartitionMapping), got {dim}: {given}"
                ))
            };
            let own: String = dim.extract().map_err(|_| wrong())?;
            let (other, inner) = match given.extract::<(String, Bound<'_, Self>)>() {
                Ok((other, inner)) => (other, inner),
                Err(_) => (
                    own.clone(),
                    given.cast::<Self>().map_err(|_| wrong())?.clone(),
                ),
            };
            named.insert(own, (other, inner.get().mapping.clone()));
        }
        Ok(checked(Mapping::Multi(named))?)
    }

    #[staticmethod]
    #[pyo3(signature = (dim, mapping=None))]
    fn multi_to_single(dim: String, mapping: Option<&Self>) -> Result<Self, Raised> {
        let inner = mapping.map_or(Mapping::Identity, |inner| inner.mapping.clone());
        checked(Mapping::MultiToSingle {
            dim,
            mapping: Box::new(inner),
        })
    }

    /// Whether the mapping leads only to earlier partitions.
    #[getter]
    fn goes_back(&self) -> bool {
        self.mapping.goes_back()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| other.get().mapping == self.mapping)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.mapping.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let quote =
            |text: &str| -> PyResult<String> { Ok(PyString::new(py, text).repr()?.to_string()) };
        self.mapping.notation("PartitionMapping.", &quote)
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let decode = py.import("rivers._rivers")?.getattr("decode_mapping")?;
        let bytes = postcard::to_stdvec(&self.mapping)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok((decode, (PyBytes::new(py, &bytes),)))
    }
}

/// Reads a pickled mapping.
#[pyfunction]
pub(crate) fn decode_mapping(bytes: &[u8]) -> PyResult<PartitionMapping> {
    let mapping =
        postcard::from_bytes(bytes).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PartitionMapping { mapping })
}
