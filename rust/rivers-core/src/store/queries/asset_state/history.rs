//! What was materialized at some time, whatever happened to it later.

use std::sync::Arc;

use super::account::{Account, Part};
use super::outcome::Outcome;
use crate::backfill::ReportKind;
use crate::error::Result;
use crate::space::{Selection, Space};
use crate::store::Records;

/// The partitions of the space which one of these backfills materialized or skipped for an asset.
///
/// # Errors
/// `Storage`.
pub fn materialized_in(
    store: &dyn Records,
    ids: &[String],
    asset: &str,
    space: &Arc<Space>,
) -> Result<Selection> {
    let mut all = Selection::empty(space);
    for id in ids {
        let Some(row) = store.find(id)? else { continue };
        let is_partitioned = !space.dims().is_empty();
        let Some(index) = row.request.asset_index(asset, is_partitioned) else {
            continue;
        };
        for part in Account::of_backfill(store, &row, index, space)?.parts {
            all = all.plus(&part.partitions);
        }
    }
    Ok(all)
}

/// By index of an asset, the partitions of runs that have not ended for which the last attempts materialized or
/// skipped it, so that the next need not.
///
/// # Errors
/// `Storage`.
pub fn done_by_attempts(store: &dyn Records, id: &str) -> Result<Vec<(u32, Selection)>> {
    let Some(row) = store.find(id)? else {
        return Ok(Vec::new());
    };
    let left = store.left(row.key)?;
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let plan = store.plan(row.key)?;
    let mut found = Vec::new();
    for asset in 0..row.request.assets.len() as u32 {
        let layer = plan.layer_with(asset);
        let (runs, own) = (plan.runs_of(layer), plan.layers()[layer].selection());
        let mut all = Selection::empty(own.space());
        for (run, left) in left.iter().filter(|(run, _)| runs.contains(run)) {
            all = all.plus(&left.done(asset, &plan.run(*run)));
        }
        if let Some(before) = plan.materialized(asset) {
            all = all.minus(before);
        }
        if !all.is_empty() {
            found.push((asset, all));
        }
    }
    Ok(found)
}

/// All partitions for which the asset was ever materialized, not only skipped, under any definition: one
/// selection for each space, the newest first. Each key is in one of them only.
///
/// # Errors
/// `Storage`.
pub fn ever_materialized(store: &dyn Records, asset: &str) -> Result<Vec<Selection>> {
    let mut found: Vec<Selection> = Vec::new();
    for row in store.determining(asset)? {
        let Some(index) = row.request.partitioned_asset(asset) else {
            continue;
        };
        let plan = store.plan(row.key)?;
        let space = plan.layers()[plan.layer_with(index)].selection().space();
        let account = Account::of_backfill(store, &row, index, space)?;
        let is_made = |part: &&Part| part.outcome == Outcome::Made;
        for part in account.parts.iter().filter(is_made) {
            add(&mut found, &part.partitions);
        }
    }
    for report in store.reports(asset)? {
        let is_partitioned = !report.selection.space().dims().is_empty();
        if report.kind == ReportKind::Materialized && is_partitioned {
            add(&mut found, &report.selection);
        }
    }
    Ok(found)
}

/// Adds what no selection has yet, to that of the same space.
fn add(found: &mut Vec<Selection>, made: &Selection) {
    let mut left = made.sorted();
    for known in &*found {
        if known.space() != made.space() {
            left = left.minus(&known.same_in(made.space()));
        }
    }
    match found.iter_mut().find(|known| known.space() == made.space()) {
        Some(known) => *known = known.plus(&left),
        None => found.push(left),
    }
}
