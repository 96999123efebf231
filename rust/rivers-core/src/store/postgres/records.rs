//! Failures, skips, attempts, metadata, reports and dynamic keys.

use tokio_postgres::Row;

use super::backfill::space_id;
use super::session::{Answer, Connected, Failure, params};
use crate::backfill::{AttemptRow, Cause, FailureRow, MetadataRow, Report, SkipRow};
use crate::error::Result;
use crate::store::encoding::{EncodedReport, decode_selection, report_kind, report_kind_code};
use crate::store::records::{Key, OneFailure};

fn number(row: &Row, at: usize) -> u64 {
    row.get::<_, i64>(at).cast_unsigned()
}

fn small(row: &Row, at: usize) -> u32 {
    u32::try_from(row.get::<_, i64>(at)).unwrap_or(u32::MAX)
}

fn partition(row: &Row, at: usize) -> Option<u64> {
    row.get::<_, Option<i64>>(at).map(i64::cast_unsigned)
}

fn cause(row: &Row, at: usize) -> Cause {
    Cause {
        error_type: row.get(at),
        message: row.get(at + 1),
        traceback: row.get(at + 2),
    }
}

pub(super) fn failures(
    connected: &mut Connected<'_>,
    key: Key,
    run: Option<u64>,
) -> Answer<Vec<FailureRow>> {
    let sql = "SELECT run, asset, partition, cause, family FROM @failure
               WHERE backfill = $1 AND ($2 IS NULL OR run = $2) ORDER BY seq, position";
    let run = run.map(u64::cast_signed);
    let rows = connected.query(sql, params![key => INT8, run => INT8])?;
    let read = |row: &Row| FailureRow {
        run: number(row, 0),
        asset: small(row, 1),
        partition: partition(row, 2),
        cause: row.get(3),
        family: row.get(4),
    };
    Ok(rows.iter().map(read).collect())
}

/// The first failure of a backfill, or (`last`) the latest.
pub(super) fn outermost(
    connected: &mut Connected<'_>,
    key: Key,
    last: bool,
) -> Answer<Option<OneFailure>> {
    let order = if last { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT run, asset, partition, error_type, message, traceback
         FROM @failure AS failure JOIN @cause AS cause ON cause.id = failure.cause
         WHERE backfill = $1 ORDER BY seq {order}, position {order} LIMIT 1"
    );
    let row = connected.first(&sql, params![key => INT8])?;
    Ok(row.map(|row| OneFailure {
        run: number(&row, 0),
        asset: small(&row, 1),
        partition: partition(&row, 2),
        cause: cause(&row, 3),
    }))
}

/// The rows of a table with these numbers, in the order of the numbers.
fn by_id<T>(
    connected: &mut Connected<'_>,
    columns: &str,
    ids: &[i64],
    read: impl Fn(&Row) -> T,
) -> Answer<Vec<T>> {
    let sql = format!("SELECT own.id, {columns} AS found ON found.id = own.id ORDER BY own.at");
    let rows = connected.query(&sql, params![ids => INT8_ARRAY])?;
    if rows.len() != ids.len() {
        let text = "a record names another one that is not there";
        return Err(Failure::Refused(connected.server().error(text)));
    }
    Ok(rows.iter().map(read).collect())
}

/// The numbers that `by_id` looks for, in order.
const IDS: &str = "unnest($1::bigint[]) WITH ORDINALITY AS own (id, at)";

pub(super) fn errors(connected: &mut Connected<'_>, ids: &[i64]) -> Answer<Vec<(i64, Cause)>> {
    let columns = format!("error_type, message, traceback FROM {IDS} JOIN @cause");
    by_id(connected, &columns, ids, |row| (row.get(0), cause(row, 1)))
}

pub(super) fn fingerprints(
    connected: &mut Connected<'_>,
    ids: &[i64],
) -> Answer<Vec<(String, String)>> {
    let columns = format!("error_type, message FROM {IDS} JOIN @family");
    by_id(connected, &columns, ids, |row| (row.get(1), row.get(2)))
}

pub(super) fn bodies(connected: &mut Connected<'_>, ids: &[i64]) -> Answer<Vec<(i64, String)>> {
    let columns = format!("body FROM {IDS} JOIN @metadata_body");
    by_id(connected, &columns, ids, |row| (row.get(0), row.get(1)))
}

pub(super) fn skips(
    connected: &mut Connected<'_>,
    key: Key,
    run: Option<u64>,
) -> Answer<Vec<SkipRow>> {
    let sql = "SELECT run, asset, partition, reason FROM @skip
               WHERE backfill = $1 AND ($2 IS NULL OR run = $2) ORDER BY seq, position";
    let run = run.map(u64::cast_signed);
    let rows = connected.query(sql, params![key => INT8, run => INT8])?;
    let read = |row: &Row| SkipRow {
        run: number(row, 0),
        asset: small(row, 1),
        partition: partition(row, 2),
        reason: row.get(3),
    };
    Ok(rows.iter().map(read).collect())
}

