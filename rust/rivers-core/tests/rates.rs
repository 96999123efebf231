//! Rates and estimates follow from the recorded times.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use rivers_core::backfill::{Counts, Request, RunEnd, Status};
use rivers_core::clock::{Micros, SECOND};
use rivers_core::plan::{Plan, Strategy};
use rivers_core::space::labels::Labels;
use rivers_core::space::{Axis, Dim, Selection, Space};
use rivers_core::store::queries::rates;
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{BackfillRow, Commit, LeaseTerms, Ledger, Records, StorageTime};

const DAY: Micros = 86_400 * SECOND;
const RUNS: u64 = 1_000;

/// A backfill of these assets over a thousand runs, of which some have ended: number, start, end.
fn recorded(
    store: &SqliteStore,
    id: &str,
    assets: &[&str],
    ended: &[(u64, Micros, Micros)],
    in_flight: &[u64],
) -> BackfillRow {
    let labels = Labels::new((0..RUNS).map(|number| format!("k{number}"))).unwrap();
    let axis = Axis::Labels(Arc::new(labels));
    let dim = Dim {
        name: String::new(),
        axis,
    };
    let space = Arc::new(Space::try_from(vec![dim]).unwrap());
    let plan = Plan::new(Selection::all(space), Strategy::MultiRun).unwrap();
    let names: Vec<String> = assets
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","code_version":null,"partitioned":true}}"#))
        .collect();
    let request: Request = serde_json::from_str(&format!(
        r#"{{"id":"{id}","kind":"Backfill","assets":[{}],"failure_policy":"Continue","max_concurrency":4,
            "priority":-10,"tags":[],"config":null,"created_at":0}}"#,
        names.join(",")
    ))
    .unwrap();
    let lease = LeaseTerms {
        owner: "o".into(),
        duration: DAY,
    };
    let key = store.create(&request, &plan, Some(&lease)).unwrap();
    let counts = Counts {
        completed: ended.len() as u64,
        failed: 0,
        canceled: 0,
        runs_ended: ended.len() as u64,
    };
    let end = |&(run, started_at, ended_at)| RunEnd {
        run,
        started_at,
        ended_at,
        partitions: 1,
        failed: 0,
        failures: Vec::new(),
        skips: Vec::new(),
        retry: None,
        metadata: Vec::new(),
    };
    let commit = Commit {
        key,
        ended: ended.iter().map(end).collect(),
        counts,
        in_flight: in_flight.iter().map(|&run| (run, 0)).collect(),
        stop: None,
        finished: None,
    };
    store.commit(&lease, &[commit]).unwrap();
    store.get(key).unwrap().unwrap()
}

/// `count` runs from the number `first` on, one a second from the time `since` on.
fn one_a_second(first: u64, count: u64, since: Micros) -> Vec<(u64, Micros, Micros)> {
    let at = |number: u64| since + number as Micros * SECOND;
    (0..count).map(|n| (first + n, at(n), at(n + 1))).collect()
}

#[test]
fn the_rate_is_that_of_the_last_minute() {
    let store = SqliteStore::memory().unwrap();
    let rate = |row: &BackfillRow, now| rates::rate(&store, row, StorageTime(now)).unwrap();
    let none = recorded(&store, "none", &["a"], &[], &[0]);
    assert_eq!(rate(&none, SECOND), None);
    let begun = recorded(&store, "begun", &["a"], &one_a_second(0, 3, 0), &[3]);
    assert_eq!(rate(&begun, 3 * SECOND), Some(1.0));
    let steady = recorded(&store, "steady", &["a"], &one_a_second(0, 500, 0), &[500]);
    let found = rate(&steady, 500 * SECOND).unwrap();
    assert!((found - 1.0).abs() < 0.05, "{found}");
    // It stalls: the longer, the slower.
    assert!(rate(&steady, 600 * SECOND).unwrap() < found / 2.0);
}

#[test]
fn what_ran_before_its_process_died_does_not_count() {
    let store = SqliteStore::memory().unwrap();
    let mut ended = one_a_second(0, 500, 0);
    ended.extend(one_a_second(500, 20, DAY));
    let row = recorded(&store, "resumed", &["a"], &ended, &[520, 521]);
    let found = rates::rate(&store, &row, StorageTime(DAY + 20 * SECOND))
        .unwrap()
        .unwrap();
    assert!((found - 1.0).abs() < 0.2, "{found}");
}

#[test]
fn runs_far_ahead_do_not_count() {
    let store = SqliteStore::memory().unwrap();
    let mut ended = one_a_second(900, 5, 0);
    ended.extend(one_a_second(0, 100, 1_000 * SECOND));
    let row = recorded(&store, "spread", &["a"], &ended, &[100]);
    let found = rates::rate(&store, &row, StorageTime(1_100 * SECOND))
        .unwrap()
        .unwrap();
    assert!((found - 1.0).abs() < 0.05, "{found}");
}

#[test]
fn what_is_paused_or_has_ended_has_no_rate() {
    let store = SqliteStore::memory().unwrap();
    let mut row = recorded(&store, "x", &["a"], &one_a_second(0, 3, 0), &[3]);
    row.paused = true;
    assert_eq!(rates::rate(&store, &row, StorageTime(3 * SECOND)), Ok(None));
    row.paused = false;
    row.status = Status::Canceled;
    assert_eq!(rates::rate(&store, &row, StorageTime(3 * SECOND)), Ok(None));
}

#[test]
fn an_estimate_is_by_the_latest_runs_of_just_these_assets() {
    let store = SqliteStore::memory().unwrap();
    let seconds = |assets: &[&str]| rates::seconds_per_partition(&store, assets).unwrap();
    assert_eq!(seconds(&["a"]), None);
    recorded(&store, "old", &["a"], &[(0, 0, 9 * SECOND)], &[]);
    recorded(
        &store,
        "new",
        &["a"],
        &[(0, 0, SECOND), (1, 0, 3 * SECOND)],
        &[],
    );
    recorded(&store, "empty", &["a"], &[], &[]);
    assert_eq!(seconds(&["a"]), Some(2.0));
    assert_eq!(seconds(&["b"]), None);
    assert_eq!(seconds(&["a", "b"]), None);
    recorded(&store, "other", &["b"], &[(0, 0, 5 * SECOND)], &[]);
    assert_eq!(seconds(&["a", "b"]), Some(7.0));
    recorded(&store, "both", &["a", "b"], &[(0, 0, 4 * SECOND)], &[]);
    assert_eq!(seconds(&["b", "a"]), Some(4.0));
    assert_eq!(seconds(&["a"]), Some(2.0));
}
