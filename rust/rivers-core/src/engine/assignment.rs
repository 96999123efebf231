//! The runs that one worker has.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Program, SharedRuns};
use crate::backfill::{Earlier, Request, RunEnd};
use crate::clock::Micros;
use crate::plan::Plan;
use crate::queue::EntryId;
use crate::store::Key;

/// A run that has taken so long no longer holds back those behind it in its batch.
pub(super) const STALLED_AFTER: Duration = Duration::from_millis(25);

/// Runs that a worker has taken.
pub(super) struct Taken {
    pub(super) key: Key,
    pub(super) entry: EntryId,
    pub(super) plan: Arc<Plan>,
    pub(super) request: Arc<Request>,
    pub(super) hand: Arc<Hand>,
    pub(super) earlier: Vec<Arc<Earlier>>,
    /// The runs cannot be executed: through this link of the plan they need what was not made.
    pub(super) lost: Option<usize>,
    pub(super) program: Program,
    /// A way is open for them, which is closed when the first of them begins.
    pub(super) has_way: bool,
}

/// The runs that one worker has taken: what it has begun, and what it has not.
pub(super) struct Hand {
    held: Mutex<Held>,
    stop: Arc<AtomicBool>,
    leased_until: Arc<AtomicI64>,
}

struct Held {
    unclaimed: Range<u64>,
    current: Option<(u64, Micros)>,
    /// Runs that another process executes.
    away: Option<Arc<SharedRuns>>,
    /// Outcomes that are not brought to the engine yet.
    ended: Vec<RunEnd>,
}

impl Hand {
    pub(super) fn new(
        runs: Range<u64>,
        stop: Arc<AtomicBool>,
        leased_until: Arc<AtomicI64>,
    ) -> Arc<Self> {
        let held = Held {
            unclaimed: runs,
            current: None,
            away: None,
            ended: Vec::new(),
        };
        Arc::new(Self {
            held: Mutex::new(held),
            stop,
            leased_until,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a run may start: nobody stopped the backfill, and it is surely still ours.
    fn may_start(&self, now: Micros) -> bool {
        !self.stop.load(Ordering::Acquire) && now < self.leased_until.load(Ordering::Acquire)
    }

    /// Ends the current run and begins the next; `None` when there is none, or none may start.
    pub(super) fn claim(&self, now: Micros) -> Option<u64> {
        let mut held = self.held();
        held.current = None;
        if !self.may_start(now) {
            return None;
        }
        let run = held.unclaimed.next()?;
        held.current = Some((run, now));
        Some(run)
    }

    /// Gives unclaimed runs, at most so many, to another process. `false`: none may start.
    pub(super) fn send(&self, shared: &Arc<SharedRuns>, most: u64, now: Micros) -> bool {
        let mut held = self.held();
        if !self.may_start(now) || held.unclaimed.is_empty() {
            return false;
        }
        let first = held.unclaimed.start;
        let end = held.unclaimed.end.min(first.saturating_add(most));
        shared.fill(&(first..end), now);
        held.unclaimed.start = end;
        held.away = Some(Arc::clone(shared));
        true
    }

    /// Gets back what the other process has not begun, and from `unreported` on what it has begun
    /// without reporting it.
    pub(super) fn receive(&self, unreported: Option<u64>) {
        let mut held = self.held();
        if let Some(away) = held.away.take() {
            let rest = away.give_up();
            let start = unreported.unwrap_or(rest.start);
            // What lies here follows the rest, unless both were taken back meanwhile and are empty.
            let end = if held.unclaimed.is_empty() {
                rest.end
            } else {
                held.unclaimed.end
            };
            held.unclaimed = start..end;
        }
    }

    /// Keeps an outcome until it is taken; how many there are.
    pub(super) fn keep(&self, end: RunEnd) -> usize {
        let mut held = self.held();
        held.ended.push(end);
        held.ended.len()
    }

    /// Takes the outcomes that are kept.
    pub(super) fn take_ended(&self) -> Vec<RunEnd> {
        std::mem::take(&mut self.held().ended)
    }

    /// Takes the outcomes that are kept, if the current run is a slow one.
    pub(super) fn take_ended_if_stalled(&self, now: Micros) -> Vec<RunEnd> {
        let since = self.current().map_or(now, |(_, since)| since);
        if now - since > STALLED_AFTER.as_micros() as Micros {
            self.take_ended()
        } else {
            Vec::new()
        }
    }

    /// No run starts from this hand any more.
    pub(super) fn stop_all(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(super) fn current(&self) -> Option<(u64, Micros)> {
        let held = self.held();
        held.away
            .as_ref()
            .map(|away| away.current())
            .or(held.current)
    }

    pub(super) fn unclaimed(&self) -> u64 {
        let held = self.held();
        let away = held.away.as_ref().map_or(0, |away| away.counts().1);
        held.unclaimed.end - held.unclaimed.start + away
    }

    /// All that is unclaimed, here and away.
    pub(super) fn give_up(&self) -> [Range<u64>; 2] {
        let mut held = self.held();
        let away = held.away.as_ref().map_or(0..0, |away| away.give_up());
        let end = held.unclaimed.end;
        [away, std::mem::replace(&mut held.unclaimed, end..end)]
    }

    /// All that is unclaimed, if the current run is a slow one. What is away stays so until the process
    /// there has begun: one that takes the place of a dead one needs its time to start, and is to execute
    /// apart from the others what was sent to it.
    pub(super) fn give_up_if_stalled(&self, now: Micros) -> Option<[Range<u64>; 2]> {
        let since = self.current().map_or(now, |(_, since)| since);
        if now - since <= STALLED_AFTER.as_micros() as Micros {
            return None;
        }
        let mut held = self.held();
        let begun = held.away.as_ref().filter(|away| away.counts().0 > 0);
        let away = begun.map_or(0..0, |away| away.give_up());
        let end = held.unclaimed.end;
        let here = std::mem::replace(&mut held.unclaimed, end..end);
        (!away.is_empty() || !here.is_empty()).then_some([away, here])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_not_begun_that_starts_stays_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = SharedRuns::open(&folder.path().join("runs")).expect("maps");
        let (shared, late) = (Arc::new(shared), STALLED_AFTER.as_micros() as Micros + 1);
        let leased_until = Arc::new(AtomicI64::new(Micros::MAX));
        let hand = Hand::new(1..9, Arc::new(AtomicBool::new(false)), leased_until);
        assert!(hand.send(&shared, 3, 0));
        assert_eq!(hand.give_up_if_stalled(late), Some([0..0, 4..9]));
        assert_eq!(hand.give_up_if_stalled(late), None);
        assert_eq!(shared.claim(late), Some(1));
        assert_eq!(hand.give_up_if_stalled(late + 1), None);
        assert_eq!(hand.give_up_if_stalled(2 * late), Some([2..4, 9..9]));
    }
}
