//! What happened to assets, as events. Nothing is recorded for them: they follow from runs, failures, attempts,
//! metadata and what users reported.

use std::cmp::Reverse;

use hashbrown::{HashMap, HashSet};

use super::run_records::{BackfillRecords, Draft, RunRecords};
pub use super::run_records::{EventKind, EventPartitions};
use crate::backfill::request::{parse_run_id, run_id};
use crate::backfill::{Cause, Report, ReportKind};
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Key, Space};
use crate::store::Records;
use crate::store::records::BackfillRow;

/// The error type of a partition that was marked as failed with a message.
const MARKED: &str = "mark_partition_failed";

/// Something that happened to an asset.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// A text that no other event has.
    pub id: String,
    /// The asset's name.
    pub asset: String,
    /// The run's id; empty for what a user reported.
    pub run_id: String,
    /// Its partitions.
    pub partitions: EventPartitions,
    /// When the record that it follows from was made: the start or the end of the run.
    pub at: Micros,
    /// The error of a failure or a retry.
    pub error: Option<String>,
    /// Facts about what was materialized: a JSON object.
    pub metadata: Option<String>,
    /// The version of the asset's code, if it declared one.
    pub code_version: Option<String>,
}

/// The events of a run, oldest first; none for an unknown run.
///
/// # Errors
/// `Storage`.
pub fn of_run(store: &dyn Records, id: &str) -> Result<Vec<Event>> {
    let Some((row, run)) = find(store, id)? else {
        return Ok(Vec::new());
    };
    let records = BackfillRecords::of_run(store, &row, run)?;
    let Some(own) = records.run(run) else {
        return Ok(Vec::new());
    };
    let layer = records.plan.layer_of(run);
    let assets = 0..row.request.assets.len() as u32;
    let mut drafts: Vec<Draft> = assets
        .filter(|&asset| records.plan.has_asset(layer, asset))
        .flat_map(|asset| records.drafts(own, asset, usize::MAX))
        .collect();
    drafts.sort_by_key(|draft| draft.at);
    resolve(store, &records, drafts)
}

/// Up to `limit` events of an asset, newest first.
///
/// # Errors
/// `Storage`.
pub fn of_asset(store: &dyn Records, asset: &str, limit: usize) -> Result<Vec<Event>> {
    let reports = store.reports(asset)?;
    let mut found: Vec<Event> = reports.into_iter().map(of_report).collect();
    found.sort_by_key(|event| Reverse(event.at));
    found.truncate(limit);
    for row in store.list(Some(asset), None)? {
        let is_older = |last: &Event| row.ended_at.is_some_and(|ended| ended < last.at);
        if found.len() >= limit && (limit == 0 || found.last().is_some_and(is_older)) {
            continue;
        }
        found.extend(newest(store, &row, asset, limit, |_| true)?);
        found.sort_by_key(|event| Reverse(event.at));
        found.truncate(limit);
    }
    Ok(found)
}

fn of_report(report: Report) -> Event {
    let kind = match report.kind {
        ReportKind::Materialized => EventKind::Reported,
        ReportKind::Forgotten => EventKind::Forgotten,
    };
    Event {
        kind,
        id: format!("report/{}/{}/{}", report.asset, report.at, kind.name()),
        asset: report.asset,
        run_id: String::new(),
        partitions: match report.selection.space().dims().is_empty() {
            true => EventPartitions::None,
            false => EventPartitions::Several(report.selection),
        },
        at: report.at,
        error: None,
        metadata: report.metadata,
        code_version: report.code_version,
    }
}

/// The newest materialization of an asset by a run; of the partition with this text, if one is given.
///
/// # Errors
/// `Storage`.
pub fn latest_materialization(
    store: &dyn Records,
    asset: &str,
    partition: Option<&str>,
) -> Result<Option<Event>> {
    let mut latest: Option<Event> = None;
    for row in store.list(Some(asset), None)? {
        let is_older = |known: &Event| row.ended_at.is_some_and(|ended| ended <= known.at);
        if latest.as_ref().is_some_and(is_older) {
            continue;
        }
        let found = match partition {
            None => newest(store, &row, asset, 1, |kind| {
                kind == EventKind::Materialization
            })?
            .pop(),
            Some(text) => of_partition(store, &row, asset, text)?,
        };
        if let Some(event) = found
            && latest.as_ref().is_none_or(|known| event.at > known.at)
        {
            latest = Some(event);
        }
    }
    Ok(latest)
}

/// How many steps of a run have ended, and how many it has: `None` for an unknown run.
///
/// # Errors
/// `Storage`.
pub fn progress(store: &dyn Records, id: &str) -> Result<Option<(u64, u64)>> {
    let Some((row, run)) = find(store, id)? else {
        return Ok(None);
    };
    let plan = store.plan(row.key)?;
    let layer = plan.layer_of(run);
    let assets = row.request.assets.iter().zip(0..);
    let steps: HashSet<&str> = assets
        .filter(|&(_, index)| plan.has_asset(layer, index))
        .map(|(asset, _)| asset.step.as_deref().unwrap_or(&asset.name))
        .collect();
    let steps = steps.len() as u64;
    let has_ended = !store.runs(row.key, run..run + 1)?.is_empty();
    Ok(Some((if has_ended { steps } else { 0 }, steps)))
}

fn find(store: &dyn Records, id: &str) -> Result<Option<(BackfillRow, u64)>> {
    let Some((backfill, run)) = parse_run_id(id) else {
        return Ok(None);
    };
    let row = store.find(backfill)?.filter(|row| run < row.num_runs);
    Ok(row.map(|row| (row, run)))
}

