//! The storage as the package uses it; `rivers.Storage` wraps it.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pyo3::prelude::*;
use rivers_core::backfill::request::{parse_run_id, run_id};
use rivers_core::backfill::{Kind, RunRow, Status};
use rivers_core::clock::{Clock, Micros, SystemClock};
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{self, BackfillRow, causes, pace, view};

use crate::convert::MaxFailures;
use crate::error::Result;
use crate::plan::Plan;
use crate::selection::{Selection, Space};

/// Where everything is recorded.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Store {
    pub(crate) store: Arc<dyn store::Store>,
}

/// A backfill, for Python a dict.
#[derive(IntoPyObject)]
struct BackfillRecord {
    key: i64,
    backfill_id: String,
    manual: bool,
    status: &'static str,
    num_partitions: u64,
    num_runs: u64,
    completed: u64,
    failed: u64,
    canceled: u64,
    assets: Vec<String>,
    strategy: String,
    stop_on_failure: bool,
    max_concurrency: u32,
    priority: i64,
    tags: Vec<(String, String)>,
    config: Option<String>,
    retry: Option<String>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    paused: bool,
    max_failures: Option<MaxFailures>,
    max_starts_per_second: Option<f64>,
    refuse_overlap: bool,
    canary: Option<u32>,
}

impl From<BackfillRow> for BackfillRecord {
    fn from(row: BackfillRow) -> Self {
        let request = row.request;
        Self {
            key: row.key,
            manual: request.kind == Kind::Manual,
            status: row.status.name(),
            num_partitions: row.num_partitions,
            num_runs: row.num_runs,
            completed: row.counts.completed,
            failed: row.counts.failed,
            canceled: row.counts.canceled,
            assets: request.assets.into_iter().map(|asset| asset.name).collect(),
            strategy: row.strategy,
            stop_on_failure: request.failure_policy
                == rivers_core::backfill::FailurePolicy::StopOnFailure,
            max_concurrency: request.max_concurrency,
            priority: request.priority,
            tags: request.tags,
            refuse_overlap: request.control.refuse_overlap,
            canary: request.control.canary,
            max_starts_per_second: request.control.max_starts_per_second,
            max_failures: request.control.max_failures.map(Into::into),
            config: request.config,
            retry: request.retry,
            created_at: moment(request.created_at),
            ended_at: row.ended_at.map(moment),
            // What is said of one that has ended is over, too.
            paused: row.paused && row.status == Status::InProgress,
            backfill_id: request.id,
        }
    }
}

