//! The tables `failure`, `cause` (errors) and `family` (fingerprints of errors).

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, params};

use crate::backfill::{Cause, FailureRow, RunEnd};
use crate::store::digest::digest;
use crate::store::records::{Key, OneFailure};

pub(super) fn insert(transaction: &Transaction<'_>, key: Key, ended: &[RunEnd]) -> Result<()> {
    let failed = |end: &&RunEnd| end.retry.is_none() && !end.failures.is_empty();
    if !ended.iter().any(|end| failed(&end)) {
        return Ok(());
    }
    let mut seq: i64 = transaction
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM failure WHERE backfill = ?1")?
        .query_row([key], |row| row.get(0))?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO failure (backfill, seq, run, asset, partition, cause, family)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut fingerprints = HashMap::new();
    for end in ended.iter().filter(failed) {
        for failure in &end.failures {
            seq += 1;
            let cause = match &failure.cause {
                Some(cause) => Some(error_id(transaction, cause)?),
                None => None,
            };
            let partition = failure.partition.map(u64::cast_signed);
            let family = match (&failure.cause, &failure.fingerprint) {
                (Some(cause), Some(fingerprint)) => {
                    let error_type = cause.error_type.as_str();
                    let known = fingerprints
                        .get(&(error_type, fingerprint.as_str()))
                        .copied();
                    let id = known
                        .map_or_else(|| fingerprint_id(transaction, error_type, fingerprint), Ok)?;
                    fingerprints.insert((error_type, fingerprint.as_str()), id);
                    Some(id)
                }
                _ => None,
            };
            insert.execute(params![
                key,
                seq,
                end.run.cast_signed(),
                failure.asset,
                partition,
                cause,
                family
            ])?;
        }
    }
    Ok(())
}

/// The number of a fingerprint, which is recorded once.
fn fingerprint_id(transaction: &Transaction<'_>, error_type: &str, message: &str) -> Result<i64> {
    let digest = digest(&(error_type, message));
    let known = transaction
        .prepare_cached(
            "SELECT id FROM family WHERE digest = ?1 AND error_type = ?2 AND message = ?3",
        )?
        .query_row(params![digest, error_type, message], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => transaction
            .prepare_cached("INSERT INTO family (digest, error_type, message) VALUES (?1, ?2, ?3)")?
            .insert(params![digest, error_type, message]),
    }
}

/// The number of an error, which is recorded once.
pub(super) fn error_id(transaction: &Transaction<'_>, cause: &Cause) -> Result<i64> {
    let digest = digest(cause);
    let known = transaction
        .prepare_cached(
            "SELECT id FROM cause WHERE digest = ?1 AND error_type = ?2 AND message = ?3 AND traceback IS ?4",
        )?
        .query_row(params![digest, cause.error_type, cause.message, cause.traceback], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    transaction
        .prepare_cached(
            "INSERT INTO cause (digest, error_type, message, traceback) VALUES (?1, ?2, ?3, ?4)",
        )?
        .insert(params![
            digest,
            cause.error_type,
            cause.message,
            cause.traceback
        ])
}

pub(super) fn select(
    connection: &Connection,
    key: Key,
    run: Option<u64>,
) -> Result<Vec<FailureRow>> {
    let sql = "SELECT run, asset, partition, cause, family FROM failure
               WHERE backfill = ?1 AND (?2 IS NULL OR run = ?2) ORDER BY seq";
    connection
        .prepare_cached(sql)?
        .query_map(params![key, run.map(u64::cast_signed)], |row| {
            Ok(FailureRow {
                run: row.get::<_, i64>(0)?.cast_unsigned(),
                asset: row.get(1)?,
                partition: partition(row, 2)?,
                cause: row.get(3)?,
                family: row.get(4)?,
            })
        })?
        .collect()
}

/// The first failure of a backfill, or (`last`) the latest.
pub(super) fn outermost(
    connection: &Connection,
    key: Key,
    last: bool,
) -> Result<Option<OneFailure>> {
    let order = if last { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT run, asset, partition, error_type, message, traceback
         FROM failure JOIN cause ON cause.id = failure.cause
         WHERE backfill = ?1 ORDER BY seq {order} LIMIT 1"
    );
    connection
        .prepare_cached(&sql)?
        .query_row([key], |row| {
            Ok(OneFailure {
                run: row.get::<_, i64>(0)?.cast_unsigned(),
                asset: row.get(1)?,
                partition: partition(row, 2)?,
                cause: error(row, 3)?,
            })
        })
        .optional()
}

pub(super) fn fingerprints(connection: &Connection, ids: &[i64]) -> Result<Vec<(String, String)>> {
    let mut statement =
        connection.prepare_cached("SELECT error_type, message FROM family WHERE id = ?1")?;
    ids.iter()
        .map(|&id| statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))))
        .collect()
}

pub(super) fn errors(connection: &Connection, ids: &[i64]) -> Result<Vec<(i64, Cause)>> {
    let sql = "SELECT error_type, message, traceback FROM cause WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    ids.iter()
        .map(|&id| Ok((id, statement.query_row([id], |row| error(row, 0))?)))
        .collect()
}

fn partition(row: &Row<'_>, at: usize) -> Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned))
}

fn error(row: &Row<'_>, at: usize) -> Result<Cause> {
    Ok(Cause {
        error_type: row.get(at)?,
        message: row.get(at + 1)?,
        traceback: row.get(at + 2)?,
    })
}
