//! What a file is, found out before anything is written to it: a file that is refused stays as it
//! was, byte for byte.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::migrate::NEWEST;
use super::{APPLICATION_ID, BUSY_TIMEOUT, Place, patiently};
use crate::error::Result;

/// The first bytes of a SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER: usize = 100;

/// What tells our files from others.
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

    /// Refuses what is not ours to write.
    pub(super) fn check(&self, place: &Place) -> Result<()> {
        let Self {
            application,
            version,
            used,
        } = *self;
        if application != APPLICATION_ID && (used || version != 0 || application != 0) {
            return Err(place.refused(
                "it is a SQLite database of another program; name another path, or an empty file",
            ));
        }
        if !(0..=NEWEST).contains(&version) {
            return Err(place.refused(&format!(
                "it was written by a newer rivers (schema {version}, this one knows {NEWEST}); upgrade rivers"
            )));
        }
        Ok(())
    }
}

/// Refuses a path that cannot be our storage; the version of its schema. What does not exist, or is
/// empty, can be (version 0).
pub(super) fn check_path(path: &Path, place: &Place) -> Result<i64> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(place.refused(&format!("it cannot be opened: {error}"))),
    };
    if metadata.is_dir() {
        return Err(place.refused("it is a directory; name a file in it, such as rivers.db"));
    }
    if !metadata.is_file() {
        return Err(place.refused("it is no regular file; name another path"));
    }
    if metadata.len() == 0 {
        return Ok(0);
    }
    let mut header = Vec::with_capacity(HEADER);
    let read = File::open(path).and_then(|file| file.take(HEADER as u64).read_to_end(&mut header));
    read.map_err(|error| place.refused(&format!("it cannot be read: {error}")))?;
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err(
            place.refused("it is no SQLite file; name another path, or restore it from a backup")
        );
    }
    // Without a log beside it the header is the whole truth, and SQLite need not touch anything.
    let log = std::fs::metadata(place.beside("-wal")).map_or(0, |metadata| metadata.len());
    if log == 0 {
        let identity = Identity {
            application: i64::from(word(&header, 68).cast_signed()),
            version: i64::from(word(&header, 60).cast_signed()),
            used: word(&header, 28) > 1,
        };
        identity.check(place)?;
        check_length(&header, path, place)?;
    }
    let look = || -> Result<Identity, rusqlite::Error> {
        // Who may write takes away at the end what reading put beside the file; but it also brings
        // a log that is there into the file.
        let access = match log {
            0 => OpenFlags::SQLITE_OPEN_READ_WRITE,
            _ => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let connection =
            Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Identity::read(&connection)
    };
    let identity = patiently(look).map_err(|error| place.error(&error))?;
    identity.check(place)?;
    Ok(identity.version)
}

/// A file that lost its end: SQLite would find out only when it comes to what is missing.
fn check_length(header: &[u8], path: &Path, place: &Place) -> Result<()> {
    let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size => size,
    };
    let counted = word(header, 24) == word(header, 92); // Else the number of pages is not kept.
    let expected = u64::from(word(header, 28)) * page;
    // Read after the header: another process only makes the file longer.
    let found = std::fs::metadata(path).map_or(expected, |metadata| metadata.len());
    if counted && found < expected {
        return Err(place.refused(&format!(
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
