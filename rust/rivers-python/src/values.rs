//! The values beside a storage, as the default handler uses them.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};
use rivers_core::engine::JobSpec;
use rivers_core::plan;
use rivers_core::space;
use rivers_core::store::{self, Loaded};

use crate::error::{Raised, Result};
use crate::plan::Plan;
use crate::selection::{Selection, Space};

/// The values beside a storage.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct ValueStore {
    pub(crate) values: Arc<store::ValueStore>,
}

#[pymethods]
impl ValueStore {
    /// The values beside the storage at this path.
    #[new]
    fn new(storage: PathBuf) -> Self {
        Self {
            values: Arc::new(store::ValueStore::beside(&storage)),
        }
    }

    #[getter]
    fn storage(&self) -> PathBuf {
        self.values.storage().to_owned()
    }

    #[getter]
    fn folder(&self) -> PathBuf {
        self.values.folder().to_owned()
    }

    /// Gathers a pickled value; `None` for one that cannot be stored.
    #[pyo3(signature = (asset, run_id, partitions, value))]
    fn put(
        &self,
        py: Python<'_>,
        asset: &str,
        run_id: &str,
        partitions: &Selection,
        value: Option<&[u8]>,
    ) -> Result<()> {
        let partitions = (*partitions.selection).clone();
        let put = || self.values.put(&asset.into(), run_id, partitions, value);
        let is_large =
            value.is_some_and(|value| value.len() >= store::ValueStore::min_large_size());
        Ok(if is_large { py.detach(put) } else { put() }?)
    }

    /// What stores the values that an asset returns in runs of one partition, when they are returned.
    fn recorder(&self, asset: &str) -> ValueRecorder {
        ValueRecorder {
            values: Arc::clone(&self.values),
            asset: asset.into(),
        }
    }

    /// What loads the values of an asset for runs of one partition.
    ///
    /// `space` has the partitions of the asset. What is of one of the classes `marks` is not a value.
    fn loader(&self, asset: &str, space: &Space, marks: Py<PyTuple>) -> ValueLoader {
        ValueLoader {
            values: Arc::clone(&self.values),
            asset: asset.into(),
            space: Arc::clone(&space.space),
            same: OnceLock::new(),
            marks,
        }
    }

    /// What notes the runs of a plan in which an asset returns `None`.
    #[pyo3(signature = (asset, plan))]
    fn none_recorder(&self, asset: &str, plan: Option<&Plan>) -> NoneRecorder {
        NoneRecorder {
            values: Arc::clone(&self.values),
            asset: asset.into(),
            plan: plan.map(|plan| Arc::clone(&plan.plan)),
        }
    }

    /// Writes what was put, so that each process finds it.
    fn flush(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| self.values.flush())?)
    }

    /// Writes what was put, so that it survives a loss of power.
    fn sync(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| {
            self.values.flush()?;
            self.values.sync()
        })?)
    }

    /// The pickled value of each partition: `None` for the value `None`, `False` for one that could not be
    /// stored, `True` where nothing is stored. Partitions with one value share one object.
    fn load<'py>(
        &self,
        py: Python<'py>,
        asset: &str,
        partitions: &Selection,
    ) -> PyResult<Bound<'py, PyList>> {
        let selection = &partitions.selection;
        let found = py
            .detach(|| self.values.load(asset, selection))
            .map_err(Raised)?;
        let list = PyList::empty(py);
        let mut last: Option<(Arc<[u8]>, Bound<'py, PyBytes>)> = None;
        for each in found {
            match each {
                Loaded::None => list.append(py.None())?,
                Loaded::Lost => list.append(false)?,
                Loaded::Missing => list.append(true)?,
                Loaded::Value(bytes) => {
                    let object = match &last {
                        Some((known, object)) if Arc::ptr_eq(known, &bytes) => object.clone(),
                        _ => PyBytes::new(py, &bytes),
                    };
                    list.append(&object)?;
                    last = Some((bytes, object));
                }
            }
        }
        Ok(list)
    }

    /// Those of the partitions of an asset that have a value which can be loaded.
    fn available(&self, py: Python<'_>, asset: &str, partitions: &Selection) -> Result<Selection> {
        let selection = &partitions.selection;
        let found = py.detach(|| self.values.available(asset, selection))?;
        Ok(found.into())
    }

    /// Those of the partitions of an asset that have no value which can be loaded.
    fn lost(&self, py: Python<'_>, asset: &str, partitions: &Selection) -> Result<Selection> {
        let selection = &partitions.selection;
        let found = py.detach(|| self.values.lost(asset, selection))?;
        Ok(found.into())
    }

    /// Deletes the values that these backfills stored last.
    fn prune(&self, py: Python<'_>, backfills: Vec<String>) -> Result<()> {
        Ok(py.detach(|| self.values.prune(&backfills))?)
    }
}

