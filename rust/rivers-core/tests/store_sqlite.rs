//! A SQLite file keeps every promise of the storage's traits, and those that only a file can keep.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod store_suite;

use std::path::PathBuf;
use std::sync::Arc;

use rivers_core::store::Store;
use rivers_core::store::liveness::WorkerLock;
use rivers_core::store::sqlite::SqliteStore;
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
