//! What a worker process uses: its batches, and the proof that it is alive.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rivers_core::engine;
use rivers_core::store::liveness;

use crate::error::Result;
use crate::run::{PyJobSpec, Run};

/// Runs that the engine and a worker process share, in a file that both map.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct SharedRuns {
    pub(crate) shared: Arc<engine::SharedRuns>,
}

#[pymethods]
impl SharedRuns {
    #[new]
    #[pyo3(signature = (path, *, create=false))]
    fn new(path: PathBuf, create: bool) -> Result<Self> {
        let shared = if create {
            engine::SharedRuns::create(&path)?
        } else {
            engine::SharedRuns::open(&path)?
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    fn set_step(&self, step: u32) {
        self.shared.set_current_step(step);
    }

    #[getter]
    fn step(&self) -> u32 {
        self.shared.step()
    }

    #[getter]
    fn deadline(&self) -> u64 {
        self.shared.deadline()
    }

    #[setter]
    fn set_deadline(&self, deadline: u64) {
        self.shared.set_deadline(deadline);
    }

    #[getter]
    fn is_running(&self) -> bool {
        self.shared.is_running()
    }
}

/// What a worker claims its runs from.
#[derive(FromPyObject)]
enum Runs<'py> {
    Shared(PyRef<'py, SharedRuns>),
    Sent((u64, u64)),
}

/// Runs that a worker process claims; iterating executes them.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct WorkerBatch {
    pub(crate) batch: Arc<Mutex<engine::WorkerBatch>>,
}

impl WorkerBatch {
    fn batch(&self) -> MutexGuard<'_, engine::WorkerBatch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl WorkerBatch {
    #[new]
    fn new(spec: &PyJobSpec, runs: Runs<'_>, prior_attempts: &[u8]) -> Result<Self> {
        let spec = spec.spec.clone();
        let batch = match runs {
            Runs::Shared(shared) => {
                let shared = Arc::clone(&shared.shared);
                engine::WorkerBatch::over_shared(spec, shared, prior_attempts)?
            }
            Runs::Sent((first, end)) => engine::WorkerBatch::new(spec, first..end, prior_attempts)?,
        };
        Ok(Self {
            batch: Arc::new(Mutex::new(batch)),
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Ends the current run, if any, and begins the next.
    fn __next__(&self) -> Option<Run> {
        self.batch().advance().map(|run| Run { run })
    }

    /// The first of the runs that were given up; `None`: they stay here.
    fn give_up(&self, if_stalled: bool) -> Option<u64> {
        self.batch().give_up(if_stalled)
    }

    fn report<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.batch().report()?))
    }
}

/// Shows that a worker process is alive, until it is dropped.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct WorkerLock {
    _lock: liveness::WorkerLock,
}

#[pymethods]
impl WorkerLock {
    #[new]
    fn new(path: PathBuf) -> Result<Self> {
        Ok(Self {
            _lock: liveness::WorkerLock::new(&path)?,
        })
    }
}
