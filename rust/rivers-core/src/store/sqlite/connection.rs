//! Connections to a database, and what their errors mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::system_calls;
use crate::error::Error;
use crate::store::open_files;

/// Pauses of a statement that waits for another process's transaction: from `n` milliseconds after `n` pauses to the
/// longest; and their number, which takes a minute.
const MAX_BUSY_PAUSE: i32 = 50;
const MAX_BUSY_PAUSES: i32 = 1_225;
/// Size in bytes of a write-ahead log from which on it is shortened once its content is in the database.
const MAX_KEPT_LOG: i64 = 16 << 20;
/// Pause before opening is retried, and maximum number of retries.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);
const MAX_RETRIES: u32 = 2_000;
/// Prepared statements kept per connection.
const CACHED_STATEMENTS: usize = 64;

/// Where the database is.
pub(super) enum Location {
    File {
        /// The path with all symbolic links resolved: SQLite keeps its files beside that one.
        path: PathBuf,
        /// The path as it was given.
        given: PathBuf,
    },
    Memory,
}

impl Location {
    pub(super) fn file(given: &Path) -> Self {
        Self::File {
            path: real_path(given),
            given: given.to_owned(),
        }
    }

    pub(super) fn error(&self, error: &rusqlite::Error) -> Error {
        if let rusqlite::Error::ToSqlConversionFailure(inner) = error
            && let Some(error @ Error::Storage { .. }) = inner.downcast_ref()
        {
            return error.clone();
        }
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "; free some space, then resume",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "; another process holds it, try again"
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                "; it is no intact SQLite file: name another path, or restore it from a backup"
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                "; is it a file in a directory that you may write to?"
            }
            // SQLite's codes, not an enum of ours: the message alone must do for all others.
            Some(_) | None => "",
        };
        self.refused(&format!("{error}{advice}"))
    }

    pub(super) fn refused(&self, message: &str) -> Error {
        Error::Storage {
            path: self.to_string(),
            message: message.to_owned(),
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { given, .. } => given.display().fmt(f),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// A path with all symbolic links resolved, also if its last one leads to a file that is still missing.
pub(super) fn real_path(given: &Path) -> PathBuf {
    if let Ok(path) = std::fs::canonicalize(given) {
        return path;
    }
    let target = std::fs::read_link(given).ok();
    let linked = target.map(|target| given.parent().unwrap_or(Path::new("")).join(target));
    let path = linked.as_deref().unwrap_or(given);
    let folder = path
        .parent()
        .and_then(|folder| std::fs::canonicalize(folder).ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Errors of the core inside a transaction roll it back like those of SQLite.
impl From<Error> for rusqlite::Error {
    fn from(error: Error) -> Self {
        Self::ToSqlConversionFailure(Box::new(error))
    }
}

/// Opens a connection that reads, and writes unless `flags` say otherwise.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    system_calls::install();
    if let Some(damage) = open_files::damage(path) {
        return Err(Location::file(path).refused(damage).into());
    }
    let mut connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_handler(Some(wait_for_others))?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Has a statement wait for another process's transaction, after `pauses` of them. It does not wait for locks on
/// files that other code has closed, which SQLite takes for those of others.
fn wait_for_others(pauses: i32) -> bool {
    if pauses >= MAX_BUSY_PAUSES || open_files::is_any_closed() {
        return false;
    }
    let pause = (pauses + 1).min(MAX_BUSY_PAUSE).unsigned_abs();
    std::thread::sleep(Duration::from_millis(pause.into()));
    true
}

/// Opens a connection in memory.
pub(super) fn open_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Prepares each statement once. Otherwise SQLite plans many of them again whenever a parameter has another value,
/// which takes longer than executing them.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Opens a file that no process writes, in a folder where SQLite cannot create the files that it needs to
/// read a file that is being written.
pub(super) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    open(
        Path::new(&uri),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    )
}

/// Makes what the connection commits durable.
pub(super) fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // After slow readers have left, the log gives its space back.
    connection.pragma_update(None, "journal_size_limit", MAX_KEPT_LOG)?;
    connection.pragma_update(None, "foreign_keys", false)
}

/// Retries opening while another process opens the same new file: SQLite's own timeout does not apply there.
pub(super) fn retry_while_busy<T>(open: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    for _ in 0..MAX_RETRIES {
        match open() {
            Err(error) if is_busy(&error) => std::thread::sleep(RETRY_INTERVAL),
            done => return done,
        }
    }
    open()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// The write-ahead log that SQLite keeps beside the database.
pub(super) fn log_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// Size of the write-ahead log in bytes; 0 if there is none.
pub(super) fn log_size(database: &Path) -> u64 {
    std::fs::metadata(log_path(database)).map_or(0, |metadata| metadata.len())
}

/// Whether a file can be read only if no process writes to it: SQLite cannot create its files beside it.
pub(super) fn needs_immutable(path: &Path, error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let cannot_create = matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
    cannot_create && log_size(path) == 0
}