/// A run, for Python a dict; what all runs of a backfill share stands in the backfill's.
#[derive(IntoPyObject)]
struct RunRecord {
    run_id: String,
    run: u64,
    backfill: BackfillRecord,
    status: &'static str,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

/// A reason for failures, for Python a dict.
#[derive(IntoPyObject)]
struct CauseRecord {
    error_type: String,
    message: String,
    count: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    partition: String,
    traceback: Option<String>,
}

fn moment(micros: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

impl Store {
    fn record(&self, row: BackfillRow, run: u64, ended: Option<RunRow>) -> Result<RunRecord> {
        let in_flight = row
            .in_flight
            .iter()
            .find(|(number, _)| *number == run)
            .map(|(_, since)| *since);
        let over = row.status != Status::InProgress;
        let status = match (&ended, in_flight) {
            (Some(ended), _) if ended.failed > 0 => "failed",
            (Some(_), _) => "completed",
            (None, Some(_)) if !over => "running",
            (None, _) if over => "canceled",
            (None, _) => "pending",
        };
        let mut error = None;
        if ended.is_some_and(|ended| ended.failed > 0) {
            let failures = self.store.failures(row.key, Some(run))?;
            let first = failures
                .into_iter()
                .find_map(|failure| Some((failure, failure.cause?)));
            if let Some((failure, cause)) = first
                && let Some((_, cause)) = self.store.causes(&[cause])?.pop()
            {
                let first = store::OneFailure {
                    run,
                    asset: failure.asset,
                    partition: failure.partition,
                    cause,
                };
                error = Some(view::failure_text(&*self.store, &row, &first)?);
            }
        }
        Ok(RunRecord {
            run_id: run_id(&row.request.id, run),
            run,
            status,
            started_at: ended
                .map(|ended| ended.started_at)
                .or(in_flight)
                .map(moment),
            ended_at: ended.map(|ended| moment(ended.ended_at)),
            error,
            backfill: row.into(),
        })
    }
}

#[pymethods]
impl Store {
    #[staticmethod]
    fn embedded(py: Python<'_>, path: PathBuf) -> Result<Self> {
        let store = py.detach(|| SqliteStore::open(&path))?;
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// The version of a file's schema, and the newest one that is known here.
    #[staticmethod]
    fn schema(py: Python<'_>, path: PathBuf) -> Result<(i64, i64)> {
        Ok(py.detach(|| SqliteStore::schema(&path))?)
    }

    #[staticmethod]
    fn memory() -> Result<Self> {
        Ok(Self {
            store: Arc::new(SqliteStore::memory()?),
        })
    }

    #[getter]
    fn path(&self) -> String {
        self.store.path()
    }

    fn backfill(&self, py: Python<'_>, id: &str) -> Result<Option<BackfillRecord>> {
        Ok(py.detach(|| self.store.find(id))?.map(BackfillRecord::from))
    }

    /// A backfill by its number.
    fn numbered(&self, py: Python<'_>, key: i64) -> Result<Option<BackfillRecord>> {
        Ok(py.detach(|| self.store.get(key))?.map(BackfillRecord::from))
    }

    /// Ids of the backfills that have not ended and that no living process runs.
    fn interrupted(&self, py: Python<'_>) -> Result<Vec<String>> {
        py.detach(|| {
            let now = SystemClock.now();
            let gone = |row: &BackfillRow| !view::has_live_owner(&*self.store, row, now);
            let rows = self.store.unfinished()?.into_iter().filter(gone);
            Ok(rows.map(|row| row.request.id).collect())
        })
    }

    /// Partitions a second that the backfill has ended lately.
    fn rate(&self, py: Python<'_>, id: &str) -> Result<Option<f64>> {
        Ok(py.detach(|| {
            let now = SystemClock.now();
            match self.store.find(id)? {
                Some(row) if view::has_live_owner(&*self.store, &row, now) => {
                    pace::rate(&*self.store, &row, now)
                }
                _ => Ok(None),
            }
        })?)
    }

    /// Seconds that the assets have taken for a partition lately.
    fn seconds_per_partition(&self, py: Python<'_>, assets: Vec<String>) -> Result<Option<f64>> {
        let names: Vec<&str> = assets.iter().map(String::as_str).collect();
        Ok(py.detach(|| pace::seconds_per_partition(&*self.store, &names))?)
    }

    /// What is wrong with the records.
    fn check(&self, py: Python<'_>) -> Result<Vec<String>> {
        Ok(py.detach(|| self.store.check())?)
    }

    #[pyo3(signature = (asset=None, limit=None))]
    fn backfills(
        &self,
        py: Python<'_>,
        asset: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Vec<BackfillRecord>> {
        let rows = py.detach(|| self.store.list(asset, limit))?;
        Ok(rows.into_iter().map(BackfillRecord::from).collect())
    }

    /// What a person is told of a backfill that failed.
    fn error(&self, py: Python<'_>, id: &str) -> Result<Option<String>> {
        Ok(py.detach(|| match self.store.find(id)? {
            Some(row) => view::error_text(&*self.store, &row),
            None => Ok(None),
        })?)
    }

    /// The failure of a backfill that was recorded last, in a line.
    fn last_error(&self, py: Python<'_>, id: &str) -> Result<Option<String>> {
        Ok(py.detach(|| {
            let Some(row) = self.store.find(id)? else {
                return Ok(None);
            };
            let last = self.store.last_failure(row.key)?;
            last.map(|last| view::failure_text(&*self.store, &row, &last))
                .transpose()
        })?)
    }

    /// Why a backfill's partitions failed, and how many for which reason.
    fn causes(&self, py: Python<'_>, id: &str) -> Result<Vec<CauseRecord>> {
        py.detach(|| {
            let Some(row) = self.store.find(id)? else {
                return Ok(Vec::new());
            };
            let record = |counted: causes::CauseCount| CauseRecord {
                error_type: counted.error_type,
                message: counted.message,
                count: counted.partitions,
                first_at: moment(counted.first_at),
                last_at: moment(counted.last_at),
                partition: counted.example,
                traceback: counted.traceback,
            };
            let counted = causes::causes(&*self.store, &row)?;
            Ok(counted.into_iter().map(record).collect())
        })
    }

    /// The partitions of a backfill that failed for a reason of this type, layer by layer.
    fn failed_with(&self, py: Python<'_>, id: &str, error_type: &str) -> Result<Vec<Selection>> {
        let layers = py.detach(|| match self.store.find(id)? {
            Some(row) => causes::failed_with(&*self.store, &row, error_type),
            None => Ok(Vec::new()),
        })?;
        Ok(layers.into_iter().map(Selection::from).collect())
    }

    /// Names of the assets that a backfill's failures speak of.
    fn missed(&self, py: Python<'_>, key: i64) -> Result<Vec<String>> {
        py.detach(|| {
            let Some(row) = self.store.get(key)? else {
                return Ok(Vec::new());
            };
            let places: std::collections::BTreeSet<u32> = self
                .store
                .failures(key, None)?
                .into_iter()
                .map(|failure| failure.asset)
                .collect();
            let name = |place: u32| {
                row.request
                    .assets
                    .get(place as usize)
                    .map(|asset| asset.name.clone())
            };
            Ok(places.into_iter().filter_map(name).collect())
        })
    }

    fn plan(&self, py: Python<'_>, key: i64) -> Result<Plan> {
        Ok(Plan {
            plan: Arc::new(py.detach(|| self.store.plan(key))?),
        })
    }

    /// Refuses a plan of which another backfill that has not ended holds partitions.
    fn refuse_overlap(&self, py: Python<'_>, assets: Vec<String>, plan: &Plan) -> Result<()> {
        let assets: Vec<&str> = assets.iter().map(String::as_str).collect();
        match py.detach(|| self.store.overlap(&assets, &plan.plan))? {
            Some(found) => Err(found.refusal().into()),
            None => Ok(()),
        }
    }

    /// What a rerun of the backfill executes, layer by layer.
    fn uncompleted(&self, py: Python<'_>, id: &str) -> Result<Vec<Selection>> {
        let layers = py.detach(|| match self.store.find(id)? {
            Some(row) => view::uncompleted(&*self.store, &row),
            None => Ok(Vec::new()),
        })?;
        Ok(layers.into_iter().map(Selection::from).collect())
    }

    fn materialized(&self, py: Python<'_>, asset: &str, space: &Space) -> Result<Selection> {
        Ok(py
            .detach(|| view::materialized(&*self.store, asset, &space.space))?
            .into())
    }

    fn ever_materialized(&self, py: Python<'_>, asset: &str) -> Result<Vec<Selection>> {
        let selections = py.detach(|| view::ever_materialized(&*self.store, asset))?;
        Ok(selections.into_iter().map(Selection::from).collect())
    }

    fn run(&self, py: Python<'_>, id: &str) -> Result<Option<RunRecord>> {
        py.detach(|| {
            let Some((backfill, number)) = parse_run_id(id) else {
                return Ok(None);
            };
            let Some(row) = self
                .store
                .find(backfill)?
                .filter(|row| number < row.num_runs)
            else {
                return Ok(None);
            };
            let ended = self.store.runs(row.key, number..number + 1)?.pop();
            Ok(Some(self.record(row, number, ended)?))
        })
    }

    /// The latest runs: those in flight, then those that have ended.
    #[pyo3(signature = (limit=None, status=None))]
    fn runs(
        &self,
        py: Python<'_>,
        limit: Option<usize>,
        status: Option<&str>,
    ) -> Result<Vec<RunRecord>> {
        py.detach(|| {
            let most = limit.unwrap_or(usize::MAX);
            let mut records = Vec::new();
            if matches!(status, None | Some("running")) {
                for row in self.store.unfinished()? {
                    for (run, _) in row
                        .in_flight
                        .clone()
                        .into_iter()
                        .rev()
                        .take(most - records.len())
                    {
                        let ended = self.store.runs(row.key, run..run + 1)?;
                        if ended.is_empty() {
                            records.push(self.record(row.clone(), run, None)?);
                        }
                    }
                }
            }
            let failed = match status {
                None => None,
                Some("completed") => Some(false),
                Some("failed") => Some(true),
                Some(_) => return Ok(records),
            };
            let left = limit.map(|limit| (limit - records.len()) as u64);
            let mut known: Option<BackfillRow> = None;
            for (key, ended) in self.store.latest_runs(failed, left)? {
                if known.as_ref().is_none_or(|row| row.key != key) {
                    known = self.store.get(key)?;
                }
                if let Some(row) = &known {
                    records.push(self.record(row.clone(), ended.run, Some(ended))?);
                }
            }
            Ok(records)
        })
    }

    fn add_dynamic(&self, py: Python<'_>, name: &str, keys: Vec<String>) -> Result<()> {
        for key in &keys {
            rivers_core::space::labels::check_key(key)?;
        }
        Ok(py.detach(|| self.store.add_dynamic(name, &keys))?)
    }

    fn delete_dynamic(&self, py: Python<'_>, name: &str, key: &str) -> Result<bool> {
        Ok(py.detach(|| self.store.delete_dynamic(name, key))?)
    }

    fn dynamic(&self, py: Python<'_>, name: &str) -> Result<Vec<String>> {
        let labels = py.detach(|| self.store.dynamic(name))?;
        Ok(labels.iter().map(str::to_owned).collect())
    }
}
