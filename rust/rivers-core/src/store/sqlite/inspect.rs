//! What a file is. This is examined before anything is written: a refused file keeps every byte.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::connection::{
    Location, log_size, needs_immutable, open, open_immutable, retry_while_busy,
};
use super::schema::{APPLICATION_ID, NEWEST};
use crate::error::Result;

/// The first bytes of a SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER: usize = 100;

/// What distinguishes our files from others.
pub(super) struct Identity {
    pub(super) application: i64,
    pub(super) version: i64,
    /// Whether it has any table.
    pub(super) used: bool,
}

impl Identity {
    pub(super) fn read(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
        let sql = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok(Self {
            application: pragma("application_id")?,
            version: pragma("user_version")?,
            used: tables > 0,
        })
    }

    /// Refuses a database of another program or of a newer version.
    pub(super) fn check(&self, location: &Location) -> Result<()> {
        let Self {
            application,
            version,
            used,
        } = *self;
        if application != APPLICATION_ID && (used || version != 0 || application != 0) {
            return Err(location.refused(
                "it is a SQLite database of another program; name another path, or an empty file",
            ));
        }
        if !(0..=NEWEST).contains(&version) {
            return Err(location.refused(&format!(
                "it was written by a newer rivers (schema {version}, this one knows {NEWEST}); upgrade rivers"
            )));
        }
        Ok(())
    }
}

/// Refuses a path that cannot be a storage and returns the version of its schema. The version of a file that
/// is missing or empty is 0.
pub(super) fn check_path(path: &Path, location: &Location) -> Result<i64> {
    if !check_header(path, location)? {
        return Ok(0);
    }
    let look = || -> Result<Identity, rusqlite::Error> {
        // A connection that may write removes at its end the files that reading creates beside the database,
        // but it also moves a log that is there into the file.
        let access = match log_size(path) {
            0 => OpenFlags::SQLITE_OPEN_READ_WRITE,
            _ => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        // One transaction: another process may be creating the storage meanwhile.
        Identity::read(&*open(path, access)?.unchecked_transaction()?)
    };
    let identity = match retry_while_busy(look) {
        Err(error) if needs_immutable(path, &error) => {
            open_immutable(path).and_then(|connection| Identity::read(&connection))
        }
        found => found,
    };
    let identity = identity.map_err(|error| location.error(&error))?;
    identity.check(location)?;
    Ok(identity.version)
}

/// Refuses a path whose first bytes show that it cannot be a storage. Returns whether there is anything in it.
pub(super) fn check_header(path: &Path, location: &Location) -> Result<bool> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(location.refused(&format!("it cannot be opened: {error}"))),
    };
    if metadata.is_dir() {
        return Err(location.refused("it is a directory; name a file in it, such as rivers.db"));
    }
    if !metadata.is_file() {
        return Err(location.refused("it is no regular file; name another path"));
    }
    if num_names(&metadata) > 1 {
        return Err(location.refused(
            "the file has several names (hard links), and the log beside each name would be another: name \
             another path, or copy the file",
        ));
    }
    if is_mounted(path) {
        return Err(location.refused(
            "the file is mounted by itself, and the log beside it would be another than where it comes from: mount \
             its folder",
        ));
    }
    if has_journal(path) {
        return Ok(true); // SQLite completes or undoes first what was being written when a process died.
    }
    if metadata.len() == 0 {
        return Ok(false);
    }
    let mut header = Vec::with_capacity(HEADER);
    let read = File::open(path).and_then(|file| file.take(HEADER as u64).read_to_end(&mut header));
    read.map_err(|error| location.refused(&format!("it cannot be read: {error}")))?;
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err(location
            .refused("it is no SQLite file; name another path, or restore it from a backup"));
    }
    // Without a log beside the file its header says everything, and SQLite need not be asked.
    if log_size(path) == 0 {
        let identity = Identity {
            application: i64::from(word(&header, 68).cast_signed()),
            version: i64::from(word(&header, 60).cast_signed()),
            used: word(&header, 28) > 1,
        };
        identity.check(location)?;
        check_length(&header, path, location)?;
    }
    Ok(true)
}

/// Whether something is mounted at the path of a file itself (`mount --bind`, a volume of a container).
#[cfg(target_os = "linux")]
fn is_mounted(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: zeros are a valid `statx`; the path ends with a zero byte. A system that does not know answers zeros.
    unsafe {
        let mut found = std::mem::zeroed::<libc::statx>();
        libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, 0, &raw mut found) == 0
            && found.stx_attributes & u64::from(libc::STATX_ATTR_MOUNT_ROOT.cast_unsigned()) != 0
    }
}

#[cfg(not(target_os = "linux"))]
fn is_mounted(_path: &Path) -> bool {
    false
}

#[cfg(unix)]
fn num_names(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
fn num_names(_metadata: &std::fs::Metadata) -> u64 {
    1
}

/// Whether the journal of a transaction is there that creates the storage; later ones use the log.
fn has_journal(path: &Path) -> bool {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    std::fs::metadata(&journal).is_ok_and(|metadata| metadata.len() > 0)
}

/// Refuses a file that lost its end: SQLite would notice only when it reads a missing page.
fn check_length(header: &[u8], path: &Path, location: &Location) -> Result<()> {
    let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size => size,
    };
    let counted = word(header, 24) == word(header, 92); // Otherwise the number of pages is not maintained.
    let expected = u64::from(word(header, 28)) * page;
    // Read after the header: another process can only make the file longer.
    let found = std::fs::metadata(path).map_or(expected, |metadata| metadata.len());
    if counted && found < expected {
        return Err(location.refused(&format!(
            "it is damaged: it has {found} bytes and should have {expected}; restore it from a backup, \
             or name another path"
        )));
    }
    Ok(())
}

fn word(header: &[u8], at: usize) -> u32 {
    header[at..at + 4]
        .iter()
        .fold(0, |word, &byte| word << 8 | u32::from(byte))
}
