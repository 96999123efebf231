//! The engine as the package uses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use rivers_core::backfill::RequestedAsset;
use rivers_core::backfill::{self, Change, Control, FailurePolicy, Kind, Request, Status};
use rivers_core::clock::SystemClock;
use rivers_core::engine::{self, Execution};
use rivers_core::queue::{Limits, TagLimit};

use crate::batch::Batch;
use crate::error::Result;
use crate::plan::Plan;
use crate::store::Store;

/// How often a waiting main thread looks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// Runs backfills in this process.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Engine {
    pub(crate) engine: engine::Engine,
}

/// `rivers.TagConcurrencyLimit`, with the same fields.
#[derive(FromPyObject)]
struct PyTagLimit {
    key: String,
    value: Option<String>,
    limit: u32,
    per_unique_value: bool,
}

/// `rivers.repository.Submission`, with the same fields.
#[derive(FromPyObject)]
struct Submission {
    manual: bool,
    assets: Vec<(String, Option<String>, bool)>,
    stop_on_failure: bool,
    max_concurrency: u32,
    priority: i64,
    tags: Vec<(String, String)>,
    config: Option<String>,
    retry: Option<String>,
    max_failures: Option<MaxFailures>,
    max_starts_per_second: Option<f64>,
    refuse_overlap: bool,
    canary: Option<u32>,
}

/// An `int` or a `float` of Python.
#[derive(FromPyObject, IntoPyObject)]
pub(crate) enum MaxFailures {
    Count(u64),
    Share(f64),
}

impl From<MaxFailures> for backfill::MaxFailures {
    fn from(most: MaxFailures) -> Self {
        match most {
            MaxFailures::Count(most) => Self::Count(most),
            MaxFailures::Share(most) => Self::Share(most),
        }
    }
}

impl From<backfill::MaxFailures> for MaxFailures {
    fn from(most: backfill::MaxFailures) -> Self {
        match most {
            backfill::MaxFailures::Count(most) => Self::Count(most),
            backfill::MaxFailures::Share(most) => Self::Share(most),
        }
    }
}

/// What `Store.backfill` tells of a backfill that is live, for Python a dict.
#[derive(IntoPyObject)]
struct StandingRecord {
    manual: bool,
    status: &'static str,
    num_partitions: u64,
    num_runs: u64,
    completed: u64,
    failed: u64,
    canceled: u64,
    tags: Vec<(String, String)>,
    paused: bool,
}

impl From<engine::Standing> for StandingRecord {
    fn from(standing: engine::Standing) -> Self {
        Self {
            manual: standing.request.kind == Kind::Manual,
            status: Status::InProgress.name(),
            num_partitions: standing.num_partitions,
            num_runs: standing.num_runs,
            completed: standing.counts.completed,
            failed: standing.counts.failed,
            canceled: standing.counts.canceled,
            tags: standing.request.tags.clone(),
            paused: standing.paused,
        }
    }
}

/// What is handed from submission to worker.
pub(crate) type PyProgram = Py<PyAny>;

fn execution(program: PyProgram, workers: Option<u32>, pools: Vec<(String, u32)>) -> Execution {
    Execution {
        program: Arc::new(program),
        workers: workers.unwrap_or(u32::MAX),
        pools,
    }
}

#[pymethods]
impl Engine {
    #[new]
    fn new(
        store: &Store,
        max_concurrent_runs: Option<u32>,
        tag_limits: Vec<PyTagLimit>,
        pools: Vec<(String, u32)>,
        lease_seconds: f64,
    ) -> Result<Self> {
        let tag_limits = tag_limits.into_iter().map(|limit| TagLimit {
            key: limit.key,
            value: limit.value,
            limit: limit.limit,
            per_unique_value: limit.per_unique_value,
        });
        let lease = (lease_seconds * 1e6) as i64;
        let limits = Limits {
            max_concurrent_runs,
            tag_limits: tag_limits.collect(),
            pools,
        };
        let engine = engine::Engine::new(
            Arc::clone(&store.store),
            Arc::new(SystemClock),
            limits,
            lease,
        )?;
        Ok(Self { engine })
    }

