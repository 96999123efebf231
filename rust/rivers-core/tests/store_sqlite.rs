//! A SQLite file keeps every promise of the storage's traits, and those that only a file can keep.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod store_suite;

use std::path::PathBuf;
use std::sync::Arc;

use rivers_core::clock::{ManualClock, SECOND};
use rivers_core::engine::Engine;
use rivers_core::queue::Limits;
use rivers_core::store::liveness::WorkerLock;
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{Ledger, Liveness, Records, Store};
use store_suite::{Fixture, store_suite};
use tempfile::TempDir;

struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("rivers.db")
    }
}

impl Fixture for File {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path()).unwrap())
    }
}

store_suite!(File::new);

#[test]
fn the_single_runs_of_an_earlier_version_are_found_like_new_ones() {
    let file = File::new();
    let store = file.open();
    let before = store_suite::scopes::recorded(&*store);
    assert_eq!(before.len(), 7);
    drop(store);
    let old = rusqlite::Connection::open(file.path()).unwrap();
    old.execute_batch(
        "DROP INDEX backfill_asset_by_scope; DROP INDEX backfill_asset_by_end; DROP INDEX backfill_asset_others;
         ALTER TABLE backfill_asset DROP COLUMN scope; ALTER TABLE backfill_asset DROP COLUMN run_ended_at;
         ALTER TABLE attempt DROP COLUMN left_body;
         PRAGMA user_version = 13",
    )
    .unwrap();
    drop(old);
    let store = file.open();
    let after = store.determining("a").unwrap();
    assert_eq!(after.iter().map(|row| row.key).collect::<Vec<_>>(), before);
    assert_eq!(store.latest_of("a", 2).unwrap().len(), 3);
}

#[test]
fn an_owner_that_is_gone_is_not_alive() {
    let file = File::new();
    let store = file.open();
    assert!(!store.is_alive("o"));
    let registration = store.register_owner("o").unwrap();
    assert!(store.is_alive("o"));
    drop(registration);
    assert!(!store.is_alive("o"));
}

#[test]
fn a_worker_process_is_seen_by_its_lock() {
    let file = File::new();
    let store = file.open();
    let path = store.worker_lock_file("o").unwrap();
    assert!(!store.has_workers("o"));
    let (first, second) = (WorkerLock::new(&path).unwrap(), WorkerLock::new(&path));
    drop(first);
    assert!(file.open().has_workers("o"));
    drop(second);
    assert!(!file.open().has_workers("o"));
}

#[test]
fn a_read_only_storage_reads_beside_a_writer_and_refuses_to_write() {
    let file = File::new();
    let store = file.open();
    let key = store_suite::created(&*store, "b", 3, "o");
    let reader = SqliteStore::open_read_only(&file.path()).unwrap();
    store_suite::record(&*store, "o", key, vec![store_suite::completed(0)]);
    assert_eq!(reader.runs(key, 0..9).unwrap().len(), 1);
    assert!(reader.register_owner("r").is_err());
    let refused = reader.request_cancel(key).unwrap_err();
    assert!(refused.to_string().contains("reading only"), "{refused}");
    assert!(!store_suite::row(&*store, key).cancel_requested);
}

#[test]
fn a_read_only_storage_leaves_the_lock_files_of_others() {
    let file = File::new();
    let _store = file.open();
    let dead = file.0.path().join("rivers.db-owner-dead");
    std::fs::write(&dead, "").unwrap();
    let reader = SqliteStore::open_read_only(&file.path()).unwrap();
    assert!(!reader.is_alive("dead"));
    assert!(dead.exists());
    assert!(!file.open().is_alive("dead"));
    assert!(!dead.exists());
}

#[test]
fn an_engine_whose_clock_is_wrong_leaves_a_held_lease_alone() {
    let file = File::new();
    let store = file.open();
    let _registration = store.register_owner("o").unwrap();
    let key = store_suite::created(&*store, "b", 3, "o");
    let clock = Arc::new(ManualClock::new(i64::MAX / 2));
    let engine = Engine::new(file.open(), clock, Limits::default(), SECOND).unwrap();
    assert!(
        engine
            .has_live_owner(&store_suite::row(&*store, key))
            .unwrap()
    );
    assert!(engine.orphans().unwrap().is_empty());
}
