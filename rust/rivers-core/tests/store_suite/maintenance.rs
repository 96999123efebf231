//! Removing old records, and copying all of them.

use std::sync::Arc;

use rivers_core::backfill::{
    Counts, OutputMetadata, Report, ReportKind, Retry, RunEnd, Skip, Status,
};
use rivers_core::space::Selection;
use rivers_core::store::queries::copy::copy;
use rivers_core::store::queries::prune::{count, prune};
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{Key, Records, StorageTime, Store};

use super::{
    Fixture, commit, completed, created, error, failed, finish, lease, record, row, space,
};

/// All backfills of these tests end at 1,000.
const BEFORE: StorageTime = StorageTime(1_001);

fn with_everything(run: u64) -> RunEnd {
    let mut end = failed(run, &format!("seen \0 in {run}"));
    end.metadata = vec![OutputMetadata {
        asset: 0,
        partition: None,
        body: format!(r#"{{"rows":{run}}}"#).into(),
    }];
    end.skips = vec![Skip {
        asset: 0,
        partition: Some(run),
        reason: Arc::new(error("nothing there")),
    }];
    end
}

fn retried(run: u64) -> RunEnd {
    let mut end = completed(run);
    end.retry = Some(Retry {
        attempt: 1,
        due_at: 77,
        causes: vec![(0, Arc::new(error("busy")))],
        deferred: Vec::new(),
        rest: Vec::new(),
        left: None,
    });
    end
}

/// A backfill that has ended and recorded something of every kind.
fn ended(store: &dyn Store, id: &str) -> Key {
    let key = created(store, id, 9, "o");
    record(store, "o", key, vec![with_everything(5), retried(0)]);
    record(store, "o", key, vec![completed(0), with_everything(2)]);
    finish(store, "o", key, Status::Failed);
    key
}

pub(crate) fn old_backfills_are_removed_with_all_that_they_recorded(fixture: &impl Fixture) {
    let store = fixture.open();
    let old = ended(&*store, "old");
    let live = created(&*store, "live", 9, "o");
    record(&*store, "o", live, vec![with_everything(3)]);
    assert_eq!(count(&*store, StorageTime(1_000)), Ok(0));
    assert_eq!(prune(&*store, StorageTime(1_000)), Ok(0));
    assert_eq!(count(&*store, BEFORE), Ok(1));
    assert_eq!(prune(&*store, BEFORE), Ok(1));
    assert!(store.find("old").unwrap().is_none());
    assert!(store.runs(old, 0..9).unwrap().is_empty());
    assert!(store.failures(old, None).unwrap().is_empty());
    assert!(store.skips(old, None).unwrap().is_empty());
    assert!(store.attempts(old).unwrap().is_empty());
    assert!(store.metadata(old, None).unwrap().is_empty());
    assert_eq!(store.list(Some("a"), None).unwrap().len(), 1);
    assert_eq!(store.remove_unused(), Ok(0));
    assert_eq!(store.check(), Ok(Vec::new()));
    record(&*store, "o", live, vec![with_everything(5)]);
    assert_eq!(store.failures(live, None).unwrap().len(), 2);
}

pub(crate) fn a_removal_that_was_cut_off_is_continued(fixture: &impl Fixture) {
    const RUNS: u64 = 5_500;
    let store = fixture.open();
    let key = created(&*store, "large", RUNS, "o");
    record(
        &*store,
        "o",
        key,
        (0..RUNS).map(|run| failed(run, "x")).collect(),
    );
    finish(&*store, "o", key, Status::Failed);
    assert_eq!(store.remove(&[key]), Ok(vec![key]));
    assert!(store.find("large").unwrap().is_none());
    assert_eq!(store.half_removed(), Ok(vec![key]));
    assert_eq!(store.latest_runs(None, None), Ok(Vec::new()));
    assert_eq!(store.check(), Ok(Vec::new()));
    assert_eq!(prune(&*store, BEFORE), Ok(0));
    assert_eq!(store.half_removed(), Ok(Vec::new()));
    assert!(store.failures(key, None).unwrap().is_empty());
}

pub(crate) fn what_other_records_name_is_kept(fixture: &impl Fixture) {
    let store = fixture.open();
    ended(&*store, "old");
    let live = created(&*store, "live", 9, "o");
    record(&*store, "o", live, vec![with_everything(5)]);
    let report = Report {
        asset: "other".into(),
        kind: ReportKind::Materialized,
        at: 3,
        selection: Selection::all(space(4)),
        code_version: None,
        metadata: None,
    };
    store.report(&report).unwrap();
    prune(&*store, BEFORE).unwrap();
    let failure = store.last_failure(live).unwrap().unwrap();
    assert!(failure.cause.message.starts_with("seen"));
    let facts = store.metadata(live, None).unwrap();
    let (_, body) = store.metadata_bodies(&[facts[0].body]).unwrap().remove(0);
    assert_eq!(body, r#"{"rows":5}"#);
    assert_eq!(store.plan(live).unwrap().num_runs(), 9);
    assert_eq!(store.reports("other").unwrap().len(), 1);
    assert_eq!(store.reported_assets(), Ok(vec!["other".into()]));
}

/// Everything that can be read of a backfill, as text.
fn shown(store: &dyn Store, id: &str) -> String {
    let row = store.find(id).unwrap().unwrap();
    let key = row.key;
    let failures = store.failures(key, None).unwrap();
    let causes: Vec<i64> = failures.iter().filter_map(|own| own.cause).collect();
    let families: Vec<i64> = failures.iter().filter_map(|own| own.family).collect();
    let texts = store.errors(&causes).unwrap();
    let facts = store.metadata(key, None).unwrap();
    let bodies: Vec<i64> = facts.iter().map(|own| own.body).collect();
    let runs: Vec<u64> = failures.iter().map(|own| own.run).collect();
    format!(
        "{:?} {:?} {:?} {runs:?} {:?} {:?} {:?} {} {}",
        (
            row.status,
            row.counts,
            row.ended_at,
            row.stop,
            row.cancel_requested,
            row.paused
        ),
        row.request.to_json().unwrap(),
        store.runs(key, 0..row.num_runs).unwrap(),
        texts.iter().map(|(_, cause)| cause).collect::<Vec<_>>(),
        store.fingerprints(&families).unwrap(),
        store
            .metadata_bodies(&bodies)
            .unwrap()
            .iter()
            .map(|(_, body)| body)
            .collect::<Vec<_>>(),
        store.skips(key, None).unwrap().len(),
        store.attempts(key).unwrap().len(),
    )
    .replace("\\0", "\u{2400}")
}

pub(crate) fn a_copy_has_all_records_in_their_order(fixture: &impl Fixture) {
    let (store, other) = (fixture.open(), SqliteStore::memory().unwrap());
    ended(&*store, "first");
    let interrupted = created(&*store, "second", 9, "gone");
    record(
        &*store,
        "gone",
        interrupted,
        vec![completed(4), with_everything(1)],
    );
    store.set_paused(interrupted, true).unwrap();
    store.release(interrupted, "gone").unwrap();
    store
        .add_dynamic("names", &["b".into(), "a".into()])
        .unwrap();
    let report = Report {
        asset: "a".into(),
        kind: ReportKind::Forgotten,
        at: 3,
        selection: Selection::all(space(4)),
        code_version: Some("2".into()),
        metadata: None,
    };
    store.report(&report).unwrap();
    let copied = copy(&*store, &other).unwrap();
    assert_eq!((copied.backfills, copied.known, copied.runs), (2, 0, 5));
    for id in ["first", "second"] {
        assert_eq!(shown(&other, id), shown(&*store, id));
    }
    let listed = other.list(None, None).unwrap();
    let ids: Vec<&str> = listed.iter().map(|row| &*row.request.id).collect();
    assert_eq!(ids, ["second", "first"]);
    assert!(listed[0].lease.is_none());
    assert_eq!(other.reports("a").unwrap(), store.reports("a").unwrap());
    assert_eq!(other.check(), Ok(Vec::new()));
    let again = copy(&*store, &other).unwrap();
    assert_eq!((again.backfills, again.known, again.runs), (2, 2, 0));
    assert_eq!(other.reports("a").unwrap().len(), 1);
    // And back, into a storage of the kind under test.
    prune(&*store, BEFORE).unwrap();
    copy(&other, &*store).unwrap();
    assert_eq!(shown(&*store, "first"), shown(&other, "first"));
}

pub(crate) fn a_copy_that_was_cut_off_is_continued(fixture: &impl Fixture) {
    let (from, store) = (SqliteStore::memory().unwrap(), fixture.open());
    ended(&from, "first");
    ended(&from, "second");
    // What a process left that died while it copied the second.
    copy(&from, &*store).unwrap();
    let known = store.find("second").unwrap().unwrap();
    prune_one(&*store, known.key);
    drop(store.register_owner("copy-x").unwrap());
    if store.is_alive("copy-x") {
        return; // In memory there is no other process.
    }
    let key = created(&*store, "second", 9, "copy-x");
    record(&*store, "copy-x", key, vec![completed(0)]);
    let copied = copy(&from, &*store).unwrap();
    assert_eq!((copied.backfills, copied.known, copied.runs), (2, 1, 3));
    assert_eq!(shown(&*store, "second"), shown(&from, "second"));
}

fn prune_one(store: &dyn Store, key: Key) {
    assert_eq!(store.remove(&[key]), Ok(Vec::new()));
}

pub(crate) fn another_record_of_a_backfill_is_not_replaced(fixture: &impl Fixture) {
    let (from, store) = (SqliteStore::memory().unwrap(), fixture.open());
    ended(&from, "one");
    let key = created(&*store, "one", 9, "o");
    record(&*store, "o", key, vec![completed(0)]);
    finish(&*store, "o", key, Status::Canceled);
    let before = shown(&*store, "one");
    let refused = copy(&from, &*store).unwrap_err().to_string();
    assert!(
        refused.contains("its record of \"one\" is not that of memory"),
        "{refused}"
    );
    assert_eq!(shown(&*store, "one"), before);
}

pub(crate) fn a_storage_in_which_a_backfill_runs_is_not_copied(fixture: &impl Fixture) {
    let (store, other) = (fixture.open(), SqliteStore::memory().unwrap());
    let guard = store.register_owner("o").unwrap();
    let key = created(&*store, "live", 3, "o");
    let refused = copy(&*store, &other).unwrap_err().to_string();
    assert!(refused.contains("\"live\" is in progress"), "{refused}");
    let last = commit(key, Counts::default(), (0..3).map(completed).collect());
    let mut last = last;
    last.finished = Some((Status::Completed, 1_000));
    store.commit(&lease("o"), &[last]).unwrap();
    drop(guard);
    assert_eq!(copy(&*store, &other).unwrap().backfills, 1);
    assert_eq!(row(&other, 1).status, Status::Completed);
}
