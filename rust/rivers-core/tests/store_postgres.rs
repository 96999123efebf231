//! A schema of a PostgreSQL server keeps every promise of the storage's traits.
//!
//! The server is named by `RIVERS_TEST_POSTGRES`, a URL without a schema; `make test` starts one
//! (`tests/postgres_server.py`). Without it, these tests do nothing.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod store_suite;

use std::sync::Arc;

use rivers_core::store::postgres::PostgresStore;
use rivers_core::store::{Records, Store};
use store_suite::{Fixture, completed, created, record, store_suite};
use tempfile::TempDir;

/// A schema of its own.
struct Schema {
    url: String,
    locks: TempDir,
}

impl Schema {
    fn new() -> Self {
        let server = server().unwrap();
        let name = uuid::Uuid::now_v7().simple();
        let separator = if server.contains('?') { '&' } else { '?' };
        Self {
            url: format!("{server}{separator}schema=test_{name}"),
            locks: TempDir::new().unwrap(),
        }
    }
}

fn server() -> Option<String> {
    std::env::var("RIVERS_TEST_POSTGRES").ok()
}

impl Fixture for Schema {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.url, self.locks.path()).unwrap())
    }
}

store_suite!(when server().is_some(); Schema::new);

#[test]
fn a_reader_neither_migrates_nor_writes() {
    let Some(_) = server() else { return };
    let schema = Schema::new();
    let open = || PostgresStore::open_read_only(&schema.url, schema.locks.path());
    let refused = open().err().unwrap().to_string();
    assert!(refused.contains("no storage in this schema"), "{refused}");
    let store = schema.open();
    let key = created(&*store, "b", 3, "o");
    record(&*store, "o", key, vec![completed(0)]);
    let reader = open().unwrap();
    assert_eq!(reader.runs(key, 0..9).unwrap().len(), 1);
    let reader: Arc<dyn Store> = Arc::new(reader);
    let refused = reader.request_cancel(key).unwrap_err();
    assert!(refused.to_string().contains("reading only"), "{refused}");
}

#[test]
fn many_processes_may_create_the_schema_at_once() {
    let Some(_) = server() else { return };
    let schema = Schema::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let schema = &schema;
            scope.spawn(move || {
                schema
                    .open()
                    .add_dynamic("names", &[format!("k{number}")])
                    .unwrap();
            });
        }
    });
    assert_eq!(schema.open().dynamic("names").unwrap().len(), 8);
}

#[test]
fn a_server_that_cannot_be_reached_is_named_without_its_password() {
    let locks = TempDir::new().unwrap();
    let url = "postgresql://me:s3cret@127.0.0.1:1/work?connect_timeout=1";
    let error = PostgresStore::open(url, locks.path())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("postgresql://me@127.0.0.1:1/work"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
}
