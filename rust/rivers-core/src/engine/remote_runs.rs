//! Runs that a remote worker claims one by one: in memory that it shares with the engine, or sent to it.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Micros;

/// A range of runs that a remote worker executes in order.
///
/// `SharedRuns` is memory that the engine and the worker both map, so each sees what the other does.
/// `SentRuns` is a copy on either side: the engine learns what the worker did only from its report.
pub(super) trait RemoteRuns: Debug + Send + Sync {
    /// Begins the next run, on the worker's side.
    fn claim(&self, now: Micros) -> Option<u64>;

    /// Notes that the run that was claimed last has ended, on the worker's side.
    fn end(&self) {}

    /// Notes which step of the run that was claimed last begins, on the worker's side.
    fn set_step(&self, _step: u32) {}

    /// Takes back the runs that have not begun, as far as the engine can tell.
    fn yield_unclaimed(&self) -> Range<u64>;

    /// Number of runs that have begun, and number of runs that `yield_unclaimed` would take back.
    fn counts(&self) -> (u64, u64);

    /// The run that began last and when it began; before any began, the first run and when it was sent.
    fn current(&self) -> (u64, Micros);

    /// Takes back the rest after a report of `num_ended` runs: the worker claims nothing more.
    fn rest_after(&self, num_ended: u64) -> Range<u64>;

    /// Takes back all runs after the worker died, and returns how many of them it had ended: the run
    /// after those is the one that it died of. `None` where that is unknown.
    fn reclaim(&self) -> (Range<u64>, Option<u64>);
}

/// Runs that were sent to a worker: no other worker can take them over until it reports.
#[derive(Debug)]
pub(super) struct SentRuns {
    runs: Range<u64>,
    next: AtomicU64,
    sent_at: Micros,
}

impl SentRuns {
    pub(super) fn new(runs: Range<u64>, sent_at: Micros) -> Self {
        let next = AtomicU64::new(runs.start);
        Self {
            runs,
            next,
            sent_at,
        }
    }
}

impl RemoteRuns for SentRuns {
    fn claim(&self, _now: Micros) -> Option<u64> {
        let next = self.next.load(Ordering::Acquire);
        if next >= self.runs.end {
            return None;
        }
        self.next.store(next + 1, Ordering::Release);
        Some(next)
    }

    fn yield_unclaimed(&self) -> Range<u64> {
        self.runs.end..self.runs.end
    }

    fn counts(&self) -> (u64, u64) {
        (self.runs.end - self.runs.start, 0)
    }

    fn current(&self) -> (u64, Micros) {
        let next = self.next.load(Ordering::Acquire);
        (next.saturating_sub(1).max(self.runs.start), self.sent_at)
    }

    fn rest_after(&self, num_ended: u64) -> Range<u64> {
        self.runs.end.min(self.runs.start + num_ended)..self.runs.end
    }

    fn reclaim(&self) -> (Range<u64>, Option<u64>) {
        let is_one_run = self.runs.end - self.runs.start == 1;
        (self.runs.clone(), is_one_run.then_some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_were_sent_stay_with_their_worker_until_it_reports() {
        let sent = SentRuns::new(10..14, 5);
        assert_eq!((sent.yield_unclaimed(), sent.counts()), (14..14, (4, 0)));
        assert_eq!(sent.current(), (10, 5));
        assert_eq!(sent.rest_after(0), 10..14);
        assert_eq!(sent.rest_after(3), 13..14);
        assert_eq!(sent.rest_after(4), 14..14);
    }

    #[test]
    fn the_worker_claims_each_run_that_was_sent_once() {
        let sent = SentRuns::new(10..13, 5);
        let claimed: Vec<u64> = std::iter::from_fn(|| sent.claim(6)).collect();
        assert_eq!((claimed, sent.claim(7)), (vec![10, 11, 12], None));
    }

    #[test]
    fn only_a_run_that_was_sent_alone_is_known_to_have_killed_its_worker() {
        assert_eq!(SentRuns::new(3..9, 0).reclaim(), (3..9, None));
        assert_eq!(SentRuns::new(3..4, 0).reclaim(), (3..4, Some(0)));
    }
}
