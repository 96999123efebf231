//! Facts about what runs materialized.

use std::sync::Arc;

use rivers_core::backfill::{Counts, OutputMetadata, Retry, RunEnd};
use rivers_core::store::{Committed, Key, Store};

use super::{Fixture, commit, completed, created, error, lease, record};

/// Facts about an asset for one partition, or (`None`) all of the run's.
fn facts(asset: u32, partition: Option<u64>, body: &str) -> OutputMetadata {
    OutputMetadata {
        asset,
        partition,
        body: body.into(),
    }
}

fn with(run: u64, metadata: Vec<OutputMetadata>) -> RunEnd {
    RunEnd {
        metadata,
        ..completed(run)
    }
}

/// Run, asset, partition and text of all that is recorded.
fn read(store: &dyn Store, key: Key, run: Option<u64>) -> Vec<(u64, u32, Option<u64>, String)> {
    let rows = store.metadata(key, run).unwrap();
    rows.iter()
        .map(|row| {
            let (_, body) = store.metadata_bodies(&[row.body]).unwrap().pop().unwrap();
            (row.run, row.asset, row.partition, body)
        })
        .collect()
}

pub(crate) fn metadata_is_read_by_run_in_the_order_in_which_it_was_added(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let other = created(&*store, "c", 9, "o");
    let second = vec![
        facts(1, None, r#"{"rows": 5}"#),
        facts(0, Some(7), r#"{"rows": 6}"#),
    ];
    record(&*store, "o", key, vec![with(7, second), completed(2)]);
    record(&*store, "o", key, vec![with(3, vec![facts(0, None, "{}")])]);
    let of_7 = [
        (7, 1, None, r#"{"rows": 5}"#.to_owned()),
        (7, 0, Some(7), r#"{"rows": 6}"#.to_owned()),
    ];
    assert_eq!(read(&*store, key, Some(7)), of_7);
    let all = read(&*store, key, None);
    assert_eq!(all[0], (3, 0, None, "{}".to_owned()));
    assert_eq!(all[1..], of_7);
    assert_eq!(read(&*store, key, Some(2)), []);
    assert_eq!(read(&*store, other, None), []);
    assert_eq!(store.check(), Ok(vec![]));
}

pub(crate) fn equal_metadata_is_recorded_once(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let one = || vec![facts(0, None, "{1}"), facts(1, None, "{1}")];
    record(&*store, "o", key, vec![with(0, one()), with(1, one())]);
    record(
        &*store,
        "o",
        key,
        vec![with(2, vec![facts(0, None, "{2}"), facts(1, None, "{1}")])],
    );
    let ids: Vec<i64> = store
        .metadata(key, None)
        .unwrap()
        .iter()
        .map(|row| row.body)
        .collect();
    assert_eq!(ids.len(), 6);
    assert!([0, 1, 2, 3, 5].iter().all(|&at| ids[at] == ids[0]));
    assert_ne!(ids[4], ids[0]);
}

pub(crate) fn metadata_of_an_attempt_that_is_made_again_is_not_recorded(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let again = RunEnd {
        retry: Some(Retry {
            attempt: 1,
            due_at: 99,
            causes: vec![(1, Arc::new(error("x")))],
            deferred: Vec::new(),
            rest: Vec::new(),
            left: None,
        }),
        ..with(3, vec![facts(0, None, "{1}")])
    };
    record(&*store, "o", key, vec![again]);
    assert_eq!(read(&*store, key, None), []);
    record(
        &*store,
        "o",
        key,
        vec![with(3, vec![facts(0, None, "{1}")])],
    );
    assert_eq!(read(&*store, key, None), [(3, 0, None, "{1}".to_owned())]);
}

pub(crate) fn metadata_of_another_process_is_refused_with_its_commit(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    let end = with(0, vec![facts(0, None, "{1}")]);
    let foreign = commit(key, Counts::default(), vec![end]);
    let refused = store.commit(&lease("other"), &[foreign]);
    assert_eq!(refused, Ok(vec![Committed::LeaseLost]));
    assert_eq!(read(&*store, key, None), []);
}

pub(crate) fn metadata_is_there_after_reopening(fixture: &impl Fixture) {
    let store = fixture.open();
    let key = created(&*store, "b", 9, "o");
    record(
        &*store,
        "o",
        key,
        vec![with(4, vec![facts(0, Some(4), r#"{"é": 1}"#)])],
    );
    let before = read(&*store, key, None);
    drop(store);
    assert_eq!(read(&*fixture.open(), key, None), before);
    assert_eq!(before.len(), 1);
}
