//! Single runs: status, error, and the latest of all backfills.

use crate::backfill::request::{parse_run_id, run_id};
use crate::backfill::{RunRow, Status};
use crate::clock::Micros;
use crate::error::{Error, Result, some_of};
use crate::store::Records;
use crate::store::queries::backfills::failure_text;
use crate::store::records::{BackfillRow, OneFailure};

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It has not started.
    Pending,
    /// It has started and not ended.
    Running,
    /// It has ended and none of its partitions failed.
    Completed,
    /// It has ended and some of its partitions failed.
    Failed,
    /// Its backfill ended before it did.
    Canceled,
}

impl RunStatus {
    /// The status of a run of this backfill, given its record if it has ended.
    fn of(row: &BackfillRow, ended: Option<&RunRow>, is_in_flight: bool) -> Self {
        match ended {
            Some(ended) if ended.failed > 0 => Self::Failed,
            Some(_) => Self::Completed,
            None if row.status != Status::InProgress => Self::Canceled,
            None if is_in_flight => Self::Running,
            None => Self::Pending,
        }
    }

    const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
    ];

    /// The status with this name.
    ///
    /// # Errors
    /// `Configuration` naming those there are.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|status| status.name() == name);
        found.ok_or_else(|| {
            let names = some_of(Self::ALL.iter().map(|status| status.name()));
            Error::Configuration(format!("there is no status {name:?}; it is one of {names}"))
        })
    }

    /// The status in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// A run, whether it has ended or not.
#[derive(Debug, Clone)]
pub struct RunView {
    /// The run's id.
    pub id: String,
    /// The run's number.
    pub run: u64,
    /// Its backfill.
    pub backfill: BackfillRow,
    /// Its status.
    pub status: RunStatus,
    /// When it started.
    pub started_at: Option<Micros>,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// Its first error in words.
    pub error: Option<String>,
}

impl RunView {
    fn new(store: &dyn Records, row: BackfillRow, run: u64, ended: Option<RunRow>) -> Result<Self> {
        let in_flight = row.in_flight.iter().find(|(number, _)| *number == run);
        let in_flight_since = in_flight.map(|(_, since)| *since);
        let error = match &ended {
            Some(ended) if ended.failed > 0 => error_text(store, &row, run)?,
            Some(_) | None => None,
        };
        Ok(Self {
            id: run_id(&row.request.id, run),
            run,
            status: RunStatus::of(&row, ended.as_ref(), in_flight_since.is_some()),
            started_at: ended.map(|ended| ended.started_at).or(in_flight_since),
            ended_at: ended.map(|ended| ended.ended_at),
            error,
            backfill: row,
        })
    }
}

/// The first error of a failed run in words.
fn error_text(store: &dyn Records, row: &BackfillRow, run: u64) -> Result<Option<String>> {
    let failures = store.failures(row.key, Some(run))?.into_iter();
    let first = failures
        .filter_map(|failure| Some((failure, failure.cause?)))
        .next();
    let Some((failure, id)) = first else {
        return Ok(None);
    };
    let Some((_, cause)) = store.errors(&[id])?.pop() else {
        return Ok(None);
    };
    let first = OneFailure {
        run,
        asset: failure.asset,
        partition: failure.partition,
        cause,
    };
    failure_text(store, row, &first).map(Some)
}

/// A run by its id.
///
/// # Errors
/// `Storage`.
pub fn find(store: &dyn Records, id: &str) -> Result<Option<RunView>> {
    let Some((backfill, number)) = parse_run_id(id) else {
        return Ok(None);
    };
    let row = store.find(backfill)?.filter(|row| number < row.num_runs);
    let Some(row) = row else {
        return Ok(None);
    };
    let ended = store.runs(row.key, number..number + 1)?.pop();
    RunView::new(store, row, number, ended).map(Some)
}

/// The latest runs that have started: those in flight, then those that have ended, of the newest backfill
/// first. With `status`, only runs of that status.
///
/// # Errors
/// `Storage`.
pub fn latest(
    store: &dyn Records,
    limit: Option<usize>,
    status: Option<RunStatus>,
) -> Result<Vec<RunView>> {
    let limit = limit.unwrap_or(usize::MAX);
    let (running, failed) = match status {
        None => (true, Some(None)),
        Some(RunStatus::Running) => (true, None),
        Some(RunStatus::Completed) => (false, Some(Some(false))),
        Some(RunStatus::Failed) => (false, Some(Some(true))),
        Some(RunStatus::Pending | RunStatus::Canceled) => (false, None),
    };
    let mut runs = Vec::new();
    if running {
        runs = in_flight(store, limit)?;
    }
    let Some(failed) = failed else {
        return Ok(runs);
    };
    let mut last_row: Option<BackfillRow> = None;
    for (key, ended) in store.latest_runs(failed, Some((limit - runs.len()) as u64))? {
        if last_row.as_ref().is_none_or(|row| row.key != key) {
            last_row = store.get(key)?;
        }
        if let Some(row) = &last_row {
            runs.push(RunView::new(store, row.clone(), ended.run, Some(ended))?);
        }
    }
    Ok(runs)
}

/// Up to `limit` runs in flight.
fn in_flight(store: &dyn Records, limit: usize) -> Result<Vec<RunView>> {
    let mut runs = Vec::new();
    for row in store.unfinished()? {
        let latest = row.in_flight.iter().rev().take(limit - runs.len());
        for &(run, _) in latest {
            // A run in flight at the last commit may have ended since.
            if store.runs(row.key, run..run + 1)?.is_empty() {
                runs.push(RunView::new(store, row.clone(), run, None)?);
            }
        }
    }
    Ok(runs)
}
