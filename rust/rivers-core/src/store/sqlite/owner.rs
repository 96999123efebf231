//! Whether the process that owns a backfill is still there: each owner holds a lock on a small file
//! beside the database, which the operating system lets go when the process dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

fn lock_path(database: &Path, owner: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-owner-{owner}"));
    path.into()
}

/// Holds the lock, and takes the file away at the end.
pub(super) struct Registration {
    path: PathBuf,
    _lock: File,
}

impl Registration {
    pub(super) fn new(database: &Path, owner: &str) -> Result<Self> {
        let path = lock_path(database, owner);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let held = file.and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        match held {
            Ok(file) => Ok(Self { path, _lock: file }),
            Err(error) => Err(Error::Storage {
                path: path.display().to_string(),
                message: format!(
                    "the file that shows that this process is alive cannot be locked: {error}"
                ),
            }),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // What stays behind is an empty file that nobody holds; it is taken away when it is found.
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(super) fn is_alive(database: &Path, owner: &str) -> bool {
    let path = lock_path(database, owner);
    let Ok(file) = OpenOptions::new().write(true).open(&path) else {
        return false;
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => true,
        // A file system without locks: the lease alone must tell.
        Err(TryLockError::Error(_)) => true,
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
            false
        }
    }
}
