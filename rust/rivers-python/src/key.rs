//! `PartitionKey`: given as values, or as a number in a space that is converted on first access.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use rivers_core::error::Error;
use rivers_core::space::{Key, Space};

/// The two forms of a key.
#[derive(Clone)]
enum Repr {
    Given(Arc<Key>),
    At(Arc<Space>, u64),
}

/// The name of a partition: a value for its one dimension, or for each of several.
///
/// `PartitionKey.single` and `PartitionKey.multi` return a `PartitionKey.Single` or a
/// `PartitionKey.Multi`; so does `PartitionKey(...)`, by the type of its argument. A key with several values in a dimension
/// represents several partitions. Keys that represent the same partitions are equal; keys are
/// immutable, hashable and picklable.
#[pyclass(frozen, subclass, module = "rivers")]
pub(crate) struct PartitionKey {
    repr: Repr,
}

/// A key of a definition with one dimension: `PartitionKey.single(...)`; its values are `key`.
#[pyclass(frozen, extends = PartitionKey, name = "Single", module = "rivers")]
pub(crate) struct SingleKey;

/// A key of a definition with named dimensions: `PartitionKey.multi(...)`; its values are `keys`.
#[pyclass(frozen, extends = PartitionKey, name = "Multi", module = "rivers")]
pub(crate) struct MultiKey;

/// Makes the two classes available as `PartitionKey.Single` and `PartitionKey.Multi`.
pub(crate) fn nest(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let outer = module.getattr("PartitionKey")?;
    nest_class(&outer, &module.py().get_type::<SingleKey>(), "Single")?;
    nest_class(&outer, &module.py().get_type::<MultiKey>(), "Multi")
}

/// Makes a class an attribute of another.
pub(crate) fn nest_class(
    outer: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    name: &str,
) -> PyResult<()> {
    let within: String = outer.getattr("__qualname__")?.extract()?;
    class.setattr("__qualname__", format!("{within}.{name}"))?;
    outer.setattr(name, class)
}

impl PartitionKey {
    /// The key's values.
    pub(crate) fn key(&self) -> Arc<Key> {
        match &self.repr {
            Repr::Given(key) => Arc::clone(key),
            Repr::At(space, partition) => Arc::new(Key::of(space, *partition)),
        }
    }

    /// The space and the number of a key that is given as a number.
    pub(crate) fn number(&self) -> Option<(&Arc<Space>, u64)> {
        match &self.repr {
            Repr::At(space, partition) => Some((space, *partition)),
            Repr::Given(_) => None,
        }
    }
}

fn wrap(py: Python<'_>, repr: Repr) -> PyResult<Bound<'_, PyAny>> {
    let multi = match &repr {
        Repr::Given(key) => matches!(**key, Key::Multi(_)),
        Repr::At(space, _) => space.is_multi(),
    };
    let base = PyClassInitializer::from(PartitionKey { repr });
    if multi {
        Ok(Bound::new(py, base.add_subclass(MultiKey))?.into_any())
    } else {
        Ok(Bound::new(py, base.add_subclass(SingleKey))?.into_any())
    }
}

/// The key of one partition.
pub(crate) fn of_partition<'py>(
    py: Python<'py>,
    space: &Arc<Space>,
    partition: u64,
) -> PyResult<Bound<'py, PyAny>> {
    wrap(py, Repr::At(Arc::clone(space), partition))
}

/// A key that is given by its values.
pub(crate) fn of_key(py: Python<'_>, key: rivers_core::space::Key) -> PyResult<Bound<'_, PyAny>> {
    wrap(py, Repr::Given(Arc::new(key)))
}

/// The text as UTF-8, which cannot hold the unpaired surrogates that a Python text can have.
fn text(given: &Bound<'_, PyString>, what: &str) -> PyResult<String> {
    given.extract().map_err(|_| {
        let message = format!(
            "{what} cannot be stored: {} holds half of a surrogate pair",
            shown(given)
        );
        crate::error::Raised(Error::PartitionDefinition(message)).into()
    })
}

fn shown(given: &Bound<'_, PyAny>) -> String {
    given
        .repr()
        .map_or_else(|_| "it".into(), |text| text.to_string())
}

/// One value or a list of them.
fn values(given: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<String>> {
    if let Ok(one) = given.cast::<PyString>() {
        return Ok(vec![text(one, what)?]);
    }
    let refused = || {
        let kind = given
            .get_type()
            .name()
            .map_or_else(|_| "?".into(), |name| name.to_string());
        let given = shown(given);
        PyTypeError::new_err(format!(
            "{what} must be a str or a list of str, got {kind}: {given}"
        ))
    };
    if !given.is_instance_of::<PyList>() && !given.is_instance_of::<PyTuple>() {
        return Err(refused());
    }
    let mut several = Vec::new();
    for one in given.try_iter()? {
        several.push(text(one?.cast::<PyString>().map_err(|_| refused())?, what)?);
    }
    Ok(several)
}

fn single_key(key: &Bound<'_, PyAny>) -> PyResult<Arc<Key>> {
    let key = Key::single(values(key, "a partition key's value")?);
    Ok(Arc::new(key.map_err(crate::error::Raised)?))
}

fn multi_key(keys: &Bound<'_, PyAny>) -> PyResult<Arc<Key>> {
    let keys = keys.cast::<PyDict>().map_err(|_| {
        PyTypeError::new_err(format!(
            "PartitionKey.multi() takes a dict of dimension to value, got {keys}"
        ))
    })?;
    let mut named = Vec::with_capacity(keys.len());
    for (name, value) in keys.iter() {
        let name = name.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!(
                "a dimension's name must be a str, got {}",
                shown(&name)
            ))
        })?;
        let name = text(name, "a dimension's name")?;
        let values = values(&value, &format!("the value of the dimension {name:?}"))?;
        named.push((name, values));
    }
    Ok(Arc::new(Key::multi(named).map_err(crate::error::Raised)?))
}

