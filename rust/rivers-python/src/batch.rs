//! Batches of runs: an iterator for the worker that executes them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rivers_core::backfill::Request;
use rivers_core::engine::{self, Worked};
use rivers_core::store::liveness::WorkerLock;

use crate::engine::PyProgram;
use crate::error::{Raised, Result};
use crate::run::{PyWorked, Run};

/// Runs taken from the engine; iterating executes them.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Batch {
    batch: Mutex<engine::Batch>,
}

impl Batch {
    pub(crate) fn new(batch: engine::Batch) -> Self {
        Self {
            batch: Mutex::new(batch),
        }
    }

    /// A batch is in one worker's hands at a time: nobody waits here.
    fn batch(&self) -> MutexGuard<'_, engine::Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Batch {
    #[getter]
    fn key(&self) -> i64 {
        self.batch().key()
    }

    /// What a worker process needs to execute the runs.
    #[getter]
    fn worked(&self) -> PyWorked {
        PyWorked {
            worked: self.batch().worked().clone(),
        }
    }

    /// What was submitted to execute the runs.
    #[getter]
    fn program(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let batch = self.batch();
        let program = batch.program().downcast_ref::<PyProgram>();
        program.map(|program| program.clone_ref(py)).ok_or_else(|| {
            pyo3::exceptions::PyTypeError::new_err("the batch was not submitted by this binding")
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Ends the run before, if there is one, and begins the next.
    fn __next__(&self, py: Python<'_>) -> Option<Run> {
        let (run, due) = {
            let mut batch = self.batch();
            (batch.advance(), batch.is_due())
        };
        if due {
            py.detach(|| self.batch().hand_in());
        }
        run.map(|run| Run { run })
    }

    /// Has the next runs, at most so many, claimed by another process; `False`: nothing may start.
    fn send(&self, py: Python<'_>, shared: &SharedRuns, most: u64) -> bool {
        py.detach(|| self.batch().send(&shared.shared, most))
    }

    /// What is known of earlier attempts of the runs.
    fn earlier<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.batch().earlier()?))
    }

    fn receive(&self, py: Python<'_>, report: &[u8]) -> Result<()> {
        Ok(py.detach(|| self.batch().receive(report))?)
    }

    /// How many of the runs sent had ended when the process died.
    fn lost(&self) -> u64 {
        self.batch().lost()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.batch().close());
    }
}

/// Runs that this process and a worker process share, in a file that both map.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct SharedRuns {
    shared: Arc<engine::SharedRuns>,
}

#[pymethods]
impl SharedRuns {
    #[new]
    fn new(path: PathBuf) -> Result<Self> {
        Ok(Self {
            shared: Arc::new(engine::SharedRuns::open(&path)?),
        })
    }

    fn set_step(&self, step: u32) {
        self.shared.set_step(step);
    }

    #[getter]
    fn step(&self) -> u32 {
        self.shared.step()
    }
}

/// Shared runs in the worker process.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct WorkerBatch {
    batch: Mutex<engine::WorkerBatch>,
}

impl WorkerBatch {
    fn batch(&self) -> MutexGuard<'_, engine::WorkerBatch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl WorkerBatch {
    /// Of a plan and a request as `Worked` wrote them, and what `Batch.earlier` gave.
    #[new]
    fn new(worked: &PyWorked, shared: &SharedRuns, earlier: &[u8]) -> Result<Self> {
        let (worked, shared) = (worked.worked.clone(), Arc::clone(&shared.shared));
        let batch = engine::WorkerBatch::new(worked, shared, earlier)?;
        Ok(Self {
            batch: Mutex::new(batch),
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<Run> {
        self.batch().advance().map(|run| Run { run })
    }

    fn report<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.batch().report()?))
    }
}

/// Shows that a worker process is there, until it is dropped.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct WorkerSign {
    _sign: WorkerLock,
}

#[pymethods]
impl WorkerSign {
    #[new]
    fn new(path: PathBuf) -> Result<Self> {
        Ok(Self {
            _sign: WorkerLock::new(&path)?,
        })
    }
}

/// The parts of a request and its plan that a worker process needs.
pub(crate) fn decode_worked(space: &[u8], plan: &[u8], request: &[u8]) -> Result<Worked> {
    let damaged = |error: String| Raised(rivers_core::Error::Execution(error));
    let space = rivers_core::plan::codec::decode_space(space)?;
    let plan = rivers_core::plan::codec::decode_plan(space, plan)?;
    let request: Request =
        postcard::from_bytes(request).map_err(|error| damaged(error.to_string()))?;
    Ok(Worked {
        plan: Arc::new(plan),
        request: Arc::new(request),
    })
}
