//! The table `attempt`: failed attempts that were followed by another.

use rusqlite::{Connection, Result, Transaction, params};

use super::failure::error_id;
use crate::backfill::{AttemptRow, RunEnd};
use crate::store::encoding::encode_left;
use crate::store::records::Key;

pub(super) fn insert(transaction: &Transaction<'_>, key: Key, ended: &[RunEnd]) -> Result<()> {
    let sql =
        "INSERT INTO attempt (backfill, run, attempt, asset, started_at, due_at, cause, left_body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    for (end, retry) in ended
        .iter()
        .filter_map(|end| Some((end, end.retry.as_ref()?)))
    {
        let mut left = retry.left.as_deref().map(encode_left).transpose()?;
        for (asset, cause) in &retry.causes {
            let cause = error_id(transaction, cause)?;
            transaction.prepare_cached(sql)?.execute(params![
                key,
                end.run.cast_signed(),
                retry.attempt,
                asset,
                end.started_at,
                retry.due_at,
                cause,
                left.take(),
            ])?;
        }
    }
    Ok(())
}

/// What the last attempts of runs left, as it is stored.
pub(super) fn select_left(connection: &Connection, key: Key) -> Result<Vec<(u64, Vec<u8>)>> {
    let sql =
        "SELECT run, left_body FROM attempt AS own WHERE backfill = ?1 AND left_body IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM attempt AS later WHERE later.backfill = own.backfill
                               AND later.run = own.run AND later.attempt > own.attempt)
               ORDER BY run";
    connection
        .prepare_cached(sql)?
        .query_map([key], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        })?
        .collect()
}

pub(super) fn select(connection: &Connection, key: Key) -> Result<Vec<AttemptRow>> {
    let sql = "SELECT run, attempt, asset, started_at, due_at, cause FROM attempt
               WHERE backfill = ?1 ORDER BY run, attempt, asset";
    connection
        .prepare_cached(sql)?
        .query_map([key], |row| {
            Ok(AttemptRow {
                run: row.get::<_, i64>(0)?.cast_unsigned(),
                attempt: row.get(1)?,
                asset: row.get(2)?,
                started_at: row.get(3)?,
                due_at: row.get(4)?,
                cause: row.get(5)?,
            })
        })?
        .collect()
}
