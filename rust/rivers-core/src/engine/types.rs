//! Plain types of the engine's interface.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::backfill::{Counts, Request};
use crate::space::Selection;

/// What executes the runs of a backfill. The engine only passes it on to the workers.
pub type Program = Arc<dyn Any + Send + Sync>;

/// How the runs of a submitted backfill are executed.
pub struct Execution {
    /// Passed to the workers with each batch.
    pub program: Program,
    /// Maximum number of runs in flight where the program is executed; `None` is unlimited.
    pub capacity: Option<u32>,
    /// Where workers execute the runs.
    pub placement: Placement,
    /// The slots that each run takes, by pool.
    pub pools: Vec<(String, u32)>,
    /// Whether no run starts until `Engine::start_held`.
    pub held: bool,
    /// Of a resumed backfill, by index of an asset, the partitions of which earlier attempts left values that can
    /// still be loaded.
    pub loadable: Vec<(u32, Selection)>,
}

/// Where workers execute runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// In threads of this process.
    Local,
    /// In other processes, perhaps on other machines.
    Remote {
        /// How long the runs of one batch should take together.
        batch_target: Duration,
    },
}

impl Placement {
    /// Other processes. Sending a batch costs this process most of a millisecond, so batches are larger
    /// than those of threads; but not so large that a worker reports many of them late.
    pub const REMOTE: Self = Self::Remote {
        batch_target: Duration::from_millis(80),
    };
}

/// A new backfill id: unique, and sorted by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A live backfill as it stands in memory: reading it does not touch the storage.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The request, with its changes.
    pub request: Arc<Request>,
    /// Number of partitions.
    pub num_partitions: u64,
    /// Number of planned runs.
    pub num_runs: u64,
    /// Partitions that have ended, as far as that is committed.
    pub counts: Counts,
    /// Whether no new runs start until the backfill is unpaused.
    pub paused: bool,
    /// Whether a commit is being written: others may find more in the storage already.
    pub is_written: bool,
}

/// Progress of a live backfill, as far as it is committed.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Partitions that have ended.
    pub counts: Counts,
    /// Number of runs being executed.
    pub runs_in_flight: u64,
}
