//! What the runs of a batch have to know of attempts and runs that ended before.

use std::sync::Arc;

use crate::backfill::{PriorAttempts, SkippedPartitions};
use crate::plan::Plan;

/// What happened before the runs of a batch.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct History {
    /// The prior attempts of those runs that have any, in the order of the runs.
    pub(super) prior_attempts: Vec<Arc<PriorAttempts>>,
    /// What earlier runs of the backfill skipped of assets that later runs need.
    pub(super) skipped: Arc<SkippedPartitions>,
}

impl History {
    /// Whether nothing that happened before matters to any run: each executes all that it has.
    pub(super) fn is_plain(&self, plan: &Plan) -> bool {
        self.prior_attempts.is_empty() && self.skipped.is_empty() && !plan.has_materialized()
    }

    /// Whether nothing that happened before matters to a run, since its earlier attempts left nothing.
    pub(super) fn is_plain_run(&self, plan: &Plan, number: u64) -> bool {
        self.skipped.is_empty()
            && !plan.has_materialized()
            && self
                .prior_attempts_of(number)
                .is_none_or(|known| known.left.is_none())
    }

    /// The prior attempts of a run.
    pub(super) fn prior_attempts_of(&self, number: u64) -> Option<&Arc<PriorAttempts>> {
        let at = self
            .prior_attempts
            .binary_search_by_key(&number, |known| known.run);
        at.ok().map(|at| &self.prior_attempts[at])
    }
}
