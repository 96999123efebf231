//! Checks the tables of small cases against rows written by hand.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod table_support;

use std::sync::Arc;

use arrow_array::Array;
use rivers_core::backfill::{AttemptRow, Counts, FailureRow, RunRow, Status};
use rivers_core::plan::{Plan, Strategy as Grouping};
use rivers_core::space::time::DAY;
use rivers_core::space::{Axis, Definition, Dimension, Members, Selection, Space};
use rivers_core::store::OneFailure;
use rivers_core::table::{
    BackfillEntry, BackfillView, PartitionFilter, PartitionStatus, RunStatus, Verdict, backfills,
    partition_status, partitions, runs, selection,
};
use table_support::{backfill, causes, days, names, rows, space, texts};

#[test]
fn one_dimension_of_windows_is_a_key_and_its_start() {
    let definition = Definition::Single(Dimension::Time(match days(3, "%Y-%m-%d") {
        Axis::Time(time) => Arc::clone(time.calendar()),
        Axis::Labels(_) => unreachable!("it is of windows"),
    }));
    let space = definition
        .resolve(3 * DAY - 1, &|_| unreachable!("nothing is dynamic"))
        .unwrap();
    let table = selection(&Selection::all(space)).unwrap();
    let schema = table.schema();
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(fields, ["partition", "partition_start"]);
    assert_eq!(rows(&table)[2], ["1970-01-03", "172800000000"]);
}

#[test]
fn names_are_an_enum_of_all_of_them() {
    let space = space(vec![("", names(300, 0))]);
    let table = selection(&Selection::new(space, Members::One(299))).unwrap();
    let field = table.schema().field(0).clone();
    assert!(field.metadata()["_PL_ENUM_VALUES"].starts_with("2;k02;k1"));
    assert_eq!(rows(&table), [["k299"]]);
}

#[test]
fn nothing_partitioned_is_one_row_without_columns() {
    let table = selection(&Selection::all(Space::unpartitioned())).unwrap();
    assert_eq!((table.num_rows(), table.num_columns()), (1, 0));
}

#[test]
fn too_many_rows_are_refused_before_any_is_built() {
    let space = space(vec![
        ("a", names(5_000, 0)),
        ("b", names(5_000, 0)),
        ("c", names(5_000, 0)),
    ]);
    let plan = Plan::new(Selection::all(Arc::clone(&space)), Grouping::MultiRun).unwrap();
    let (rows, causes) = (
        [RunRow {
            run: 7,
            started_at: 1,
            ended_at: 2,
            failed: 0,
        }],
        causes(),
    );
    let view = BackfillView {
        id: "b",
        status: Status::InProgress,
        runs: &rows,
        in_flight: &[],
        failures: &[],
        skips: &[],
        attempts: &[],
        causes: &causes,
    };
    let refused = partitions(&plan, 0, &view, &PartitionFilter::default())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("125000000000 rows"), "{refused}");
    // Rows that are filtered out are not built.
    let status = Some(vec![PartitionStatus::Completed]);
    let filter = PartitionFilter {
        status,
        run_id: false,
    };
    assert_eq!(partitions(&plan, 0, &view, &filter).unwrap().num_rows(), 1);
    let none = Selection::empty(&space);
    let verdict = Verdict {
        reports: &[],
        gone: &none,
        stale: [&none; 3],
    };
    assert!(partition_status(&space, &[], verdict, &causes, None, false).is_err());
}

