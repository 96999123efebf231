//! Counts of partitions, and the status that follows from them.

/// The status of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not ended.
    InProgress,
    /// Ended, nothing failed, nothing was canceled.
    Completed,
    /// Ended, something failed.
    Failed,
    /// Ended, nothing failed, something was canceled.
    Canceled,
}

impl Status {
    /// The status's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// Number of partitions that have ended, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Partitions of which every selected asset was materialized.
    pub completed: u64,
    /// Partitions of which an asset failed.
    pub failed: u64,
    /// Partitions that never ran.
    pub canceled: u64,
    /// Number of runs that have ended.
    pub runs_ended: u64,
}

impl Counts {
    /// Number of partitions that have ended.
    pub fn ended(&self) -> u64 {
        self.completed + self.failed + self.canceled
    }

    /// The status of a backfill that has ended with these counts.
    pub fn final_status(&self) -> Status {
        match self {
            Self { failed: 1.., .. } => Status::Failed,
            Self { canceled: 1.., .. } => Status::Canceled,
            _ => Status::Completed,
        }
    }

    /// Adds the outcome of a run.
    pub fn add_run(&mut self, partitions: u64, failed: u64) {
        self.completed += partitions - failed;
        self.failed += failed;
        self.runs_ended += 1;
    }
}
