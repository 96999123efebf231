//! Events leave out what a run did not materialize: what it skipped, and what was materialized before.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use rivers_core::backfill::{Cause, Counts, Request, RunEnd, Skip};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::space::labels::Labels;
use rivers_core::space::{Axis, Dim, Members, PositionSet, Selection, Space};
use rivers_core::store::queries::events::{self, Event, EventPartitions};
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{Commit, LeaseTerms, Ledger};

fn space() -> Arc<Space> {
    let labels = Labels::new((0..4).map(|number| format!("k{number}"))).unwrap();
    let dim = Dim {
        name: String::new(),
        axis: Axis::Labels(Arc::new(labels)),
    };
    Arc::new(Space::try_from(vec![dim]).unwrap())
}

/// The store after one run over four partitions with these skips, of the assets `a` and `b`.
fn recorded(plan: &Plan, skips: Vec<Skip>) -> SqliteStore {
    let store = SqliteStore::memory().unwrap();
    let request: Request = serde_json::from_str(
        r#"{"id":"x","kind":"Backfill","assets":[{"name":"a","code_version":null,"partitioned":true},
            {"name":"b","code_version":null,"partitioned":true}],"failure_policy":"Continue",
            "max_concurrency":4,"priority":-10,"tags":[],"config":null,"created_at":7}"#,
    )
    .unwrap();
    let lease = LeaseTerms {
        owner: "o".into(),
        duration: 3_600_000_000,
    };
    let key = store.create(&request, plan, Some(&lease)).unwrap();
    let end = RunEnd {
        run: 0,
        started_at: 10,
        ended_at: 20,
        partitions: 4,
        failed: 0,
        failures: Vec::new(),
        skips,
        retry: None,
        metadata: Vec::new(),
    };
    let commit = Commit {
        key,
        ended: vec![end],
        counts: Counts {
            completed: 4,
            runs_ended: 1,
            ..Counts::default()
        },
        in_flight: Vec::new(),
        stop: None,
        finished: None,
    };
    store.commit(&lease, &[commit]).unwrap();
    store
}

fn skip(asset: u32, partition: Option<u64>) -> Skip {
    let reason = Cause {
        error_type: "Skip".into(),
        message: "holiday".into(),
        traceback: None,
    };
    Skip {
        asset,
        partition,
        reason: Arc::new(reason),
    }
}

/// Type and partition of each event.
fn shown(events: &[Event]) -> Vec<(&'static str, Option<u64>)> {
    let partition = |event: &Event| match event.partitions {
        EventPartitions::One(_, partition) => Some(partition),
        EventPartitions::None | EventPartitions::Several(_) => None,
    };
    events
        .iter()
        .map(|event| (event.kind.name(), partition(event)))
        .collect()
}

#[test]
fn skipped_partitions_have_no_materialization() {
    let plan = Plan::new(Selection::all(space()), Strategy::SingleRun).unwrap();
    let store = recorded(&plan, vec![skip(0, Some(1)), skip(1, None)]);
    let made = |partition| ("Materialization", Some(partition));
    assert_eq!(
        shown(&events::of_asset(&store, "a", 9).unwrap()),
        [
            ("StepSuccess", None),
            made(3),
            made(2),
            made(0),
            ("StepStart", None)
        ]
    );
    assert_eq!(
        shown(&events::of_asset(&store, "b", 9).unwrap()),
        [("StepSuccess", None), ("StepStart", None)]
    );
    let latest = |partition| {
        events::latest_materialization(&store, "a", partition)
            .unwrap()
            .is_some()
    };
    assert!(latest(None) && latest(Some("k0")) && !latest(Some("k1")));
}

#[test]
fn what_was_materialized_before_has_no_event() {
    let plan = Plan::new(Selection::all(space()), Strategy::SingleRun).unwrap();
    let part = Members::Explicit(PositionSet::in_order([0, 2]));
    let before = [
        (0, Selection::all(space())),
        (1, Selection::new(space(), part)),
    ];
    let store = recorded(&plan.with_materialized(before), Vec::new());
    assert_eq!(shown(&events::of_asset(&store, "a", 9).unwrap()), []);
    let limited = events::of_asset(&store, "b", 2).unwrap();
    assert_eq!(
        shown(&limited),
        [("StepSuccess", None), ("Materialization", Some(3))]
    );
    let all = shown(&events::of_run(&store, "x.0").unwrap());
    assert_eq!(all.len(), 4);
    assert_eq!(all[1], ("Materialization", Some(1)));
}