#[pymethods]
impl PartitionKey {
    /// A dict makes the key that `multi` makes, a str or a list the one that `single` makes.
    #[new]
    fn of<'py>(key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let given = match key.is_instance_of::<PyDict>() {
            true => multi_key(key)?,
            false => single_key(key)?,
        };
        wrap(key.py(), Repr::Given(given))
    }

    /// A key of a definition with one dimension: `single("us")`.
    ///
    /// Several values represent several partitions: `single(["us", "eu"])`. Raises
    /// PartitionDefinitionError for no value, an empty value, or a value that contains `|` or `,`.
    #[staticmethod]
    fn single<'py>(key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        wrap(key.py(), Repr::Given(single_key(key)?))
    }

    /// A key of a definition with named dimensions: `multi({"date": "2024-01-01", "region": "us"})`.
    ///
    /// Dimensions with several values represent several partitions: the product of the values. Raises
    /// PartitionDefinitionError for no dimension, no value, or a reserved character (`|`, `,`; in a
    /// name `=`, too).
    #[staticmethod]
    fn multi<'py>(keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        wrap(keys.py(), Repr::Given(multi_key(keys)?))
    }

    /// Reads the output of `to_json`; raises PartitionDefinitionError for any other text.
    #[staticmethod]
    fn from_json<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        let key = Key::from_json(text).map_err(crate::error::Raised)?;
        wrap(py, Repr::Given(Arc::new(key)))
    }

    /// The key as JSON: `{"single":["us"]}` or `{"multi":{"region":["us"]}}`.
    fn to_json(&self) -> String {
        self.key().to_json()
    }

    fn __str__(&self) -> String {
        self.key().to_string()
    }

    fn __repr__(&self) -> String {
        self.key().notation()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let Ok(other) = other.cast::<Self>() else {
            return false;
        };
        match (&self.repr, &other.get().repr) {
            (Repr::At(a, x), Repr::At(b, y)) if Arc::ptr_eq(a, b) => x == y,
            _ => self.key() == other.get().key(),
        }
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key().hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyAny>,))> {
        let py = slf.py();
        let argument = match &*slf.get().key() {
            Key::Single(values) => values.into_pyobject(py)?.into_any(),
            Key::Multi(named) => dict(py, named)?.into_any(),
        };
        Ok((slf.get_type().into_any(), (argument,)))
    }
}

#[pymethods]
impl SingleKey {
    #[new]
    fn new(key: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let repr = Repr::Given(single_key(key)?);
        Ok(PyClassInitializer::from(PartitionKey { repr }).add_subclass(Self))
    }

    /// The distinct values, in the order given; one for a single partition.
    #[getter]
    fn key(slf: &Bound<'_, Self>) -> Vec<String> {
        match &*slf.as_super().get().key() {
            Key::Single(values) => values.clone(),
            Key::Multi(_) => unreachable!("a multi key is a MultiKey"),
        }
    }
}

#[pymethods]
impl MultiKey {
    #[new]
    fn new(keys: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let repr = Repr::Given(multi_key(keys)?);
        Ok(PyClassInitializer::from(PartitionKey { repr }).add_subclass(Self))
    }

    /// The value of a dimension: `key["date"]`. Raises KeyError for an unknown
    /// dimension, and PartitionValidationError if the key has several values of it.
    fn __getitem__<'py>(slf: &Bound<'py, Self>, dimension: &str) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("rivers.partitions.key_forms")?
            .getattr("value_of")?
            .call1((slf, dimension))
    }

    /// The distinct values of each dimension, in the order given.
    #[getter]
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        match &*slf.as_super().get().key() {
            Key::Multi(named) => dict(slf.py(), named),
            Key::Single(_) => unreachable!("a single key is a SingleKey"),
        }
    }
}

fn dict<'py>(py: Python<'py>, named: &[(String, Vec<String>)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, values) in named {
        dict.set_item(name, values)?;
    }
    Ok(dict)
}

/// Refuses an argument that is not a key, with a hint on how to create one.
pub(crate) fn expect_key<'a, 'py>(
    given: &'a Bound<'py, PyAny>,
) -> PyResult<&'a Bound<'py, PartitionKey>> {
    given.cast::<PartitionKey>().map_err(|_| {
        let kind = given
            .get_type()
            .name()
            .map_or_else(|_| "?".into(), |name| name.to_string());
        PyTypeError::new_err(format!(
            "a partition key must be a PartitionKey, got {kind}: {given}; \
             use PartitionKey.single(\"...\") or PartitionKey.multi({{...}})"
        ))
    })
}
