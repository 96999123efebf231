//! `PartitionMapping` and a subclass for each kind.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use rivers_core::space::{DimRange, Mapping, RangeSpec, Selector, Selectors};

use crate::error::Raised;
use crate::key::{PartitionKey, of_key};
use crate::range::{KeyRange, given_end};

/// Which partitions of an upstream a partition needs, for `AssetDef.input` and `AssetDef.dep`.
///
/// Each mapping is an instance of the class of its kind, such as `PartitionMapping.Static`. Mappings
/// are frozen, comparable, hashable and picklable; a `repr` evaluates to an equal mapping.
#[pyclass(frozen, subclass, module = "rivers")]
pub(crate) struct PartitionMapping {
    pub(crate) mapping: Mapping,
}

/// Declares the subclasses, whose names are those of the core's kinds, and makes instances of them.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident),* $(,)?) => {
        $(
            $(#[$doc])*
            #[pyclass(frozen, extends = PartitionMapping, module = "rivers")]
            pub(crate) struct $kind;
        )*

        /// The mapping as an instance of the class of its kind.
        fn instance(py: Python<'_>, mapping: Mapping) -> PyResult<Bound<'_, PyAny>> {
            let kind = Kind::of(&mapping);
            let base = PyClassInitializer::from(PartitionMapping { mapping });
            match kind {
                $(Kind::$kind => Ok(Bound::new(py, base.add_subclass($kind))?.into_any()),)*
            }
        }

        enum Kind { $($kind),* }

        /// Makes the classes available as attributes of `PartitionMapping`.
        pub(crate) fn nest(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let outer = module.getattr("PartitionMapping")?;
            $(crate::key::nest_class(&outer, &module.py().get_type::<$kind>(), stringify!($kind))?;)*
            Ok(())
        }
    };
}

kinds! {
    /// Equal keys: `PartitionMapping.identity()`.
    Identity,
    /// All partitions of the upstream: `PartitionMapping.all_partitions()`.
    AllPartitions,
    /// Upstream keys by downstream key: `PartitionMapping.static_(...)`.
    Static,
    /// Windows at an offset: `PartitionMapping.time_window(...)`.
    TimeWindow,
    /// The same partitions for all: `PartitionMapping.specific_partitions(...)`.
    SpecificPartitions,
    /// An unpartitioned upstream for some partitions: `PartitionMapping.for_keys(...)`.
    ForKeys,
    /// Equal keys where the upstream has them: `PartitionMapping.subset()`.
    Subset,
    /// Between products, by dimension: `PartitionMapping.multi(...)`.
    Multi,
    /// Between a product and a single dimension: `PartitionMapping.multi_to_single(...)`.
    MultiToSingle,
}

impl Kind {
    fn of(mapping: &Mapping) -> Self {
        match mapping {
            Mapping::Identity => Self::Identity,
            Mapping::AllPartitions => Self::AllPartitions,
            Mapping::Static(_) => Self::Static,
            Mapping::TimeWindow { .. } => Self::TimeWindow,
            Mapping::SpecificPartitions(_) => Self::SpecificPartitions,
            Mapping::ForKeys(_) => Self::ForKeys,
            Mapping::Subset => Self::Subset,
            Mapping::Multi(_) => Self::Multi,
            Mapping::MultiToSingle { .. } => Self::MultiToSingle,
        }
    }
}

/// The upstream keys of a downstream key: one, or several.
#[derive(FromPyObject, IntoPyObject)]
enum Keys {
    One(String),
    Some(Vec<String>),
}

fn dict<'a, 'py>(of: &str, given: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    given
        .cast::<PyDict>()
        .map_err(|_| PyTypeError::new_err(format!("{of}() takes a dict, got {given}")))
}

