//! Removing records in small transactions.

use super::session::{Answer, Connected, WRITING, params};
use crate::store::maintenance::{SHARED, SPACE, Unused};
use crate::store::records::{Key, StorageTime};

/// Number of rows on what happened in runs that one transaction removes of each table.
const MAX_ROWS: i64 = 5_000;
/// The tables on what happened in runs.
const OUTCOMES: [&str; 4] = ["failure", "skip", "attempt", "metadata"];

pub(super) fn ended_before(
    connected: &mut Connected<'_>,
    time: StorageTime,
    after: Key,
    limit: usize,
) -> Answer<Vec<(Key, String)>> {
    let sql = "SELECT key, id FROM @backfill WHERE key > $2 AND status <> 0 AND ended_at < $1
               ORDER BY key LIMIT $3";
    let params = params![time.0 => INT8, after => INT8, limit as i64 => INT8];
    let rows = connected.query(sql, params)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Removes backfills, and what happened in their runs up to a number of rows. Returns those of which some is left.
pub(super) fn remove(connected: &mut Connected<'_>, keys: &[Key]) -> Answer<Vec<Key>> {
    for sql in [
        "DELETE FROM @backfill_asset WHERE (asset, backfill) IN
             (SELECT own ->> 'name', key FROM @backfill, json_array_elements(request::json -> 'assets') AS own
              WHERE key = ANY($1))",
        "DELETE FROM @segment WHERE backfill = ANY($1)",
        "DELETE FROM @backfill WHERE key = ANY($1)",
    ] {
        connected.query(sql, params![keys => INT8_ARRAY])?;
    }
    let mut is_left = false;
    for table in OUTCOMES {
        let sql = format!(
            "WITH gone AS (DELETE FROM @{table} WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM @{table} WHERE backfill = ANY($1) LIMIT $2)) RETURNING 1)
             SELECT count(*) FROM gone"
        );
        let row = connected.first(&sql, params![keys => INT8_ARRAY, MAX_ROWS => INT8])?;
        is_left |= row.is_some_and(|row| row.get::<_, i64>(0) == MAX_ROWS);
    }
    Ok(match is_left {
        true => keys.to_vec(),
        false => Vec::new(),
    })
}

/// The backfills that have no record, but rows on what happened in their runs.
pub(super) fn half_removed(connected: &mut Connected<'_>) -> Answer<Vec<Key>> {
    let mut found = Vec::new();
    for table in OUTCOMES {
        let sql = format!(
            "WITH RECURSIVE own (key) AS (
                 (SELECT backfill FROM @{table} ORDER BY backfill LIMIT 1)
                 UNION ALL
                 SELECT (SELECT backfill FROM @{table} WHERE backfill > key ORDER BY backfill LIMIT 1)
                 FROM own WHERE key IS NOT NULL)
             SELECT key FROM own WHERE key IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM @backfill AS backfill WHERE backfill.key = own.key)"
        );
        let rows = connected.query(&sql, &[])?;
        found.extend(rows.iter().map(|row| row.get::<_, Key>(0)));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// What nothing names now.
pub(super) fn unused(connected: &mut Connected<'_>) -> Answer<Unused> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    connected.transaction(begin, |connected| {
        let mut numbers = |sql: &str| -> Answer<Vec<i64>> {
            let rows = connected.query(sql, &[])?;
            Ok(rows.iter().map(|row| row.get(0)).collect())
        };
        let newest = numbers("SELECT coalesce(max(key), 0) FROM @backfill")?;
        let live = numbers("SELECT key FROM @backfill WHERE status = 0")?;
        let mut rows = Vec::new();
        for (at, (table, named_in)) in SHARED.iter().enumerate() {
            let mut unnamed: Vec<String> = named_in
                .iter()
                .map(|(by, column, _)| unnamed_in(by, column))
                .collect();
            if *table == SPACE {
                unnamed.push(unnamed_in("report", "space"));
            }
            let unnamed = unnamed.join(" AND ");
            let sql = format!("SELECT id FROM @{table} AS own WHERE {unnamed}");
            rows.push((at, numbers(&sql)?));
        }
        Ok(Unused {
            rows,
            live,
            newest: newest.first().copied().unwrap_or(0),
        })
    })
}

fn unnamed_in(table: &str, column: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM @{table} AS other WHERE other.{column} = own.id)")
}

/// Removes rows of a shared table that nothing named, unless something names them since. Commits wait meanwhile: one
/// that found a text there must not name what is removed.
pub(super) fn remove_unused(
    connected: &mut Connected<'_>,
    unused: &Unused,
    at: usize,
    ids: &[i64],
) -> Answer<u64> {
    let (table, named_in) = SHARED[at];
    let mut unnamed: Vec<String> = named_in
        .iter()
        .map(|(by, column, key)| {
            format!(
                "id NOT IN (SELECT {column} FROM @{by} WHERE ({key} = ANY($2) OR {key} > $3)
                            AND {column} IS NOT NULL)"
            )
        })
        .collect();
    if table == SPACE {
        unnamed.push("id NOT IN (SELECT space FROM @report)".into());
    }
    let sql = format!(
        "WITH gone AS (DELETE FROM @{table} WHERE id = ANY($1) AND {} RETURNING 1) SELECT count(*) FROM gone",
        unnamed.join(" AND ")
    );
    connected.transaction(WRITING, |connected| {
        connected.batch(&format!("LOCK TABLE @{table} IN SHARE ROW EXCLUSIVE MODE"))?;
        let params = params![ids => INT8_ARRAY, unused.live => INT8_ARRAY, unused.newest => INT8];
        let row = connected.first(&sql, params)?;
        Ok(row.map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()))
    })
}

pub(super) fn reported_assets(connected: &mut Connected<'_>) -> Answer<Vec<String>> {
    let rows = connected.query("SELECT DISTINCT asset FROM @report ORDER BY asset", &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) fn dynamic_names(connected: &mut Connected<'_>) -> Answer<Vec<String>> {
    let sql = "SELECT DISTINCT name FROM @dynamic_partition ORDER BY name";
    let rows = connected.query(sql, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
