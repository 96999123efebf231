//! Compares the tables with a naive oracle that builds them row by row.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod table_support;

use proptest::prelude::*;
use rivers_core::backfill::{AttemptRow, FailureRow, Failures, RunRow, Skips, Status};
use rivers_core::plan::Plan;
use rivers_core::space::{Axis, Selection, Space};
use rivers_core::table::{
    AssetHistory, BackfillView, MaterializationStatus, PartitionFilter, PartitionStatus, Verdict,
    partition_status, partitions, selection,
};
use table_support::{any_plan, causes, days, names, rows, space};

/// The dimension columns of a partition.
fn dimension_cells(space: &Space, partition: u64) -> Vec<String> {
    let mut cells = Vec::new();
    for (at, dim) in space.dims().iter().enumerate() {
        let index = space.index(partition, at);
        cells.push(dim.axis.label(index).into_owned());
        if let Axis::Time(time) = &dim.axis {
            cells.push((time.start_of(index) / 1_000).to_string());
        }
    }
    cells
}

/// The outcome of each run: none, in flight, completed, failed as a whole, failed in part, or both.
#[derive(Debug, Clone)]
struct Records {
    runs: Vec<RunRow>,
    in_flight: Vec<(u64, i64)>,
    failures: Vec<FailureRow>,
    attempts: Vec<AttemptRow>,
}

