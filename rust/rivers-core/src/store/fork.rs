//! What a forked child does not share with its parent.
//!
//! A child made by `fork` gets a copy of the memory, but no thread except the one that forked, and the open
//! files themselves, with the locks on them. Therefore
//!
//! 1. `fork` waits until no thread is within an operation of the storage ([`operation`]), so that the child
//!    finds no mutex of the storage or of SQLite locked;
//! 2. in the child, files that hold locks are closed ([`close_in_children`]): it would otherwise hold the
//!    parent's locks after the parent's death;
//! 3. values with connections or threads count as absent in the child ([`PerProcess`], [`generation`]) and are
//!    never dropped there.

use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

/// How many forks lie between the process that loaded this library and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Operations in progress.
static OPERATIONS: AtomicUsize = AtomicUsize::new(0);
/// Whether a thread is forking: no operation begins.
static FORKING: AtomicBool = AtomicBool::new(false);
/// Open files that hold locks.
static LOCKED_FILES: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

const PAUSE: Duration = Duration::from_micros(50);
/// How often a fork checks whether operations have ended before it goes on regardless: a statement that waits
/// for another process must not hold it up for long.
#[cfg(unix)]
const MAX_PAUSES: u32 = 20_000;

/// The number of forks between the first process and this one: differs between parent and child.
pub fn generation() -> u64 {
    install();
    GENERATION.load(Ordering::Acquire)
}

/// An operation in progress; no fork happens until it is dropped.
pub(super) struct Operation {
    generation: u64,
}

/// Begins an operation of the storage. Operations must not be nested.
pub(super) fn operation() -> Operation {
    install();
    loop {
        OPERATIONS.fetch_add(1, Ordering::SeqCst);
        if !FORKING.load(Ordering::SeqCst) {
            return Operation {
                generation: GENERATION.load(Ordering::Acquire),
            };
        }
        OPERATIONS.fetch_sub(1, Ordering::SeqCst);
        std::thread::sleep(PAUSE);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.generation == GENERATION.load(Ordering::Acquire) {
            OPERATIONS.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Has forked children close a file, which holds a lock of this process.
pub(super) fn close_in_children(file: i32) {
    let mut files = LOCKED_FILES.lock().unwrap_or_else(PoisonError::into_inner);
    files.insert(file);
}

/// Called before this process closes a file that may have been passed to [`close_in_children`].
pub(super) fn closing(file: i32) {
    let mut files = LOCKED_FILES.lock().unwrap_or_else(PoisonError::into_inner);
    files.remove(&file);
}

#[cfg(unix)]
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // It fails only without memory; then a fork is as dangerous as without it.
        // SAFETY: the handlers are functions of this library, which is never unloaded.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
    });
}

#[cfg(not(unix))]
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| ());
}

#[cfg(unix)]
unsafe extern "C" fn before_fork() {
    FORKING.store(true, Ordering::SeqCst);
    for _ in 0..MAX_PAUSES {
        if OPERATIONS.load(Ordering::SeqCst) == 0 {
            break;
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(unix)]
unsafe extern "C" fn in_parent() {
    FORKING.store(false, Ordering::SeqCst);
}

#[cfg(unix)]
unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
    OPERATIONS.store(0, Ordering::SeqCst);
    FORKING.store(false, Ordering::SeqCst);
    // It is locked only if an operation took too long to wait for.
    let Ok(mut files) = LOCKED_FILES.try_lock() else {
        return;
    };
    // The numbers stay in use, so that what this process opens is not mistaken for the parent's files.
    // SAFETY: the path ends with a zero byte; the files are those that this library opened.
    unsafe {
        let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for &file in &*files {
            if nothing < 0 {
                libc::close(file);
            } else {
                libc::dup2(nothing, file);
                libc::fcntl(file, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
        if nothing >= 0 {
            libc::close(nothing);
        }
    }
    files.clear();
}

/// A value that belongs to the process that made it; a forked child makes its own.
///
/// The value can also be replaced in its own process ([`PerProcess::retire`]).
pub(super) struct PerProcess<T> {
    generation: u64,
    retired: AtomicBool,
    value: ManuallyDrop<T>,
    next: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            generation: generation(),
            retired: AtomicBool::new(false),
            value: ManuallyDrop::new(value),
            next: OnceLock::new(),
        }
    }

    fn is_current(&self) -> bool {
        self.generation == generation() && !self.retired.load(Ordering::Acquire)
    }

    /// This process's value; `make` makes it if there is none.
    pub(super) fn get_or<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let mut slot = self;
        while !slot.is_current() {
            slot = match slot.next.get() {
                Some(next) => next,
                None => {
                    let made = Box::new(Self::new(make()?));
                    return Ok(&slot.next.get_or_init(|| made).value);
                }
            };
        }
        Ok(&slot.value)
    }

    /// Has the next call of `get_or` make a new value. Those who use this one may go on.
    pub(super) fn retire(&self) {
        let mut slot = Some(self);
        while let Some(this) = slot {
            this.retired.store(true, Ordering::Release);
            slot = this.next.get().map(Deref::deref);
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        if self.generation == generation() {
            // SAFETY: it is dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Result<i32, String> {
        Err("made again".into())
    }

    #[test]
    fn a_value_is_made_once_until_it_is_retired() {
        let value = PerProcess::new(1);
        assert_eq!(value.get_or(never), Ok(&1));
        value.retire();
        assert_eq!(value.get_or(never), Err("made again".into()));
        assert_eq!(value.get_or(|| Ok::<_, String>(2)), Ok(&2));
        assert_eq!(value.get_or(never), Ok(&2));
    }

    #[cfg(unix)]
    #[test]
    fn a_forked_child_makes_its_own_value_and_closes_locked_files() {
        use std::os::fd::AsRawFd;
        let value = PerProcess::new(1);
        let file = tempfile::tempfile().expect("a file");
        close_in_children(file.as_raw_fd());
        // SAFETY: the child calls only what needs no other thread, and exits.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let own = value.get_or(|| Ok::<_, ()>(2)) == Ok(&2);
                let mut status = std::mem::zeroed::<libc::stat>();
                libc::fstat(file.as_raw_fd(), &mut status);
                let closed = status.st_mode & libc::S_IFMT == libc::S_IFCHR;
                libc::_exit(i32::from(!(own && closed)));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0);
        }
        closing(file.as_raw_fd());
        assert_eq!(value.get_or(never), Ok(&1));
        assert_eq!(file.metadata().expect("metadata").len(), 0);
    }
}
