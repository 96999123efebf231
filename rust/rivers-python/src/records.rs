//! What the storage records, as Python sees it: the fields of the `TypedDict`s in `_storage.pyi`.

use chrono::{DateTime, Utc};
use pyo3::prelude::*;
use rivers_core::backfill::{FailurePolicy, Kind, Status};
use rivers_core::clock::Micros;
use rivers_core::store::BackfillRow;
use rivers_core::store::queries::error_groups::ErrorGroup;
use rivers_core::store::queries::events::{Event, EventPartitions};
use rivers_core::store::queries::run_errors::RunError;
use rivers_core::store::queries::runs::RunView;
use rivers_core::table::activity::Activity;

use crate::convert::MaxFailures;
use crate::key::{of_key, of_partition};

/// What the runs of a backfill did over time.
#[derive(IntoPyObject)]
pub(crate) struct ActivityRecord {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    bins: Vec<(u64, u64, u64, u64)>,
    /// For each lane two bytes for each interval, which become `bytes`.
    lanes: Option<Vec<Vec<u8>>>,
    num_lanes: usize,
    longest: Vec<(u64, DateTime<Utc>, f64, u64)>,
    waiting: Vec<(u64, u32, DateTime<Utc>)>,
}

impl From<Activity> for ActivityRecord {
    fn from(own: Activity) -> Self {
        let bins = own.bins.into_iter();
        let longest = own.longest.into_iter().map(|run| {
            let seconds = (run.ended_at - run.started_at) as f64 / 1e6;
            (run.run, datetime(run.started_at), seconds, run.failed)
        });
        let waiting = own.waiting.into_iter();
        Self {
            start: datetime(own.start),
            end: datetime(own.end),
            bins: bins
                .map(|bin| (bin.started, bin.ended, bin.failed, bin.busy))
                .collect(),
            lanes: own.lanes.map(|lanes| {
                let bytes = |lane: Vec<(u8, u8)>| lane.into_iter().flat_map(|(a, b)| [a, b]);
                lanes
                    .into_iter()
                    .map(|lane| bytes(lane).collect())
                    .collect()
            }),
            num_lanes: own.num_lanes,
            longest: longest.collect(),
            waiting: waiting
                .map(|run| (run.run, run.attempt, datetime(run.due_at)))
                .collect(),
        }
    }
}

/// An error of a run.
#[derive(IntoPyObject)]
pub(crate) struct RunErrorRecord {
    asset: String,
    partition: Option<String>,
    attempt: Option<u32>,
    due_at: Option<DateTime<Utc>>,
    error_type: String,
    message: String,
    traceback: Option<String>,
}

impl From<RunError> for RunErrorRecord {
    fn from(own: RunError) -> Self {
        Self {
            asset: own.asset,
            partition: own.partition,
            attempt: own.attempt,
            due_at: own.due_at.map(datetime),
            error_type: own.cause.error_type,
            message: own.cause.message,
            traceback: own.cause.traceback,
        }
    }
}

/// A backfill or a manual run.
#[derive(IntoPyObject)]
pub(crate) struct BackfillRecord {
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
    timeout: Option<f64>,
    running: u64,
    owner: Option<String>,
    workers: Option<String>,
}

impl From<BackfillRow> for BackfillRecord {
    fn from(row: BackfillRow) -> Self {
        let paused = row.is_paused();
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
            stop_on_failure: request.failure_policy == FailurePolicy::StopOnFailure,
            max_concurrency: request.max_concurrency,
            priority: request.priority,
            tags: request.tags,
            refuse_overlap: request.control.refuse_overlap,
            canary: request.control.canary,
            timeout: request.control.timeout,
            max_starts_per_second: request.control.max_starts_per_second,
            max_failures: request.control.max_failures.map(Into::into),
            config: request.config,
            retry: request.retry,
            created_at: datetime(request.created_at),
            ended_at: row.ended_at.map(datetime),
            paused,
            running: row.in_flight.len() as u64,
            workers: row.workers.filter(|_| row.status == Status::InProgress),
            owner: row.lease.map(|lease| lease.owner),
            backfill_id: request.id,
        }
    }
}

/// A run; what all runs of a backfill share is in the backfill's record.
#[derive(IntoPyObject)]
pub(crate) struct RunRecord {
    run_id: String,
    run: u64,
    backfill: BackfillRecord,
    status: &'static str,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

impl From<RunView> for RunRecord {
    fn from(run: RunView) -> Self {
        Self {
            run_id: run.id,
            run: run.run,
            backfill: run.backfill.into(),
            status: run.status.name(),
            started_at: run.started_at.map(datetime),
            ended_at: run.ended_at.map(datetime),
            error: run.error,
        }
    }
}

/// Errors that differ only in what varies, and the partitions that failed with them.
#[derive(IntoPyObject)]
pub(crate) struct ErrorGroupRecord {
    error_type: String,
    message: String,
    count: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    partition: String,
    traceback: Option<String>,
}

impl From<ErrorGroup> for ErrorGroupRecord {
    fn from(group: ErrorGroup) -> Self {
        Self {
            error_type: group.error_type,
            message: group.message,
            count: group.partitions,
            first_at: datetime(group.first_at),
            last_at: datetime(group.last_at),
            partition: group.example,
            traceback: group.traceback,
        }
    }
}

/// Something that happened to an asset.
#[derive(IntoPyObject)]
pub(crate) struct EventRecord {
    id: String,
    event_type: &'static str,
    asset_key: String,
    run_id: String,
    partition_key: Option<Py<PyAny>>,
    /// Nanoseconds since 1970.
    timestamp: i64,
    error: Option<String>,
    metadata: Option<String>,
    code_version: Option<String>,
}

impl EventRecord {
    pub(crate) fn new(py: Python<'_>, event: Event) -> PyResult<Self> {
        let key = match event.partitions {
            EventPartitions::None => None,
            EventPartitions::One(space, partition) => {
                Some(of_partition(py, &space, partition)?.unbind())
            }
            EventPartitions::Several(selection) => match selection.covering_key() {
                Some(key) => Some(of_key(py, key)?.unbind()),
                None => None,
            },
        };
        Ok(Self {
            id: event.id,
            event_type: event.kind.name(),
            asset_key: event.asset,
            run_id: event.run_id,
            partition_key: key,
            timestamp: event.at.saturating_mul(1_000),
            error: event.error,
            metadata: event.metadata,
            code_version: event.code_version,
        })
    }
}

fn datetime(micros: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
