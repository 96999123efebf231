//! The run that a batch is at.

use std::sync::Arc;

use super::history::History;
use super::run::{JobSpec, Run};
use crate::backfill::RunEnd;
use crate::clock::Micros;

/// A run that has begun. A `Run` is made of it only if something has to be said about it: most runs execute
/// their functions, and that is all.
pub(super) struct CurrentRun {
    number: u64,
    started_at: Micros,
    run: Option<Arc<Run>>,
}

impl CurrentRun {
    pub(super) fn new(number: u64, started_at: Micros) -> Self {
        Self {
            number,
            started_at,
            run: None,
        }
    }

    /// Whether nothing can have been said about it.
    pub(super) fn is_plain(&self) -> bool {
        self.run.is_none()
    }

    pub(super) fn run(&mut self, spec: &JobSpec, history: &History) -> Arc<Run> {
        let new = || Run::new(spec.clone(), self.number, self.started_at, history);
        Arc::clone(self.run.get_or_insert_with(new))
    }

    /// The outcome of the run.
    pub(super) fn end(self, spec: &JobSpec, now: Micros) -> RunEnd {
        match self.run {
            Some(run) => run.end(now),
            None => {
                let partitions = spec.plan.run_len(self.number);
                RunEnd::plain(self.number, self.started_at, now, partitions)
            }
        }
    }
}