/// The newest events of an asset in one backfill.
fn newest(
    store: &dyn Records,
    row: &BackfillRow,
    asset: &str,
    limit: usize,
    keeps: impl Fn(EventKind) -> bool,
) -> Result<Vec<Event>> {
    let Some(index) = index_of(row, asset) else {
        return Ok(Vec::new());
    };
    let records = BackfillRecords::of_asset(store, row, index)?;
    let mut runs: Vec<&RunRecords> = records.runs.iter().collect();
    runs.sort_by_key(|run| Reverse((run.last_at(), run.number)));
    let mut drafts: Vec<Draft> = Vec::new();
    let mut contributed = 0;
    // Each of the runs that ended last has an event at its end, so those that ended before the `limit`-th of
    // them have none among the newest.
    for run in runs {
        if contributed >= limit {
            break;
        }
        let before = drafts.len();
        let own = records.drafts(run, index, limit).into_iter();
        drafts.extend(own.filter(|draft| keeps(draft.kind)));
        contributed += usize::from(drafts.len() > before);
    }
    // Newest first; events of one time in the reverse of their order.
    drafts.sort_by_key(|draft| draft.at);
    drafts.reverse();
    drafts.truncate(limit);
    resolve(store, &records, drafts)
}

/// The materialization of a partition in one backfill.
fn of_partition(
    store: &dyn Records,
    row: &BackfillRow,
    asset: &str,
    text: &str,
) -> Result<Option<Event>> {
    let Some(index) =
        index_of(row, asset).filter(|&at| row.request.assets[at as usize].partitioned)
    else {
        return Ok(None);
    };
    let plan = store.plan(row.key)?;
    let at = plan.layer_with(index);
    let layer = &plan.layers()[at];
    let Some(partition) = partition_of(layer.selection().space(), text) else {
        return Ok(None);
    };
    let Some(run) = layer.run_of(partition) else {
        return Ok(None);
    };
    let records = BackfillRecords::of_run(store, row, plan.runs_of(at).start + run)?;
    let draft = records.runs.first().and_then(|run| {
        let mut drafts = records.drafts(run, index, usize::MAX).into_iter();
        drafts.find(|draft| {
            draft.kind == EventKind::Materialization && draft.partition == Some(partition)
        })
    });
    Ok(resolve(store, &records, draft.into_iter().collect())?.pop())
}

fn index_of(row: &BackfillRow, asset: &str) -> Option<u32> {
    let assets = &row.request.assets;
    let index = assets.iter().position(|own| own.name == asset)?;
    Some(index as u32)
}

/// The partition with this text: `us`, or `date=2024-01-01|region=us`.
fn partition_of(space: &Space, text: &str) -> Option<u64> {
    let key = if space.is_multi() {
        let named = text.split('|').map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((name.to_owned(), vec![value.to_owned()]))
        });
        Key::multi(named.collect::<Option<_>>()?)
    } else {
        Key::single(vec![text.to_owned()])
    };
    let located = key.ok()?.locate(space).ok()?;
    let indices: Option<Vec<u32>> = located.iter().map(|own| own.first().copied()).collect();
    Some(space.partition(&indices?))
}

/// The events, with the texts that they refer to.
fn resolve(
    store: &dyn Records,
    records: &BackfillRecords<'_>,
    drafts: Vec<Draft>,
) -> Result<Vec<Event>> {
    let bodies = records.metadata(store, &drafts)?;
    let mut ids: Vec<i64> = drafts.iter().filter_map(|draft| draft.cause).collect();
    ids.sort_unstable();
    ids.dedup();
    let causes: HashMap<i64, Cause> = store.errors(&ids)?.into_iter().collect();
    let request = &records.row.request;
    let blocked = |draft: &Draft| {
        let cause = draft.cause.and_then(|id| causes.get(&id));
        cause.is_some_and(|cause| cause.traceback.is_none())
    };
    // What failed as a whole without an exception was not executed.
    let not_started: HashSet<(u64, u32)> = drafts
        .iter()
        .filter(|draft| draft.kind == EventKind::StepFailure && draft.partition.is_none())
        .filter(|draft| blocked(draft))
        .map(|draft| (draft.run, draft.asset))
        .collect();
    let is_shown = |draft: &&Draft| {
        draft.kind != EventKind::StepStart || !not_started.contains(&(draft.run, draft.asset))
    };
    let event = |draft: &Draft| {
        let asset = request.asset_in(request.session_of(draft.at), draft.asset);
        let run_id = run_id(&request.id, draft.run);
        let number = draft.partition.or(draft.attempt.map(u64::from));
        let number = number.map_or_else(String::new, |number| format!("/{number}"));
        Event {
            kind: draft.kind,
            id: format!("{run_id}/{}/{}{number}", asset.name, draft.kind.name()),
            asset: asset.name.clone(),
            partitions: records.partitions(draft),
            at: draft.at,
            error: draft.cause.and_then(|id| causes.get(&id)).map(error_text),
            metadata: bodies.get(draft, asset),
            code_version: asset.code_version.clone(),
            run_id,
        }
    };
    Ok(drafts.iter().filter(is_shown).map(event).collect())
}

/// The error as an event shows it: of a mark only what was given.
fn error_text(cause: &Cause) -> String {
    if cause.error_type == MARKED {
        return cause.message.clone();
    }
    format!("{}: {}", cause.error_type, cause.message)
}
