//! What the runs of a batch have to know of attempts and runs that ended before.

use std::sync::Arc;

use crate::backfill::{PriorAttempts, SkippedPartitions};

/// What happened before the runs of a batch.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct History {
    /// The prior attempts of those runs that have any.
    pub(super) prior_attempts: Vec<Arc<PriorAttempts>>,
    /// What earlier runs of the backfill skipped of assets that later runs need.
    pub(super) skipped: Arc<SkippedPartitions>,
}

impl History {
    /// Whether nothing happened before.
    pub(super) fn is_empty(&self) -> bool {
        self.prior_attempts.is_empty() && self.skipped.is_empty()
    }
}
