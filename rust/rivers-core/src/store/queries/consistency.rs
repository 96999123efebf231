//! Whether the records of a backfill agree with each other.

use crate::backfill::Status;
use crate::plan::Plan;
use crate::store::queries::ended_runs::EndedRuns;
use crate::store::records::BackfillRow;

/// What is wrong with the record of a backfill, a sentence each.
pub fn of_record(row: &BackfillRow, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            problems.push(text.to_owned());
        }
    };
    let has_ended = row.status != Status::InProgress;
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
        !has_ended || counts.ended() == row.num_partitions,
        "it has ended, but not all of its partitions have",
    );
    must(
        has_ended == row.ended_at.is_some(),
        "its status and the time of its end disagree",
    );
    must(
        !(has_ended && row.lease.is_some()),
        "it has ended, but a process still owns it",
    );
    problems
}

/// What is wrong with the ended runs of a backfill, a sentence each.
pub fn of_runs(row: &BackfillRow, plan: &Plan, ended: &EndedRuns) -> Vec<String> {
    let (mut runs, mut partitions, mut failed, mut impossible) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut previous = None;
    for run in ended {
        let run = match run {
            Ok(run) => run,
            Err(error) => return vec![format!("its runs cannot be read: {error}")],
        };
        let is_repeated = previous == Some(run.run);
        previous = Some(run.run);
        runs += 1;
        failed = failed.saturating_add(run.failed);
        let size = if run.run < plan.num_runs() {
            plan.run_len(run.run)
        } else {
            0
        };
        partitions += size;
        impossible += u64::from(
            size == 0 || run.failed > size || run.ended_at < run.started_at || is_repeated,
        );
    }
    let counts = &row.counts;
    let compared = [
        ("runs that have ended", counts.runs_ended, runs),
        ("failed partitions", counts.failed, failed),
        (
            "partitions that have ended",
            counts.completed.saturating_add(counts.failed),
            partitions,
        ),
    ];
    let mut problems: Vec<String> = compared
        .into_iter()
        .filter(|(_, counted, recorded)| counted != recorded)
        .map(|(what, counted, recorded)| {
            format!("it counts {counted} {what}, its records say {recorded}")
        })
        .collect();
    if impossible > 0 {
        problems.push(format!("{impossible} of its runs cannot have ended so"));
    }
    problems
}
