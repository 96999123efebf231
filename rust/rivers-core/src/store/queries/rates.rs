//! How fast a backfill proceeds, and how long a partition takes. Both read few records, whatever the number of
//! runs.

use crate::backfill::Status;
use crate::clock::{Micros, SECOND};
use crate::error::Result;
use crate::store::queries::backfills::LiveOwners;
use crate::store::records::{BackfillRow, StorageTime};
use crate::store::{Records, Store};

/// A rate is measured over this time.
const WINDOW: Micros = 60 * SECOND;
/// With fewer ended runs than this in the window, an earlier time is included.
const MIN_RUNS: u64 = 8;
/// Maximum number of latest backfills, and of latest runs of one, that an estimate reads.
const MAX_BACKFILLS: u64 = 50;
const MAX_RUNS: u64 = 1_000;

/// Partitions that a backfill completed or failed per second, lately. `None` if it has ended or is paused, or
/// if none of its runs has ended.
///
/// Runs start in the order of their numbers, so that the latest are those just below the runs in flight. The
/// search goes back from there, twice as far in each step.
///
/// # Errors
/// `Storage`.
pub fn rate(store: &dyn Records, row: &BackfillRow, now: StorageTime) -> Result<Option<f64>> {
    let StorageTime(now) = now;
    if row.status != Status::InProgress || row.paused || row.counts.runs_ended == 0 {
        return Ok(None);
    }
    let in_flight = row.in_flight.len() as u64;
    let front = row.in_flight.iter().map(|&(run, _)| run).max();
    let front = front.unwrap_or(row.num_runs);
    let mut found: Option<(u64, Micros)> = None;
    let mut distance = in_flight + 1;
    loop {
        let seen = match front.checked_sub(distance) {
            Some(number) => store.run_before(row.key, number + 1)?,
            None => None,
        };
        let (ended, since) = match seen {
            Some(run) => (
                (front - run.run).saturating_sub(in_flight.max(1)),
                run.ended_at,
            ),
            None => {
                let first = store.runs(row.key, 0..1)?.pop();
                let since = first.map_or(row.request.created_at, |run| run.started_at);
                (row.counts.runs_ended, since)
            }
        };
        let old = since < now.saturating_sub(WINDOW);
        let enough =
            |found: Option<(u64, Micros)>| found.is_some_and(|(ended, _)| ended >= MIN_RUNS);
        if !(old && enough(found)) {
            found = Some((ended, since));
        }
        if seen.is_none() || old && enough(found) {
            break;
        }
        distance *= 2;
    }
    let per_run = row.num_partitions as f64 / row.num_runs as f64;
    Ok(found.and_then(|(ended, since)| {
        let took = now.saturating_sub(since);
        (ended > 0 && took > 0).then(|| ended as f64 * per_run * SECOND as f64 / took as f64)
    }))
}

/// The rate of a backfill that a live process runs; `None` for all others.
///
/// # Errors
/// `Storage`.
pub fn live_rate(store: &dyn Store, row: &BackfillRow) -> Result<Option<f64>> {
    let owners = LiveOwners::now(store)?;
    if !owners.run(row) {
        return Ok(None);
    }
    rate(store, row, owners.time())
}

/// Seconds that the assets took for a partition lately, one run at a time: in backfills of all of them, or else
/// the sum of each by itself. `None` if one of them has no completed run.
///
/// # Errors
/// `Storage`.
pub fn seconds_per_partition(store: &dyn Records, assets: &[&str]) -> Result<Option<f64>> {
    if let together @ Some(_) = seconds_together(store, assets)? {
        return Ok(together);
    }
    let mut sum = 0.0;
    for asset in assets {
        match seconds_together(store, &[asset])? {
            Some(seconds) => sum += seconds,
            None => return Ok(None),
        }
    }
    Ok((!assets.is_empty()).then_some(sum))
}

/// By the latest backfill of exactly these assets that has a completed run.
fn seconds_together(store: &dyn Records, assets: &[&str]) -> Result<Option<f64>> {
    let Some(first) = assets.first() else {
        return Ok(None);
    };
    for row in store.list(Some(first), Some(MAX_BACKFILLS))? {
        let requested = &row.request.assets;
        let same = requested.len() == assets.len()
            && requested
                .iter()
                .all(|asset| asset.partitioned && assets.contains(&asset.name.as_str()));
        let Some(last) = (if same {
            store.run_before(row.key, row.num_runs)?
        } else {
            None
        }) else {
            continue;
        };
        let plan = store.plan(row.key)?;
        let latest = (last.run + 1).saturating_sub(MAX_RUNS)..last.run + 1;
        let (mut took, mut partitions) = (0, 0);
        for run in store.runs(row.key, latest)? {
            if run.failed == 0 {
                took += run.ended_at.saturating_sub(run.started_at).max(0);
                partitions += plan.run_len(run.run);
            }
        }
        if partitions > 0 {
            return Ok(Some(took as f64 / SECOND as f64 / partitions as f64));
        }
    }
    Ok(None)
}
