//! The methods of `PartitionsDefinition`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use rivers_core::error::Error;
use rivers_core::space::mapping::Names;
use rivers_core::space::time::{Grid, to_nanos};
use rivers_core::space::{Definition, Dimension};

use crate::calendar::{Given, instant, interval};
use crate::calendar_text::{DAILY, HOURLY, SECONDS, show_calendar};
use crate::definition_kind::{PartitionsDefinition, instance};
use crate::error::Raised;
use crate::key::expect_key;
use crate::mapping::PartitionMapping;
use crate::selection::Space;
use crate::store::Store;

/// `rivers.Storage`, which holds the store.
#[derive(FromPyObject)]
struct Storage<'py> {
    #[pyo3(attribute("_store"))]
    store: Bound<'py, Store>,
}

#[pymethods]
impl PartitionsDefinition {
    /// Declares a fixed list of keys, in this order.
    ///
    /// Raises PartitionDefinitionError for no key, a duplicate, an empty key, or one that contains
    /// `|` or `,`.
    #[staticmethod]
    fn static_<'py>(keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if keys.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err(format!(
                "static_() takes a list of str, got the str {keys}"
            )));
        }
        let mut names = Vec::with_capacity(keys.len().unwrap_or_default());
        for key in keys.try_iter()? {
            let key = key?;
            let text = key.cast::<PyString>().map_err(|_| {
                PyTypeError::new_err(format!("static_() takes a list of str, got {key} in it"))
            })?;
            names.push(text.extract::<pyo3::pybacked::PyBackedStr>()?);
        }
        instance(keys.py(), Definition::static_(names).map_err(Raised)?)
    }

    /// Declares one partition per day, from `start` up to but not including `end`; without an end, up
    /// to the day that contains the present.
    ///
    /// `start` and `end` are naive datetimes, dates or texts such as "2024-01-31"; `fmt` is the
    /// strftime format of the keys, by default "%Y-%m-%d". Raises PartitionDefinitionError for a text
    /// that is not a time, a time with a zone, an end that is not after the start, or a `fmt` whose
    /// keys do not parse back to their windows.
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, timezone=None, exclude=None))]
    fn daily<'py>(
        start: &Bound<'py, PyAny>,
        end: Option<&Bound<'py, PyAny>>,
        fmt: Option<&str>,
        timezone: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fmt = fmt.unwrap_or(DAILY.1);
        // Without changes of the clock, both grids are equal.
        let grid = match timezone {
            Some(_) => Grid::WallClock(DAILY.0),
            None => Grid::seconds(DAILY.0),
        };
        let given = Given {
            start,
            end,
            fmt,
            timezone,
            exclude,
        };
        given.declare(grid, |start| start)
    }

    /// Declares one partition per hour. The arguments are as for `daily`; by default `fmt` is
    /// "%Y-%m-%dT%H:%M".
    #[staticmethod]
    #[pyo3(signature = (start, end=None, fmt=None, *, timezone=None, exclude=None))]
    fn hourly<'py>(
        start: &Bound<'py, PyAny>,
        end: Option<&Bound<'py, PyAny>>,
        fmt: Option<&str>,
        timezone: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fmt = fmt.unwrap_or(HOURLY.1);
        // Without changes of the clock, both grids are equal.
        let grid = match timezone {
            Some(_) => Grid::WallClock(HOURLY.0),
            None => Grid::seconds(HOURLY.0),
        };
        let given = Given {
            start,
            end,
            fmt,
            timezone,
            exclude,
        };
        given.declare(grid, |start| start)
    }

    /// Declares one partition for each window of a schedule or of an interval; give one of the two.
    ///
    /// `cron_schedule` is a cron expression of five fields, or of six with seconds first;
    /// `interval_seconds` counts from `start` on; a float can have fractions, exact to the nanosecond,
    /// which `fmt` must show, as "%Y-%m-%dT%H:%M:%S%.3f" does. The others are as for `daily`; by default `fmt` is
    /// "%Y-%m-%dT%H:%M:%S".
    #[staticmethod]
    #[pyo3(signature = (start, cron_schedule=None, interval_seconds=None, end=None, fmt=None, *, timezone=None, exclude=None))]
    fn time_window<'py>(
        start: &Bound<'py, PyAny>,
        cron_schedule: Option<String>,
        interval_seconds: Option<&Bound<'py, PyAny>>,
        end: Option<&Bound<'py, PyAny>>,
        fmt: Option<&str>,
        timezone: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let grid = match (cron_schedule, interval_seconds) {
            (Some(cron), None) => Grid::Cron(cron),
            (None, Some(seconds)) => Grid::Interval(interval(seconds)?),
            _ => {
                return Err(Raised(Error::PartitionDefinition(
                    "time_window() takes either cron_schedule or interval_seconds".into(),
                ))
                .into());
            }
        };
        let fmt = fmt.unwrap_or(SECONDS);
        let given = Given {
            start,
            end,
            fmt,
            timezone,
            exclude,
        };
        given.declare(grid, |start| start)
    }

    /// Declares the product of named dimensions, the first one slowest: `multi({"date": ...,
    /// "region": ...})`.
    ///
    /// Raises PartitionDefinitionError for no dimension, an invalid name, or a dimension that is
    /// itself a `multi` definition.
    #[staticmethod]
    fn multi<'py>(dimensions: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = dimensions.py();
        let dimensions = dimensions.cast::<PyDict>().map_err(|_| {
            PyTypeError::new_err("multi() takes a dict of dimension name to PartitionsDefinition")
        })?;
        let mut named = Vec::with_capacity(dimensions.len());
        for (name, definition) in dimensions.iter() {
            let definition = definition.cast::<Self>().map_err(|_| {
                PyTypeError::new_err(format!(
                    "the dimension {name} must be a PartitionsDefinition, got {definition}"
                ))
            })?;
            named.push((
                name.extract()?,
                Definition::clone(&definition.get().definition),
            ));
        }
        instance(py, Definition::multi(named).map_err(Raised)?)
    }

    /// Declares keys that are registered in a storage under this name, in order of registration.
    #[staticmethod]
    fn dynamic<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        instance(py, Definition::dynamic(name).map_err(Raised)?)
    }

    /// The names of the dimensions of a product, in order; otherwise `[]`. Private to the package.
    fn dimension_names(&self) -> Vec<String> {
        match &*self.definition {
            Definition::Single(_) => Vec::new(),
            Definition::Multi(named) => named.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The keys of all partitions, in definition order.
    ///
    /// `storage` holds the keys of dynamic dimensions. `now` is the time up to which a time
    /// dimension without an end extends, by default the present; a naive one is UTC.
    #[pyo3(signature = (*, storage=None, now=None))]
    fn get_partition_keys<'py>(
        &self,
        py: Python<'py>,
        storage: Option<Storage<'py>>,
        now: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.resolve(py, now, storage)?.all().keys(py)
    }

    /// Selects a set of partitions, without listing them: a part for each dimension, or all of a
    /// dimension that is omitted.
    ///
    /// A part is a `(from, to)` range, a list of keys, a compiled regular expression, or
    /// `rivers.exclude()` of one. Sets combine with `|`, `&` and `-`; see `rivers.PartitionSet`.
    #[pyo3(signature = (parts=None, /, **dimensions))]
    fn select<'py>(
        slf: &Bound<'py, Self>,
        parts: Option<Bound<'py, PyAny>>,
        dimensions: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("rivers.partitions.partition_set")?
            .getattr("select")?
            .call1((slf, parts, dimensions))
    }

    /// All partitions as a Polars frame, with a row per partition and a column per dimension.
    #[pyo3(signature = (*, storage=None, now=None))]
    fn to_polars<'py>(
        &self,
        py: Python<'py>,
        storage: Option<Storage<'py>>,
        now: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let table = self.resolve(py, now, storage)?.all().table(py)?;
        py.import("rivers._arrow")?
            .getattr("frame")?
            .call1((table,))
    }

    /// The number of partitions; a time dimension without an end extends to the present.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let count = self.resolve(py, None, None)?.space.len();
        usize::try_from(count).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// A definition is true, even one without partitions.
    #[expect(clippy::unused_self, reason = "the form of the method is Python's")]
    fn __bool__(&self) -> bool {
        true
    }

    /// The keys of all partitions one by one, in definition order.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let keys = self.resolve(py, None, None)?.all().keys(py)?;
        Ok(keys.try_iter()?.into_any())
    }

    /// Whether the definition has the partition that is named: by a key, a text, a date or a dict.
    fn __contains__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<bool> {
        slf.py()
            .import("rivers.partitions.key_forms")?
            .getattr("contains")?
            .call1((slf, key))?
            .extract()
    }

    /// The key at a position, the keys at a slice of positions, or the set of the partitions from one key
    /// through another one: `definition["2024-01-01":"2024-01-31"]`.
    fn __getitem__<'py>(
        slf: &Bound<'py, Self>,
        at: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("rivers.partitions.key_forms")?
            .getattr("item")?
            .call1((slf, at))
    }

    /// Whether the definition has the partition that `key` names, or all of them if it names several.
    #[pyo3(signature = (key, *, storage=None, now=None))]
    fn validate_partition_key<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        storage: Option<Storage<'py>>,
        now: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let key = expect_key(key)?.get().key();
        Ok(key.locate(&self.resolve(py, now, storage)?.space).is_ok())
    }

    /// Resolves the definition at a time; private to the package.
    #[pyo3(signature = (now=None, storage=None))]
    fn resolve<'py>(
        &self,
        py: Python<'py>,
        now: Option<&Bound<'py, PyAny>>,
        storage: Option<Storage<'py>>,
    ) -> PyResult<Space> {
        let now = match now {
            Some(given) => instant(given)?,
            None => to_nanos(chrono::Utc::now().naive_utc()),
        };
        let definition = Arc::clone(&self.definition);
        let store = storage.map(|storage| Arc::clone(&storage.store.get().store));
        let space = py.detach(|| {
            definition.resolve(now, &|name| match &store {
                Some(store) => store.dynamic(name),
                None => Err(Error::DynamicKeys(format!(
                    "the keys of dynamic({name:?}) live in a storage; pass storage="
                ))),
            })
        });
        Ok(Space {
            space: space.map_err(Raised)?,
        })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| other.get().definition == self.definition)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, dimension) in self.definition.dimensions() {
            name.hash(&mut hasher);
            match dimension {
                Dimension::Static(labels) => (labels.len(), labels.get(0)).hash(&mut hasher),
                Dimension::Time(calendar) => calendar.declared().start.hash(&mut hasher),
                Dimension::Dynamic(name) => name.hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        match &*self.definition {
            Definition::Single(dimension) => show(dimension),
            Definition::Multi(named) => {
                let parts: Vec<String> = named
                    .iter()
                    .map(|(name, dimension)| format!("{name:?}: {}", show(dimension)))
                    .collect();
                format!("PartitionsDefinition.multi({{{}}})", parts.join(", "))
            }
        }
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let decode = py.import("rivers._rivers")?.getattr("decode_definition")?;
        let bytes = postcard::to_stdvec(&*self.definition)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok((decode, (PyBytes::new(py, &bytes),)))
    }
}

