//! Runs that a remote worker claims one by one: in memory that it shares with the engine, or sent to it.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Micros;

/// Runs on the side of the remote worker that executes them in order.
pub(super) trait Claimable: Debug + Send + Sync {
    /// Begins the next run.
    fn claim(&self, now: Micros) -> Option<u64>;

    /// Notes that the run that was claimed last has ended.
    fn end(&self) {}

    /// Notes which step of the run that was claimed last begins.
    fn set_step(&self, _step: u32) {}

    /// Gives up the runs that have not begun, if the current run began at least `min_age` ago. Returns
    /// the first run that was given up. `None`: the runs stay here, or the engine takes them itself.
    fn give_up(&self, _min_age: Micros, _now: Micros) -> Option<u64> {
        None
    }
}

/// Runs that a remote worker has, on the engine's side.
///
/// `SharedRuns` is memory that the engine and the worker both map, so each sees what the other does.
/// `SentRuns` is a copy of what the worker was sent: the engine learns what the worker did from its
/// reports, and gets runs back only by asking for them.
pub(super) trait RemoteRuns: Debug + Send + Sync {
    /// Adds a range that was sent after those that the worker has. Returns `false` if it takes none.
    fn extend(&self, _runs: &Range<u64>) -> bool {
        false
    }

    /// Takes back the runs that have not begun, as far as the engine can tell, or asks for them.
    fn yield_unclaimed(&self) -> Range<u64>;

    /// As `yield_unclaimed`, where the current run may have stalled.
    fn yield_if_stalled(&self, _now: Micros) -> Range<u64> {
        self.yield_unclaimed()
    }

    /// Number of runs that have begun, and number of runs that may be taken back.
    fn counts(&self) -> (u64, u64);

    /// The run that began last and when it began, as far as the engine can tell.
    fn current(&self) -> (u64, Micros);

    /// Applies a report of `num_ended` runs. Returns the runs that are left if the worker claims
    /// nothing more, and whether they were asked for; `None`: it has another range.
    fn settle(&self, num_ended: u64, now: Micros) -> Option<(Range<u64>, bool)>;

    /// Takes back all runs after the worker died, and returns how many of them it had ended: the run
    /// after those is the one that it died of. `None` where that is unknown.
    fn reclaim(&self) -> (Range<u64>, Option<u64>);

    /// What to ask the worker for, if that is new: the number of the stream, and whether it must give up
    /// its runs even if none has stalled. `stops` is whether the backfill starts nothing more.
    fn recall(&self, _stops: bool) -> Option<(u64, bool)> {
        None
    }

    /// The worker has given up its runs from `first` on (`None`: none of those that it has). Returns
    /// them, unless they belong to another stream.
    fn given_up(&self, _stream: u64, _first: Option<u64>) -> Option<Range<u64>> {
        None
    }

    /// The number of the stream of ranges, where runs are sent.
    fn stream(&self) -> u64 {
        0
    }
}

/// Ranges of runs that were sent to a worker one after another: a stream. It ends when the worker has
/// reported all of them; one that it reports in part is the last one that it executes.
#[derive(Debug)]
pub(super) struct SentRuns {
    stream: u64,
    sent: Mutex<Sent>,
}

#[derive(Debug)]
struct Sent {
    /// The runs that were not reported.
    left: Range<u64>,
    /// The ends of the ranges that were not reported.
    ends: VecDeque<u64>,
    /// The worker executes no range after the one that it is at.
    is_cut: bool,
    /// When the first range was sent, the last report came, or the worker was last asked.
    since: Micros,
    wanted: Recall,
    asked: Recall,
}

/// Whether the worker is to give up the runs that it has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Recall {
    No,
    IfStalled,
    Yes,
}

