//! Questions that are answered from the records of one or several backfills.

use std::sync::Arc;

use roaring::RoaringTreemap;

use super::{BackfillRow, Key, OneFailure, Store};
use crate::backfill::{Failures, Status, outcome};
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Members, PositionSet, Selection, Space};

/// What a person is told of a failed backfill: the first failure, how many partitions failed, and why it
/// stopped early, if it did.
///
/// # Errors
/// `Storage`.
pub fn error_text(store: &dyn Store, row: &BackfillRow) -> Result<Option<String>> {
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
    Ok(Some(format!(
        "{text} ({failed} of {total} partitions failed{stopped})"
    )))
}

/// One failure in a line.
///
/// # Errors
/// `Storage`.
pub fn failure_text(store: &dyn Store, row: &BackfillRow, failure: &OneFailure) -> Result<String> {
    let plan = store.plan(row.key)?;
    let partitions = plan.run(failure.run);
    let partition = failure.partition.unwrap_or_else(|| partitions.nth(0));
    let text = partitions.space().text(partition);
    let more = match failure.partition {
        None if partitions.len() > 1 => format!(" and {} more of its run", partitions.len() - 1),
        _ => String::new(),
    };
    let whose = if text.is_empty() {
        String::new()
    } else {
        format!(" for the partition {text:?}{more}")
    };
    let asset = row
        .request
        .assets
        .get(failure.asset as usize)
        .map_or("?", |asset| &asset.name);
    let cause = &failure.cause;
    Ok(format!(
        "the asset {asset:?} failed{whose}: {}: {}",
        cause.error_type, cause.message
    ))
}

/// Whether a process that lives runs the backfill.
pub fn has_live_owner(store: &dyn Store, row: &BackfillRow, now: Micros) -> bool {
    let lease = row.lease.as_ref();
    lease.is_some_and(|lease| lease.expires_at > now && store.is_alive(&lease.owner))
}

/// The partitions of a backfill for which an asset was materialized, in the space they had then.
fn made(store: &dyn Store, key: Key, asset: u32) -> Result<(Arc<Space>, RoaringTreemap)> {
    let plan = store.plan(key)?;
    let layer = plan.layer_with(asset);
    let failures: Failures = store.failures(key, None)?.into_iter().collect();
    let ended = store.runs(key, plan.runs_of(layer))?;
    let done = outcome::done(&plan, layer, &ended, &failures, Some(asset));
    Ok((Arc::clone(plan.layers()[layer].selection().space()), done))
}

/// The partitions of a backfill that were not completed, layer by layer and in its order: what a rerun
/// executes.
///
/// # Errors
/// `Storage`.
pub fn uncompleted(store: &dyn Store, row: &BackfillRow) -> Result<Vec<Selection>> {
    let plan = store.plan(row.key)?;
    let failures: Failures = store.failures(row.key, None)?.into_iter().collect();
    let ended = store.runs(row.key, 0..u64::MAX)?;
    let layers = plan.layers().iter().enumerate().map(|(at, layer)| {
        let done = outcome::done(&plan, at, &ended, &failures, None);
        layer
            .selection()
            .difference(&done)
            .arranged_as(layer.selection())
    });
    layers.collect()
}

/// All partitions for which the asset was ever materialized, whatever its definition was then: one
/// selection per space, the newest first, each key in one of them only.
///
/// # Errors
/// `Storage`.
pub fn ever_materialized(store: &dyn Store, asset: &str) -> Result<Vec<Selection>> {
    let mut spaces: Vec<(Arc<Space>, RoaringTreemap)> = Vec::new();
    for row in store.list(Some(asset), None)? {
        let Some(place) = row.request.partitioned_asset(asset) else {
            continue;
        };
        let (then, done) = made(store, row.key, place)?;
        if let Some((_, known)) = spaces.iter_mut().find(|(space, _)| **space == *then) {
            *known |= done;
            continue;
        }
        let mut own = RoaringTreemap::new();
        for partition in done {
            let newer = spaces.iter_mut().find_map(|(space, known)| {
                then.translate(space, partition).map(|there| (known, there))
            });
            match newer {
                Some((known, there)) => known.insert(there),
                None => own.insert(partition),
            };
        }
        spaces.push((then, own));
    }
    let selection =
        |(space, set)| Selection::new(space, Members::Explicit(PositionSet::ascending(set)));
    Ok(spaces.into_iter().map(selection).collect())
}

/// The partitions of the space for which the asset is materialized.
///
/// # Errors
/// `Storage`.
pub fn materialized(store: &dyn Store, asset: &str, space: &Arc<Space>) -> Result<Selection> {
    let mut all = RoaringTreemap::new();
    for row in store.list(Some(asset), None)? {
        let Some(place) = row.request.partitioned_asset(asset) else {
            continue;
        };
        let (then, done) = made(store, row.key, place)?;
        if *then == **space {
            all |= done;
        } else {
            all.extend(
                done.iter()
                    .filter_map(|partition| then.translate(space, partition)),
            );
        }
    }
    let members = Members::Explicit(PositionSet::ascending(all));
    Ok(Selection::new(Arc::clone(space), members))
}
