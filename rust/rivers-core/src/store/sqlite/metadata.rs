//! The tables `metadata` and `metadata_body`: facts about what runs materialized.

use std::sync::Arc;

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension, Result, Transaction, params};

use crate::backfill::{MetadataRow, RunEnd};
use crate::store::digest::digest;
use crate::store::records::Key;

pub(super) fn insert(transaction: &Transaction<'_>, key: Key, ended: &[RunEnd]) -> Result<()> {
    let has_metadata = |end: &&RunEnd| end.retry.is_none() && !end.metadata.is_empty();
    let mut with_metadata = ended.iter().filter(has_metadata).peekable();
    if with_metadata.peek().is_none() {
        return Ok(());
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO metadata (backfill, run, seq, asset, partition, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut known: HashMap<Arc<str>, i64> = HashMap::new();
    for end in with_metadata {
        for (seq, own) in end.metadata.iter().enumerate() {
            let id = match known.get(&own.body) {
                Some(&id) => id,
                None => {
                    let id = body_id(transaction, &own.body)?;
                    known.insert(Arc::clone(&own.body), id);
                    id
                }
            };
            insert.execute(params![
                key,
                end.run.cast_signed(),
                seq as i64,
                own.asset,
                own.partition.map(u64::cast_signed),
                id
            ])?;
        }
    }
    Ok(())
}

/// The number of a JSON object, which is recorded once.
fn body_id(transaction: &Transaction<'_>, body: &str) -> Result<i64> {
    let digest = digest(body);
    let known = transaction
        .prepare_cached("SELECT id FROM metadata_body WHERE digest = ?1 AND body = ?2")?
        .query_row(params![digest, body], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => transaction
            .prepare_cached("INSERT INTO metadata_body (digest, body) VALUES (?1, ?2)")?
            .insert(params![digest, body]),
    }
}

pub(super) fn select(
    connection: &Connection,
    key: Key,
    run: Option<u64>,
) -> Result<Vec<MetadataRow>> {
    let (first, last) = run.map_or((i64::MIN, i64::MAX), |run| {
        (run.cast_signed(), run.cast_signed())
    });
    let sql = "SELECT run, asset, partition, body FROM metadata
               WHERE backfill = ?1 AND run BETWEEN ?2 AND ?3 ORDER BY run, seq";
    connection
        .prepare_cached(sql)?
        .query_map(params![key, first, last], |row| {
            Ok(MetadataRow {
                run: row.get::<_, i64>(0)?.cast_unsigned(),
                asset: row.get(1)?,
                partition: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
                body: row.get(3)?,
            })
        })?
        .collect()
}

pub(super) fn bodies(connection: &Connection, ids: &[i64]) -> Result<Vec<(i64, String)>> {
    let mut statement =
        connection.prepare_cached("SELECT body FROM metadata_body WHERE id = ?1")?;
    ids.iter()
        .map(|&id| Ok((id, statement.query_row([id], |row| row.get(0))?)))
        .collect()
}