impl SentRuns {
    pub(super) fn new(stream: u64, runs: Range<u64>, sent_at: Micros) -> Self {
        let sent = Sent {
            ends: VecDeque::from([runs.end]),
            left: runs,
            is_cut: false,
            since: sent_at,
            wanted: Recall::No,
            asked: Recall::No,
        };
        Self {
            stream,
            sent: Mutex::new(sent),
        }
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RemoteRuns for SentRuns {
    fn extend(&self, runs: &Range<u64>) -> bool {
        let mut sent = self.sent();
        if sent.is_cut || sent.left.end != runs.start {
            return false;
        }
        sent.left.end = runs.end;
        sent.ends.push_back(runs.end);
        true
    }

    fn yield_unclaimed(&self) -> Range<u64> {
        let mut sent = self.sent();
        sent.wanted = Recall::Yes;
        sent.left.end..sent.left.end
    }

    fn yield_if_stalled(&self, now: Micros) -> Range<u64> {
        let mut sent = self.sent();
        if sent.left.end - sent.left.start > 1 {
            sent.wanted = sent.wanted.max(Recall::IfStalled);
        }
        sent.since = now;
        sent.left.end..sent.left.end
    }

    fn counts(&self) -> (u64, u64) {
        let sent = self.sent();
        let left = sent.left.end - sent.left.start;
        (left.min(1), left.saturating_sub(1))
    }

    fn current(&self) -> (u64, Micros) {
        let sent = self.sent();
        (sent.left.start, sent.since)
    }

    fn settle(&self, num_ended: u64, now: Micros) -> Option<(Range<u64>, bool)> {
        let mut sent = self.sent();
        let end = sent.ends.pop_front().unwrap_or(sent.left.end);
        sent.left.start = sent.left.end.min(sent.left.start + num_ended);
        sent.is_cut |= sent.left.start < end;
        sent.since = now;
        sent.ends
            .is_empty()
            .then(|| (sent.left.clone(), sent.wanted == Recall::Yes))
    }

    fn reclaim(&self) -> (Range<u64>, Option<u64>) {
        let left = self.sent().left.clone();
        let is_one_run = left.end - left.start == 1;
        (left, is_one_run.then_some(0))
    }

    fn recall(&self, stops: bool) -> Option<(u64, bool)> {
        let mut sent = self.sent();
        let wanted = if stops { Recall::Yes } else { sent.wanted };
        if wanted <= sent.asked {
            return None;
        }
        sent.asked = wanted;
        Some((self.stream, wanted == Recall::Yes))
    }

    fn given_up(&self, stream: u64, first: Option<u64>) -> Option<Range<u64>> {
        let mut sent = self.sent();
        if stream != self.stream {
            return None;
        }
        let Some(first) = first else {
            // No run has stalled: it is asked again when one may have.
            if sent.asked == Recall::IfStalled {
                sent.asked = Recall::No;
            }
            if sent.wanted == Recall::IfStalled {
                sent.wanted = Recall::No;
            }
            return None;
        };
        let first = first.clamp(sent.left.start, sent.left.end);
        let given_up = first..sent.left.end;
        sent.left.end = first;
        sent.is_cut = true;
        Some(given_up).filter(|runs| !runs.is_empty())
    }

    fn stream(&self) -> u64 {
        self.stream
    }
}

/// A range of runs that a worker was sent, on its side.
#[derive(Debug)]
pub(super) struct ReceivedRuns {
    runs: Mutex<(Range<u64>, Option<Micros>)>,
}

impl ReceivedRuns {
    pub(super) fn new(runs: Range<u64>) -> Self {
        Self {
            runs: Mutex::new((runs, None)),
        }
    }

    fn runs(&self) -> MutexGuard<'_, (Range<u64>, Option<Micros>)> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimable for ReceivedRuns {
    fn claim(&self, now: Micros) -> Option<u64> {
        let mut runs = self.runs();
        let claimed = runs.0.next()?;
        runs.1 = Some(now);
        Some(claimed)
    }

    fn give_up(&self, min_age: Micros, now: Micros) -> Option<u64> {
        let mut runs = self.runs();
        if runs.1.map_or(0, |since| now - since) < min_age {
            return None;
        }
        let first = runs.0.start;
        runs.0.end = first;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_were_sent_stay_with_their_worker_until_it_reports() {
        let sent = SentRuns::new(0, 10..14, 5);
        assert_eq!((sent.yield_unclaimed(), sent.counts()), (14..14, (1, 3)));
        assert_eq!(sent.current(), (10, 5));
        assert_eq!(sent.settle(3, 6), Some((13..14, true)));
    }

    #[test]
    fn a_stream_ends_with_the_report_of_its_last_range() {
        let sent = SentRuns::new(0, 10..14, 5);
        assert!(sent.extend(&(14..20)));
        assert!(!sent.extend(&(30..40)));
        assert_eq!(sent.settle(4, 6), None);
        assert!(sent.extend(&(20..22)));
        assert_eq!(sent.settle(2, 7), None);
        assert!(!sent.extend(&(22..30)), "it executes nothing more");
        assert_eq!(sent.settle(0, 8), Some((16..22, false)));
    }

    #[test]
    fn what_a_worker_has_not_begun_comes_back_once() {
        let sent = SentRuns::new(7, 10..14, 5);
        assert!(sent.extend(&(14..20)));
        assert_eq!(sent.recall(false), None);
        sent.yield_unclaimed();
        assert_eq!(
            (sent.recall(false), sent.recall(true)),
            (Some((7, true)), None)
        );
        assert_eq!(sent.given_up(6, Some(12)), None);
        assert_eq!(sent.given_up(7, Some(12)), Some(12..20));
        assert_eq!(sent.given_up(7, Some(12)), None);
        assert_eq!(sent.settle(2, 6), None);
        assert_eq!(sent.settle(0, 6), Some((12..12, true)));
    }

    #[test]
    fn a_worker_whose_run_has_not_stalled_is_asked_again() {
        let sent = SentRuns::new(7, 10..14, 5);
        sent.yield_if_stalled(9);
        assert_eq!(
            (sent.recall(false), sent.current()),
            (Some((7, false)), (10, 9))
        );
        assert_eq!(sent.given_up(7, None), None);
        assert_eq!(sent.recall(false), None);
        sent.yield_if_stalled(50);
        assert_eq!(sent.recall(false), Some((7, false)));
        assert_eq!(sent.recall(true), Some((7, true)));
    }

    #[test]
    fn the_worker_claims_each_run_that_was_sent_once() {
        let received = ReceivedRuns::new(10..13);
        let claimed: Vec<u64> = std::iter::from_fn(|| received.claim(6)).collect();
        assert_eq!((claimed, received.claim(7)), (vec![10, 11, 12], None));
    }

    #[test]
    fn a_worker_gives_up_what_it_has_not_begun() {
        let received = ReceivedRuns::new(10..13);
        assert_eq!(received.give_up(5, 6), None);
        assert_eq!(received.claim(6), Some(10));
        assert_eq!(received.give_up(5, 10), None);
        assert_eq!(received.give_up(5, 11), Some(11));
        assert_eq!(
            (received.claim(12), received.give_up(0, 12)),
            (None, Some(11))
        );
    }

    #[test]
    fn only_a_run_that_was_sent_alone_is_known_to_have_killed_its_worker() {
        assert_eq!(SentRuns::new(0, 3..9, 0).reclaim(), (3..9, None));
        assert_eq!(SentRuns::new(0, 3..4, 0).reclaim(), (3..4, Some(0)));
    }
}
