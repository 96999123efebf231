//! Whether the records are intact: what SQLite says of its file, and whether the counts of each backfill
//! equal its records.

use roaring::RoaringTreemap;
use rusqlite::{Connection, Result};

use super::{backfill, segment};
use crate::store::encoding::decode_plan;
use crate::store::queries::consistency;
use crate::store::queries::ended_runs::EndedRuns;
use crate::store::records::Key;

/// What is wrong, a sentence each. All is read at one point in time, while others write.
pub(super) fn check(connection: &Connection) -> Result<Vec<String>> {
    let snapshot = connection.unchecked_transaction()?;
    let mut problems = of_file(&snapshot)?;
    if problems.is_empty() {
        let keys: Vec<(Key, String)> = snapshot
            .prepare("SELECT key, id FROM backfill ORDER BY key")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        for (key, id) in keys {
            let named = |text| format!("backfill {id}: {text}");
            problems.extend(of_backfill(&snapshot, key)?.into_iter().map(named));
        }
    }
    Ok(problems)
}

fn of_file(connection: &Connection) -> Result<Vec<String>> {
    let mut problems: Vec<String> = connection
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    problems.retain(|text| text != "ok");
    let mut dangling = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = dangling.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        problems.push(format!(
            "the table {table} names a row of {parent} that is not there"
        ));
    }
    Ok(problems)
}

fn of_backfill(connection: &Connection, key: Key) -> Result<Vec<String>> {
    let row = match backfill::get(connection, key) {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(Vec::new()),
        Err(error) => return Ok(vec![format!("its record cannot be read: {error}")]),
    };
    let (space, plan) = backfill::encoded_plan(connection, key)?;
    let plan = match decode_plan(&space, &plan) {
        Ok(plan) => plan,
        Err(error) => return Ok(vec![format!("its plan cannot be read: {error}")]),
    };
    let segments = segment::select(connection, key, &(0..u64::MAX))?;
    let damaged = segments.iter().filter(|own| own.unpack().is_err()).count();
    if damaged > 0 {
        return Ok(vec![format!("{damaged} of its segments are damaged")]);
    }
    let ended = EndedRuns::new(segments, 0..u64::MAX);
    let mut problems = consistency::of_record(&row, &plan);
    problems.extend(consistency::of_runs(&row, &plan, &ended));
    let unmatched = unmatched_failures(connection, key, &ended)?;
    if unmatched > 0 {
        problems.push(format!(
            "{unmatched} failures, metadata and failed runs do not match"
        ));
    }
    Ok(problems)
}

/// Number of failed runs without a failure, and of failures and metadata without a run.
fn unmatched_failures(connection: &Connection, key: Key, ended: &EndedRuns) -> Result<u64> {
    let mut runs = RoaringTreemap::new();
    let mut failed = RoaringTreemap::new();
    for run in ended {
        let run = run?;
        runs.insert(run.run);
        if run.failed > 0 {
            failed.insert(run.run);
        }
    }
    let mut unmatched = 0;
    for sql in [
        "SELECT run FROM failure WHERE backfill = ?1",
        "SELECT run FROM metadata WHERE backfill = ?1",
    ] {
        let mut statement = connection.prepare_cached(sql)?;
        for run in statement.query_map([key], |row| row.get::<_, i64>(0))? {
            unmatched += u64::from(!runs.contains(run?.cast_unsigned()));
        }
    }
    let mut statement = connection.prepare_cached("SELECT run FROM failure WHERE backfill = ?1")?;
    for run in statement.query_map([key], |row| row.get::<_, i64>(0))? {
        failed.remove(run?.cast_unsigned());
    }
    Ok(unmatched + failed.len())
}