fn records(plan: &Plan, fates: &[(u8, i64)]) -> Records {
    let (mut runs, mut in_flight, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let mut attempts = Vec::new();
    for run in 0..plan.num_runs() {
        let (fate, at) = fates[run as usize % fates.len()];
        let partitions: Vec<u64> = plan.run(run).iter().collect();
        let fail = |partition, cause| FailureRow {
            run,
            asset: 0,
            partition,
            cause: Some(cause),
            family: None,
        };
        // Every fourth run had up to three attempts before.
        let before = if at % 4 == 0 { at as u32 % 3 + 1 } else { 0 };
        attempts.extend((1..=before).map(|attempt| AttemptRow {
            run,
            attempt,
            asset: 0,
            started_at: at - 9,
            due_at: at,
            cause: 0,
        }));
        let mut failed = 0;
        match fate {
            0 => continue,
            1 => {
                in_flight.push((run, at));
                continue;
            }
            2 => {}
            3 => {
                failed = partitions.len();
                failures.push(fail(None, 0));
            }
            4 => {
                failed = partitions.len().div_ceil(2);
                for (n, &partition) in partitions.iter().step_by(2).enumerate() {
                    failures.push(fail(Some(partition), n as i64 % 3));
                }
            }
            _ => {
                failed = partitions.len();
                failures.push(fail(Some(partitions[0]), 1));
                failures.push(fail(None, 2));
            }
        }
        runs.push(RunRow {
            run,
            started_at: at,
            ended_at: at + 5,
            failed: failed as u64,
        });
    }
    in_flight.reverse();
    Records {
        runs,
        in_flight,
        failures,
        attempts,
    }
}

fn fates() -> impl Strategy<Value = Vec<(u8, i64)>> {
    proptest::collection::vec((0..6_u8, 0..50_i64), 1..20)
}

fn some_states<T: Copy + std::fmt::Debug>(
    all: &'static [T],
) -> impl Strategy<Value = Option<Vec<T>>> {
    proptest::option::of(proptest::sample::subsequence(all, 0..=all.len()))
}

proptest! {
    #[test]
    fn selections_show_their_partitions_in_order(plan in any_plan()) {
        let chosen = plan.selection();
        let expected: Vec<_> = chosen.iter().map(|p| dimension_cells(chosen.space(), p)).collect();
        prop_assert_eq!(rows(&selection(chosen).unwrap()), expected);
    }

    #[test]
    fn partitions_agree_with_the_oracle(
        plan in any_plan(), fates in fates(), live: bool, run_id: bool,
        kept in some_states(PartitionStatus::ALL),
    ) {
        let (records, causes) = (records(&plan, &fates), causes());
        let failures: Failures = records.failures.iter().copied().collect();
        let view = BackfillView {
            id: "a-backfill-with-a-long-id",
            status: if live { Status::InProgress } else { Status::Failed },
            runs: &records.runs,
            in_flight: &records.in_flight,
            failures: &records.failures,
            skips: &[],
            attempts: &records.attempts,
            causes: &causes,
        };
        let mut expected = Vec::new();
        for run in 0..plan.num_runs() {
            let ended = records.runs.iter().find(|row| row.run == run);
            let begun = records.in_flight.iter().find(|row| row.0 == run);
            for partition in plan.run(run).iter() {
                let missed = failures.failed_part(run, None).has(partition);
                let status = match (ended, begun) {
                    (Some(_), _) if missed => PartitionStatus::Failed,
                    (Some(_), _) => PartitionStatus::Completed,
                    (None, Some(_)) if live => PartitionStatus::Running,
                    (None, None) if live => PartitionStatus::Pending,
                    (None, _) => PartitionStatus::Canceled,
                };
                if kept.as_ref().is_some_and(|kept| !kept.contains(&status)) {
                    continue;
                }
                let cell = |value: Option<String>| value.unwrap_or_else(|| "-".into());
                let before = records.attempts.iter().rfind(|row| row.run == run);
                let again = u32::from(ended.is_some() || begun.is_some());
                let started = ended.map(|row| row.started_at).or(begun.map(|begun| begun.1));
                let started = started.or(before.map(|row| row.started_at));
                let error = failures.cause(run, partition).filter(|_| missed);
                let mut row = dimension_cells(plan.selection().space(), partition);
                row.extend([status.name().to_owned(), run.to_string()]);
                if run_id {
                    row.push(format!("a-backfill-with-a-long-id.{run}"));
                }
                row.push((before.map_or(0, |row| row.attempt) + again).to_string());
                row.push(cell(started.map(|at| at.to_string())));
                row.push(cell(ended.map(|row| row.ended_at.to_string())));
                row.push(cell(error.map(|cause| causes[&cause].message.clone())));
                expected.push(row);
            }
        }
        let filter = PartitionFilter { status: kept, run_id };
        prop_assert_eq!(rows(&partitions(&plan, 0, &view, &filter).unwrap()), expected);
    }

    #[test]
    fn status_agrees_with_the_oracle(
        given in proptest::collection::vec((any_plan(), fates(), any::<bool>()), 0..4),
        dims in (1..6_u32, 1..4_usize, 0..3_usize, 1..6_usize), daily: bool,
        kept in some_states(MaterializationStatus::ALL),
    ) {
        let fmt = if daily { "%Y-%m-%d" } else { "%Y-%m-%dT%H" };
        // The asset's dimensions stand in another order than the backfills'.
        let space = space(vec![
            ("customer", names(dims.3, 0)), ("date", days(dims.0, fmt)), ("region", names(dims.1, dims.2)),
        ]);
        let history: Vec<AssetHistory> = given.into_iter().enumerate().map(|(n, (plan, fates, live))| {
            let records = records(&plan, &fates);
            AssetHistory {
                backfill_id: format!("a-backfill-with-a-long-id-{n}"),
                facts: None,
                code_version: (n % 2 == 0).then(|| format!("v{n}")),
                plan,
                asset: 0,
                runs: records.runs,
                left: Vec::new(),
                in_progress: live,
                metadata: Vec::new(),
                failures: records.failures.into_iter().collect(),
                skips: Skips::default(),
                sessions: Vec::new(),
            }
        }).collect();
        let mut expected = Vec::new();
        for partition in 0..space.len() {
            let (mut held, mut failed) = (false, None);
            let mut done: Option<(i64, &AssetHistory, u64)> = None;
            for backfill in &history {
                let plan = &backfill.plan;
                for run in 0..plan.num_runs() {
                    for own in plan.run(run).iter() {
                        if plan.selection().space().translate(&space, own) != Some(partition) {
                            continue;
                        }
                        match backfill.runs.iter().find(|row| row.run == run) {
                            None => held |= backfill.in_progress,
                            Some(row) if backfill.failures.failed_part(run, Some(0)).has(own) => {
                                failed = failed.max(Some(row.ended_at));
                            }
                            Some(row) => {
                                if done.is_none_or(|(at, ..)| row.ended_at > at) {
                                    done = Some((row.ended_at, backfill, run));
                                }
                            }
                        }
                    }
                }
            }
            let status = match (held, failed, done) {
                (true, ..) => MaterializationStatus::InProgress,
                (_, Some(failed), done) if done.is_none_or(|(at, ..)| failed > at) => {
                    MaterializationStatus::Failed
                }
                (.., Some(_)) => MaterializationStatus::Materialized,
                (.., None) => MaterializationStatus::Missing,
            };
            if kept.as_ref().is_some_and(|kept| !kept.contains(&status)) {
                continue;
            }
            let mut row = dimension_cells(&space, partition);
            row.push(status.name().to_owned());
            let dash = || "-".to_owned();
            row.push(done.map_or_else(dash, |(at, ..)| at.to_string()));
            row.push(done.map_or_else(dash, |(_, backfill, _)| backfill.backfill_id.clone()));
            row.push(done.map_or_else(dash, |(.., run)| run.to_string()));
            row.push(done.and_then(|(_, b, _)| b.code_version.clone()).unwrap_or_else(dash));
            row.push(dash()); // Nothing is skipped.
            row.extend(["false".to_owned(), dash()]); // Nothing is stale.
            expected.push(row);
        }
        let none = Selection::empty(&space);
        let verdict = Verdict { reports: &[], gone: &none, stale: [&none; 3] };
        let table =
            partition_status(&space, &history, verdict, &causes(), kept.as_deref(), false).unwrap();
        prop_assert_eq!(rows(&table), expected);
    }
}
