//! The table `segment`: reading it, and merging small segments.

use std::ops::Range;

use tokio_postgres::Row;

use super::session::{Answer, Connected, Failure, WRITING, params};
use crate::error::Result;
use crate::store::records::{Extent, Key, SegmentsBefore};
use crate::store::segment::{Segment, merge_groups};

const COLUMNS: &str = "first_run, last_run, runs, failed_runs, body";
/// Number of segments that are read at once while the latest runs are looked for.
const PAGE: i64 = 8;

fn read(row: &Row) -> Segment {
    let number = |at: usize| row.get::<_, i64>(at).cast_unsigned();
    Segment {
        first: number(0),
        last: number(1),
        runs: number(2),
        failed_runs: number(3),
        body: row.get(4),
    }
}

/// A number for the server, whose integers end at 2^63 - 1.
fn signed(number: u64) -> i64 {
    number.min(i64::MAX as u64).cast_signed()
}

pub(super) fn select(
    connected: &mut Connected<'_>,
    key: Key,
    numbers: &Range<u64>,
) -> Answer<Vec<Segment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM @segment WHERE backfill = $1 AND last_run >= $2 AND first_run < $3"
    );
    let (start, end) = (signed(numbers.start), signed(numbers.end));
    let rows = connected.query(&sql, params![key => INT8, start => INT8, end => INT8])?;
    Ok(rows.iter().map(read).collect())
}

/// All segments without their runs.
pub(super) fn extents(connected: &mut Connected<'_>, key: Key) -> Answer<Vec<Extent>> {
    let sql = "SELECT first_run, last_run, runs, failed_runs FROM @segment
               WHERE backfill = $1 AND last_run IS NOT NULL";
    let rows = connected.query(sql, params![key => INT8])?;
    let number = |row: &Row, at: usize| row.get::<_, i64>(at).cast_unsigned();
    let extents = rows.iter().map(|row| Extent {
        first: number(row, 0),
        last: number(row, 1),
        runs: number(row, 2),
        failed_runs: number(row, 3),
    });
    Ok(extents.collect())
}

pub(super) fn before(
    connected: &mut Connected<'_>,
    key: Key,
    number: u64,
) -> Answer<SegmentsBefore> {
    let sql = format!(
        "(SELECT {COLUMNS} FROM @segment WHERE backfill = $1 AND last_run >= $2 AND first_run < $2)
         UNION ALL
         (SELECT {COLUMNS} FROM @segment WHERE backfill = $1 AND last_run < $2 ORDER BY last_run DESC LIMIT 1)"
    );
    let number = signed(number);
    let rows = connected.query(&sql, params![key => INT8, number => INT8])?;
    let (mut around, mut below) = (Vec::new(), None);
    for segment in rows.iter().map(read) {
        match segment.last < number.cast_unsigned() {
            true => below = Some(segment),
            false => around.push(segment),
        }
    }
    Ok(SegmentsBefore { around, below })
}

/// Calls `visit` with the latest segments, all as they were at one time.
pub(super) fn latest(
    connected: &mut Connected<'_>,
    failed: Option<bool>,
    visit: &mut dyn FnMut(Key, Segment) -> Result<bool>,
) -> Answer<()> {
    // The conditions must equal those of the indexes.
    let condition = match failed {
        None => "last_run IS NOT NULL",
        Some(true) => "failed_runs > 0",
        Some(false) => "last_run IS NOT NULL AND runs > failed_runs",
    };
    let sql = format!(
        "SELECT {COLUMNS}, backfill, seq FROM @segment WHERE {condition} AND (backfill, last_run, seq) < ($1, $2, $3)
         ORDER BY backfill DESC, last_run DESC, seq DESC LIMIT {PAGE}"
    );
    connected.transaction(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        |connected| {
            let mut cursor = (i64::MAX, i64::MAX, i64::MAX);
            loop {
                let params = params![cursor.0 => INT8, cursor.1 => INT8, cursor.2 => INT8];
                let rows = connected.query(&sql, params)?;
                for row in &rows {
                    cursor = (row.get(5), row.get(1), row.get(6));
                    if !visit(cursor.0, read(row)).map_err(Failure::Refused)? {
                        return Ok(());
                    }
                }
                if (rows.len() as i64) < PAGE {
                    return Ok(());
                }
            }
        },
    )
}

/// Merges neighbours among the latest segments of a backfill, if some fit. Returns whether it did.
pub(super) fn merge(connected: &mut Connected<'_>, key: Key, latest: i64) -> Answer<bool> {
    let sql = "SELECT seq, runs FROM @segment WHERE backfill = $1 ORDER BY seq DESC LIMIT $2";
    let rows = connected.query(sql, params![key => INT8, latest => INT8])?;
    let sizes: Vec<(i64, u64)> = rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i64>(1).cast_unsigned()))
        .collect();
    let Some(group) = merge_groups(&sizes).next() else {
        return Ok(false);
    };
    let (newest, oldest) = (group[0].0, group[group.len() - 1].0);
    let sql = format!(
        "SELECT {COLUMNS} FROM @segment WHERE backfill = $1 AND seq BETWEEN $2 AND $3 AND runs > 0 ORDER BY seq"
    );
    let rows = connected.query(&sql, params![key => INT8, oldest => INT8, newest => INT8])?;
    let mut runs = Vec::new();
    for segment in rows.iter().map(read) {
        runs.extend(segment.unpack().map_err(Failure::Refused)?);
    }
    let merged = Segment::pack(runs);
    let own = merged.as_ref();
    // Of two processes that merge at the same time, the second finds that segments are gone, and changes nothing.
    connected.transaction(WRITING, |connected| {
        let sql = "SELECT seq FROM @segment WHERE backfill = $1 AND seq BETWEEN $2 AND $3 FOR UPDATE";
        let there = connected.query(sql, params![key => INT8, oldest => INT8, newest => INT8])?;
        if there.len() != group.len() {
            return Ok(false);
        }
        let sql = "DELETE FROM @segment WHERE backfill = $1 AND seq >= $2 AND seq < $3";
        connected.query(sql, params![key => INT8, oldest => INT8, newest => INT8])?;
        let sql = "UPDATE @segment SET first_run = $3, last_run = $4, runs = $5, failed_runs = $6, body = $7
                   WHERE backfill = $1 AND seq = $2";
        connected.query(
            sql,
            params![
                key => INT8,
                newest => INT8,
                own.map(|own| own.first.cast_signed()) => INT8,
                own.map(|own| own.last.cast_signed()) => INT8,
                own.map_or(0, |own| own.runs.cast_signed()) => INT8,
                own.map_or(0, |own| own.failed_runs.cast_signed()) => INT8,
                own.map_or(&[][..], |own| &own.body) => BYTEA,
            ],
        )?;
        Ok(true)
    })
}
