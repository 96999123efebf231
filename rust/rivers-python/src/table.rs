//! The status tables in Arrow form, which `rivers.status.tables` converts to Polars frames.

use std::sync::Arc;

use arrow_array::RecordBatch;
use hashbrown::HashMap;
use pyo3::prelude::*;
use rivers_core::Error;
use rivers_core::backfill::outcome::rows_of;
use rivers_core::backfill::{Cause, MetadataRow, Status};
use rivers_core::store::BackfillRow;
use rivers_core::store::queries::asset_state::left_by_attempts;
use rivers_core::store::queries::backfills::LiveOwners;
use rivers_core::table::{
    self, AssetHistory, BackfillEntry, BackfillView, MaterializationStatus, PartitionFilter,
    PartitionStatus, RunStatus, Verdict,
};

use crate::arrow::ArrowTable;
use crate::asset_state::Staleness;
use crate::engine::Engine;
use crate::error::Result;
use crate::selection::Selection;
use crate::store::Store;

/// The states by which a table is filtered.
fn states<T>(
    names: Option<Vec<String>>,
    parse: fn(&str) -> rivers_core::Result<T>,
) -> rivers_core::Result<Option<Vec<T>>> {
    names
        .map(|names| names.iter().map(|name| parse(name)).collect())
        .transpose()
}

#[pymethods]
impl Selection {
    /// A table with one row per partition and its dimension columns.
    pub(crate) fn table(&self, py: Python<'_>) -> Result<ArrowTable> {
        Ok(py.detach(|| table::selection(&self.selection))?.into())
    }
}