fn checked(py: Python<'_>, mapping: Mapping) -> PyResult<Bound<'_, PyAny>> {
    instance(py, mapping.checked().map_err(Raised)?)
}

/// A key or a range, as given to `for_keys()`.
fn selector(given: &Bound<'_, PyAny>) -> Option<Selector> {
    match given.cast::<PartitionKey>() {
        Ok(key) => Some(Selector::Key((*key.get().key()).clone())),
        Err(_) => Some(Selector::range(given.extract::<KeyRange>().ok()?.into())),
    }
}

/// A selector as it was given: a `PartitionKey` or a `PartitionKeyRange`.
fn given<'py>(py: Python<'py>, selector: &Selector) -> PyResult<Bound<'py, PyAny>> {
    let range = match selector {
        Selector::Key(key) => return of_key(py, key.clone()),
        Selector::Range(range) => range,
    };
    let class = py
        .import("rivers.partitions.key_range")?
        .getattr("PartitionKeyRange")?;
    match range {
        RangeSpec::Single(DimRange::Range(from, to)) => {
            class.call_method1("single", (given_end(py, from)?, given_end(py, to)?))
        }
        RangeSpec::Single(DimRange::Keys(_)) => {
            unreachable!("a range of one dimension has two ends")
        }
        RangeSpec::Multi(named) => {
            let dimensions = PyDict::new(py);
            for (name, part) in named {
                match part {
                    DimRange::Range(from, to) => {
                        let ends = (given_end(py, from)?, given_end(py, to)?);
                        dimensions.set_item(name, ends)?;
                    }
                    DimRange::Keys(keys) => {
                        let keys: PyResult<Vec<_>> =
                            keys.iter().map(|key| given_end(py, key)).collect();
                        dimensions.set_item(name, keys?)?;
                    }
                }
            }
            class.call_method1("multi", (dimensions,))
        }
    }
}

#[pymethods]
impl PartitionMapping {
    #[staticmethod]
    fn identity(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        instance(py, Mapping::Identity)
    }

    #[staticmethod]
    fn all_partitions(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        instance(py, Mapping::AllPartitions)
    }

    #[staticmethod]
    fn static_<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let mut named = BTreeMap::new();
        for (key, upstream) in dict("static_", mapping)?.iter() {
            let wrong = || {
                PyTypeError::new_err(format!(
                    "static_() takes a dict of a str to a str or a list of str, got {key}: {upstream}"
                ))
            };
            let own: String = key.extract().map_err(|_| wrong())?;
            let found = match upstream.extract().map_err(|_| wrong())? {
                Keys::One(one) => BTreeSet::from([one]),
                Keys::Some(some) => some.into_iter().collect(),
            };
            named.insert(own, found);
        }
        checked(mapping.py(), Mapping::Static(named))
    }

    #[staticmethod]
    #[pyo3(signature = (offset=None, *, start_offset=None, end_offset=None))]
    fn time_window(
        py: Python<'_>,
        offset: Option<i64>,
        start_offset: Option<i64>,
        end_offset: Option<i64>,
    ) -> PyResult<Bound<'_, PyAny>> {
        if offset.is_some() && (start_offset.is_some() || end_offset.is_some()) {
            return Err(PyTypeError::new_err(
                "time_window() takes either offset, or start_offset and end_offset",
            ));
        }
        let one = offset.unwrap_or(0);
        let (start, end) = (start_offset.unwrap_or(one), end_offset.unwrap_or(one));
        checked(py, Mapping::TimeWindow { start, end })
    }

    #[staticmethod]
    fn specific_partitions<'py>(partition_keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let keys: Vec<String> = partition_keys.extract().map_err(|_| {
            PyTypeError::new_err(format!(
                "specific_partitions() takes a list of str, got {partition_keys}"
            ))
        })?;
        let keys = keys.into_iter().collect();
        checked(partition_keys.py(), Mapping::SpecificPartitions(keys))
    }

    #[staticmethod]
    fn for_keys<'py>(selectors: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let wrong = |given: &Bound<'_, PyAny>| {
            PyTypeError::new_err(format!(
                "for_keys() takes a list of PartitionKey and PartitionKeyRange, got {given}"
            ))
        };
        if !selectors.is_instance_of::<PyList>() && !selectors.is_instance_of::<PyTuple>() {
            return Err(wrong(selectors));
        }
        let mut named = Vec::new();
        for given in selectors.try_iter()? {
            let given = given?;
            named.push(selector(&given).ok_or_else(|| wrong(&given))?);
        }
        checked(selectors.py(), Mapping::ForKeys(Selectors::new(named)))
    }

    #[staticmethod]
    fn subset(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        instance(py, Mapping::Subset)
    }

    #[staticmethod]
    fn multi<'py>(dimension_mappings: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let mut named = BTreeMap::new();
        for (dim, given) in dict("multi", dimension_mappings)?.iter() {
            let wrong = || {
                PyTypeError::new_err(format!(
                    "multi() takes a dict of a dimension of the upstream to a PartitionMapping or \
                     (dimension of the downstream, PartitionMapping), got {dim}: {given}"
                ))
            };
            let up: String = dim.extract().map_err(|_| wrong())?;
            let (down, inner) = match given.extract::<(String, Bound<'_, Self>)>() {
                Ok(pair) => pair,
                Err(_) => (
                    up.clone(),
                    given.cast::<Self>().map_err(|_| wrong())?.clone(),
                ),
            };
            named.insert(up, (down, inner.get().mapping.clone()));
        }
        checked(dimension_mappings.py(), Mapping::Multi(named))
    }

    #[staticmethod]
    #[pyo3(signature = (dimension_name, partition_mapping=None))]
    fn multi_to_single<'py>(
        py: Python<'py>,
        dimension_name: String,
        partition_mapping: Option<&Self>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inner = partition_mapping.map_or(Mapping::Identity, |inner| inner.mapping.clone());
        let (dim, mapping) = (dimension_name, Box::new(inner));
        checked(py, Mapping::MultiToSingle { dim, mapping })
    }

    /// Whether the mapping leads only to earlier partitions.
    #[getter]
    fn goes_back(&self) -> bool {
        self.mapping.goes_back()
    }

    /// The mapping, or `identity()` where that is equivalent; private to the package.
    fn simplified<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        instance(py, self.mapping.simplified())
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

    fn __repr__(&self) -> String {
        self.mapping.notation()
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

#[pymethods]
impl Static {
    /// The upstream key, or the list of keys, of each downstream key.
    #[getter]
    fn mapping<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(slf.py());
        if let Mapping::Static(pairs) = &slf.as_super().get().mapping {
            for (key, upstream) in pairs {
                let mut found: Vec<String> = upstream.iter().cloned().collect();
                let value = match found.pop() {
                    Some(only) if found.is_empty() => Keys::One(only),
                    Some(last) => Keys::Some([found, vec![last]].concat()),
                    None => Keys::Some(Vec::new()),
                };
                dict.set_item(key, value)?;
            }
        }
        Ok(dict)
    }
}

