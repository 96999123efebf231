//! What the records of one or several backfills say: errors in words, live owners, what did not complete.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::backfill::{Cause, FailureRow, Failures, Status, outcome};
use crate::clock::{Micros, SteadyClock};
use crate::error::Result;
use crate::space::Selection;
use crate::store::records::{BackfillRow, OneFailure, StorageTime};
use crate::store::{Records, Store};

/// The error of a failed backfill in words: the first failure, the number of failed partitions, and why it
/// stopped early, if it did.
///
/// # Errors
/// `Storage`.
pub fn error_text(store: &dyn Records, row: &BackfillRow) -> Result<Option<String>> {
    if row.counts.failed == 0 || row.status == Status::InProgress {
        return Ok(None);
    }
    let Some(first) = store.first_failure(row.key)? else {
        return Ok(None);
    };
    let text = failure_text(store, row, &first)?;
    let (failed, total) = (row.counts.failed, row.num_partitions);
    let why = row.stop.and_then(|stop| stop.text(&row.request.control));
    let stopped = why
        .filter(|_| row.counts.canceled > 0)
        .map(|why| format!("; {why}, {} canceled", row.counts.canceled))
        .unwrap_or_default();
    let partitions = if total == 1 {
        "partition"
    } else {
        "partitions"
    };
    Ok(Some(format!(
        "{text} ({failed} of {total} {partitions} failed{stopped})"
    )))
}

/// Number of backfills among which the latest recorded time is looked for.
const LATEST: u64 = 16;

/// Lets the clock go on from the latest time that is recorded: a machine's clock may have been set back since.
///
/// # Errors
/// `Storage`; `Execution` if a report is damaged.
pub fn continue_clock(store: &dyn Store) -> Result<()> {
    if let Some(recorded) = latest_time(store)? {
        SteadyClock::reach(recorded);
    }
    Ok(())
}

/// The latest time that the newest backfills, and what users reported of assets, have recorded; `None`: there is
/// nothing of either.
fn latest_time(store: &dyn Store) -> Result<Option<Micros>> {
    let rows = store.list(None, Some(LATEST))?;
    let of = |row: &BackfillRow| {
        let begun = row.in_flight.iter().map(|&(_, at)| at).max();
        row.ended_at.max(begun).max(Some(row.request.created_at))
    };
    let mut latest = rows.iter().filter_map(of).max();
    for asset in store.reported_assets()? {
        let newest = store.reports(&asset)?.first().map(|report| report.at);
        latest = latest.max(newest);
    }
    Ok(latest)
}

/// One failure in a line.
///
/// # Errors
/// `Storage`.
pub fn failure_text(
    store: &dyn Records,
    row: &BackfillRow,
    failure: &OneFailure,
) -> Result<String> {
    let plan = store.plan(row.key)?;
    let partitions = plan.run(failure.run);
    let partition = failure.partition.unwrap_or_else(|| partitions.nth(0));
    let text = partitions.space().text(partition);
    let more = match failure.partition {
        None if partitions.len() > 1 => format!(" and {} more of its run", partitions.len() - 1),
        _ => String::new(),
    };
    let of_partition = if text.is_empty() {
        String::new()
    } else {
        format!(" for the partition {text:?}{more}")
    };
    let asset = row
        .request
        .assets
        .get(failure.asset as usize)
        .map_or("?", |asset| &asset.name);
    let error = &failure.cause;
    Ok(format!(
        "the asset {asset:?} failed{of_partition}: {}: {}",
        error.error_type, error.message
    ))
}

/// Tells which backfills a live process runs, at one time of the storage's clock.
pub struct LiveOwners<'a> {
    store: &'a dyn Store,
    now: StorageTime,
}

impl<'a> LiveOwners<'a> {
    /// At the present time.
    ///
    /// # Errors
    /// `Storage`.
    pub fn now(store: &'a dyn Store) -> Result<Self> {
        let now = store.now()?;
        Ok(Self { store, now })
    }

    /// The time at which they are looked at.
    pub fn time(&self) -> StorageTime {
        self.now
    }

    /// Whether a live process runs the backfill.
    pub fn run(&self, row: &BackfillRow) -> bool {
        self.look(row) == Owner::Lives
    }

    fn look(&self, row: &BackfillRow) -> Owner {
        match &row.lease {
            Some(lease) if self.store.is_alive(&lease.owner) => {
                if lease.expires_at > self.now {
                    Owner::Lives
                } else {
                    Owner::Silent
                }
            }
            _ => Owner::Gone,
        }
    }
}

/// What one look at the owner of a backfill shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Lives,
    /// It may be alive, and its lease is over: it is suspended, or does not reach the storage, or the clock of the
    /// storage was set forwards since it renewed its lease.
    Silent,
    Gone,
}

