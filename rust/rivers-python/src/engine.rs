//! The engine as the package uses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use rivers_core::backfill::{Change, Kind, Request, RequestedAsset, Session, Status};
use rivers_core::clock::SteadyClock;
use rivers_core::engine::{self, Execution};
use rivers_core::queue::Limits;
use rivers_core::store::process_id;
use rivers_core::store::queries::backfills::continue_clock;

use crate::batch::Batch;
use crate::convert::{self, MaxFailures, PyExecutor, PyProgram, PyTagLimit};
use crate::error::{Raised, Result};
use crate::plan::Plan;
use crate::selection::Selection;
use crate::store::Store;

/// How often a waiting main thread checks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// Runs backfills in this process.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Engine {
    pub(crate) engine: engine::Engine,
}

/// The part of a live backfill's record that can change, and what is needed to show it: a dict in Python.
#[derive(IntoPyObject)]
struct Snapshot {
    manual: bool,
    status: &'static str,
    num_partitions: u64,
    num_runs: u64,
    completed: u64,
    failed: u64,
    canceled: u64,
    tags: Vec<(String, String)>,
    paused: bool,
    is_written: bool,
}

impl From<engine::Snapshot> for Snapshot {
    fn from(snapshot: engine::Snapshot) -> Self {
        Self {
            manual: snapshot.request.kind == Kind::Manual,
            status: Status::InProgress.name(),
            num_partitions: snapshot.num_partitions,
            num_runs: snapshot.num_runs,
            completed: snapshot.counts.completed,
            failed: snapshot.counts.failed,
            canceled: snapshot.counts.canceled,
            tags: snapshot.request.tags.clone(),
            paused: snapshot.paused,
            is_written: snapshot.is_written,
        }
    }
}

fn execution(
    program: PyProgram,
    executor: &PyExecutor,
    pools: Vec<(String, u32)>,
    held: bool,
) -> PyResult<Execution> {
    Ok(Execution {
        program: Arc::new(program),
        capacity: executor.capacity,
        placement: executor.placement()?,
        pools,
        held,
        loadable: Vec::new(),
    })
}

/// Partitions of the asset with an index.
type OfAsset<'py> = (u32, PyRef<'py, Selection>);

#[pymethods]
impl Engine {
    #[new]
    fn new(
        py: Python<'_>,
        store: &Store,
        max_concurrent_runs: Option<u32>,
        tag_limits: Vec<PyTagLimit>,
        pools: Vec<(String, u32)>,
        lease_seconds: f64,
    ) -> Result<Self> {
        let lease = (lease_seconds * 1e6) as i64;
        let limits = Limits {
            max_concurrent_runs,
            tag_limits: tag_limits.into_iter().map(Into::into).collect(),
            pools,
        };
        let (store, clock) = (Arc::clone(&store.store), Arc::new(SteadyClock));
        // A server is told that this process is there.
        let engine = py.detach(|| {
            continue_clock(&*store)?;
            engine::Engine::new(store, clock, limits, lease)
        })?;
        Ok(Self { engine })
    }

    /// Records a request, JSON without `id` and `created_at`, and queues it; returns its key and id.
    #[expect(clippy::too_many_arguments, reason = "Python passes them one by one")]
    fn submit(
        &self,
        py: Python<'_>,
        request: &str,
        plan: &Plan,
        program: PyProgram,
        executor: PyExecutor,
        pools: Vec<(String, u32)>,
        held: bool,
    ) -> PyResult<(i64, String)> {
        let request =
            Request::from_json(request, engine::new_id(), self.engine.now()).map_err(Raised)?;
        let id = request.id.clone();
        let plan = rivers_core::plan::Plan::clone(&plan.plan);
        let execution = execution(program, &executor, pools, held)?;
        let key = py
            .detach(|| self.engine.submit(request, plan, execution))
            .map_err(Raised)?;
        Ok((key, id))
    }

    fn resume(
        &self,
        py: Python<'_>,
        id: &str,
        program: PyProgram,
        executor: PyExecutor,
        pools: Vec<(String, u32)>,
        session: (i64, Vec<OfAsset<'_>>, String, bool, Vec<OfAsset<'_>>),
    ) -> PyResult<i64> {
        let (clock_ahead, executed_again, assets, held, loadable) = session;
        let again = |(asset, own): &OfAsset<'_>| (*asset, own.selection.members().clone());
        let session = Session {
            process: process_id(),
            clock_ahead,
            executed_again: executed_again.iter().map(again).collect(),
            assets: RequestedAsset::list_from_json(&assets).map_err(Raised)?,
            ..Session::default()
        };
        let own = loadable.iter();
        let execution = Execution {
            loadable: own
                .map(|(asset, own)| (*asset, (*own.selection).clone()))
                .collect(),
            ..execution(program, &executor, pools, held)?
        };
        Ok(py
            .detach(|| self.engine.resume(id, execution, session))
            .map_err(Raised)?)
    }

    fn start_held(&self, py: Python<'_>, key: i64, program: PyProgram) {
        let program = Arc::new(program);
        py.detach(|| self.engine.start_held(key, program));
    }

    fn begin_submission(&self, in_run: bool) -> Result<()> {
        Ok(self.engine.begin_submission(in_run)?)
    }

    fn end_submission(&self) {
        self.engine.end_submission();
    }

