//! Whether the files that a connection has open are still the database.
//!
//! A database that is deleted, moved, replaced or truncated while a connection has it open can still be written
//! without an error, but what is written is lost. So this is checked after each commit, before it is reported.

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ffi};

use crate::store::open_files;

/// Size of the header of the write-ahead log, and where the numbers are that change when it begins anew.
const LOG_HEADER: usize = 32;
const SALTS: std::ops::Range<usize> = 16..24;
/// The first bytes of the log; the last bit tells the byte order of its checksums.
const LOG_MAGIC: u32 = 0x377f_0682;

/// The files of a database as they were when it was opened.
pub(super) struct Files {
    database: PathBuf,
    opened: Vec<Identity>,
    last: Mutex<Observed>,
}

/// A file, whatever its name.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Identity(u64, u64);

/// What a connection saw of the files' contents.
#[derive(Default, Clone, Copy)]
struct Observed {
    database_size: u64,
    log_size: u64,
    log_header: [u8; LOG_HEADER],
}

impl Files {
    /// The files of a connection that has just been opened and has read the database.
    pub(super) fn opened(database: &Path, connection: &Connection) -> Self {
        let files = Self {
            database: database.to_owned(),
            opened: identities(database).map(Option::unwrap_or_default).to_vec(),
            last: Mutex::default(),
        };
        // What is wrong with the contents now, opening would have noticed.
        let _ = files.damage(connection);
        files
    }

    /// What other code in this process did to the open files, so that they can no longer be used.
    pub(super) fn broken(&self) -> Option<&'static str> {
        open_files::damage(&self.database)
    }

    /// What happened to the files, if they are no longer what was opened.
    pub(super) fn moved(&self) -> Option<&'static str> {
        if let Some(broken) = self.broken() {
            return Some(broken);
        }
        for (found, opened) in identities(&self.database).into_iter().zip(&self.opened) {
            match found {
                Some(found) if found == *opened => {}
                Some(_) => return Some("a file of it was replaced while it was open"),
                None => return Some("a file of it was deleted or moved while it was open"),
            }
        }
        None
    }

    /// What happened to the files or to their contents since the last call. In a transaction that writes the
    /// answer is certain; otherwise another process may just be writing the log anew.
    pub(super) fn damage(&self, connection: &Connection) -> Option<&'static str> {
        if let Some(moved) = self.moved() {
            return Some(moved);
        }
        let now = observe(&self.database, connection);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *last, now);
        let same_log = before.log_header[SALTS] == now.log_header[SALTS];
        let first = u32::from_be_bytes([0, 1, 2, 3].map(|at| now.log_header[at]));
        // Only a checkpoint after a VACUUM makes it shorter, to the size of all its pages.
        let shrunk = now.database_size < before.database_size
            && num_bytes(connection).is_ok_and(|expected| now.database_size < expected);
        let lost = shrunk
            || (same_log && now.log_size < before.log_size)
            || (now.log_size > 0 && first & !1 != LOG_MAGIC);
        lost.then_some("it was truncated or overwritten while it was open")
    }
}

impl Default for Identity {
    /// A file that does not exist.
    fn default() -> Self {
        Self(0, u64::MAX)
    }
}

/// The database, its write-ahead log and the shared memory of that.
fn identities(database: &Path) -> [Option<Identity>; 3] {
    ["", "-wal", "-shm"].map(|suffix| identity(&with_suffix(database, suffix)))
}

fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some(Identity(found.dev(), found.ino()))
}

/// Elsewhere, files that are open cannot be deleted or moved.
#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<Identity> {
    Some(Identity(0, 0))
}

fn num_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((pragma("page_count")? * pragma("page_size")?).cast_unsigned())
}

fn observe(database: &Path, connection: &Connection) -> Observed {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    let mut now = Observed {
        database_size: size(database),
        log_size: size(&with_suffix(database, "-wal")),
        log_header: [0; LOG_HEADER],
    };
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    // SAFETY: the connection is locked by this thread; SQLite returns the log that it has open, and reads as
    // many bytes as the buffer has. A file that is shorter fills it with zeros.
    unsafe {
        let pointer = (&raw mut file).cast();
        let name = c"main".as_ptr();
        let command = ffi::SQLITE_FCNTL_JOURNAL_POINTER;
        ffi::sqlite3_file_control(connection.handle(), name, command, pointer);
        let methods = file.as_ref().and_then(|file| file.pMethods.as_ref());
        if let Some(read) = methods.and_then(|methods| methods.xRead) {
            read(
                file,
                now.log_header.as_mut_ptr().cast(),
                LOG_HEADER as c_int,
                0,
            );
        }
    }
    now
}
