//! The columns `scope` and `run_ended_at` of `backfill_asset`: which single runs determine the state of an asset.

use rusqlite::{Connection, Result, Transaction, params};

use super::{backfill, failure, segment, skip};
use crate::backfill::{Counts, RunEnd, Status};
use crate::store::encoding::{decode_plan, decode_request, status_code};
use crate::store::queries::scope::{Ending, Scopes, endings, is_end_of_one, recorded_end, run_end};
use crate::store::records::{BackfillRow, Commit, Key};

/// Records how the only run of a backfill ended, if the commit ends it.
pub(super) fn end(transaction: &Transaction<'_>, commit: &Commit) -> Result<()> {
    if !is_end_of_one(commit) {
        return Ok(());
    }
    let end = match run_end(commit) {
        Some(end) => Some(end),
        None => recorded(transaction, commit.key, commit.counts)?,
    };
    match end {
        Some(end) => record(transaction, commit.key, &end),
        None => Ok(()),
    }
}

/// The end of the only run of a backfill, if it can be read.
fn recorded(connection: &Connection, key: Key, counts: Counts) -> Result<Option<RunEnd>> {
    let segments = segment::select(connection, key, &(0..1))?;
    let mut runs = segments.iter().flat_map(|own| own.rows(0..1));
    let Some(Ok(run)) = runs.next() else {
        return Ok(None);
    };
    let failures = failure::select(connection, key, None)?;
    let skips = skip::select(connection, key, None)?;
    Ok(Some(recorded_end(run, counts, &failures, &skips)))
}

fn record(transaction: &Transaction<'_>, key: Key, end: &RunEnd) -> Result<()> {
    let (at, endings) = endings(end);
    let rows: Vec<(u32, String, Vec<u8>)> = transaction
        .prepare_cached(
            "SELECT own.key, asset, scope
             FROM backfill JOIN json_each(request, '$.assets') AS own
             JOIN backfill_asset ON asset = own.value ->> '$.name' AND backfill = backfill.key
             WHERE backfill.key = ?1 AND scope IS NOT NULL",
        )?
        .query_map([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_>>()?;
    let mut update = transaction.prepare_cached(
        "UPDATE backfill_asset SET scope = ?3, run_ended_at = ?4 WHERE asset = ?1 AND backfill = ?2",
    )?;
    for (place, asset, mut scope) in rows {
        let other = endings.iter().find(|(own, _)| *own == place);
        if let Some(ending) = other.map_or(Some(Ending::Made), |(_, ending)| *ending) {
            scope.insert(0, ending as u8);
            update.execute(params![asset, key, scope, at])?;
        }
    }
    Ok(())
}

/// The backfills that determine the state of an asset, the newest first: of ended runs with one scope the last.
pub(super) fn determining(connection: &Connection, asset: &str) -> Result<Vec<BackfillRow>> {
    let sql = format!(
        "WITH RECURSIVE own (scope) AS (
             SELECT min(scope) FROM backfill_asset INDEXED BY backfill_asset_by_scope
             WHERE asset = ?1 AND run_ended_at IS NOT NULL
             UNION ALL
             SELECT (SELECT min(scope) FROM backfill_asset INDEXED BY backfill_asset_by_scope
                     WHERE asset = ?1 AND run_ended_at IS NOT NULL AND scope > own.scope)
             FROM own WHERE scope IS NOT NULL)
         SELECT {} FROM backfill WHERE key IN (
             SELECT backfill FROM backfill_asset INDEXED BY backfill_asset_others
             WHERE asset = ?1 AND run_ended_at IS NULL
             UNION ALL
             SELECT (SELECT backfill FROM backfill_asset INDEXED BY backfill_asset_by_scope
                     WHERE asset = ?1 AND run_ended_at IS NOT NULL AND scope = own.scope
                     ORDER BY run_ended_at DESC, backfill DESC LIMIT 1)
             FROM own WHERE scope IS NOT NULL)
         ORDER BY key DESC",
        backfill::COLUMNS
    );
    backfill::select(connection, &sql, &[&asset])
}

/// The backfills of an asset, the newest first; of those of one run that have ended, the `limit` that ended last.
pub(super) fn latest(connection: &Connection, asset: &str, limit: u64) -> Result<Vec<BackfillRow>> {
    let sql = format!(
        "SELECT {} FROM backfill WHERE key IN (
             SELECT backfill FROM backfill_asset INDEXED BY backfill_asset_others
             WHERE asset = ?1 AND run_ended_at IS NULL
             UNION ALL
             SELECT * FROM (SELECT backfill FROM backfill_asset INDEXED BY backfill_asset_by_end
                            WHERE asset = ?1 AND run_ended_at IS NOT NULL
                            ORDER BY run_ended_at DESC, backfill DESC LIMIT ?2))
         ORDER BY key DESC",
        backfill::COLUMNS
    );
    let limit = backfill::bound(Some(limit));
    backfill::select(connection, &sql, &[&asset, &limit])
}

/// Whether any backfill of an asset skipped something.
pub(super) fn has_skipped(connection: &Connection, asset: &str) -> Result<bool> {
    let skipped = [Ending::Skipped as u8];
    let others = [Ending::Skipped as u8 + 1];
    connection
        .prepare_cached(
            "SELECT EXISTS (
                 SELECT 1 FROM backfill_asset INDEXED BY backfill_asset_by_scope
                 WHERE asset = ?1 AND run_ended_at IS NOT NULL AND scope >= ?2 AND scope < ?3)
             OR EXISTS (
                 SELECT 1 FROM backfill_asset AS own INDEXED BY backfill_asset_others
                 WHERE asset = ?1 AND run_ended_at IS NULL
                 AND EXISTS (SELECT 1 FROM skip WHERE skip.backfill = own.backfill))",
        )?
        .query_row(params![asset, &skipped[..], &others[..]], |row| row.get(0))
}

/// Part of a migration: records the scopes of the runs that ended before there were any.
pub(super) fn of_earlier_runs(transaction: &Transaction<'_>) -> Result<()> {
    let keys: Vec<Key> = transaction
        .prepare("SELECT key FROM backfill WHERE num_runs = 1")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    for key in keys {
        of_earlier_run(transaction, key)?;
    }
    Ok(())
}

fn of_earlier_run(transaction: &Transaction<'_>, key: Key) -> Result<()> {
    let (request, status, counts) = transaction
        .prepare_cached(
            "SELECT request, status, completed, failed, canceled, runs_ended FROM backfill WHERE key = ?1",
        )?
        .query_row([key], |row| {
            let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let counts = Counts {
                completed: count(2)?,
                failed: count(3)?,
                canceled: count(4)?,
                runs_ended: count(5)?,
            };
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, counts))
        })?;
    let (space, plan) = backfill::encoded_plan(transaction, key)?;
    let (Ok(request), Ok(decoded)) = (decode_request(&request), decode_plan(&space, &plan)) else {
        return Ok(()); // Those who look at it say that it is damaged.
    };
    let scopes = Scopes::new(&decoded, &space, &plan);
    let mut update = transaction.prepare_cached(
        "UPDATE backfill_asset SET scope = ?3 WHERE asset = ?1 AND backfill = ?2",
    )?;
    for (asset, scope) in request.assets.iter().zip(scopes.of(&request)) {
        update.execute(params![asset.name, key, scope])?;
    }
    if status == status_code(Status::InProgress) || counts.runs_ended != 1 {
        return Ok(());
    }
    match recorded(transaction, key, counts)? {
        Some(end) => record(transaction, key, &end),
        None => Ok(()),
    }
}
