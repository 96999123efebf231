//! Is a storage sound? What SQLite says of its file, and whether the counts of each backfill equal its
//! records.

use rusqlite::{Connection, Result, params};

use super::backfill;
use crate::backfill::Status;
use crate::plan::{Plan, codec};
use crate::store::{BackfillRow, Key};

/// What is wrong, a sentence each; nothing in a sound storage. All of one moment, while others write.
pub(super) fn check(connection: &Connection) -> Result<Vec<String>> {
    let moment = connection.unchecked_transaction()?;
    let mut wrong = file(&moment)?;
    if wrong.is_empty() {
        let keys: Vec<(Key, String)> = moment
            .prepare("SELECT key, id FROM backfill ORDER BY key")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        for (key, id) in keys {
            let told = |text| format!("backfill {id}: {text}");
            wrong.extend(of_backfill(&moment, key)?.into_iter().map(told));
        }
    }
    Ok(wrong)
}

fn file(connection: &Connection) -> Result<Vec<String>> {
    let mut wrong: Vec<String> = connection
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    wrong.retain(|text| text != "ok");
    let mut broken = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = broken.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        wrong.push(format!(
            "the table {table} names a row of {parent} that is not there"
        ));
    }
    Ok(wrong)
}

fn of_backfill(connection: &Connection, key: Key) -> Result<Vec<String>> {
    let row = match backfill::get(connection, key) {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(Vec::new()),
        Err(error) => return Ok(vec![format!("its record cannot be read: {error}")]),
    };
    let (space, plan) = backfill::plan(connection, key)?;
    let decoded = codec::decode_space(&space).and_then(|space| codec::decode_plan(space, &plan));
    let plan = match decoded {
        Ok(plan) => plan,
        Err(error) => return Ok(vec![format!("its plan cannot be read: {error}")]),
    };
    let mut wrong = of_record(&row, &plan);
    wrong.extend(of_runs(connection, &row, &plan)?);
    Ok(wrong)
}

fn of_record(row: &BackfillRow, plan: &Plan) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            wrong.push(text.to_owned());
        }
    };
    let over = row.status != Status::InProgress;
    let counts = &row.counts;
    must(
        (row.num_partitions, row.num_runs) == (plan.num_partitions(), plan.num_runs()),
        "its plan has another number of partitions or runs than its record",
    );
    must(
        counts.ended() <= row.num_partitions,
        "more partitions have ended than it has",
    );
    must(
        !over || counts.ended() == row.num_partitions,
        "it has ended, but not all of its partitions have",
    );
    must(
        over == row.ended_at.is_some(),
        "its status and the moment of its end disagree",
    );
    must(
        !(over && row.lease.is_some()),
        "it has ended, but a process still owns it",
    );
    wrong
}

fn of_runs(connection: &Connection, row: &BackfillRow, plan: &Plan) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let (mut runs, mut partitions, mut failed, mut odd) = (0_u64, 0_u64, 0_u64, 0_u64);
    for run in super::run::select(connection, row.key, &(0..u64::MAX))? {
        runs += 1;
        failed = failed.saturating_add(run.failed);
        let size = if run.run < plan.num_runs() {
            plan.run_len(run.run)
        } else {
            0
        };
        partitions += size;
        odd += u64::from(size == 0 || run.failed > size || run.ended_at < run.started_at);
    }
    let counts = &row.counts;
    for (what, counted, recorded) in [
        ("runs that have ended", counts.runs_ended, runs),
        ("failed partitions", counts.failed, failed),
        (
            "partitions that have ended",
            counts.completed.saturating_add(counts.failed),
            partitions,
        ),
    ] {
        if counted != recorded {
            wrong.push(format!(
                "it counts {counted} {what}, its records say {recorded}"
            ));
        }
    }
    if odd > 0 {
        wrong.push(format!("{odd} of its runs cannot have ended so"));
    }
    // Failures and runs tell of each other.
    let lone: u64 = connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM run WHERE backfill = ?1 AND failed > 0 AND NOT EXISTS
                       (SELECT 1 FROM failure WHERE failure.backfill = ?1 AND failure.run = run.run))
                  + (SELECT count(*) FROM failure WHERE backfill = ?1 AND NOT EXISTS
                       (SELECT 1 FROM run WHERE run.backfill = ?1 AND run.run = failure.run))",
        )?
        .query_row(params![row.key], |row| row.get::<_, i64>(0))?
        .cast_unsigned();
    if lone > 0 {
        wrong.push(format!("{lone} failures and failed runs do not match"));
    }
    Ok(wrong)
}
