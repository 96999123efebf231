//! Batches of runs: an iterator for the worker that executes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rivers_core::backfill::Request;
use rivers_core::engine::{self, Worked};

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
        Self { batch: Mutex::new(batch) }
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
        PyWorked { worked: self.batch().worked().clone() }
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

    /// The runs, to be executed in another process: first, end.
    fn send(&self) -> Option<(u64, u64)> {
        self.batch().send().map(|runs| (runs.start, runs.end))
    }

    fn receive(&self, py: Python<'_>, report: &[u8], first: u64, end: u64) -> Result<()> {
        Ok(py.detach(|| self.batch().receive(report, first..end))?)
    }

    /// The first of the runs sent, to be failed here.
    fn lost(&self, first: u64, end: u64) -> Option<Run> {
        self.batch().lost(first..end).map(|run| Run { run })
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.batch().close());
    }
}

/// A stretch of runs in a worker process.
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
    /// Of a plan and a request as `Worked` wrote them.
    #[new]
    fn new(worked: &PyWorked, first: u64, end: u64) -> Self {
        Self { batch: Mutex::new(engine::WorkerBatch::new(worked.worked.clone(), first..end)) }
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

/// The parts of a request and its plan that a worker process needs.
pub(crate) fn decode_worked(space: &[u8], plan: &[u8], request: &[u8]) -> Result<Worked> {
    let damaged = |error: String| Raised(rivers_core::Error::Execution(error));
    let space = rivers_core::plan::codec::decode_space(space)?;
    let plan = rivers_core::plan::codec::decode_plan(space, plan)?;
    let request: Request = postcard::from_bytes(request).map_err(|error| damaged(error.to_string()))?;
    Ok(Worked { plan: Arc::new(plan), request: Arc::new(request) })
}
