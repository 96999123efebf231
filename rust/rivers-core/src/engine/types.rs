//! Plain types of the engine's interface.

use std::sync::Arc;

use crate::backfill::{Counts, Request};

/// What executes the runs of a backfill, as far as the engine is concerned: something to hand to the
/// worker along with them.
pub type Program = Arc<dyn std::any::Any + Send + Sync>;

/// What is submitted besides the request and its plan.
pub struct Execution {
    /// Handed to the workers.
    pub program: Program,
    /// Most runs that can be in flight where the program is executed.
    pub workers: u32,
    /// How many slots of which pools each run takes.
    pub pools: Vec<(String, u32)>,
}

/// A new backfill id: unique, and sorted by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A live backfill, without a look at the storage.
#[derive(Debug, Clone)]
pub struct Standing {
    /// As asked for.
    pub request: Arc<Request>,
    /// How many partitions.
    pub num_partitions: u64,
    /// How many runs are planned.
    pub num_runs: u64,
    /// What has ended, as far as it is committed.
    pub counts: Counts,
    /// Whether nothing new starts until it is unpaused.
    pub paused: bool,
}

/// How a live backfill stands, as far as it is committed.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What has ended.
    pub counts: Counts,
    /// Runs being executed.
    pub runs_in_flight: u64,
}