/// Stores values that an asset returns when they are returned: they may be changed later.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct ValueRecorder {
    values: Arc<store::ValueStore>,
    asset: Arc<str>,
}

impl ValueRecorder {
    /// Stores what a run of one partition returned; `false`: the handler has to, since it cannot be pickled or is
    /// large.
    pub(crate) fn store(
        &self,
        spec: &JobSpec,
        number: u64,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let partitions = spec.plan.run(number);
        let put = |bytes: &[u8]| {
            let (space, partition) = (partitions.space(), partitions.nth(0));
            let put = self
                .values
                .put_one(&self.asset, &spec.request, space, partition, bytes);
            put.map_err(Raised)
        };
        if let Some(bytes) = pickled(value) {
            put(&bytes)?;
            return Ok(true);
        }
        static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        const PROTOCOL: u8 = 5;
        let dumps = DUMPS.import(value.py(), "pickle", "dumps")?;
        let Ok(bytes) = dumps.call1((value, PROTOCOL)) else {
            return Ok(false);
        };
        let bytes = bytes.cast::<PyBytes>()?.as_bytes();
        if bytes.len() >= store::ValueStore::min_large_size() {
            return Ok(false);
        }
        put(bytes)?;
        Ok(true)
    }
}

/// Loads the values of an asset that was materialized before a run of the same partition.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct ValueLoader {
    values: Arc<store::ValueStore>,
    asset: Arc<str>,
    space: Arc<space::Space>,
    /// The partitions of the runs, if these are the asset's.
    same: OnceLock<Option<Arc<space::Space>>>,
    marks: Py<PyTuple>,
}

impl ValueLoader {
    /// The value that a run of one partition takes; `None`: the handler has to load it, or to say why not.
    pub(crate) fn load<'py>(
        &self,
        py: Python<'py>,
        plan: &plan::Plan,
        number: u64,
    ) -> Option<Bound<'py, PyAny>> {
        let mut partition = 0;
        if !self.space.dims().is_empty() {
            let partitions = plan.run(number);
            let space = partitions.space();
            let same = self
                .same
                .get_or_init(|| (*self.space == **space).then(|| Arc::clone(space)));
            if !same.as_ref().is_some_and(|own| Arc::ptr_eq(own, space)) {
                return None;
            }
            partition = partitions.nth(0);
        }
        let bytes = self.values.load_one(&self.asset, &self.space, partition);
        let value = unpickled(py, &bytes.ok()??).ok()?;
        let is_mark = value.is_instance(self.marks.bind(py)).unwrap_or(true);
        (!is_mark).then_some(value)
    }
}

/// Notes runs in which an asset returned `None`.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct NoneRecorder {
    values: Arc<store::ValueStore>,
    asset: Arc<str>,
    /// The plan of the runs; `None` in a worker process.
    plan: Option<Arc<plan::Plan>>,
}

#[pymethods]
impl NoneRecorder {
    /// Notes runs by their numbers, 8 bytes each.
    fn __call__(&self, numbers: &[u8]) -> PyResult<()> {
        let Some(plan) = &self.plan else {
            return Err(PyTypeError::new_err(
                "the plan of the runs is not known here",
            ));
        };
        for number in numbers.as_chunks().0 {
            self.note(plan, u64::from_ne_bytes(*number));
        }
        Ok(())
    }
}

impl NoneRecorder {
    /// Notes a run of a plan by its number.
    pub(crate) fn note(&self, plan: &Arc<plan::Plan>, number: u64) {
        self.values.note_none(&self.asset, plan, number);
    }
}

/// What is stored in the form of `pickle`.
fn unpickled<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // What `pickled` makes of most numbers.
    if let [0x80, 4, b'J', number @ .., b'.'] = bytes
        && let Ok(number) = number.try_into()
    {
        return Ok(i32::from_le_bytes(number).into_pyobject(py)?.into_any());
    }
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let loads = LOADS.import(py, "pickle", "loads")?;
    loads.call1((PyBytes::new(py, bytes),))
}

/// A number or a short text in the form of `pickle`; `None` for anything else, also for subclasses.
fn pickled(value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    const MAX_TEXT_BYTES: usize = 4_096;
    let mut bytes = vec![0x80, 4];
    if let Ok(number) = value.cast_exact::<PyInt>() {
        let number: i64 = number.extract().ok()?;
        match i32::try_from(number) {
            Ok(number) => {
                bytes.push(b'J');
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Err(_) => {
                bytes.extend_from_slice(&[0x8a, 8]);
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        bytes.push(b'G');
        bytes.extend_from_slice(&number.extract::<f64>().ok()?.to_be_bytes());
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        // A text that is no UTF-8 has a form of its own.
        let text = text
            .to_cow()
            .ok()
            .filter(|text| text.len() <= MAX_TEXT_BYTES)?;
        bytes.push(b'X');
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    } else {
        return None;
    }
    bytes.push(b'.');
    Some(bytes)
}
