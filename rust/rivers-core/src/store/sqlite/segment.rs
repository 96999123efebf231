//! The table `segment`: one row for each commit of a backfill, until segments are merged.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, params};

use super::columns;
use crate::backfill::{Counts, RunEnd, RunRow, Stop};
use crate::clock::Micros;
use crate::store::encoding::encode_in_flight;
use crate::store::records::{Commit, Extent, Key, SegmentsBefore};
use crate::store::segment::{MAX_MERGED, Segment, merge_groups};

/// Appends the segment of a commit. Returns its number, or `None` if `owner` does not hold the lease.
pub(super) fn append(
    transaction: &Transaction<'_>,
    owner: &str,
    commit: &Commit,
) -> Result<Option<i64>> {
    let ended = |end: &&RunEnd| end.retry.is_none();
    let rows = commit.ended.iter().filter(ended).map(|end| RunRow {
        run: end.run,
        started_at: end.started_at,
        ended_at: end.ended_at,
        failed: end.failed,
    });
    let segment = Segment::pack(rows.collect());
    let (first, last) = (
        segment.as_ref().map(|own| own.first.cast_signed()),
        segment.as_ref().map(|own| own.last.cast_signed()),
    );
    let counts = &commit.counts;
    transaction
        .prepare_cached(
            "INSERT INTO segment (backfill, seq, first_run, last_run, runs, failed_runs, completed, failed,
                                  canceled, runs_ended, stop, in_flight, body)
             SELECT key, 1 + coalesce((SELECT max(seq) FROM segment WHERE backfill = key), 0),
                    ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
             FROM backfill WHERE key = ?1 AND owner = ?2 RETURNING seq",
        )?
        .query_row(
            params![
                commit.key,
                owner,
                first,
                last,
                segment.as_ref().map_or(0, |own| own.runs.cast_signed()),
                segment.as_ref().map_or(0, |own| own.failed_runs.cast_signed()),
                counts.completed.cast_signed(),
                counts.failed.cast_signed(),
                counts.canceled.cast_signed(),
                counts.runs_ended.cast_signed(),
                commit.stop.map(|stop| stop as u8),
                encode_in_flight(&commit.in_flight)?,
                segment.as_ref().map_or(&[][..], |own| &own.body),
            ],
            |row| row.get(0),
        )
        .optional()
}

/// How a backfill in progress stands.
pub(super) struct Standing {
    pub(super) counts: Counts,
    pub(super) in_flight: Vec<(u64, Micros)>,
    pub(super) stop: Option<Stop>,
}

/// How a backfill stands by its newest segment; `None` before the first.
pub(super) fn newest(connection: &Connection, key: Key) -> Result<Option<Standing>> {
    let sql = "SELECT completed, failed, canceled, runs_ended, in_flight, stop FROM segment
               WHERE backfill = ?1 ORDER BY seq DESC LIMIT 1";
    let count = |row: &Row<'_>, at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    connection
        .prepare_cached(sql)?
        .query_row([key], |row| {
            Ok(Standing {
                counts: Counts {
                    completed: count(row, 0)?,
                    failed: count(row, 1)?,
                    canceled: count(row, 2)?,
                    runs_ended: count(row, 3)?,
                },
                in_flight: columns::in_flight(row, 4)?,
                stop: columns::stop(row, 5)?,
            })
        })
        .optional()
}

