//! The files of a storage that this process has open, and whether they still are what was opened.
//!
//! Other code in the process may close them (`os.closerange(3, 1000)`, a library that makes a daemon): their locks
//! are gone, and their numbers soon belong to files of others. What is mapped may be truncated. So before each
//! operation the open files are looked at, and nothing is written to a number, or closed, that is another file by
//! now. SQLite shares them between all its connections to a database, so that none can be replaced: what is broken
//! stays so until the process ends.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::fork::generation;

/// All open files, by number.
static OPEN_FILES: Mutex<BTreeMap<c_int, OpenFile>> = Mutex::new(BTreeMap::new());
/// Files that others closed, and whose numbers were given to files of ours.
static REPLACED: Mutex<Vec<OpenFile>> = Mutex::new(Vec::new());

const CLOSED: &str = "other code in this process has closed its files; start the process again";
const TRUNCATED: &str = "a file of it was truncated while it was open; start the process again";

struct OpenFile {
    path: Vec<u8>,
    device: libc::dev_t,
    number: libc::ino_t,
    /// The process that opened it; a forked child has files of its own.
    generation: u64,
    /// Where the mapping ends that reaches furthest.
    mapped: u64,
}

impl OpenFile {
    /// The size of a file, if it is still this one.
    fn size(&self, file: c_int) -> Option<u64> {
        status(file)
            .filter(|found| (found.st_dev, found.st_ino) == (self.device, self.number))
            .map(|found| found.st_size.cast_unsigned())
    }

    /// Whether it is mapped and was truncated since, as far as is known.
    fn is_truncated(&self, file: c_int) -> bool {
        let lost = {
            #[cfg(target_os = "linux")]
            {
                super::mapped_files::is_lost(self.device, self.number)
            }
            #[cfg(not(target_os = "linux"))]
            false
        };
        self.mapped > 0 && (lost || self.size(file).is_some_and(|size| size < self.mapped))
    }
}

fn status(file: c_int) -> Option<libc::stat> {
    // SAFETY: zeros are a valid `stat`, which `fstat` fills.
    unsafe {
        let mut found = std::mem::zeroed::<libc::stat>();
        (libc::fstat(file, &raw mut found) == 0).then_some(found)
    }
}

fn with_files<T>(work: impl FnOnce(&mut BTreeMap<c_int, OpenFile>) -> T) -> T {
    work(&mut OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A file was opened.
pub(super) fn opened(file: c_int, path: &[u8]) {
    let Some(found) = status(file) else { return };
    let opened = OpenFile {
        path: path.to_vec(),
        device: found.st_dev,
        number: found.st_ino,
        generation: generation(),
        mapped: 0,
    };
    let before = with_files(|files| files.insert(file, opened));
    if let Some(before) = before.filter(|before| before.generation == generation()) {
        let mut replaced = REPLACED.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.push(before);
    }
}

/// A file that was opened has another number, too.
pub(super) fn duplicated(file: c_int, duplicate: c_int) {
    let path = with_files(|files| Some(files.get(&file)?.path.clone()));
    if let Some(path) = path {
        opened(duplicate, &path);
    }
}

/// A file was mapped to `start`, from `offset` on.
#[cfg(target_os = "linux")]
pub(super) fn mapped(file: c_int, start: usize, length: usize, offset: u64) {
    let known = with_files(|files| {
        let file = files.get_mut(&file)?;
        file.mapped = file.mapped.max(offset + length as u64);
        Some((file.device, file.number))
    });
    if let Some((device, number)) = known {
        super::mapped_files::watch(start, length, device, number);
    }
}

/// Whether a number is still the file that was opened under it, as far as is known.
pub(super) fn is_ours(file: c_int) -> bool {
    with_files(|files| {
        files
            .get(&file)
            .is_none_or(|opened| opened.generation != generation() || opened.size(file).is_some())
    })
}

/// Whether a file is still ours, and no mapped file beside it was truncated: what would be written may come from
/// what was read there.
pub(super) fn may_be_written(file: c_int) -> bool {
    with_files(|files| match files.get(&file) {
        Some(opened) if opened.generation == generation() => {
            opened.size(file).is_some() && !is_any_truncated(files, &opened.path)
        }
        Some(_) | None => true,
    })
}

/// Whether a mapped file of the database to which a path belongs was truncated.
pub(super) fn is_beside_truncated(path: &[u8]) -> bool {
    with_files(|files| is_any_truncated(files, path))
}

fn is_any_truncated(files: &BTreeMap<c_int, OpenFile>, path: &[u8]) -> bool {
    let suffixes: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];
    let database = suffixes
        .iter()
        .find_map(|suffix| path.strip_suffix(*suffix));
    let database = database.unwrap_or(path);
    let own = generation();
    files.iter().any(|(&file, opened)| {
        opened.mapped > 0
            && opened.generation == own
            && is_beside(database, &opened.path)
            && opened.is_truncated(file)
    })
}

/// Whether the index of any log was found truncated within an operation.
pub(super) fn is_any_lost() -> bool {
    #[cfg(target_os = "linux")]
    {
        super::mapped_files::is_any_lost()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// A file is about to be closed; `false` if it must not be, since its number belongs to another file by now.
pub(super) fn closing(file: c_int) -> bool {
    let ours = is_ours(file);
    // What was closed by others stays known: with it, a lock was lost.
    if ours {
        with_files(|files| files.remove(&file));
    }
    ours
}

/// Whether other code has closed any file of this process.
pub(super) fn is_any_closed() -> bool {
    let own = generation();
    with_files(|files| {
        let mut files = files.iter().filter(|(_, opened)| opened.generation == own);
        files.any(|(&file, opened)| opened.size(file).is_none())
    })
}

/// What has happened to the open files of a database, of its log or of what shows that its owners are alive.
pub(super) fn damage(database: &Path) -> Option<&'static str> {
    let database = database.as_os_str().as_bytes();
    let own = generation();
    let belongs = |opened: &OpenFile| opened.generation == own && is_beside(database, &opened.path);
    let replaced = REPLACED.lock().unwrap_or_else(PoisonError::into_inner);
    if replaced.iter().any(belongs) {
        return Some(CLOSED);
    }
    drop(replaced);
    with_files(|files| {
        for (&file, opened) in files.iter().filter(|(_, opened)| belongs(opened)) {
            if opened.size(file).is_none() {
                return Some(CLOSED);
            }
            if opened.is_truncated(file) {
                return Some(TRUNCATED);
            }
        }
        None
    })
}

/// Whether a path is a database's, or that of a file which has its name and a suffix.
fn is_beside(database: &[u8], path: &[u8]) -> bool {
    match path.strip_prefix(database) {
        Some([]) => true,
        Some([b'-', suffix @ ..]) => !suffix.contains(&b'/'),
        Some(_) | None => false,
    }
}
