//! Batches of runs on the engine's side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rivers_core::engine;

use crate::convert::PyProgram;
use crate::error::Result;
use crate::run::{PyJobSpec, Run};
use crate::worker::SharedRuns;

/// Runs assigned to one worker; iterating executes them.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Batch {
    pub(crate) batch: Arc<Mutex<engine::Batch>>,
}

impl Batch {
    pub(crate) fn new(batch: engine::Batch) -> Self {
        Self {
            batch: Arc::new(Mutex::new(batch)),
        }
    }

    /// One worker uses a batch at a time, so the lock is never contended.
    fn batch(&self) -> MutexGuard<'_, engine::Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Detaches from the interpreter only if `work` may block. Each thread that waits to attach again wakes up every
/// 5 ms: where thousands return from a function together, they would leave no time for anything else.
pub(crate) fn without_waiting(
    py: Python<'_>,
    batch: &Mutex<engine::Batch>,
    work: impl FnOnce(&mut engine::Batch) + Send,
) {
    let locked = || batch.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = locked();
    if batch.may_block() {
        drop(batch);
        py.detach(|| work(&mut locked()));
    } else {
        work(&mut batch);
    }
}

#[pymethods]
impl Batch {
    #[getter]
    fn key(&self) -> i64 {
        self.batch().key()
    }

    #[getter]
    fn spec(&self) -> PyJobSpec {
        PyJobSpec {
            spec: self.batch().spec().clone(),
        }
    }

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

    /// Ends the current run, if any, and begins the next.
    fn __next__(&self, py: Python<'_>) -> Option<Run> {
        let (run, due) = {
            let mut batch = self.batch();
            (batch.advance(), batch.should_flush())
        };
        if due && run.is_some() {
            without_waiting(py, &self.batch, engine::Batch::flush);
        }
        run.map(|run| Run { run })
    }

    /// Moves up to `max_runs` runs to memory shared with a worker process; `False`: none may start.
    fn share(&self, py: Python<'_>, shared: &SharedRuns, max_runs: u64) -> bool {
        py.detach(|| self.batch().share(&shared.shared, max_runs))
    }

    /// The first of up to `max_runs` runs that are sent to a worker, and the one after the last.
    fn send(&self, py: Python<'_>, max_runs: u64) -> Option<(u64, u64)> {
        let sent = py.detach(|| self.batch().send(max_runs))?;
        Some((sent.start, sent.end))
    }

    fn prior_attempts<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.batch().prior_attempts()?))
    }

    fn receive(&self, py: Python<'_>, report: &[u8]) -> Result<usize> {
        Ok(py.detach(|| self.batch().receive(report))?)
    }

    #[getter]
    fn priority(&self) -> i64 {
        self.batch().spec().request.priority
    }

    #[getter]
    fn backfill_id(&self) -> String {
        self.batch().spec().request.id.clone()
    }

    /// The run that would be sent next, and its layer.
    fn next_unsent(&self) -> Option<(u64, usize)> {
        self.batch().next_unsent()
    }

    /// The stream of the runs that were sent and not reported, the first of them, and the one after the
    /// last.
    fn in_flight(&self) -> Option<(u64, u64, u64)> {
        let (stream, runs) = self.batch().in_flight()?;
        Some((stream, runs.start, runs.end))
    }

    fn watch(&self) -> BatchWatch {
        BatchWatch {
            watch: self.batch().watch(),
        }
    }

    /// Takes back the runs of a dead worker; how many of them had ended, where that is known.
    fn reclaim(&self) -> Option<u64> {
        self.batch().reclaim()
    }

    fn close(&self, py: Python<'_>) {
        without_waiting(py, &self.batch, engine::Batch::close);
    }
}

/// A batch as the thread sees it that asks its worker to give up runs.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct BatchWatch {
    watch: engine::BatchWatch,
}

#[pymethods]
impl BatchWatch {
    fn has_next(&self) -> bool {
        self.watch.has_next()
    }

    /// The stream to ask for, and whether it must be given up even if no run has stalled.
    fn recall(&self) -> Option<(u64, bool)> {
        self.watch.recall()
    }

    #[pyo3(signature = (stream, first))]
    fn given_up(&self, py: Python<'_>, stream: u64, first: Option<u64>) {
        py.detach(|| self.watch.given_up(stream, first));
    }
}
