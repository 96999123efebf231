//! The table `run`: one row for each ended run.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, params};

use super::backfill::bound;
use crate::backfill::{RunEnd, RunRow};
use crate::store::records::Key;

pub(super) fn insert(transaction: &Transaction<'_>, key: Key, ended: &[RunEnd]) -> Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO run (backfill, run, started_at, ended_at, failed) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for end in ended.iter().filter(|end| end.retry.is_none()) {
        let (run, failed) = (end.run.cast_signed(), end.failed.cast_signed());
        insert.execute(params![key, run, end.started_at, end.ended_at, failed])?;
    }
    Ok(())
}

pub(super) fn select(connection: &Connection, key: Key, runs: &Range<u64>) -> Result<Vec<RunRow>> {
    let sql = "SELECT run, started_at, ended_at, failed FROM run
               WHERE backfill = ?1 AND run >= ?2 AND run < ?3 ORDER BY run";
    let bounds = params![
        key,
        runs.start.cast_signed(),
        runs.end.min(i64::MAX as u64).cast_signed()
    ];
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(bounds, |row| read(row, 0))?.collect()
}

pub(super) fn before(connection: &Connection, key: Key, number: u64) -> Result<Option<RunRow>> {
    let sql = "SELECT run, started_at, ended_at, failed FROM run
               WHERE backfill = ?1 AND run < ?2 ORDER BY run DESC LIMIT 1";
    let bounds = params![key, number.min(i64::MAX as u64).cast_signed()];
    connection
        .prepare_cached(sql)?
        .query_row(bounds, |row| read(row, 0))
        .optional()
}

pub(super) fn latest(
    connection: &Connection,
    failed: Option<bool>,
    limit: Option<u64>,
) -> Result<Vec<(Key, RunRow)>> {
    let sql = "SELECT backfill, run, started_at, ended_at, failed FROM run
               WHERE ?1 IS NULL OR (failed > 0) = ?1 ORDER BY backfill DESC, run DESC LIMIT ?2";
    connection
        .prepare_cached(sql)?
        .query_map(params![failed, bound(limit)], |row| {
            Ok((row.get(0)?, read(row, 1)?))
        })?
        .collect()
}

fn read(row: &Row<'_>, at: usize) -> Result<RunRow> {
    Ok(RunRow {
        run: row.get::<_, i64>(at)?.cast_unsigned(),
        started_at: row.get(at + 1)?,
        ended_at: row.get(at + 2)?,
        failed: row.get::<_, i64>(at + 3)?.cast_unsigned(),
    })
}