#[test]
fn runs_that_have_begun() {
    let space = space(vec![("a", names(4, 0)), ("b", names(2, 0))]);
    let by = Grouping::per_dimension(vec!["a".into()], vec!["b".into()]).unwrap();
    let plan = Plan::new(Selection::all(space), by).unwrap();
    let rows = [
        RunRow {
            run: 0,
            started_at: 1,
            ended_at: 4,
            failed: 0,
        },
        RunRow {
            run: 2,
            started_at: 2,
            ended_at: 9,
            failed: 1,
        },
    ];
    let failed = FailureRow {
        run: 2,
        asset: 0,
        partition: Some(4),
        cause: Some(1),
        family: None,
    };
    let attempt = |run, attempt, asset| AttemptRow {
        run,
        attempt,
        asset,
        started_at: 7,
        due_at: 99,
        cause: 0,
    };
    let attempts = [
        attempt(1, 1, 0),
        attempt(1, 2, 0),
        attempt(1, 2, 1),
        attempt(2, 1, 0),
    ];
    let causes = causes();
    let view = BackfillView {
        id: "b",
        status: Status::InProgress,
        runs: &rows,
        in_flight: &[(3, 5)],
        failures: &[failed],
        skips: &[],
        attempts: &attempts,
        causes: &causes,
    };
    let table = runs(&plan, &view, None).unwrap();
    assert_eq!(texts(table.column(0)), ["0", "1", "2", "3"]);
    assert_eq!(texts(table.column(1)), ["b.0", "b.1", "b.2", "b.3"]);
    let states = ["completed", "waiting", "failed", "running"];
    assert_eq!(texts(table.column(2)), states);
    assert_eq!(texts(table.column(3)), ["2", "2", "2", "2"]);
    assert_eq!(texts(table.column(4)), ["1", "2", "2", "1"]);
    assert_eq!(texts(table.column(5)), ["1", "7", "2", "5"]);
    assert_eq!(texts(table.column(6)), ["4", "-", "9", "-"]);
    assert_eq!(table.column(7).null_count(), 2);
    let errors = ["-", &causes[&0].message, &causes[&1].message, "-"];
    assert_eq!(texts(table.column(8)), errors);
    let table = runs(&plan, &view, Some(&[RunStatus::Failed])).unwrap();
    assert_eq!(texts(table.column(0)), ["2"]);

    let table = partitions(&plan, 0, &view, &PartitionFilter::default()).unwrap();
    let column = |name| texts(table.column_by_name(name).unwrap());
    assert_eq!(column("run"), ["0", "0", "1", "1", "2", "2", "3", "3"]);
    assert_eq!(column("attempts"), ["1", "1", "2", "2", "2", "2", "1", "1"]);
    assert_eq!(column("status")[2..4], ["pending", "pending"]);
    let ended = BackfillView {
        status: Status::Canceled,
        ..view
    };
    let canceled = runs(&plan, &ended, Some(&[RunStatus::Canceled])).unwrap();
    assert_eq!(texts(canceled.column(0)), ["1", "3"]);
}

#[test]
fn a_status_is_known_by_its_name() {
    assert_eq!(
        PartitionStatus::parse("failed"),
        Ok(PartitionStatus::Failed)
    );
    let refused = PartitionStatus::parse("done").unwrap_err().to_string();
    assert!(
        refused.contains("\"done\"") && refused.contains("\"pending\""),
        "{refused}"
    );
}

#[test]
fn backfills_with_how_far_they_are() {
    let counts = |completed, failed, canceled| Counts {
        completed,
        failed,
        canceled,
        runs_ended: 0,
    };
    let live = backfill("live", Status::InProgress, counts(3, 1, 0), None);
    let ended = backfill("ended", Status::Canceled, counts(0, 0, 10), Some(2_000_000));
    let failure = OneFailure {
        run: 0,
        asset: 0,
        partition: None,
        cause: causes()[&0].clone(),
    };
    let entries = [
        BackfillEntry {
            row: &live,
            owner_alive: true,
            first_failure: Some(&failure),
        },
        BackfillEntry {
            row: &ended,
            owner_alive: false,
            first_failure: None,
        },
    ];
    let table = backfills(&entries, 3_000_000).unwrap();
    let error = failure.cause.message.as_str();
    assert_eq!(
        rows(&table),
        [
            [
                "live",
                "in_progress",
                "10",
                "10",
                "3",
                "1",
                "0",
                "6",
                "multi_run()",
                "raw clean",
                "team=a why=b",
                "1000000",
                "-",
                "2",
                "true",
                "false",
                error,
            ],
            [
                "ended",
                "canceled",
                "10",
                "10",
                "0",
                "0",
                "10",
                "0",
                "multi_run()",
                "raw clean",
                "team=a why=b",
                "1000000",
                "2000000",
                "-",
                "-",
                "-",
                "-",
            ],
        ]
    );
    assert_eq!(backfills(&[], 0).unwrap().num_rows(), 0);
}