    /// A run of one backfill is about to wait for another one, which must be able to end.
    fn begin_wait(&self, caller: i64, target: i64) -> Result<()> {
        Ok(self.engine.begin_wait(caller, target)?)
    }

    /// Blocks until the run has its slots again.
    fn end_wait(&self, py: Python<'_>, caller: i64, target: i64) {
        py.detach(|| self.engine.end_wait(caller, target));
    }

    /// Refuses new backfills and waits until nothing is live; checks for Ctrl-C.
    fn wait_idle(&self, py: Python<'_>) -> PyResult<()> {
        while !py.detach(|| self.engine.wait_idle(SIGNAL_CHECK)) {
            py.check_signals()?;
        }
        Ok(())
    }

    fn begin_preemption(&self, priority: i64) {
        self.engine.begin_preemption(priority);
    }

    fn end_preemption(&self) {
        self.engine.end_preemption();
    }

    /// The next batch for a worker; `None` if there is none within `timeout` seconds.
    fn next_batch(&self, py: Python<'_>, timeout: f64) -> Option<Batch> {
        let timeout = convert::timeout(timeout);
        // With thousands of threads, attaching again costs most of all: see `Batch::close`.
        let at_once = (!timeout.is_zero()).then(|| self.engine.try_next_batch());
        at_once
            .flatten()
            .or_else(|| py.detach(|| self.engine.next_batch(timeout)))
            .map(Batch::new)
    }

    /// It never blocks, so it does not detach: attaching again takes long while others compute.
    fn snapshot(&self, id: &str) -> Option<Snapshot> {
        self.engine.snapshot(id).map(Snapshot::from)
    }

    /// It never blocks, so it does not detach: attaching again takes long while others compute.
    fn wants_worker(&self) -> bool {
        self.engine.wants_worker()
    }

    /// Waits for the end of a backfill and checks for Ctrl-C; `False` if the timeout passes first.
    #[pyo3(signature = (key, timeout=None))]
    fn wait(&self, py: Python<'_>, key: i64, timeout: Option<f64>) -> PyResult<bool> {
        let deadline = timeout.and_then(|seconds| {
            std::time::Instant::now().checked_add(Duration::try_from_secs_f64(seconds).ok()?)
        });
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
            let sleep = left.map_or(SIGNAL_CHECK, |left| left.min(SIGNAL_CHECK));
            if py.detach(|| self.engine.wait(key, sleep)).map_err(Raised)? {
                return Ok(true);
            }
            py.check_signals()?;
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
        }
    }

    /// Cancels a backfill; with `force_after`, runs in flight end by force after as many seconds.
    #[pyo3(signature = (id, force_after=None))]
    fn cancel(&self, py: Python<'_>, id: &str, force_after: Option<f64>) -> Result<bool> {
        let cancel = || match force_after {
            Some(seconds) => {
                let after = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                self.engine.cancel_by_force(id, after)
            }
            None => self.engine.cancel(id),
        };
        Ok(py.detach(cancel)?)
    }

    fn set_paused(&self, py: Python<'_>, id: &str, paused: bool) -> Result<()> {
        Ok(py.detach(|| self.engine.set_paused(id, paused))?)
    }

    #[pyo3(signature = (id, *, max_concurrency=None, priority=None, max_failures=None))]
    fn change(
        &self,
        py: Python<'_>,
        id: &str,
        max_concurrency: Option<u32>,
        priority: Option<i64>,
        max_failures: Option<MaxFailures>,
    ) -> Result<()> {
        let change = Change {
            session: None,
            max_concurrency,
            priority,
            max_failures: max_failures.map(Into::into),
        };
        Ok(py.detach(|| self.engine.change(id, &change))?)
    }

    fn abandon(&self, py: Python<'_>, key: i64) -> Result<()> {
        Ok(py.detach(|| self.engine.abandon(key))?)
    }

    fn abort(&self, py: Python<'_>, key: i64, reason: String) -> Result<()> {
        Ok(py.detach(|| self.engine.abort(key, reason))?)
    }

    #[pyo3(signature = (key, workers))]
    fn set_workers(&self, py: Python<'_>, key: i64, workers: Option<String>) -> Result<()> {
        Ok(py.detach(|| self.engine.set_workers(key, workers.as_deref()))?)
    }

    /// Ids of the backfills and manual runs whose process is dead, and whether they are manual.
    fn orphans(&self, py: Python<'_>) -> Result<Vec<(String, bool)>> {
        let rows = py.detach(|| self.engine.orphans())?;
        Ok(rows
            .into_iter()
            .map(|row| (row.request.id, row.request.kind == Kind::Manual))
            .collect())
    }

    fn wait_finished(&self, py: Python<'_>, timeout: f64) {
        let timeout = convert::timeout(timeout);
        py.detach(|| self.engine.wait_finished(timeout));
    }

    fn drain_finished(&self, py: Python<'_>) -> Vec<i64> {
        py.detach(|| self.engine.drain_finished())
    }

    fn live(&self) -> Vec<i64> {
        self.engine.live()
    }

    #[getter]
    fn worker_lock_file(&self) -> Option<PathBuf> {
        self.engine.worker_lock_file()
    }

    /// Of a live backfill: completed, failed, in flight.
    fn progress(&self, key: i64) -> Option<(u64, u64, u64)> {
        let progress = self.engine.progress(key)?;
        Some((
            progress.counts.completed,
            progress.counts.failed,
            progress.runs_in_flight,
        ))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.engine.close());
    }
}
