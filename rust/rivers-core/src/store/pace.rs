//! How fast does a backfill go, and how long does a partition take? Both look at few records, however
//! many there are.

use super::{BackfillRow, Store};
use crate::backfill::Status;
use crate::clock::{Micros, SECOND};
use crate::error::Result;

/// How far back the rate of a backfill looks.
const WINDOW: Micros = 60 * SECOND;
/// Fewer runs than these say too little: then it looks back further.
const ENOUGH: u64 = 8;
/// Backfills and runs that an estimate looks at, the latest.
const BACKFILLS: u64 = 50;
const RUNS: u64 = 1_000;

/// Partitions a second that a backfill has ended lately; `None` where that is not known: it has ended,
/// it is paused, or none of its runs has ended.
///
/// Runs are started in the order of their numbers, so that those below what is in flight are the latest:
/// it looks ever further back from there, twice as far each time.
///
/// # Errors
/// `Storage`.
pub fn rate(store: &dyn Store, row: &BackfillRow, now: Micros) -> Result<Option<f64>> {
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
        let enough = |found: Option<(u64, Micros)>| found.is_some_and(|(ended, _)| ended >= ENOUGH);
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

/// Seconds that the assets have taken for a partition lately, one run at a time: together, or else each
/// by itself; `None` where one of them has no completed run.
///
/// # Errors
/// `Storage`.
pub fn seconds_per_partition(store: &dyn Store, assets: &[&str]) -> Result<Option<f64>> {
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

/// By the latest backfill of just these assets that has a completed run.
fn seconds_together(store: &dyn Store, assets: &[&str]) -> Result<Option<f64>> {
    let Some(first) = assets.first() else {
        return Ok(None);
    };
    for row in store.list(Some(first), Some(BACKFILLS))? {
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
        let latest = (last.run + 1).saturating_sub(RUNS)..last.run + 1;
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