/// How often silent owners are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Which of the backfills a live process runs. Unlike [`LiveOwners`], it does not trust a clock that says that the
/// lease of a process is over that may be alive: such a process is gone if it renews no lease within `patience`.
///
/// # Errors
/// `Storage`.
pub fn are_run(
    store: &dyn Store,
    rows: &[BackfillRow],
    patience: Duration,
    sleep: impl Fn(Duration),
) -> Result<Vec<bool>> {
    let first = LiveOwners::now(store)?;
    let mut owners: Vec<Owner> = rows.iter().map(|row| first.look(row)).collect();
    let mut waited = Duration::ZERO;
    while owners.contains(&Owner::Silent) && waited < patience {
        sleep(LOOK_INTERVAL);
        waited += LOOK_INTERVAL;
        for (row, owner) in rows.iter().zip(&mut owners) {
            if *owner == Owner::Silent {
                *owner = look_again(store, row)?;
            }
        }
    }
    Ok(owners
        .into_iter()
        .map(|owner| owner == Owner::Lives)
        .collect())
}

fn look_again(store: &dyn Store, before: &BackfillRow) -> Result<Owner> {
    let lease = store.get(before.key)?.and_then(|row| row.lease);
    Ok(match lease {
        Some(lease) if !store.is_alive(&lease.owner) => Owner::Gone,
        Some(lease) if Some(&lease) == before.lease.as_ref() => Owner::Silent,
        Some(_) => Owner::Lives,
        None => Owner::Gone,
    })
}

/// How long a renewal of a lease is looked for at least: the process that holds it notices within a fifth of this that
/// the storage's clock was set.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a backfill has not ended and no live process runs it, also by a second look where the first may err.
///
/// # Errors
/// `Storage`.
pub fn is_interrupted(store: &dyn Store, row: &BackfillRow) -> Result<bool> {
    let rows = std::slice::from_ref(row);
    let is_open = row.status == Status::InProgress;
    Ok(is_open && are_run(store, rows, PATIENCE, std::thread::sleep)? != [true])
}

/// Ids of the backfills that have not ended and that no live process runs, newest first.
///
/// # Errors
/// `Storage`.
pub fn interrupted(store: &dyn Store) -> Result<Vec<String>> {
    let owners = LiveOwners::now(store)?;
    let rows = store.unfinished()?.into_iter();
    let interrupted = rows.filter(|row| !owners.run(row));
    Ok(interrupted.map(|row| row.request.id).collect())
}

/// The latest failure of a backfill in a line.
///
/// # Errors
/// `Storage`.
pub fn last_error_text(store: &dyn Records, row: &BackfillRow) -> Result<Option<String>> {
    let last = store.last_failure(row.key)?;
    last.map(|last| failure_text(store, row, &last)).transpose()
}

/// The assets with a failure in the backfill, in the order of the request, each with the error that explains
/// most of it: one of a whole run before one of a partition, then the first; `None`: it was only blocked.
///
/// # Errors
/// `Storage`.
pub fn failed_assets(
    store: &dyn Records,
    row: &BackfillRow,
) -> Result<Vec<(String, Option<Cause>)>> {
    let mut chosen: BTreeMap<u32, FailureRow> = BTreeMap::new();
    let weight = |failure: &FailureRow| (failure.cause.is_none(), failure.partition.is_some());
    for failure in store.failures(row.key, None)? {
        let known = chosen.entry(failure.asset).or_insert(failure);
        if weight(&failure) < weight(known) {
            *known = failure;
        }
    }
    let ids: Vec<i64> = chosen
        .values()
        .filter_map(|failure| failure.cause)
        .collect();
    let causes: HashMap<i64, Cause> = store.errors(&ids)?.into_iter().collect();
    let assets = &row.request.assets;
    Ok(chosen
        .into_iter()
        .filter_map(|(index, failure)| {
            let asset = assets.get(index as usize)?;
            let cause = failure.cause.and_then(|id| causes.get(&id));
            Some((asset.name.clone(), cause.cloned()))
        })
        .collect())
}

/// The partitions that a resume of a backfill executes, because their runs have not ended: for each layer.
///
/// # Errors
/// `Storage`.
pub fn pending(store: &dyn Records, row: &BackfillRow) -> Result<Vec<Selection>> {
    let plan = store.plan(row.key)?;
    let mut ended = store.runs(row.key, 0..u64::MAX)?;
    ended.iter_mut().for_each(|run| run.failed = 0);
    let layers = plan.layers().iter().enumerate().map(|(at, layer)| {
        let done = outcome::done(&plan, at, &ended, &Failures::default(), None);
        layer.selection().difference(&done)
    });
    Ok(layers.collect())
}

/// The partitions that a rerun of a backfill executes, because they did not complete: for each layer, in the
/// backfill's order.
///
/// # Errors
/// `Storage`.
pub fn uncompleted(store: &dyn Records, row: &BackfillRow) -> Result<Vec<Selection>> {
    let plan = store.plan(row.key)?;
    // Runs first: their failures are committed with them, and another commit may come in between.
    let ended = store.runs(row.key, 0..u64::MAX)?;
    let failures: Failures = store.failures(row.key, None)?.into_iter().collect();
    let layers = plan.layers().iter().enumerate().map(|(at, layer)| {
        let done = outcome::done(&plan, at, &ended, &failures, None);
        layer
            .selection()
            .difference(&done)
            .arranged_as(layer.selection())
    });
    layers.collect()
}