    /// Records a request and queues it: `(key, id)`.
    fn submit(
        &self,
        py: Python<'_>,
        submission: Submission,
        plan: &Plan,
        program: PyProgram,
        workers: Option<u32>,
        pools: Vec<(String, u32)>,
    ) -> Result<(i64, String)> {
        let assets = submission
            .assets
            .into_iter()
            .map(|(name, code_version, partitioned)| RequestedAsset {
                name,
                code_version,
                partitioned,
            });
        let policy = if submission.stop_on_failure {
            FailurePolicy::StopOnFailure
        } else {
            FailurePolicy::Continue
        };
        let request = Request {
            id: engine::new_id(),
            kind: if submission.manual {
                Kind::Manual
            } else {
                Kind::Backfill
            },
            assets: assets.collect(),
            failure_policy: policy,
            max_concurrency: submission.max_concurrency,
            priority: submission.priority,
            tags: submission.tags,
            config: submission.config,
            retry: submission.retry,
            created_at: self.engine.now(),
            control: Control {
                max_failures: submission.max_failures.map(Into::into),
                max_starts_per_second: submission.max_starts_per_second,
                refuse_overlap: submission.refuse_overlap,
                canary: submission.canary,
            },
        };
        let id = request.id.clone();
        let plan = rivers_core::plan::Plan::clone(&plan.plan);
        let execution = execution(program, workers, pools);
        let key = py.detach(|| self.engine.submit(request, plan, execution))?;
        Ok((key, id))
    }

    fn resume(
        &self,
        py: Python<'_>,
        id: &str,
        program: PyProgram,
        workers: Option<u32>,
        pools: Vec<(String, u32)>,
    ) -> Result<i64> {
        let execution = execution(program, workers, pools);
        Ok(py.detach(|| self.engine.resume(id, execution))?)
    }

    /// Nothing of a lower priority starts before the request that is about to be submitted.
    fn make_way(&self, priority: i64) {
        self.engine.make_way(priority);
    }

    /// It is not submitted after all.
    fn close_way(&self) {
        self.engine.close_way();
    }

    /// The next batch for a worker, or `None` after so many seconds.
    fn take(&self, py: Python<'_>, patience: f64) -> Option<Batch> {
        let patience = Duration::try_from_secs_f64(patience).unwrap_or_default();
        py.detach(|| self.engine.take(patience)).map(Batch::new)
    }

    /// A live backfill, as `Store.backfill` has it of those that are not; it never waits.
    fn standing(&self, id: &str) -> Option<StandingRecord> {
        self.engine.standing(id).map(StandingRecord::from)
    }

    /// It never waits, so it keeps the interpreter: to win it back takes longer where others compute.
    fn wants_worker(&self) -> bool {
        self.engine.wants_worker()
    }

    /// Waits for the end of a backfill, looking for Ctrl-C; `False` when the time is up first.
    #[pyo3(signature = (key, patience=None))]
    fn wait(&self, py: Python<'_>, key: i64, patience: Option<f64>) -> PyResult<bool> {
        let deadline = patience.and_then(|seconds| {
            std::time::Instant::now().checked_add(Duration::try_from_secs_f64(seconds).ok()?)
        });
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
            let nap = left.map_or(SIGNAL_CHECK, |left| left.min(SIGNAL_CHECK));
            if py
                .detach(|| self.engine.wait(key, nap))
                .map_err(crate::error::Raised)?
            {
                return Ok(true);
            }
            py.check_signals()?;
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
        }
    }

    fn cancel(&self, py: Python<'_>, id: &str) -> Result<bool> {
        Ok(py.detach(|| self.engine.cancel(id))?)
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
            max_concurrency,
            priority,
            max_failures: max_failures.map(Into::into),
        };
        Ok(py.detach(|| self.engine.change(id, &change))?)
    }

    fn abandon(&self, py: Python<'_>, key: i64) -> Result<()> {
        Ok(py.detach(|| self.engine.abandon(key))?)
    }

    /// Stops a backfill that cannot be executed here; who waits for it is told why.
    fn break_off(&self, py: Python<'_>, key: i64, reason: String) -> Result<()> {
        Ok(py.detach(|| self.engine.break_off(key, reason))?)
    }

    /// Ids of the backfills and manual runs whose process is gone, and whether they are manual.
    fn orphans(&self, py: Python<'_>) -> Result<Vec<(String, bool)>> {
        let rows = py.detach(|| self.engine.orphans())?;
        Ok(rows
            .into_iter()
            .map(|row| (row.request.id, row.request.kind == Kind::Manual))
            .collect())
    }

    /// Waits for something to be told by `take_ended`.
    fn await_ended(&self, py: Python<'_>, patience: f64) {
        let patience = Duration::try_from_secs_f64(patience).unwrap_or_default();
        py.detach(|| self.engine.await_ended(patience));
    }

    /// Backfills that have ended, or stopped here, since the last time.
    fn take_ended(&self, py: Python<'_>) -> Vec<i64> {
        py.detach(|| self.engine.take_ended())
    }

    fn live(&self) -> Vec<i64> {
        self.engine.live()
    }

    /// What `WorkerSign` is made of in this engine's worker processes, if they need one.
    #[getter]
    fn workers_file(&self) -> Option<PathBuf> {
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
