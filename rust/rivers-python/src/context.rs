//! What the context of a call is made of. It costs next to nothing until something of it is asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use pyo3::PyTraverseError;
use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use rivers_core::engine::{self, JobSpec};

use crate::run::Run;
use crate::selection::Selection;

/// The batch that a call belongs to.
pub(crate) enum CallBatch<Local, Remote> {
    /// On the engine's side.
    Local(Local),
    /// In a worker process.
    Remote(Remote),
}

/// The batch of a call, as long as it is there.
pub(crate) type WeakBatch = CallBatch<Weak<Mutex<engine::Batch>>, Weak<Mutex<engine::WorkerBatch>>>;

/// What the calls of a batch have in common.
pub(crate) struct Place {
    pub(crate) batch: WeakBatch,
    pub(crate) spec: JobSpec,
}

impl Place {
    /// The run with this number: the one that is executed or, when that has ended, one like it.
    pub(crate) fn run(&self, number: u64) -> Arc<engine::Run> {
        let current = match &self.batch {
            CallBatch::Local(batch) => batch.upgrade().and_then(|batch| {
                batch
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .current_run()
            }),
            CallBatch::Remote(batch) => batch.upgrade().and_then(|batch| {
                batch
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .current_run()
            }),
        };
        let current = current.filter(|run| run.number() == number);
        current.unwrap_or_else(|| engine::Run::ended(self.spec.clone(), number))
    }
}

/// The run of a call.
pub(crate) enum CallRun {
    /// A context that was made by hand has none.
    None,
    /// It is made when something asks for it.
    Lazy(Arc<Place>, AtomicU64, OnceLock<Py<Run>>),
    /// It is there.
    Known(Py<Run>, Option<Py<Selection>>),
}

/// What a context is about.
pub(crate) struct Call {
    pub(crate) step: Py<PyAny>,
    pub(crate) run: CallRun,
}

/// The base class of contexts.
#[pyclass(subclass, frozen, module = "rivers._rivers")]
pub(crate) struct CallContext {
    pub(crate) call: OnceLock<Call>,
    metadata: OnceLock<Py<PyAny>>,
    /// Whether the function has asked for more than the key, on which the context may keep something.
    is_asked: AtomicBool,
}

impl CallContext {
    /// Makes the context, which nothing was asked of, that of another call of the same step in the same batch.
    /// Returns `false` if something was asked, or the function has kept it.
    pub(crate) fn reuse(slf: &Bound<'_, Self>, number: u64) -> bool {
        let own = slf.get();
        // SAFETY: the object is there, and the interpreter is attached.
        let num_references = unsafe { ffi::Py_REFCNT(slf.as_ptr()) };
        if num_references > 1 || own.is_asked.load(Ordering::Relaxed) || own.has_metadata() {
            return false;
        }
        match own.call.get().map(|call| &call.run) {
            Some(CallRun::Lazy(_, of, run)) if run.get().is_none() => {
                of.store(number, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    fn call(&self) -> PyResult<&Call> {
        let unset = || PyAttributeError::new_err("the context was not initialized");
        self.call.get().ok_or_else(unset)
    }

    /// Whether the run was asked for, so that something may have been said about it.
    pub(crate) fn has_run(&self) -> bool {
        match self.call.get().map(|call| &call.run) {
            Some(CallRun::Lazy(_, _, run)) => run.get().is_some(),
            _ => true,
        }
    }

    /// Whether the function has added metadata.
    pub(crate) fn has_metadata(&self) -> bool {
        self.metadata.get().is_some()
    }
}

#[pymethods]
impl CallContext {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            call: OnceLock::new(),
            metadata: OnceLock::new(),
            is_asked: AtomicBool::new(false),
        }
    }

    /// Says what the context is about, once.
    #[pyo3(signature = (step, run=None, selection=None))]
    fn _enter(&self, step: Py<PyAny>, run: Option<Py<Run>>, selection: Option<Py<Selection>>) {
        let run = run.map_or(CallRun::None, |run| CallRun::Known(run, selection));
        let _ = self.call.set(Call { step, run });
    }

    #[getter]
    fn _step(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.is_asked.store(true, Ordering::Relaxed);
        Ok(self.call()?.step.clone_ref(py))
    }

    #[getter]
    fn _run(&self, py: Python<'_>) -> PyResult<Option<Py<Run>>> {
        match &self.call()?.run {
            CallRun::None => Ok(None),
            CallRun::Known(run, _) => Ok(Some(run.clone_ref(py))),
            CallRun::Lazy(place, number, known) => {
                if known.get().is_none() {
                    let run = place.run(number.load(Ordering::Relaxed));
                    let _ = known.set(Py::new(py, Run { run })?);
                }
                Ok(known.get().map(|run| run.clone_ref(py)))
            }
        }
    }

    #[getter]
    fn _selection(&self, py: Python<'_>) -> PyResult<Option<Py<Selection>>> {
        match &self.call()?.run {
            CallRun::Known(_, selection) => Ok(selection.as_ref().map(|own| own.clone_ref(py))),
            CallRun::None | CallRun::Lazy(..) => Ok(None),
        }
    }

    /// The text of the one partition: `us`, or `date=2024-01-01|region=us`.
    ///
    /// Raises:
    ///     PartitionValidationError: The run has several partitions, or the asset is not partitioned.
    #[getter]
    fn partition_key<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let own = slf.get();
        let only = match &own.call()?.run {
            CallRun::None => None,
            CallRun::Lazy(place, number, _) => place
                .spec
                .plan
                .only_partition(number.load(Ordering::Relaxed)),
            CallRun::Known(run, selection) => {
                let partitions = match selection {
                    Some(selection) => &*selection.get().selection,
                    None => run.get().run.partitions(),
                };
                (partitions.len() == 1).then(|| (partitions.space(), partitions.nth(0)))
            }
        };
        match only.filter(|(space, _)| !space.dims().is_empty()) {
            Some((space, partition)) => {
                Ok(PyString::new(slf.py(), &space.text(partition)).into_any())
            }
            None => slf.call_method0(intern!(slf.py(), "_find_key")),
        }
    }

    /// What the function has added about what it produces.
    #[getter]
    fn _metadata(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.metadata.get().map(|metadata| metadata.clone_ref(py))
    }

    #[setter(_metadata)]
    fn set_metadata(&self, metadata: Py<PyAny>) {
        // It is changed in place afterwards.
        let _ = self.metadata.set(metadata);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(call) = self.call.get() {
            visit.call(&call.step)?;
        }
        self.metadata
            .get()
            .map_or(Ok(()), |metadata| visit.call(metadata))
    }
}
