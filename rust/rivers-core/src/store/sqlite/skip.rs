//! The table `skip`: what runs skipped because there is nothing to produce.

use rusqlite::{Connection, Result, Transaction, params};

use super::failure::error_id;
use crate::backfill::{RunEnd, SkipRow};
use crate::store::records::Key;

pub(super) fn insert(transaction: &Transaction<'_>, key: Key, ended: &[RunEnd]) -> Result<()> {
    let skipped = |end: &&RunEnd| end.retry.is_none() && !end.skips.is_empty();
    if !ended.iter().any(|end| skipped(&end)) {
        return Ok(());
    }
    let mut seq: i64 = transaction
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM skip WHERE backfill = ?1")?
        .query_row([key], |row| row.get(0))?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO skip (backfill, seq, run, asset, partition, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for end in ended.iter().filter(skipped) {
        for skip in &end.skips {
            seq += 1;
            let reason = error_id(transaction, &skip.reason)?;
            let (run, partition) = (end.run.cast_signed(), skip.partition.map(u64::cast_signed));
            insert.execute(params![key, seq, run, skip.asset, partition, reason])?;
        }
    }
    Ok(())
}

pub(super) fn select(connection: &Connection, key: Key, run: Option<u64>) -> Result<Vec<SkipRow>> {
    let sql = "SELECT run, asset, partition, reason FROM skip
               WHERE backfill = ?1 AND (?2 IS NULL OR run = ?2) ORDER BY seq";
    connection
        .prepare_cached(sql)?
        .query_map(params![key, run.map(u64::cast_signed)], |row| {
            Ok(SkipRow {
                run: row.get::<_, i64>(0)?.cast_unsigned(),
                asset: row.get(1)?,
                partition: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
                reason: row.get(3)?,
            })
        })?
        .collect()
}
