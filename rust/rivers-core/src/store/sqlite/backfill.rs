//! The tables `backfill`, `backfill_asset` and `space`.

use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, Transaction, params};
use std::time::Duration;

use super::columns::{damaged, in_flight, stop};
use super::{dynamic, segment};
use crate::backfill::{Change, Counts, NOTIFICATIONS, Request, Status};
use crate::clock::Micros;
use crate::plan::Plan;
use crate::store::digest::digest;
use crate::store::encoding::{
    EncodedBackfill, decode_plan, decode_request, encode_in_flight, encode_request, status_code,
    status_from,
};
use crate::store::records::{BackfillRow, Commit, ControlRequest, Key, Lease, StorageTime};

/// The counts, `in_flight` and `stop` are those of the end; while a backfill is in progress, its newest segment
/// has them. (A join in one statement takes four times as long: SQLite prepares it again for each execution.)
pub(super) const COLUMNS: &str = "key, request, strategy, num_partitions, num_runs, status, completed, failed, \
                       canceled, runs_ended, in_flight, ended_at, cancel_requested, owner, lease_expires_at, \
                       paused, revision, stop, workers";

pub(super) fn create(
    transaction: &Transaction<'_>,
    request: &Request,
    plan: &Plan,
    encoded: &EncodedBackfill,
    lease: Option<&Lease>,
) -> Result<Key> {
    let space = space_id(transaction, &encoded.space)?;
    let status = if lease.is_some() {
        Status::InProgress
    } else {
        Status::Completed
    };
    let ended_at = lease.is_none().then_some(request.created_at);
    let key = transaction
        .prepare_cached(
            "INSERT INTO backfill (id, request, strategy, space, plan, num_partitions, num_runs, status,
                                   ended_at, owner, lease_expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .insert(params![
            request.id,
            encoded.request,
            plan.strategy().to_string(),
            space,
            encoded.plan,
            plan.num_partitions().cast_signed(),
            plan.num_runs().cast_signed(),
            status_code(status),
            ended_at,
            lease.map(|lease| &lease.owner),
            lease.map(|lease| lease.expires_at.0),
        ])?;
    let mut insert = transaction.prepare_cached(
        "INSERT OR IGNORE INTO backfill_asset (asset, backfill, scope) VALUES (?1, ?2, ?3)",
    )?;
    for (asset, scope) in request.assets.iter().zip(encoded.scopes.of(request)) {
        insert.execute(params![asset.name, key, scope])?;
    }
    if !request.notified.is_empty() {
        dynamic::add(transaction, NOTIFICATIONS, &request.notification_keys())?;
    }
    Ok(key)
}

pub(super) fn space_id(transaction: &Transaction<'_>, body: &[u8]) -> Result<i64> {
    let digest = digest(body);
    let known = transaction
        .prepare_cached("SELECT id FROM space WHERE digest = ?1 AND body = ?2")?
        .query_row(params![digest, body], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => transaction
            .prepare_cached("INSERT INTO space (digest, body) VALUES (?1, ?2)")?
            .insert(params![digest, body]),
    }
}

/// Records how a backfill ended, and ends its lease, if the commit is its last.
pub(super) fn end(transaction: &Transaction<'_>, commit: &Commit) -> Result<()> {
    let Some((status, ended_at)) = commit.finished else {
        return Ok(());
    };
    transaction
        .prepare_cached(
            "UPDATE backfill SET status = ?2, completed = ?3, failed = ?4, canceled = ?5, runs_ended = ?6,
                                 in_flight = ?7, ended_at = ?8, owner = NULL, lease_expires_at = NULL,
                                 stop = ?9
             WHERE key = ?1",
        )?
        .execute(params![
            commit.key,
            status_code(status),
            commit.counts.completed.cast_signed(),
            commit.counts.failed.cast_signed(),
            commit.counts.canceled.cast_signed(),
            commit.counts.runs_ended.cast_signed(),
            encode_in_flight(&commit.in_flight)?,
            ended_at,
            commit.stop.map(|stop| stop as u8),
        ])
        .map(|_| ())
}

pub(super) fn renew(
    transaction: &Transaction<'_>,
    lease: &Lease,
    keys: &[Key],
) -> Result<Vec<Key>> {
    let sql = "UPDATE backfill SET lease_expires_at = ?3 WHERE key = ?1 AND owner = ?2";
    let mut update = transaction.prepare_cached(sql)?;
    let mut held = Vec::with_capacity(keys.len());
    for &key in keys {
        if update.execute(params![key, lease.owner, lease.expires_at.0])? == 1 {
            held.push(key);
        }
    }
    Ok(held)
}

pub(super) fn control_requests(
    connection: &Connection,
    owner: &str,
) -> Result<Vec<ControlRequest>> {
    connection
        .prepare_cached(
            "SELECT key, cancel_requested, paused, revision FROM backfill WHERE owner = ?1",
        )?
        .query_map([owner], |row| {
            Ok(ControlRequest {
                key: row.get(0)?,
                cancel: row.get(1)?,
                force_after: force_after(row.get(1)?),
                pause: row.get(2)?,
                revision: row.get::<_, i64>(3)?.cast_unsigned(),
            })
        })?
        .collect()
}

pub(super) fn release(transaction: &Transaction<'_>, key: Key, owner: &str) -> Result<()> {
    let sql =
        "UPDATE backfill SET owner = NULL, lease_expires_at = NULL WHERE key = ?1 AND owner = ?2";
    transaction
        .prepare_cached(sql)?
        .execute(params![key, owner])
        .map(|_| ())
}

pub(super) fn take_over(
    transaction: &Transaction<'_>,
    key: Key,
    previous: Option<&Lease>,
    lease: &Lease,
) -> Result<bool> {
    let changed = transaction
        .prepare_cached(
            "UPDATE backfill SET owner = ?2, lease_expires_at = ?3, workers = NULL
             WHERE key = ?1 AND status = ?4 AND owner IS ?5 AND lease_expires_at IS ?6",
        )?
        .execute(params![
            key,
            lease.owner,
            lease.expires_at.0,
            status_code(Status::InProgress),
            previous.map(|lease| &lease.owner),
            previous.map(|lease| lease.expires_at.0),
        ])?;
    Ok(changed == 1)
}

pub(super) fn set_workers(
    transaction: &Transaction<'_>,
    key: Key,
    owner: &str,
    workers: Option<&str>,
) -> Result<()> {
    transaction
        .prepare_cached("UPDATE backfill SET workers = ?3 WHERE key = ?1 AND owner = ?2")?
        .execute(params![key, owner, workers])
        .map(|_| ())
}

pub(super) fn request_cancel(transaction: &Transaction<'_>, key: Key) -> Result<()> {
    set_cancel_requested(transaction, key, CANCEL)
}

pub(super) fn request_forced_cancel(
    transaction: &Transaction<'_>,
    key: Key,
    after: Duration,
) -> Result<()> {
    let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    set_cancel_requested(transaction, key, FORCED.saturating_add(millis))
}

/// Values of `cancel_requested`: 0, no request; `CANCEL`; from `FORCED` on, a cancel by force after as many
/// milliseconds as the value exceeds it.
const CANCEL: i64 = 1;
const FORCED: i64 = 2;

fn force_after(cancel_requested: i64) -> Option<Duration> {
    let millis = cancel_requested.checked_sub(FORCED)?;
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// A plain cancel leaves a forced one as it is.
fn set_cancel_requested(transaction: &Transaction<'_>, key: Key, value: i64) -> Result<()> {
    let sql = "UPDATE backfill SET cancel_requested = ?3
               WHERE key = ?1 AND status = ?2 AND (?3 > 1 OR cancel_requested = 0)";
    let in_progress = status_code(Status::InProgress);
    transaction
        .prepare_cached(sql)?
        .execute(params![key, in_progress, value])
        .map(|_| ())
}

pub(super) fn set_paused(transaction: &Transaction<'_>, key: Key, paused: bool) -> Result<bool> {
    let sql = "UPDATE backfill SET paused = ?2 WHERE key = ?1 AND status = ?3";
    let in_progress = status_code(Status::InProgress);
    let changed = transaction
        .prepare_cached(sql)?
        .execute(params![key, paused, in_progress])?;
    Ok(changed == 1)
}

pub(super) fn change(transaction: &Transaction<'_>, key: Key, change: &Change) -> Result<bool> {
    let in_progress = status_code(Status::InProgress);
    let text: Option<String> = transaction
        .prepare_cached("SELECT request FROM backfill WHERE key = ?1 AND status = ?2")?
        .query_row(params![key, in_progress], |row| row.get(0))
        .optional()?;
    let Some(text) = text else {
        return Ok(false);
    };
    let mut request = decode_request(&text)?;
    request.change(change);
    let text = encode_request(&request)?;
    transaction
        .prepare_cached("UPDATE backfill SET request = ?2, revision = revision + 1 WHERE key = ?1")?
        .execute(params![key, text])?;
    Ok(true)
}

pub(super) fn find(connection: &Connection, id: &str) -> Result<Option<BackfillRow>> {
    let sql = format!("SELECT {COLUMNS} FROM backfill WHERE id = ?1");
    Ok(select(connection, &sql, &[&id])?.pop())
}

pub(super) fn get(connection: &Connection, key: Key) -> Result<Option<BackfillRow>> {
    let sql = format!("SELECT {COLUMNS} FROM backfill WHERE key = ?1");
    Ok(select(connection, &sql, &[&key])?.pop())
}

pub(super) fn unfinished(connection: &Connection) -> Result<Vec<BackfillRow>> {
    // The literal must equal the condition of a partial index; it is the code of `InProgress`.
    let sql = format!("SELECT {COLUMNS} FROM backfill WHERE status = 0 ORDER BY key DESC");
    select(connection, &sql, &[])
}

/// Reads backfills and, of those in progress, the newest segments, at one point in time.
pub(super) fn select(
    connection: &Connection,
    sql: &str,
    bound: &[&dyn ToSql],
) -> Result<Vec<BackfillRow>> {
    let select = || -> Result<Vec<BackfillRow>> {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_map(bound, read)?.collect()
    };
    let is_live = |row: &BackfillRow| row.status == Status::InProgress;
    let mut rows = select()?;
    if !rows.iter().any(is_live) {
        return Ok(rows);
    }
    // Inside a transaction everything is read at one point in time already.
    let snapshot = match connection.is_autocommit() {
        true => Some(connection.unchecked_transaction()?),
        false => None,
    };
    if snapshot.is_some() {
        rows = select()?;
    }
    for row in rows.iter_mut().filter(|row| is_live(row)) {
        if let Some(standing) = segment::newest(connection, row.key)? {
            (row.counts, row.in_flight) = (standing.counts, standing.in_flight);
            row.stop = standing.stop;
        }
    }
    drop(snapshot);
    Ok(rows)
}

/// A limit for SQLite, where -1 means none.
pub(super) fn bound(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

pub(super) fn list(
    connection: &Connection,
    asset: Option<&str>,
    limit: Option<u64>,
) -> Result<Vec<BackfillRow>> {
    let limit = bound(limit);
    match asset {
        Some(asset) => {
            let sql = format!(
                "SELECT {COLUMNS} FROM backfill_asset JOIN backfill ON key = backfill
                 WHERE asset = ?1 ORDER BY backfill DESC LIMIT ?2"
            );
            select(connection, &sql, &[&asset, &limit])
        }
        None => {
            let sql = format!("SELECT {COLUMNS} FROM backfill ORDER BY key DESC LIMIT ?1");
            select(connection, &sql, &[&limit])
        }
    }
}

pub(super) fn list_backfills(
    connection: &Connection,
    limit: Option<u64>,
) -> Result<Vec<BackfillRow>> {
    // The condition must equal that of a partial index.
    let sql = format!(
        "SELECT {COLUMNS} FROM backfill WHERE instr(request, '\"kind\":\"Manual\"') = 0
         ORDER BY key DESC LIMIT ?1"
    );
    select(connection, &sql, &[&bound(limit)])
}

pub(super) fn count(connection: &Connection) -> Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM backfill")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

pub(super) fn plan(connection: &Connection, key: Key) -> Result<Plan> {
    let (space, plan) = encoded_plan(connection, key)?;
    Ok(decode_plan(&space, &plan)?)
}

/// The space and the plan as they are stored.
pub(super) fn encoded_plan(connection: &Connection, key: Key) -> Result<(Vec<u8>, Vec<u8>)> {
    connection
        .prepare_cached(
            "SELECT body, plan FROM backfill JOIN space ON space.id = space WHERE key = ?1",
        )?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn read(row: &Row<'_>) -> Result<BackfillRow> {
    let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let owner: Option<String> = row.get(13)?;
    let expires_at: Option<Micros> = row.get(14)?;
    Ok(BackfillRow {
        key: row.get(0)?,
        request: decode_request(row.get_ref(1)?.as_str()?).map_err(|error| damaged(1, error))?,
        strategy: row.get(2)?,
        num_partitions: count(3)?,
        num_runs: count(4)?,
        status: status_from(row.get(5)?).ok_or_else(|| damaged(5, "unknown status"))?,
        counts: Counts {
            completed: count(6)?,
            failed: count(7)?,
            canceled: count(8)?,
            runs_ended: count(9)?,
        },
        in_flight: in_flight(row, 10)?,
        ended_at: row.get(11)?,
        cancel_requested: row.get(12)?,
        paused: row.get(15)?,
        revision: count(16)?,
        stop: stop(row, 17)?,
        lease: owner.zip(expires_at).map(|(owner, at)| Lease {
            owner,
            expires_at: StorageTime(at),
        }),
        workers: row.get(18)?,
    })
}
