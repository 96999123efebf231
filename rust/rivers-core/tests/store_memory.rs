//! The storage in memory keeps every promise of the storage's traits.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod store_suite;

use std::sync::Arc;

use rivers_core::store::Store;
use rivers_core::store::sqlite::SqliteStore;
use store_suite::{Fixture, store_suite};

/// It lives as long as its last handle: all handles are one.
struct Memory(Arc<SqliteStore>);

impl Memory {
    fn new() -> Self {
        Self(Arc::new(SqliteStore::memory().unwrap()))
    }
}

impl Fixture for Memory {
    fn open(&self) -> Arc<dyn Store> {
        Arc::<SqliteStore>::clone(&self.0)
    }
}

store_suite!(Memory::new);
