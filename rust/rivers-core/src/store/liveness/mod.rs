//! Which processes are alive.

pub mod lock_file;

use std::path::PathBuf;

use crate::error::Result;

pub use lock_file::WorkerLock;

/// Which engines and worker processes are alive.
pub trait Liveness: Send + Sync {
    /// Whether the owner's process is alive.
    fn is_alive(&self, owner: &str) -> bool;

    /// Whether worker processes of the owner are alive, whose process is dead.
    fn has_workers(&self, owner: &str) -> bool;

    /// The file that the owner's worker processes lock with [`WorkerLock`]; `None` if the storage is
    /// visible to this process only.
    fn worker_lock_file(&self, owner: &str) -> Option<PathBuf>;

    /// Registers a new owner, which is alive until the returned guard is dropped.
    ///
    /// # Errors
    /// `Storage`.
    fn register_owner(&self, owner: &str) -> Result<Box<dyn Send + Sync>>;
}
