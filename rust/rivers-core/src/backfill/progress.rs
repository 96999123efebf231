//! Counts of partitions, and the status that follows from them.

/// How a backfill stands.
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
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// Partitions of a backfill that have ended, by how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Every selected asset was materialized.
    pub completed: u64,
    /// An asset failed.
    pub failed: u64,
    /// Never ran.
    pub canceled: u64,
    /// Runs that have ended.
    pub runs_ended: u64,
}

impl Counts {
    /// All that have ended.
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