#[pymethods]
impl TimeWindow {
    /// The offset of the only window; `None` if there are several.
    #[getter]
    fn offset(slf: &Bound<'_, Self>) -> Option<i64> {
        let (start, end) = (Self::start_offset(slf), Self::end_offset(slf));
        (start == end).then_some(start)
    }

    /// The offset of the first window.
    #[getter]
    fn start_offset(slf: &Bound<'_, Self>) -> i64 {
        match slf.as_super().get().mapping {
            Mapping::TimeWindow { start, .. } => start,
            _ => unreachable!("a mapping has the class of its kind"),
        }
    }

    /// The offset of the last window.
    #[getter]
    fn end_offset(slf: &Bound<'_, Self>) -> i64 {
        match slf.as_super().get().mapping {
            Mapping::TimeWindow { end, .. } => end,
            _ => unreachable!("a mapping has the class of its kind"),
        }
    }
}

#[pymethods]
impl SpecificPartitions {
    /// The upstream keys, sorted.
    #[getter]
    fn partition_keys(slf: &Bound<'_, Self>) -> Vec<String> {
        match &slf.as_super().get().mapping {
            Mapping::SpecificPartitions(keys) => keys.iter().cloned().collect(),
            _ => unreachable!("a mapping has the class of its kind"),
        }
    }
}

#[pymethods]
impl ForKeys {
    /// The keys and ranges that name downstream partitions.
    #[getter]
    fn selectors<'py>(slf: &Bound<'py, Self>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        match &slf.as_super().get().mapping {
            Mapping::ForKeys(selectors) => {
                selectors.iter().map(|one| given(slf.py(), one)).collect()
            }
            _ => unreachable!("a mapping has the class of its kind"),
        }
    }
}

#[pymethods]
impl Multi {
    /// By upstream dimension: the downstream dimension, and the mapping between the two.
    #[getter]
    fn dimension_mappings<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(slf.py());
        if let Mapping::Multi(named) = &slf.as_super().get().mapping {
            for (up, (down, inner)) in named {
                let inner = instance(slf.py(), inner.clone())?;
                dict.set_item(up, (PyString::new(slf.py(), down), inner))?;
            }
        }
        Ok(dict)
    }
}

#[pymethods]
impl MultiToSingle {
    /// The dimension of the product.
    #[getter]
    fn dimension_name(slf: &Bound<'_, Self>) -> String {
        match &slf.as_super().get().mapping {
            Mapping::MultiToSingle { dim, .. } => dim.clone(),
            _ => unreachable!("a mapping has the class of its kind"),
        }
    }

    /// The mapping between the product's dimension and the single one.
    #[getter]
    fn partition_mapping<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match &slf.as_super().get().mapping {
            Mapping::MultiToSingle { mapping, .. } => instance(slf.py(), (**mapping).clone()),
            _ => unreachable!("a mapping has the class of its kind"),
        }
    }
}

/// Reads a pickled mapping.
#[pyfunction]
pub(crate) fn decode_mapping<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mapping =
        postcard::from_bytes(bytes).map_err(|error| PyValueError::new_err(error.to_string()))?;
    instance(py, mapping)
}
