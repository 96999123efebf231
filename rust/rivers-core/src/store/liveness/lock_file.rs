//! Liveness by locked files: each owner holds a lock on a small file beside the database, which the
//! operating system releases when the process dies. The owner's worker processes share a lock on a second
//! file: after the owner's death they may still be executing a function.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::{fork, open_files};

/// What stands between the name of the database and that of an owner.
const INFIX: &str = "-owner-";

fn lock_path(database: &Path, owner: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("{INFIX}{owner}"));
    path.into()
}

/// The file that the owner's worker processes lock.
pub fn workers_path(database: &Path, owner: &str) -> PathBuf {
    let mut path = lock_path(database, owner).into_os_string();
    path.push("-workers");
    path.into()
}

/// A file that this process locks; a forked child closes it, so that it does not hold its parent's lock.
#[derive(Debug)]
struct Held(ManuallyDrop<File>);

impl Held {
    fn new(file: File, path: &Path) -> Self {
        #[cfg(unix)]
        {
            let number = std::os::fd::AsRawFd::as_raw_fd(&file);
            fork::close_in_children(number);
            open_files::opened(number, path.as_os_str().as_encoded_bytes());
        }
        Self(ManuallyDrop::new(file))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            let number = std::os::fd::AsRawFd::as_raw_fd(&*self.0);
            fork::closing(number);
            if !open_files::closing(number) {
                return;
            }
        }
        // SAFETY: it is dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

fn hold(path: &Path, lock: impl Fn(&File) -> std::io::Result<()>) -> Result<Held> {
    let _operation = fork::operation();
    let held = || loop {
        let file = create(path)?;
        lock(&file)?;
        // Between the two lines above, another process may have removed it as one that no process holds.
        if is_at(path, &file)? {
            return Ok(Held::new(file, path));
        }
    };
    held().map_err(|error: std::io::Error| Error::Storage {
        path: path.display().to_string(),
        message: format!(
            "the file that shows that this process is alive cannot be locked: {error}"
        ),
    })
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        // Whoever may read the database may see whether its processes are alive.
        if let Some(found) = database_of(path).and_then(|database| database.metadata().ok()) {
            options.mode(found.mode() & 0o666);
        }
    }
    options.open(path)
}

/// Whether a file is still the one at a path.
#[cfg(unix)]
fn is_at(path: &Path, file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let opened = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(path: &Path, _file: &File) -> std::io::Result<bool> {
    Ok(path.exists())
}

/// The database that a lock file belongs to.
#[cfg(unix)]
fn database_of(lock_file: &Path) -> Option<PathBuf> {
    let name = lock_file.file_name()?.to_str()?;
    let (database, _) = name.rsplit_once(INFIX)?;
    Some(lock_file.with_file_name(database))
}

/// Removes the lock files of processes that have ended without removing them.
fn remove_unlocked(database: &Path) {
    let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else {
        return;
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let prefix = format!("{}{INFIX}", name.to_string_lossy());
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // An exclusive lock, since workers share theirs.
            is_held(&entry.path(), File::try_lock, Unlocked::Remove);
        }
    }
}

/// Holds the owner's lock, and removes the files when it is dropped.
pub struct Registration {
    paths: [PathBuf; 2],
    generation: u64,
    _lock: Held,
}

impl Registration {
    /// Locks the owner's file beside the database.
    ///
    /// # Errors
    /// `Storage` if it cannot be locked.
    pub fn new(database: &Path, owner: &str) -> Result<Self> {
        remove_unlocked(database);
        let path = lock_path(database, owner);
        let lock = hold(&path, File::lock)?;
        Ok(Self {
            paths: [path, workers_path(database, owner)],
            generation: fork::generation(),
            _lock: lock,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return; // The parent's, who may be alive.
        }
        // A file that cannot be removed is empty and unlocked; the next process to look removes it.
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Shows that a worker process is alive, until it is dropped.
#[derive(Debug)]
pub struct WorkerLock {
    _lock: Held,
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
    let _operation = fork::operation(); // So that no child gets a lock that is taken to look.
    // Read-only, since another user of the machine may not write it.
    let file = match File::open(path) {
        Ok(file) => file,
        // Only a file that is not there shows that its process is gone. In all other cases, such as too many
        // open files, the lease decides.
        Err(error) => return error.kind() != ErrorKind::NotFound,
    };
    match try_lock(&file) {
        Err(TryLockError::WouldBlock) => true,
        // A file system without locks: only the lease decides.
        Err(TryLockError::Error(_)) => true,
        Ok(()) => {
            if unlocked == Unlocked::Remove {
                let _ = std::fs::remove_file(path);
            }
            false
        }
    }
}
