//! The system calls of SQLite's that are replaced, so that its locks belong to its files and its notion of a
//! process survives a fork.
//!
//! # Locks that belong to an open file
//!
//! POSIX locks belong to the process: if any other code in it closes the database (`open(path).read()`), they are
//! gone, and a second copy of SQLite in the process does not see them, regards itself as the last connection,
//! and deletes the write-ahead log while this one goes on writing to it. On Linux, the locks are therefore
//! "open file description" locks, which conflict with all others and which only their owner releases.
//!
//! SQLite counts the locks of all its connections to a database as one, and may release through one file what it
//! locked through another. So a database is locked through one file per process, a duplicate of the first; it is
//! closed when SQLite releases all its locks. The shared memory of the log is opened once per process anyway.
//!
//! # Files that others close
//!
//! What is opened, mapped and closed is noted in `open_files`, and nothing is written to a number, or closed, that
//! other code has given to another file meanwhile. Nothing is written or removed either beside a mapped file that
//! was truncated: what SQLite found in it may be wrong.
//!
//! # Files of a forked child
//!
//! SQLite recognizes the connections to one database by the number of its file, and in a forked child it would
//! count those of the parent. There, files therefore have other numbers. Memory that SQLite maps is not mapped
//! in children.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, Once, PoisonError};

use libc::{flock, stat};
use rusqlite::ffi::{self, sqlite3_syscall_ptr};

use crate::store::fork::{close_in_children, closing, generation};
use crate::store::open_files;

/// Replaces the system calls, once.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the functions have the signatures that SQLite calls them with; no connection is open yet.
        unsafe {
            let vfs = ffi::sqlite3_vfs_find(std::ptr::null());
            let Some(set) = vfs.as_ref().and_then(|vfs| vfs.xSetSystemCall) else {
                return;
            };
            let replace = |name: &CStr, function: *const c_void| {
                let function = std::mem::transmute::<*const c_void, sqlite3_syscall_ptr>(function);
                set(vfs, name.as_ptr(), function);
            };
            replace(c"stat", child_stat as *const c_void);
            replace(c"fstat", child_fstat as *const c_void);
            replace(c"open", open as *const c_void);
            replace(c"close", close as *const c_void);
            replace(c"pwrite", write as *const c_void);
            replace(c"pwrite64", write as *const c_void);
            replace(c"ftruncate", truncate as *const c_void);
            #[cfg(target_os = "linux")]
            {
                replace(c"fcntl", fcntl as *const c_void);
                replace(c"mmap", map as *const c_void);
                replace(c"munmap", unmap as *const c_void);
                replace(c"unlink", unlink as *const c_void);
            }
        }
    });
}

unsafe extern "C" fn child_stat(path: *const c_char, found: *mut stat) -> c_int {
    // SAFETY: the arguments are those of `stat`.
    let result = unsafe { libc::stat(path, found) };
    // SAFETY: `stat` has filled it.
    unsafe { renumber(result, found) }
}

unsafe extern "C" fn child_fstat(file: c_int, found: *mut stat) -> c_int {
    // SAFETY: the arguments are those of `fstat`.
    let result = unsafe { libc::fstat(file, found) };
    // SAFETY: `fstat` has filled it.
    unsafe { renumber(result, found) }
}

/// Numbers files differently in each generation of forked processes.
unsafe fn renumber(result: c_int, found: *mut stat) -> c_int {
    if result == 0 {
        // SAFETY: the caller passes a `stat` that has been filled.
        unsafe { (*found).st_ino ^= generation().rotate_right(16) };
    }
    result
}

/// A number that no file has: a system call for it is refused as one for a file that is closed.
const NO_FILE: c_int = -1;

unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: the arguments are those of `open`.
    let file = unsafe { libc::open(path, flags, mode) };
    if file >= 0 {
        // SAFETY: SQLite passes a path that ends with a zero byte.
        open_files::opened(file, unsafe { CStr::from_ptr(path) }.to_bytes());
    }
    file
}

/// SQLite writes with `pwrite` wherever there is one.
unsafe extern "C" fn write(
    file: c_int,
    bytes: *const c_void,
    count: libc::size_t,
    offset: libc::off_t,
) -> isize {
    let file = if open_files::may_be_written(file) {
        file
    } else {
        NO_FILE
    };
    // SAFETY: the arguments are those of `pwrite`.
    let written = unsafe { libc::pwrite(file, bytes, count, offset) };
    #[cfg(target_os = "linux")]
    if written < 0 {
        // SAFETY: `errno` belongs to this thread.
        let error = unsafe { &mut *libc::__errno_location() };
        // SQLite knows a full disk, but not a quota that is used up.
        if *error == libc::EDQUOT {
            *error = libc::ENOSPC;
        }
    }
    written
}

unsafe extern "C" fn truncate(file: c_int, length: libc::off_t) -> c_int {
    let file = if open_files::may_be_written(file) {
        file
    } else {
        NO_FILE
    };
    // SAFETY: the arguments are those of `ftruncate`.
    unsafe { libc::ftruncate(file, length) }
}

