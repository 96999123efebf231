//! A batch as another thread sees it, which asks the batch's worker to give up runs.

use std::ops::Range;
use std::sync::Arc;

use super::Shared;
use super::assignment::Assignment;
use crate::queue::EntryId;
use crate::store::Key;

/// What is wanted back from the worker of a batch whose runs were sent. It is used while another thread
/// waits for the worker's report.
#[derive(Clone)]
pub struct BatchWatch {
    shared: Arc<Shared>,
    key: Key,
    entry: EntryId,
    assignment: Arc<Assignment>,
}

impl BatchWatch {
    pub(super) fn new(
        shared: &Arc<Shared>,
        key: Key,
        entry: EntryId,
        assignment: &Arc<Assignment>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            key,
            entry,
            assignment: Arc::clone(assignment),
        }
    }

    /// Whether a run is left that may be sent.
    pub fn has_next(&self) -> bool {
        let now = self.shared.clock.now();
        self.assignment.first_unsent(now).is_some()
    }

    /// What to ask the worker for, if that is new: the number of the stream of its ranges, and whether
    /// it must give up what it has not begun even if its current run has not stalled.
    pub fn recall(&self) -> Option<(u64, bool)> {
        self.assignment.recall(self.shared.clock.now())
    }

    /// The worker has given up the runs of the stream from `first` on, so others may execute them;
    /// `None`: it keeps them.
    pub fn given_up(&self, stream: u64, first: Option<u64>) {
        if self.shared.is_parents() {
            return;
        }
        if let Some(runs) = self.assignment.given_up(stream, first) {
            self.give_back(runs);
        }
    }

    /// Lets other workers execute runs that this one gave up.
    pub(super) fn give_back(&self, runs: Range<u64>) {
        self.shared
            .coordinator()
            .given_back(self.key, self.entry, runs);
        self.shared.notify();
    }
}
