//! Opening a storage: what is ours is brought up to date in one transaction; what is not is refused
//! with a text that names the file, and stays as it was, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use rivers_core::Error;
use rivers_core::backfill::Change;
use rivers_core::store::sqlite::SqliteStore;
use rivers_core::store::{DynamicKeys, Ledger, Records};
use rusqlite::Connection;
use tempfile::{TempDir, tempdir};

const APPLICATION_ID: i64 = 0x7269_7672;
/// The version that is written now.
const NEWEST: i64 = 15;

/// All files of a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap());
    let read = |path: &Path| {
        if path.is_file() {
            std::fs::read(path).unwrap()
        } else {
            Vec::new()
        }
    };
    let files = entries.map(|entry| {
        (
            entry.file_name().into_string().unwrap(),
            read(&entry.path()),
        )
    });
    files.collect()
}

/// Opens a storage that must be refused and left alone; the message.
fn refused(folder: &TempDir, name: &str) -> String {
    let path = folder.path().join(name);
    let before = contents(folder.path());
    let message = match SqliteStore::open(&path) {
        Ok(_) => panic!("{name} was opened"),
        Err(Error::Storage {
            path: named,
            message,
        }) => {
            assert_eq!(named, path.display().to_string());
            message
        }
        Err(other) => panic!("{other:?}"),
    };
    let after = contents(folder.path());
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    assert!(before == after, "{name} was changed");
    message
}

/// A storage with something in it, closed.
fn ours(folder: &TempDir, name: &str) -> Connection {
    let path = folder.path().join(name);
    let store = SqliteStore::open(&path).unwrap();
    let keys: Vec<String> = (0..2_000).map(|n| format!("key {n}")).collect();
    store.add_dynamic("names", &keys).unwrap();
    drop(store);
    Connection::open(path).unwrap()
}

fn version(folder: &TempDir, name: &str) -> (i64, i64, i64) {
    let connection = Connection::open(folder.path().join(name)).unwrap();
    let sql = "SELECT count(*) FROM sqlite_schema";
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    };
    let tables = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    (pragma("application_id"), pragma("user_version"), tables)
}

#[test]
fn a_new_or_empty_file_gets_the_schema() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    for name in ["new.db", "empty.db", "deep/er/new.db"] {
        drop(SqliteStore::open(&folder.path().join(name)).unwrap());
        let (application, user, tables) = version(&folder, name);
        assert_eq!((application, user), (APPLICATION_ID, NEWEST));
        assert!(tables > 0);
    }
}

#[test]
fn opening_again_changes_nothing() {
    let folder = tempdir().unwrap();
    drop(ours(&folder, "rivers.db"));
    let before = contents(folder.path());
    drop(SqliteStore::open(&folder.path().join("rivers.db")).unwrap());
    assert!(before == contents(folder.path()));
}

const STEPS: [&str; 14] = [
    include_str!("../src/store/sqlite/migrations/0001.sql"),
    include_str!("../src/store/sqlite/migrations/0002.sql"),
    include_str!("../src/store/sqlite/migrations/0003.sql"),
    include_str!("../src/store/sqlite/migrations/0004.sql"),
    include_str!("../src/store/sqlite/migrations/0005.sql"),
    include_str!("../src/store/sqlite/migrations/0006.sql"),
    include_str!("../src/store/sqlite/migrations/0007.sql"),
    include_str!("../src/store/sqlite/migrations/0008.sql"),
    include_str!("../src/store/sqlite/migrations/0009.sql"),
    include_str!("../src/store/sqlite/migrations/0010.sql"),
    include_str!("../src/store/sqlite/migrations/0011.sql"),
    include_str!("../src/store/sqlite/migrations/0012.sql"),
    include_str!("../src/store/sqlite/migrations/0013.sql"),
    include_str!("../src/store/sqlite/migrations/0014.sql"),
];

/// A storage of an earlier version with a backfill that runs.
fn earlier(folder: &TempDir, version: usize) -> std::path::PathBuf {
    let path = folder.path().join("old.db");
    // The first storage of a process replaces system calls of SQLite, which no open connection may see.
    drop(SqliteStore::open(&folder.path().join("first.db")).unwrap());
    let old = Connection::open(&path).unwrap();
    for step in &STEPS[..version] {
        old.execute_batch(step).unwrap();
    }
    old.execute("INSERT INTO space (digest, body) VALUES (0, x'00')", [])
        .unwrap();
    let request = r#"{"id":"old","kind":"Backfill","assets":[],"failure_policy":"Continue",
        "max_concurrency":1,"priority":-10,"tags":[],"config":null,"created_at":0}"#;
    old.execute(
        "INSERT INTO backfill (id, request, strategy, space, plan, num_partitions, num_runs, status)
         VALUES ('old', ?1, 'multi_run()', 1, x'00', 7, 7, 0)",
        [request],
    )
    .unwrap();
    old.pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    old.pragma_update(None, "user_version", version as i64)
        .unwrap();
    path
}

