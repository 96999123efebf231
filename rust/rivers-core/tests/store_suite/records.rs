//! What readers read: backfills, runs, failures, attempts, plans, and whether they agree.

use std::sync::Arc;

use rivers_core::backfill::{Cause, Counts, Kind, Left, Retry, RunEnd, Skip, Status}; /*?*/
use rivers_core::store::Store;

use super::{
    Fixture, commit, completed, created, error, failed, finish, lease, plan, record, request, row,
};

fn numbers(store: &dyn Store, key: i64, range: std::ops::Range<u64>) -> Vec<u64> {
    let runs = store.runs(key, range).unwrap();
    runs.iter().map(|run| run.run).collect()
}

pub(crate) fn runs_are_read_by_number(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    record(&*store, "o", key, vec![completed(4), completed(0)]);
    record(&*store, "o", key, vec![failed(2, "x"), completed(8)]);
    assert_eq!(numbers(&*store, key, 0..u64::MAX), [0, 2, 4, 8]);
    assert_eq!(numbers(&*store, key, 2..8), [2, 4]);
    assert_eq!(numbers(&*store, key, 5..5), [] as [u64; 0]);
    let run = store.runs(key, 2..3).unwrap()[0];
    assert_eq!((run.started_at, run.ended_at, run.failed), (20, 25, 1));
}

pub(crate) fn the_last_run_before_a_number_is_found(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    record(&*store, "o", key, vec![completed(3), completed(6)]);
    let before = |number| store.run_before(key, number).unwrap().map(|run| run.run);
    assert_eq!(before(3), None);
    assert_eq!(
        (before(4), before(6), before(7)),
        (Some(3), Some(3), Some(6))
    );
    assert_eq!(before(u64::MAX), Some(6));
}

