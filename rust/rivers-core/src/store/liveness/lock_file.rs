//! Liveness by locked files: each owner holds a lock on a small file beside the database, which the
//! operating system releases when the process dies. The owner's worker processes share a lock on a second
//! file: after the owner's death they may still be executing a function.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

fn lock_path(database: &Path, owner: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-owner-{owner}"));
    path.into()
}

/// The file that the owner's worker processes lock.
pub fn workers_path(database: &Path, owner: &str) -> PathBuf {
    let mut path = lock_path(database, owner).into_os_string();
    path.push("-workers");
    path.into()
}

fn hold(path: &Path, lock: impl FnOnce(&File) -> std::io::Result<()>) -> Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path);
    let held = file.and_then(|file| {
        lock(&file)?;
        Ok(file)
    });
    held.map_err(|error| Error::Storage {
        path: path.display().to_string(),
        message: format!(
            "the file that shows that this process is alive cannot be locked: {error}"
        ),
    })
}

/// Holds the owner's lock, and removes the files when it is dropped.
pub struct Registration {
    paths: [PathBuf; 2],
    _lock: File,
}

impl Registration {
    /// Locks the owner's file beside the database.
    ///
    /// # Errors
    /// `Storage` if it cannot be locked.
    pub fn new(database: &Path, owner: &str) -> Result<Self> {
        let path = lock_path(database, owner);
        let lock = hold(&path, File::lock)?;
        Ok(Self {
            paths: [path, workers_path(database, owner)],
            _lock: lock,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // A file that cannot be removed is empty and unlocked; the next process to look removes it.
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Shows that a worker process is alive, until it is dropped.
#[derive(Debug)]
pub struct WorkerLock {
    _lock: File,
}

impl WorkerLock {
    /// Shares the lock on the file that the owner named. A worker may execute runs only if its owner is
    /// alive *afterwards*: a process that found the file unlocked before regards the owner as dead.
    ///
    /// # Errors
    /// `Storage` if it cannot be locked.
    pub fn new(path: &Path) -> Result<Self> {
        Ok(Self {
            _lock: hold(path, File::lock_shared)?,
        })
    }
}

/// What a look at a lock file does with one that no process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocked {
    /// Remove it.
    Remove,
    /// Leave it: this process only reads.
    Leave,
}

/// Whether the owner's process is alive.
pub fn is_alive(database: &Path, owner: &str, unlocked: Unlocked) -> bool {
    // A shared lock, so that two processes that look do not mistake each other for the owner.
    is_held(&lock_path(database, owner), File::try_lock_shared, unlocked)
}

/// Whether worker processes of the owner are alive.
pub fn has_workers(database: &Path, owner: &str, unlocked: Unlocked) -> bool {
    is_held(&workers_path(database, owner), File::try_lock, unlocked)
}

fn is_held(
    path: &Path,
    try_lock: impl FnOnce(&File) -> Result<(), TryLockError>,
    unlocked: Unlocked,
) -> bool {
    let may_write = unlocked == Unlocked::Remove;
    let Ok(file) = OpenOptions::new().read(true).write(may_write).open(path) else {
        return false;
    };
    match try_lock(&file) {
        Err(TryLockError::WouldBlock) => true,
        // A file system without locks: only the lease decides.
        Err(TryLockError::Error(_)) => true,
        Ok(()) => {
            if may_write {
                let _ = std::fs::remove_file(path);
            }
            false
        }
    }
}