#[test]
fn a_backfill_of_an_earlier_schema_is_kept_and_can_be_steered() {
    assert_eq!(STEPS.len() as i64 + 1, NEWEST);
    for step in 1..=STEPS.len() {
        let folder = tempdir().unwrap();
        let store = SqliteStore::open(&earlier(&folder, step)).unwrap();
        let row = store.find("old").unwrap().unwrap();
        assert_eq!(
            (row.num_partitions, row.paused, row.revision, row.stop),
            (7, false, 0, None)
        );
        assert_eq!(
            (row.request.retry, store.attempts(row.key).unwrap()),
            (None, vec![])
        );
        assert!(store.set_paused(row.key, true).unwrap());
        let change = Change {
            session: None,
            max_concurrency: Some(8),
            ..Change::default()
        };
        assert!(store.change(row.key, &change).unwrap());
        let row = store.find("old").unwrap().unwrap();
        assert_eq!((row.paused, row.revision), (true, 1));
        assert_eq!(
            (row.request.max_concurrency, row.request.priority),
            (8, -10)
        );
        drop(store);
        assert_eq!(version(&folder, "old.db").1, NEWEST);
    }
}

#[test]
fn a_newer_schema_is_refused() {
    for newer in [NEWEST + 1, 99, -1] {
        let folder = tempdir().unwrap();
        ours(&folder, "newer.db")
            .pragma_update(None, "user_version", newer)
            .unwrap();
        let message = refused(&folder, "newer.db");
        assert!(
            message.contains("newer rivers") && message.contains("upgrade"),
            "{message}"
        );
    }
}

#[test]
fn a_newer_schema_that_only_the_log_tells_of_is_refused() {
    let folder = tempdir().unwrap();
    let open = ours(&folder, "newer.db");
    // While this connection is open, what it wrote is in the log beside the file.
    open.pragma_update(None, "user_version", NEWEST + 1)
        .unwrap();
    assert!(
        std::fs::metadata(folder.path().join("newer.db-wal"))
            .unwrap()
            .len()
            > 0
    );
    let before = std::fs::read(folder.path().join("newer.db")).unwrap();
    assert!(SqliteStore::open(&folder.path().join("newer.db")).is_err());
    assert!(before == std::fs::read(folder.path().join("newer.db")).unwrap());
}

#[test]
fn the_database_of_another_program_is_refused() {
    for (mode, setup) in [
        (
            "DELETE",
            "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)",
        ),
        (
            "WAL",
            "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)",
        ),
        ("DELETE", "CREATE VIEW theirs AS SELECT 1"),
        ("DELETE", "PRAGMA user_version = 1"),
        ("DELETE", "PRAGMA application_id = 7"),
    ] {
        let folder = tempdir().unwrap();
        let connection = Connection::open(folder.path().join("theirs.db")).unwrap();
        connection
            .pragma_update(None, "journal_mode", mode)
            .unwrap();
        connection.execute_batch(setup).unwrap();
        drop(connection);
        let message = refused(&folder, "theirs.db");
        assert!(message.contains("another program"), "{setup}: {message}");
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let noise: Vec<u8> = (0..20_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for content in [&b"x"[..], b"SQLite format 3\0", &noise] {
        let folder = tempdir().unwrap();
        std::fs::write(folder.path().join("noise.db"), content).unwrap();
        let message = refused(&folder, "noise.db");
        assert!(
            message.contains("no SQLite file") && message.contains("backup"),
            "{message}"
        );
    }
}

#[test]
fn a_storage_that_lost_its_end_is_refused() {
    let folder = tempdir().unwrap();
    drop(ours(&folder, "cut.db"));
    let path = folder.path().join("cut.db");
    let whole = std::fs::read(&path).unwrap();
    for kept in [whole.len() - 1, whole.len() / 2, 4096, 100] {
        std::fs::write(&path, &whole[..kept]).unwrap();
        let message = refused(&folder, "cut.db");
        assert!(
            message.contains("damaged") && message.contains("backup"),
            "{kept}: {message}"
        );
    }
}

#[test]
fn a_storage_whose_schema_is_overwritten_is_refused() {
    let folder = tempdir().unwrap();
    drop(ours(&folder, "noise.db"));
    let path = folder.path().join("noise.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..4096].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();
    let message = refused(&folder, "noise.db");
    assert!(
        message.contains("no intact SQLite file") && message.contains("backup"),
        "{message}"
    );
}

#[test]
fn what_is_damaged_further_in_is_an_error_that_names_the_file() {
    let folder = tempdir().unwrap();
    drop(ours(&folder, "noise.db"));
    let path = folder.path().join("noise.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();
    let error = match SqliteStore::open(&path) {
        Ok(store) => store.dynamic("names").map(|_| ()).unwrap_err(),
        Err(error) => error,
    };
    let text = error.to_string();
    assert!(
        text.contains("noise.db") && text.contains("backup"),
        "{text}"
    );
}

#[test]
fn a_directory_is_refused() {
    let folder = tempdir().unwrap();
    std::fs::create_dir(folder.path().join("here")).unwrap();
    assert!(refused(&folder, "here").contains("name a file in it"));
}

#[test]
fn a_path_below_a_file_is_refused() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let message = refused(&folder, "file/rivers.db");
    assert!(message.contains("Not a directory"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_written_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(inner.join("probe"), "").is_ok() {
        eprintln!("skipped: permissions do not bind the user that runs this test");
        return;
    }
    let message = refused(&folder, "inner/rivers.db");
    assert!(message.contains("that you may write to"), "{message}");
}

#[test]
fn many_may_open_a_new_storage_at_once() {
    for _ in 0..20 {
        let folder = tempdir().unwrap();
        let path = folder.path().join("rivers.db");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let store = SqliteStore::open(path).unwrap();
                    store.add_dynamic("names", &[format!("k{number}")]).unwrap();
                });
            }
        });
        assert_eq!(
            SqliteStore::open(&path)
                .unwrap()
                .dynamic("names")
                .unwrap()
                .len(),
            8
        );
    }
}
