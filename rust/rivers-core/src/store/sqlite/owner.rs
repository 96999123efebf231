//! Whether the process that owns a backfill is still there: each owner holds a lock on a small file
//! beside the database, which the operating system lets go when the process dies. Its worker processes
//! share a lock on a second file: they may live a moment longer, in the midst of a function.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

fn lock_path(database: &Path, owner: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-owner-{owner}"));
    path.into()
}

pub(super) fn workers_path(database: &Path, owner: &str) -> PathBuf {
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

/// Holds the owner's lock, and takes the files away at the end.
pub(super) struct Registration {
    paths: [PathBuf; 2],
    _lock: File,
}

impl Registration {
    pub(super) fn new(database: &Path, owner: &str) -> Result<Self> {
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
        // What stays behind is an empty file that nobody holds; it is taken away when it is found.
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Shows that a worker process is there, until it is dropped.
#[derive(Debug)]
pub struct WorkerSign {
    _lock: File,
}

impl WorkerSign {
    /// Shares the lock on a file that the owner named. Only a worker whose owner is there *afterwards*
    /// may execute anything: who found the lock free before takes the owner for dead.
    ///
    /// # Errors
    /// `Storage` when it cannot be locked.
    pub fn new(path: &Path) -> Result<Self> {
        Ok(Self {
            _lock: hold(path, File::lock_shared)?,
        })
    }
}

pub(super) fn is_alive(database: &Path, owner: &str) -> bool {
    // Shared among those who look, so that none takes another for the owner.
    is_held(&lock_path(database, owner), File::try_lock_shared)
}

pub(super) fn has_workers(database: &Path, owner: &str) -> bool {
    is_held(&workers_path(database, owner), File::try_lock)
}

fn is_held(path: &Path, try_lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> bool {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else {
        return false;
    };
    match try_lock(&file) {
        Err(TryLockError::WouldBlock) => true,
        // A file system without locks: the lease alone must tell.
        Err(TryLockError::Error(_)) => true,
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            false
        }
    }
}