/// Builds a table from the records of one backfill; error texts are loaded only on request.
fn with_view(
    store: &Store,
    id: &str,
    errors: bool,
    build: impl FnOnce(&rivers_core::plan::Plan, &BackfillView<'_>) -> rivers_core::Result<RecordBatch>,
) -> rivers_core::Result<RecordBatch> {
    let store = &*store.store;
    let row = store
        .find(id)?
        .ok_or_else(|| Error::BackfillNotFound(id.to_owned()))?;
    let plan = store.plan(row.key)?;
    // Runs first: what is said of a run is committed with it, and another commit may come in between.
    let runs = store.runs(row.key, 0..u64::MAX)?;
    let failures = store.failures(row.key, None)?;
    let skips = store.skips(row.key, None)?;
    let attempts = store.attempts(row.key)?;
    let failed = failures.iter().filter_map(|failure| failure.cause);
    let mut ids: Vec<i64> = failed.chain(attempts.iter().map(|row| row.cause)).collect();
    ids.sort_unstable();
    ids.dedup();
    if !errors {
        ids.clear();
    }
    let causes: HashMap<i64, Cause> = store.errors(&ids)?.into_iter().collect();
    let view = BackfillView {
        id,
        status: row.status,
        runs: &runs,
        in_flight: &row.in_flight,
        failures: &failures,
        skips: &skips,
        attempts: &attempts,
        causes: &causes,
    };
    build(&plan, &view)
}

#[pyfunction]
pub(crate) fn backfill_partitions(
    py: Python<'_>,
    store: &Store,
    id: &str,
    layer: usize,
    status: Option<Vec<String>>,
    run_id: bool,
    errors: bool,
) -> Result<ArrowTable> {
    let table = py.detach(|| {
        let filter = PartitionFilter {
            status: states(status, PartitionStatus::parse)?,
            run_id,
        };
        with_view(store, id, errors, |plan, view| {
            table::partitions(plan, layer, view, &filter)
        })
    })?;
    Ok(table.into())
}

#[pyfunction]
pub(crate) fn backfill_runs(
    py: Python<'_>,
    store: &Store,
    id: &str,
    status: Option<Vec<String>>,
) -> Result<ArrowTable> {
    let table = py.detach(|| {
        let filter = states(status, RunStatus::parse)?;
        with_view(store, id, true, |plan, view| {
            table::runs(plan, view, filter.as_deref())
        })
    })?;
    Ok(table.into())
}

#[pyfunction]
pub(crate) fn backfills(
    py: Python<'_>,
    store: &Store,
    engine: Option<&Engine>,
    status: Option<Vec<String>>,
    limit: Option<u64>,
) -> Result<ArrowTable> {
    let table = py.detach(|| {
        let wanted = states(status, parse_status)?;
        let mut rows = match &wanted {
            None => store.store.list_backfills(limit)?,
            Some(_) => store.store.list_backfills(None)?,
        };
        if let Some(wanted) = wanted {
            rows.retain(|row| wanted.contains(&row.status));
            rows.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        }
        let owners = LiveOwners::now(&*store.store)?;
        let first = |row: &BackfillRow| match row.counts.failed {
            0 => Ok(None),
            _ => store.store.first_failure(row.key),
        };
        let failures: Vec<_> = rows.iter().map(first).collect::<rivers_core::Result<_>>()?;
        let entry = |(row, failure)| {
            Ok(BackfillEntry {
                row,
                // An engine also knows which of its own backfills were aborted.
                owner_alive: match engine {
                    Some(engine) => engine.engine.has_live_owner(row)?,
                    None => owners.run(row),
                },
                first_failure: Option::as_ref(failure),
            })
        };
        let entries: Vec<BackfillEntry<'_>> = rows
            .iter()
            .zip(&failures)
            .map(entry)
            .collect::<rivers_core::Result<_>>()?;
        table::backfills(&entries, owners.time().0)
    })?;
    Ok(table.into())
}

fn parse_status(name: &str) -> rivers_core::Result<Status> {
    let all = [
        Status::InProgress,
        Status::Completed,
        Status::Failed,
        Status::Canceled,
    ];
    all.into_iter()
        .find(|status| status.name() == name)
        .ok_or_else(|| {
            Error::Configuration(format!(
                "there is no status {name:?}; it is one of {}",
                rivers_core::error::some_of(all.iter().map(|status| status.name()))
            ))
        })
}

#[pyfunction]
pub(crate) fn partition_status(
    py: Python<'_>,
    store: &Store,
    asset: &str,
    status: Option<Vec<String>>,
    metadata: bool,
    gone: &Selection,
    stale: &Staleness,
) -> Result<ArrowTable> {
    let table = py.detach(|| {
        let filter = states(status, MaterializationStatus::parse)?;
        let (histories, reasons) = histories(&*store.store, asset, metadata)?;
        let verdict = Verdict {
            reports: &store.store.reports(asset)?,
            gone: &gone.selection,
            stale: stale.stale.by_reason(),
        };
        table::partition_status(
            gone.selection.space(),
            &histories,
            verdict,
            &reasons,
            filter.as_deref(),
            metadata,
        )
    })?;
    Ok(table.into())
}

fn histories(
    store: &dyn rivers_core::store::Store,
    asset: &str,
    metadata: bool,
) -> rivers_core::Result<(Vec<AssetHistory>, HashMap<i64, Cause>)> {
    let (mut histories, mut reasons) = (Vec::new(), Vec::new());
    for row in store.determining(asset)? {
        let Some(place) = row.request.partitioned_asset(asset) else {
            continue;
        };
        let plan = store.plan(row.key)?;
        // Runs first: see `with_view`.
        let runs = store.runs(row.key, 0..u64::MAX)?;
        let skips = store.skips(row.key, None)?;
        let own = plan.runs_of(plan.layer_with(place));
        let left = left_by_attempts(store, row.key, own.clone(), rows_of(&runs, &own))?;
        reasons.extend(skips.iter().map(|skip| skip.reason));
        histories.push(AssetHistory {
            code_version: row.request.assets[place as usize].code_version.clone(),
            facts: row.request.assets[place as usize]
                .facts
                .as_deref()
                .map(Arc::from),
            plan,
            asset: place,
            left,
            runs,
            in_progress: row.status == Status::InProgress,
            failures: store.failures(row.key, None)?.into_iter().collect(),
            metadata: if metadata {
                metadata_of(store, row.key)?
            } else {
                Vec::new()
            },
            skips: skips.into_iter().collect(),
            sessions: row.request.sessions,
            backfill_id: row.request.id,
        });
    }
    reasons.sort_unstable();
    reasons.dedup();
    let reasons = store.errors(&reasons)?.into_iter().collect();
    Ok((histories, reasons))
}

/// The metadata of a backfill, with its texts.
fn metadata_of(
    store: &dyn rivers_core::store::Store,
    key: i64,
) -> rivers_core::Result<Vec<(MetadataRow, Arc<str>)>> {
    let rows = store.metadata(key, None)?;
    let mut ids: Vec<i64> = rows.iter().map(|row| row.body).collect();
    ids.sort_unstable();
    ids.dedup();
    let bodies = store.metadata_bodies(&ids)?.into_iter();
    let bodies: HashMap<i64, Arc<str>> = bodies.map(|(id, body)| (id, body.into())).collect();
    let with_text = |row: MetadataRow| Some((row, Arc::clone(bodies.get(&row.body)?)));
    Ok(rows.into_iter().filter_map(with_text).collect())
}
