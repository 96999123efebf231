//! Which partitions of an asset failed last: nothing that happened since made them.

use roaring::RoaringTreemap;

use super::outcome::Availability;
use super::state::AssetState;
use crate::backfill::session::{left_out, session_at};
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Members, PositionSet, Selection};
use crate::store::Records;
use crate::store::queries::error_groups::for_each_failed;

/// The partitions of the state's asset whose last run failed.
///
/// # Errors
/// `Storage`.
pub fn failed(store: &dyn Records, asset: &str, state: &AssetState) -> Result<Selection> {
    let space = &state.space;
    let reports: Vec<(Micros, Selection)> = store
        .reports(asset)?
        .into_iter()
        .map(|report| (report.at, report.selection.same_in(space)))
        .collect();
    let mut found = RoaringTreemap::new();
    for row in store.determining(asset)? {
        let index = row.request.asset_index(asset, !space.dims().is_empty());
        let Some(index) = index.filter(|_| row.counts.failed > 0) else {
            continue;
        };
        let mut failures = store.failures(row.key, None)?;
        failures.retain(|failure| failure.asset == index);
        if failures.is_empty() {
            continue;
        }
        let plan = store.plan(row.key)?;
        let then = plan.layers()[plan.layer_with(index)].selection().space();
        let has_same_space = **then == **space;
        let sessions = &row.request.sessions;
        let first = left_out(&plan, index, sessions.first());
        let later = sessions.iter().skip(1);
        let later: Vec<_> = later.map(|own| own.left_out(&plan, index)).collect();
        for_each_failed(store, row.key, failures, |run, rows| {
            let before = match session_at(sessions, run.started_at) {
                0 => first.as_deref(),
                session => later[session - 1].as_deref(),
            };
            let mut add = |partition: u64| -> Result<()> {
                // What was materialized before is not part of the backfill.
                if before.is_some_and(|before| before.contains(partition)) {
                    return Ok(());
                }
                let here = match has_same_space {
                    true => Some(partition),
                    false => then.same_partition(space, partition),
                };
                if let Some(here) = here
                    && !is_overruled(store, state, &reports, here, run.ended_at)?
                {
                    found.insert(here);
                }
                Ok(())
            };
            if rows.iter().any(|failure| failure.partition.is_none()) {
                plan.run(run.run).iter().try_for_each(&mut add)
            } else {
                let own = rows.iter().filter_map(|failure| failure.partition);
                own.into_iter().try_for_each(&mut add)
            }
        })?;
    }
    let members = Members::Explicit(PositionSet::ascending(found));
    Ok(Selection::new(std::sync::Arc::clone(space), members))
}

/// Whether anything happened to a partition since it failed.
fn is_overruled(
    store: &dyn Records,
    state: &AssetState,
    reports: &[(Micros, Selection)],
    partition: u64,
    failed_at: Micros,
) -> Result<bool> {
    let is_reported =
        |(at, selection): &(Micros, Selection)| *at >= failed_at && selection.contains(partition);
    if reports.iter().any(is_reported) {
        return Ok(true);
    }
    for piece in &state.pieces {
        let source = &piece.source;
        if piece.availability == Availability::Gone
            || source.to < failed_at
            || !piece.partitions.contains(partition)
        {
            continue;
        }
        if source.from >= failed_at || source.times(store, &state.space, partition)?.1 >= failed_at
        {
            return Ok(true);
        }
    }
    Ok(false)
}