/// Merges neighbours among the latest segments of a backfill into one, if some fit. Returns whether it did.
pub(super) fn merge(transaction: &Transaction<'_>, key: Key) -> Result<bool> {
    let latest: Vec<(i64, u64)> = transaction
        .prepare_cached(
            "SELECT seq, runs FROM segment WHERE backfill = ?1 ORDER BY seq DESC LIMIT ?2",
        )?
        .query_map([key, MAX_MERGED], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect::<Result<_>>()?;
    let Some(group) = merge_groups(&latest).next() else {
        return Ok(false);
    };
    merge_into(transaction, key, group[group.len() - 1].0, group[0].0)?;
    Ok(true)
}

/// Moves the runs of the segments from `oldest` on into `newest`.
fn merge_into(transaction: &Transaction<'_>, key: Key, oldest: i64, newest: i64) -> Result<()> {
    let mut rows = Vec::new();
    let sql = "SELECT first_run, last_run, runs, failed_runs, body FROM segment
               WHERE backfill = ?1 AND seq BETWEEN ?2 AND ?3 AND runs > 0 ORDER BY seq";
    let segments: Vec<Segment> = transaction
        .prepare_cached(sql)?
        .query_map([key, oldest, newest], |row| read(row, 0))?
        .collect::<Result<_>>()?;
    for segment in segments {
        rows.extend(segment.unpack()?);
    }
    transaction
        .prepare_cached("DELETE FROM segment WHERE backfill = ?1 AND seq >= ?2 AND seq < ?3")?
        .execute([key, oldest, newest])?;
    let Some(merged) = Segment::pack(rows) else {
        return Ok(());
    };
    transaction
        .prepare_cached(
            "UPDATE segment SET first_run = ?3, last_run = ?4, runs = ?5, failed_runs = ?6, body = ?7
             WHERE backfill = ?1 AND seq = ?2",
        )?
        .execute(params![
            key,
            newest,
            merged.first.cast_signed(),
            merged.last.cast_signed(),
            merged.runs.cast_signed(),
            merged.failed_runs.cast_signed(),
            merged.body,
        ])
        .map(|_| ())
}

/// The segments that may have runs in the range.
pub(super) fn select(
    connection: &Connection,
    key: Key,
    numbers: &Range<u64>,
) -> Result<Vec<Segment>> {
    let sql = "SELECT first_run, last_run, runs, failed_runs, body FROM segment
               WHERE backfill = ?1 AND last_run >= ?2 AND first_run < ?3";
    connection
        .prepare_cached(sql)?
        .query_map([key, signed(numbers.start), signed(numbers.end)], |row| {
            read(row, 0)
        })?
        .collect()
}

/// All segments without their runs. Their bodies, which come last in a row, are not read.
pub(super) fn extents(connection: &Connection, key: Key) -> Result<Vec<Extent>> {
    let sql = "SELECT first_run, last_run, runs, failed_runs FROM segment
               WHERE backfill = ?1 AND last_run IS NOT NULL";
    let number = |row: &Row<'_>, at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    connection
        .prepare_cached(sql)?
        .query_map([key], |row| {
            Ok(Extent {
                first: number(row, 0)?,
                last: number(row, 1)?,
                runs: number(row, 2)?,
                failed_runs: number(row, 3)?,
            })
        })?
        .collect()
}

pub(super) fn before(connection: &Connection, key: Key, number: u64) -> Result<SegmentsBefore> {
    let around = "SELECT first_run, last_run, runs, failed_runs, body FROM segment
                  WHERE backfill = ?1 AND last_run >= ?2 AND first_run < ?2";
    let below = "SELECT first_run, last_run, runs, failed_runs, body FROM segment
                 WHERE backfill = ?1 AND last_run < ?2 ORDER BY last_run DESC LIMIT 1";
    let bounds = [key, signed(number)];
    Ok(SegmentsBefore {
        around: connection
            .prepare_cached(around)?
            .query_map(bounds, |row| read(row, 0))?
            .collect::<Result<_>>()?,
        below: connection
            .prepare_cached(below)?
            .query_row(bounds, |row| read(row, 0))
            .optional()?,
    })
}

pub(super) fn latest(
    connection: &Connection,
    failed: Option<bool>,
    visit: &mut dyn FnMut(Key, Segment) -> crate::error::Result<bool>,
) -> Result<()> {
    // The conditions must equal those of the indexes.
    let condition = match failed {
        None => "last_run IS NOT NULL",
        Some(true) => "failed_runs > 0",
        Some(false) => "last_run IS NOT NULL AND runs > failed_runs",
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT backfill, first_run, last_run, runs, failed_runs, body FROM segment
         WHERE {condition} ORDER BY backfill DESC, last_run DESC"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !visit(row.get(0)?, read(row, 1)?)? {
            break;
        }
    }
    Ok(())
}

/// A number for SQLite, whose integers end at 2^63 - 1.
fn signed(number: u64) -> i64 {
    number.min(i64::MAX as u64).cast_signed()
}

fn read(row: &Row<'_>, at: usize) -> Result<Segment> {
    let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(Segment {
        first: number(at)?,
        last: number(at + 1)?,
        runs: number(at + 2)?,
        failed_runs: number(at + 3)?,
        body: row.get(at + 4)?,
    })
}
