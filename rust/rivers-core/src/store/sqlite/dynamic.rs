//! The table `dynamic_partition`.

use rusqlite::{Connection, Result, Transaction, params};

pub(super) fn add(transaction: &Transaction<'_>, name: &str, keys: &[String]) -> Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO dynamic_partition (name, position, key)
         VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM dynamic_partition WHERE name = ?1), ?2)
         ON CONFLICT (name, key) DO NOTHING",
    )?;
    for key in keys {
        insert.execute(params![name, key])?;
    }
    Ok(())
}

pub(super) fn delete(transaction: &Transaction<'_>, name: &str, key: &str) -> Result<bool> {
    let sql = "DELETE FROM dynamic_partition WHERE name = ?1 AND key = ?2";
    Ok(transaction
        .prepare_cached(sql)?
        .execute(params![name, key])?
        > 0)
}

pub(super) fn select(connection: &Connection, name: &str) -> Result<Vec<String>> {
    let sql = "SELECT key FROM dynamic_partition WHERE name = ?1 ORDER BY position";
    connection
        .prepare_cached(sql)?
        .query_map([name], |row| row.get(0))?
        .collect()
}

pub(super) fn names(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached("SELECT DISTINCT name FROM dynamic_partition ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect()
}
