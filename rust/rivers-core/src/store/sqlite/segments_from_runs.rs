//! Part of a migration: packs the rows of the table `run`, one for each ended run, into segments.

use rusqlite::{Connection, Result, Row, Transaction, params};

use crate::backfill::{RunRow, Status};
use crate::store::encoding::status_code;
use crate::store::failpoint::{Step, Work, hit};
use crate::store::records::Key;
use crate::store::segment::Segment;

/// Number of runs in a segment.
const SEGMENT_RUNS: usize = 16_384;

/// Moves all runs, and how the backfills in progress stand.
pub(super) fn convert(transaction: &Transaction<'_>) -> Result<()> {
    let keys: Vec<Key> = transaction
        .prepare("SELECT key FROM backfill ORDER BY key")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    for key in keys {
        convert_backfill(transaction, key)?;
        hit(Work::Migrate, Step::Between);
    }
    transaction.execute_batch("DROP TABLE run")
}

fn convert_backfill(transaction: &Connection, key: Key) -> Result<()> {
    let mut select = transaction.prepare_cached(
        "SELECT run, started_at, ended_at, failed FROM run WHERE backfill = ?1 ORDER BY run",
    )?;
    let mut rows = select.query([key])?;
    let (mut seq, mut packed) = (0, Vec::with_capacity(SEGMENT_RUNS));
    while let Some(row) = rows.next()? {
        packed.push(read(row)?);
        if packed.len() == SEGMENT_RUNS {
            seq += 1;
            insert(transaction, key, seq, std::mem::take(&mut packed))?;
        }
    }
    // The newest segment of a backfill in progress is needed even if it has no runs.
    let in_progress = transaction
        .prepare_cached("SELECT status FROM backfill WHERE key = ?1")?
        .query_row([key], |row| row.get::<_, i64>(0))?
        == status_code(Status::InProgress);
    if !packed.is_empty() || in_progress {
        insert(transaction, key, seq + 1, packed)?;
    }
    Ok(())
}

/// Writes a segment with the counts of its backfill; only those of the newest are read.
fn insert(transaction: &Connection, key: Key, seq: i64, rows: Vec<RunRow>) -> Result<()> {
    let segment = Segment::pack(rows);
    transaction
        .prepare_cached(
            "INSERT INTO segment (backfill, seq, first_run, last_run, runs, failed_runs, completed, failed,
                                  canceled, runs_ended, stop, in_flight, body)
             SELECT key, ?2, ?3, ?4, ?5, ?6, completed, failed, canceled, runs_ended, stop, in_flight, ?7
             FROM backfill WHERE key = ?1",
        )?
        .execute(params![
            key,
            seq,
            segment.as_ref().map(|own| own.first.cast_signed()),
            segment.as_ref().map(|own| own.last.cast_signed()),
            segment.as_ref().map_or(0, |own| own.runs.cast_signed()),
            segment.as_ref().map_or(0, |own| own.failed_runs.cast_signed()),
            segment.as_ref().map_or(&[][..], |own| &own.body),
        ])
        .map(|_| ())
}

fn read(row: &Row<'_>) -> Result<RunRow> {
    Ok(RunRow {
        run: row.get::<_, i64>(0)?.cast_unsigned(),
        started_at: row.get(1)?,
        ended_at: row.get(2)?,
        failed: row.get::<_, i64>(3)?.cast_unsigned(),
    })
}