#[cfg(target_os = "linux")]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: SQLite passes a path that ends with a zero byte.
    if open_files::is_beside_truncated(unsafe { CStr::from_ptr(path) }.to_bytes()) {
        // SAFETY: `errno` belongs to this thread.
        unsafe { *libc::__errno_location() = libc::EBUSY };
        return -1;
    }
    // SAFETY: the argument is that of `unlink`.
    unsafe { libc::unlink(path) }
}

unsafe extern "C" fn close(file: c_int) -> c_int {
    if !open_files::closing(file) {
        return 0;
    }
    closing(file);
    // SAFETY: the argument is that of `close`.
    unsafe { libc::close(file) }
}

/// Maps memory that a forked child does not get: a mapped file stays open, with its locks.
#[cfg(target_os = "linux")]
unsafe extern "C" fn map(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    // SAFETY: the arguments are those of `mmap`.
    let mapped = unsafe { libc::mmap(address, length, protection, flags, file, offset) };
    if mapped != libc::MAP_FAILED {
        open_files::mapped(file, mapped as usize, length, offset.cast_unsigned());
        // SAFETY: it was just mapped. If the advice is refused, a child holds the locks until it ends.
        unsafe { libc::madvise(mapped, length, libc::MADV_DONTFORK) };
    }
    mapped
}

#[cfg(target_os = "linux")]
unsafe extern "C" fn unmap(address: *mut c_void, length: usize) -> c_int {
    crate::store::mapped_files::forget(address as usize);
    // SAFETY: the arguments are those of `munmap`.
    unsafe { libc::munmap(address, length) }
}

/// The file through which a database is locked, by device and number of the database.
type LockFiles = HashMap<(libc::dev_t, libc::ino_t), c_int>;

/// The lock files of one process, and its generation.
static LOCK_FILES: Mutex<Option<(u64, LockFiles)>> = Mutex::new(None);

/// The first byte of a database that SQLite locks; the locks of its shared memory lie below.
const PENDING_BYTE: libc::off_t = 0x4000_0000;

#[cfg(target_os = "linux")]
unsafe extern "C" fn fcntl(file: c_int, command: c_int, argument: *mut c_void) -> c_int {
    let ours = match command {
        libc::F_SETLK => libc::F_OFD_SETLK,
        libc::F_GETLK => libc::F_OFD_GETLK,
        // SAFETY: the arguments are those of `fcntl`.
        _ => return unsafe { libc::fcntl(file, command, argument) },
    };
    // SAFETY: SQLite passes a `flock` with these commands.
    let lock = unsafe { &mut *argument.cast::<flock>() };
    lock.l_pid = 0;
    let releases_all = lock.l_start == 0 && lock.l_type == libc::F_UNLCK as libc::c_short;
    let through = if lock.l_start >= PENDING_BYTE || releases_all {
        lock_file(file)
    } else {
        Some(file)
    };
    let Some(through) = through else {
        return -1;
    };
    close_in_children(file);
    // SAFETY: as above.
    let result = unsafe { libc::fcntl(through, ours, argument) };
    let error = std::io::Error::last_os_error().raw_os_error();
    if result < 0 && error == Some(libc::EINVAL) {
        // A file system, or a kernel before 3.15, without such locks.
        // SAFETY: as above.
        return unsafe { libc::fcntl(file, command, argument) };
    }
    if releases_all {
        forget_lock_file(file);
    } else if result == 0 && command == libc::F_SETLK {
        close_in_children(through);
    }
    result
}

#[cfg(target_os = "linux")]
fn with_lock_files<T>(
    file: c_int,
    work: impl FnOnce(&mut LockFiles, (u64, u64)) -> T,
) -> Option<T> {
    // SAFETY: zeros are a valid `stat`, which `fstat` fills.
    let found = unsafe {
        let mut found = std::mem::zeroed::<stat>();
        if libc::fstat(file, &raw mut found) != 0 {
            return None;
        }
        found
    };
    let mut files = LOCK_FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let own = generation();
    let (made_in, files) = files.get_or_insert_with(|| (own, LockFiles::new()));
    if *made_in != own {
        // Those of the parent; what they were is closed in this process.
        files.clear();
        *made_in = own;
    }
    Some(work(files, (found.st_dev, found.st_ino)))
}

/// The file through which the database that `file` is open on is locked.
#[cfg(target_os = "linux")]
fn lock_file(file: c_int) -> Option<c_int> {
    with_lock_files(file, |files, database| {
        if let Some(&known) = files.get(&database) {
            return Some(known);
        }
        // SAFETY: the command takes a number, from which on a free one is chosen.
        let duplicate = unsafe { libc::fcntl(file, libc::F_DUPFD_CLOEXEC, 3) };
        if duplicate < 0 {
            return None;
        }
        open_files::duplicated(file, duplicate);
        files.insert(database, duplicate);
        Some(duplicate)
    })?
}

#[cfg(target_os = "linux")]
fn forget_lock_file(file: c_int) {
    let removed = with_lock_files(file, |files, database| files.remove(&database));
    if let Some(Some(duplicate)) = removed
        && open_files::closing(duplicate)
    {
        closing(duplicate);
        // SAFETY: this module opened it, and has just forgotten it.
        unsafe { libc::close(duplicate) };
    }
}
