//! Removing records in small transactions.

use std::collections::HashSet;

use rusqlite::{Connection, Result, Transaction, params};

use crate::store::maintenance::{SHARED, SPACE, Unused};
use crate::store::records::{Key, StorageTime};

/// Number of rows on what happened in runs that one transaction removes.
const MAX_ROWS: usize = 5_000;
/// The tables on what happened in runs, and their keys.
const OUTCOMES: [(&str, &str); 4] = [
    ("failure", "backfill, seq"),
    ("skip", "backfill, seq"),
    ("attempt", "backfill, run, attempt, asset"),
    ("metadata", "backfill, run, seq"),
];

pub(super) fn ended_before(
    connection: &Connection,
    time: StorageTime,
    after: Key,
    limit: usize,
) -> Result<Vec<(Key, String)>> {
    connection
        .prepare_cached(
            "SELECT key, id FROM backfill WHERE key > ?2 AND status <> 0 AND ended_at < ?1 ORDER BY key LIMIT ?3",
        )?
        .query_map(params![time.0, after, limit as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// Removes backfills, and what happened in their runs up to a number of rows. Returns those of which some is left.
pub(super) fn remove(transaction: &Transaction<'_>, keys: &[Key]) -> Result<Vec<Key>> {
    for key in keys {
        for sql in [
            "DELETE FROM backfill_asset WHERE (asset, backfill) IN
                 (SELECT own.value ->> '$.name', ?1 FROM backfill, json_each(request, '$.assets') AS own
                  WHERE backfill.key = ?1)",
            "DELETE FROM backfill WHERE key = ?1",
            "DELETE FROM segment WHERE backfill = ?1",
        ] {
            transaction.prepare_cached(sql)?.execute([key])?;
        }
    }
    let mut left = MAX_ROWS;
    for (at, key) in keys.iter().enumerate() {
        for (table, columns) in OUTCOMES {
            if left == 0 {
                return Ok(keys[at..].to_vec());
            }
            let sql = format!(
                "DELETE FROM {table} WHERE ({columns}) IN
                     (SELECT {columns} FROM {table} WHERE backfill = ?1 LIMIT ?2)"
            );
            left -= transaction
                .prepare_cached(&sql)?
                .execute(params![key, left as i64])?;
        }
    }
    Ok(match left {
        0 => keys.last().copied().into_iter().collect(),
        _ => Vec::new(),
    })
}

/// The backfills that have no record, but rows on what happened in their runs.
pub(super) fn half_removed(connection: &Connection) -> Result<Vec<Key>> {
    let mut found = HashSet::new();
    for (table, _) in OUTCOMES {
        let sql = format!(
            "WITH RECURSIVE own (key) AS (
                 SELECT min(backfill) FROM {table}
                 UNION ALL
                 SELECT (SELECT min(backfill) FROM {table} WHERE backfill > key) FROM own WHERE key IS NOT NULL)
             SELECT key FROM own WHERE key IS NOT NULL AND key NOT IN (SELECT key FROM backfill)"
        );
        for key in connection
            .prepare(&sql)?
            .query_map([], |row| row.get::<_, Key>(0))?
        {
            found.insert(key?);
        }
    }
    Ok(found.into_iter().collect())
}

/// What nothing names now.
pub(super) fn unused(connection: &Connection) -> Result<Unused> {
    let snapshot = connection.unchecked_transaction()?;
    let numbers = |sql: &str| -> Result<Vec<i64>> {
        snapshot
            .prepare(sql)?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    let newest = numbers("SELECT coalesce(max(key), 0) FROM backfill")?;
    let mut rows = Vec::new();
    for (at, (shared, named_in)) in SHARED.iter().enumerate() {
        let mut named: Vec<String> = named_in
            .iter()
            .map(|(table, column, _)| {
                format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
            })
            .collect();
        if *shared == SPACE {
            named.push("SELECT space FROM report".into());
        }
        let named = named.join(" UNION ");
        let sql = format!("SELECT id FROM {shared} WHERE id NOT IN ({named})");
        rows.push((at, numbers(&sql)?));
    }
    Ok(Unused {
        rows,
        live: numbers("SELECT key FROM backfill WHERE status = 0")?,
        newest: newest.first().copied().unwrap_or(0),
    })
}

/// Removes rows of a shared table that nothing named, unless something names them since.
pub(super) fn remove_unused(
    transaction: &Transaction<'_>,
    unused: &Unused,
    at: usize,
    ids: &[i64],
) -> Result<u64> {
    let (shared, named_in) = SHARED[at];
    let mut named = HashSet::new();
    for (table, column, backfill) in named_in {
        let of = |condition: &str, key: Key, named: &mut HashSet<i64>| -> Result<()> {
            let sql =
                format!("SELECT DISTINCT {column} FROM {table} WHERE {backfill} {condition} ?1");
            let mut statement = transaction.prepare_cached(&sql)?;
            for id in statement.query_map([key], |row| row.get::<_, Option<i64>>(0))? {
                named.extend(id?);
            }
            Ok(())
        };
        of(">", unused.newest, &mut named)?;
        for &key in &unused.live {
            of("=", key, &mut named)?;
        }
    }
    let reported = match shared {
        SPACE => " AND id NOT IN (SELECT space FROM report)",
        _ => "",
    };
    let mut delete =
        transaction.prepare_cached(&format!("DELETE FROM {shared} WHERE id = ?1{reported}"))?;
    let mut removed = 0;
    for id in ids.iter().filter(|id| !named.contains(id)) {
        removed += delete.execute([id])? as u64;
    }
    Ok(removed)
}
