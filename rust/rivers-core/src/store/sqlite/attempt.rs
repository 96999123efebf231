//! The table `attempt`: failed attempts that were followed by another.

use rusqlite::{Connection, Result, Transaction, params};

use super::failure::error_id;
use crate::backfill::{AttemptRow, RunEnd};
use crate::store::records::Key;

pub(super) fn insert(transaction: &Transaction<'_>, key: Key, ended: &[RunEnd]) -> Result<()> {
    let sql = "INSERT INTO attempt (backfill, run, attempt, asset, started_at, due_at, cause)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    for (end, retry) in ended
        .iter()
        .filter_map(|end| Some((end, end.retry.as_ref()?)))
    {
        for (asset, cause) in &retry.causes {
            let cause = error_id(transaction, cause)?;
            transaction.prepare_cached(sql)?.execute(params![
                key,
                end.run.cast_signed(),
                retry.attempt,
                asset,
                end.started_at,
                retry.due_at,
                cause
            ])?;
        }
    }
    Ok(())
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