pub(super) fn attempts(connected: &mut Connected<'_>, key: Key) -> Answer<Vec<AttemptRow>> {
    let sql = "SELECT run, attempt, asset, started_at, due_at, cause FROM @attempt
               WHERE backfill = $1 ORDER BY run, attempt, asset";
    let rows = connected.query(sql, params![key => INT8])?;
    let read = |row: &Row| AttemptRow {
        run: number(row, 0),
        attempt: small(row, 1),
        asset: small(row, 2),
        started_at: row.get(3),
        due_at: row.get(4),
        cause: row.get(5),
    };
    Ok(rows.iter().map(read).collect())
}

/// What the last attempts of runs left, as it is stored.
pub(super) fn left(connected: &mut Connected<'_>, key: Key) -> Answer<Vec<(u64, Vec<u8>)>> {
    let sql =
        "SELECT run, left_body FROM @attempt AS own WHERE backfill = $1 AND left_body IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM @attempt AS later WHERE later.backfill = own.backfill
                               AND later.run = own.run AND later.attempt > own.attempt)
               ORDER BY run";
    let rows = connected.query(sql, params![key => INT8])?;
    Ok(rows
        .iter()
        .map(|row| (number(row, 0), row.get(1)))
        .collect())
}

pub(super) fn metadata(
    connected: &mut Connected<'_>,
    key: Key,
    run: Option<u64>,
) -> Answer<Vec<MetadataRow>> {
    let sql = "SELECT run, asset, partition, body FROM @metadata
               WHERE backfill = $1 AND ($2 IS NULL OR run = $2) ORDER BY run, position";
    let run = run.map(u64::cast_signed);
    let rows = connected.query(sql, params![key => INT8, run => INT8])?;
    let read = |row: &Row| MetadataRow {
        run: number(row, 0),
        asset: small(row, 1),
        partition: partition(row, 2),
        body: row.get(3),
    };
    Ok(rows.iter().map(read).collect())
}

/// Records a report, in a transaction; if it is `again`, only unless a connection that broke has brought it there.
pub(super) fn report(
    connected: &mut Connected<'_>,
    report: &Report,
    encoded: &EncodedReport,
    again: bool,
) -> Answer<()> {
    let space = space_id(connected, &encoded.space)?;
    let sql = "INSERT INTO @report (asset, kind, at, space, partitions, code_version, metadata)
               SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT ($8 AND EXISTS (
                   SELECT 1 FROM @report WHERE asset = $1 AND kind = $2 AND at = $3 AND space = $4 AND partitions = $5))";
    let params = params![
        report.asset => TEXT,
        report_kind_code(report.kind) => INT8,
        report.at => INT8,
        space => INT8,
        encoded.partitions => BYTEA,
        report.code_version => TEXT,
        report.metadata => TEXT,
        again => BOOL,
    ];
    connected.query(sql, params).map(drop)
}

/// The reports about an asset, the newest first.
pub(super) fn reports(connected: &mut Connected<'_>, asset: &str) -> Answer<Vec<Report>> {
    let sql = "SELECT kind, at, body, partitions, code_version, metadata
               FROM @report AS report JOIN @space AS space ON space.id = space
               WHERE asset = $1 ORDER BY report.id DESC";
    let rows = connected.query(sql, params![asset => TEXT])?;
    let read = |row: &Row| {
        Ok(Report {
            asset: asset.to_owned(),
            kind: report_kind(row.get(0))?,
            at: row.get(1),
            selection: decode_selection(row.get(2), row.get(3))?,
            code_version: row.get(4),
            metadata: row.get(5),
        })
    };
    let reports: Result<Vec<Report>> = rows.iter().map(read).collect();
    reports.map_err(Failure::Refused)
}

/// Registers keys of a dynamic dimension, in a transaction; registered keys keep their position.
pub(super) fn add_dynamic(
    connected: &mut Connected<'_>,
    name: &str,
    keys: &[String],
) -> Answer<()> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('rivers dynamic ' || $1, 0))";
    connected.query(lock, params![name => TEXT])?;
    let sql = "INSERT INTO @dynamic_partition (name, position, key)
               SELECT $1, last + row_number() OVER (ORDER BY at), key
               FROM (SELECT key, min(at) AS at FROM unnest($2::text[]) WITH ORDINALITY AS own (key, at)
                     GROUP BY key) AS own,
                    (SELECT coalesce(max(position), 0) AS last FROM @dynamic_partition WHERE name = $1) AS known
               WHERE NOT EXISTS (SELECT 1 FROM @dynamic_partition AS known
                                 WHERE known.name = $1 AND known.key = own.key)";
    connected
        .query(sql, params![name => TEXT, keys => TEXT_ARRAY])
        .map(drop)
}

pub(super) fn delete_dynamic(connected: &mut Connected<'_>, name: &str, key: &str) -> Answer<bool> {
    let sql = "DELETE FROM @dynamic_partition WHERE name = $1 AND key = $2 RETURNING position";
    Ok(!connected
        .write(sql, params![name => TEXT, key => TEXT])?
        .is_empty())
}

pub(super) fn dynamic(connected: &mut Connected<'_>, name: &str) -> Answer<Vec<String>> {
    let sql = "SELECT key FROM @dynamic_partition WHERE name = $1 ORDER BY position";
    let rows = connected.query(sql, params![name => TEXT])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