pub(crate) fn the_latest_runs_come_newest_backfill_first(fixture: &impl Fixture) {
    let store = fixture.open();
    let old = created(&*store, "old", 9, "o");
    let new = created(&*store, "new", 9, "o");
    record(&*store, "o", new, vec![completed(0), failed(1, "x")]);
    record(&*store, "o", old, vec![failed(5, "y"), completed(7)]);
    let latest = |failed, limit| {
        let runs = store.latest_runs(failed, limit).unwrap();
        let numbers = runs.into_iter().map(|(key, run)| (key, run.run));
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(latest(None, None), [(new, 1), (new, 0), (old, 7), (old, 5)]);
    assert_eq!(latest(None, Some(3)), [(new, 1), (new, 0), (old, 7)]);
    assert_eq!(latest(Some(true), None), [(new, 1), (old, 5)]);
    assert_eq!(latest(Some(false), Some(1)), [(new, 0)]);
}

pub(crate) fn failures_are_read_in_the_order_in_which_they_were_recorded(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    record(&*store, "o", key, vec![failed(7, "x"), failed(1, "y")]);
    let mut partly = failed(4, "z");
    partly.failures[0].partition = Some(4);
    let mut skipped = partly.failures[0].clone();
    (skipped.asset, skipped.partition) = (1, None);
    (skipped.cause, skipped.fingerprint) = (None, None);
    partly.failures.push(skipped);
    record(&*store, "o", key, vec![partly]);
    let all = store.failures(key, None).unwrap();
    let runs: Vec<_> = all.iter().map(|row| (row.run, row.asset)).collect();
    assert_eq!(runs, [(7, 0), (1, 0), (4, 0), (4, 1)]);
    let one = store.failures(key, Some(4)).unwrap();
    assert_eq!((one[0].partition, one[1].partition), (Some(4), None));
    assert!(one[0].cause.is_some() && one[1].cause.is_none());
    assert_eq!(store.failures(key, Some(5)).unwrap(), []);
}

pub(crate) fn the_first_and_the_last_failure_are_found(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    assert!(store.first_failure(key).unwrap().is_none());
    assert!(store.last_failure(key).unwrap().is_none());
    record(&*store, "o", key, vec![failed(7, "x"), failed(1, "y")]);
    record(&*store, "o", key, vec![failed(2, "z")]);
    let first = store.first_failure(key).unwrap().unwrap();
    assert_eq!((first.run, first.cause), (7, error("x")));
    let last = store.last_failure(key).unwrap().unwrap();
    assert_eq!((last.run, last.cause), (2, error("z")));
}

pub(crate) fn equal_errors_are_recorded_once(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    record(&*store, "o", key, vec![failed(0, "x"), failed(1, "x")]);
    record(&*store, "o", key, vec![failed(2, "y"), failed(3, "x")]);
    let rows = store.failures(key, None).unwrap();
    let ids: Vec<i64> = rows.iter().filter_map(|row| row.cause).collect();
    assert_eq!((ids[0], ids[0]), (ids[1], ids[3]));
    assert_ne!(ids[0], ids[2]);
    let errors = store.errors(&[ids[2], ids[0]]).unwrap();
    assert_eq!(errors, [(ids[2], error("y")), (ids[0], error("x"))]);
    let prints: Vec<i64> = rows.iter().filter_map(|row| row.family).collect();
    assert_eq!((prints[0], prints[0]), (prints[1], prints[3]));
    let texts = store.fingerprints(&[prints[2], prints[0]]).unwrap();
    let text = |message: &str| ("ValueError".to_owned(), message.to_owned());
    assert_eq!(texts, [text("y"), text("x")]);
}

pub(crate) fn an_attempt_that_is_made_again_is_no_ended_run(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let again = RunEnd {
        retry: Some(Retry {
            attempt: 1,
            due_at: 99,
            causes: vec![(0, Arc::new(error("x")))],
            deferred: Vec::new(),
            rest: Vec::new(),
            left: None,
        }),
        ..completed(3)
    };
    record(&*store, "o", key, vec![again, completed(1)]);
    assert_eq!(numbers(&*store, key, 0..9), [1]);
    assert_eq!(store.failures(key, None).unwrap(), []);
    let attempts = store.attempts(key).unwrap();
    assert_eq!(attempts.len(), 1);
    let attempt = &attempts[0];
    assert_eq!((attempt.run, attempt.attempt, attempt.asset), (3, 1, 0));
    assert_eq!((attempt.started_at, attempt.due_at), (30, 99));
    let errors = store.errors(&[attempt.cause]).unwrap();
    assert_eq!(errors[0].1, error("x"));
    record(&*store, "o", key, vec![completed(3)]);
    assert_eq!(numbers(&*store, key, 0..9), [1, 3]);
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn what_the_last_attempt_of_a_run_left_is_read(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let left = |again: Vec<u32>| {
        Arc::new(Left {
            started_at: 1,
            ended_at: 2,
            again,
            failures: Vec::new(),
            metadata: Vec::new(),
            skips: Vec::new(),
            made: vec![(1, vec![3])],
        })
    };
    let attempt = |run, attempt, left| RunEnd {
        retry: Some(Retry {
            attempt,
            due_at: 99,
            causes: vec![(0, Arc::new(error("x"))), (1, Arc::new(error("y")))],
            deferred: Vec::new(),
            rest: Vec::new(),
            left,
        }),
        ..completed(run)
    };
    let (first, second) = (left(vec![0, 1]), left(vec![1]));
    let ended = vec![
        attempt(3, 1, Some(Arc::clone(&first))),
        attempt(5, 1, Some(Arc::clone(&first))),
        attempt(4, 1, None),
    ];
    record(&*store, "o", key, ended);
    let read = || store.left(key).unwrap();
    assert_eq!(read(), [(3, Left::clone(&first)), (5, Left::clone(&first))]);
    let ended = vec![
        attempt(3, 2, Some(Arc::clone(&second))),
        attempt(5, 2, None),
    ];
    record(&*store, "o", key, ended);
    assert_eq!(read(), [(3, Left::clone(&second))]);
}

pub(crate) fn skips_are_read_with_their_reasons(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let skip = |asset, partition, why: &str| Skip {
        asset,
        partition,
        reason: Arc::new(Cause::of_skip(why)),
    };
    let skipping = |run, skips| RunEnd {
        skips,
        ..completed(run)
    };
    let whole = skipping(3, vec![skip(0, None, "holiday")]);
    let parts = skipping(
        4,
        vec![skip(0, Some(4), "holiday"), skip(1, Some(4), "empty")],
    );
    record(&*store, "o", key, vec![completed(1), whole, parts]);
    let rows = store.skips(key, None).unwrap();
    let places: Vec<_> = rows
        .iter()
        .map(|row| (row.run, row.asset, row.partition))
        .collect();
    assert_eq!(places, [(3, 0, None), (4, 0, Some(4)), (4, 1, Some(4))]);
    assert_eq!(rows[0].reason, rows[1].reason);
    let texts = store.errors(&[rows[2].reason]).unwrap();
    assert_eq!(texts, [(rows[2].reason, Cause::of_skip("empty"))]);
    assert_eq!(store.skips(key, Some(3)).unwrap(), rows[..1]);
    assert!(store.has_skipped("a").unwrap());
    assert!(!store.has_skipped("other").unwrap());
    // A skip is no failure.
    assert_eq!(store.failures(key, None).unwrap(), []);
    assert_eq!(
        store.first_failure(key).unwrap().map(|first| first.run),
        None
    );
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn backfills_are_listed_newest_first(fixture: &impl Fixture) {
    let store = fixture.open();
    let lease = lease("o");
    for (id, assets) in [("1", &["a"][..]), ("2", &["a", "c"]), ("3", &["c"])] {
        store
            .create(&request(id, assets), &plan(3), Some(&lease))
            .unwrap();
    }
    let ids = |asset, limit| {
        let rows = store.list(asset, limit).unwrap();
        let ids = rows.into_iter().map(|row| row.request.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(None, None), ["3", "2", "1"]);
    assert_eq!(ids(None, Some(2)), ["3", "2"]);
    assert_eq!(ids(Some("a"), None), ["2", "1"]);
    assert_eq!(ids(Some("c"), Some(1)), ["3"]);
    assert_eq!(ids(Some("other"), None), [] as [&str; 0]);
}

pub(crate) fn only_backfills_in_progress_are_unfinished(fixture: &impl Fixture) {
    let store = fixture.open();
    let keys = ["1", "2", "3"].map(|id| created(&*store, id, 3, "o"));
    finish(&*store, "o", keys[1], Status::Canceled);
    let rows = store.unfinished().unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.key).collect();
    assert_eq!(ids, [keys[2], keys[0]]);
}

pub(crate) fn a_plan_is_read_as_it_was_stored(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let found = store.plan(key).unwrap();
    assert_eq!((found.num_runs(), found.num_partitions()), (9, 9));
    assert_eq!(found.selection().space(), plan(9).selection().space());
    assert!(store.plan(key + 1).is_err());
}

pub(crate) fn an_overlap_names_the_newest_backfill_in_progress(fixture: &impl Fixture) {
    let store = fixture.open();
    created(&*store, "old", 5, "o");
    let new = created(&*store, "new", 3, "o");
    let found = store.overlap(&["c", "a"], &plan(4)).unwrap().unwrap();
    assert_eq!((&*found.id, &*found.asset), ("new", "a"));
    assert_eq!(found.partitions, 3);
    finish(&*store, "o", new, Status::Canceled);
    let found = store.overlap(&["a"], &plan(4)).unwrap().unwrap();
    assert_eq!((&*found.id, found.partitions), ("old", 4));
    assert_eq!(store.overlap(&["c"], &plan(4)), Ok(None));
}

pub(crate) fn counts_that_equal_their_records_pass_the_check(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 5, "o");
    assert_eq!(store.check(), Ok(vec![]));
    record(&*store, "o", key, vec![completed(0), failed(3, "x")]);
    assert_eq!(store.check(), Ok(vec![]));
    finish(&*store, "o", key, Status::Failed);
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn counts_that_do_not_equal_their_records_fail_the_check(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 5, "o");
    let mut wrong = commit(key, Counts::default(), vec![completed(0)]);
    wrong.counts.completed = 2;
    store.commit(&lease("o"), &[wrong]).unwrap();
    let problems = store.check().unwrap();
    assert!(
        problems.iter().any(|text| text.contains("backfill b")),
        "{problems:?}"
    );
}

pub(crate) fn everything_is_there_after_reopening(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 5, "o");
    let mut first = commit(key, Counts::default(), vec![completed(0), failed(3, "x")]);
    first.in_flight = vec![(1, 4)];
    store.commit(&lease("o"), &[first]).unwrap();
    let before = (
        format!("{:?}", row(&*store, key)),
        store.runs(key, 0..9).unwrap(),
        store.failures(key, None).unwrap(),
    );
    drop(store);
    let store = fixture.open();
    let after = (
        format!("{:?}", row(&*store, key)),
        store.runs(key, 0..9).unwrap(),
        store.failures(key, None).unwrap(),
    );
    assert_eq!(before, after);
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn backfills_are_listed_without_manual_runs(fixture: &impl Fixture) {
    let store = fixture.open();
    let mut manual = request("manual", &["a"]);
    manual.kind = Kind::Manual;
    created(&*store, "first", 3, "o");
    store.create(&manual, &plan(1), Some(&lease("o"))).unwrap();
    let second = created(&*store, "second", 3, "o");
    record(&*store, "o", second, vec![completed(0)]);
    let ids = |limit| -> Vec<String> {
        let rows = store.list_backfills(limit).unwrap().into_iter();
        rows.map(|row| row.request.id).collect()
    };
    assert_eq!(ids(None), ["second", "first"]);
    assert_eq!(ids(Some(1)), ["second"]);
    assert_eq!(store.num_backfills(), Ok(3));
    assert_eq!(
        store.list_backfills(Some(1)).unwrap()[0].counts.completed,
        1
    );
}