/// Reads a pickled definition.
#[pyo3::pyfunction]
pub(crate) fn decode_definition<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let definition: Definition =
        postcard::from_bytes(bytes).map_err(|error| PyValueError::new_err(error.to_string()))?;
    instance(py, definition)
}

/// Why a mapping cannot relate two definitions, as the end of a sentence; `None` if it can. A
/// definition that is `None` belongs to an asset without partitions; `names` are those of the assets.
#[pyo3::pyfunction]
pub(crate) fn mapping_refusal(
    mapping: &PartitionMapping,
    downstream: Option<&PartitionsDefinition>,
    upstream: Option<&PartitionsDefinition>,
    names: (String, String),
) -> Option<String> {
    let down = downstream.map(|given| &*given.definition);
    let up = upstream.map(|given| &*given.definition);
    let names = Names {
        down: &names.0,
        up: &names.1,
    };
    mapping.mapping.check(down, up, names).err()
}

fn show(dimension: &Dimension) -> String {
    const SHOWN: u32 = 12;
    match dimension {
        Dimension::Dynamic(name) => format!("PartitionsDefinition.dynamic({name:?})"),
        Dimension::Static(labels) => {
            let mut keys: Vec<String> = labels
                .iter()
                .take(SHOWN as usize)
                .map(|key| format!("{key:?}"))
                .collect();
            if labels.len() > SHOWN {
                keys.push(format!("... {} in all", labels.len()));
            }
            format!("PartitionsDefinition.static_([{}])", keys.join(", "))
        }
        Dimension::Time(calendar) => show_calendar(calendar),
    }
}
