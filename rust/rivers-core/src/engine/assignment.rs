//! The runs assigned to one worker: what it has begun, and what can still be taken back from it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::history::History;
use super::remote_runs::{RemoteRuns, SentRuns};
use super::{Program, SharedRuns};
use crate::backfill::{Request, RunEnd};
use crate::clock::Micros;
use crate::plan::Plan;
use crate::queue::EntryId;
use crate::store::Key;
use crate::store::failpoint::{Bug, is_planted};

/// After this time a run no longer holds back those behind it in its batch.
pub(super) const STALLED_AFTER: Duration = Duration::from_millis(25);

/// Runs that the coordinator gives to a worker, with what the worker needs to execute them.
pub(super) struct Dispatch {
    pub(super) key: Key,
    pub(super) entry: EntryId,
    pub(super) plan: Arc<Plan>,
    pub(super) request: Arc<Request>,
    pub(super) assignment: Arc<Assignment>,
    pub(super) history: History,
    /// The runs cannot be executed: through this link of the plan they need what was not materialized.
    pub(super) blocked_by: Option<usize>,
    pub(super) program: Program,
    /// The priority gate is closed for these runs, and opens when the first of them begins.
    pub(super) ends_preemption: bool,
}

/// The runs assigned to one worker.
pub(super) struct Assignment {
    runs: Mutex<Runs>,
    stop: Arc<AtomicBool>,
    leased_until: Arc<AtomicI64>,
}

struct Runs {
    unclaimed: Range<u64>,
    /// The run that is executed in this process, and since when.
    current: Option<(u64, Micros)>,
    /// The runs that another process executes.
    remote: Option<Arc<dyn RemoteRuns>>,
    /// Number of streams of ranges that were sent.
    num_streams: u64,
    /// Outcomes that the engine has not applied yet.
    outcomes: Vec<RunEnd>,
    /// The runs that have ended and whose outcomes depend on what is stored of them.
    held: Vec<u64>,
    /// The worker was ended by force: what it still reports is dropped.
    revoked: bool,
}

impl Assignment {
    pub(super) fn new(
        unclaimed: Range<u64>,
        stop: Arc<AtomicBool>,
        leased_until: Arc<AtomicI64>,
    ) -> Arc<Self> {
        let runs = Runs {
            unclaimed,
            current: None,
            remote: None,
            num_streams: 0,
            outcomes: Vec::new(),
            held: Vec::new(),
            revoked: false,
        };
        Arc::new(Self {
            runs: Mutex::new(runs),
            stop,
            leased_until,
        })
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a run may start: the backfill was not stopped, and its lease surely holds.
    fn may_start(&self, now: Micros) -> bool {
        let leased =
            now < self.leased_until.load(Ordering::Acquire) || is_planted(Bug::StartWithoutLease);
        !self.stop.load(Ordering::Acquire) && leased
    }

    /// Ends the current run and begins the next; `None` when no run is left or may start.
    pub(super) fn claim(&self, now: Micros) -> Option<u64> {
        let mut runs = self.runs();
        runs.current = None;
        if !self.may_start(now) {
            return None;
        }
        let run = runs.unclaimed.next()?;
        runs.current = Some((run, now));
        Some(run)
    }

    /// Keeps the outcome of the current run and begins the next, as `keep` and `claim` do. Returns the next
    /// run, and how many outcomes are kept.
    pub(super) fn advance(&self, end: RunEnd, now: Micros) -> (Option<u64>, usize) {
        let mut runs = self.runs();
        if !runs.revoked {
            runs.outcomes.push(end);
        }
        let next = if self.may_start(now) {
            runs.unclaimed.next()
        } else {
            None
        };
        runs.current = next.map(|run| (run, now));
        (next, runs.outcomes.len())
    }

    /// Holds the current run, whose outcome is not known yet, and begins the next as `claim` does. Returns that,
    /// and how many are held.
    pub(super) fn hold(&self, now: Micros) -> (Option<u64>, usize) {
        let mut runs = self.runs();
        if let Some((run, _)) = runs.current.take() {
            runs.held.push(run);
        }
        let next = if self.may_start(now) {
            runs.unclaimed.next()
        } else {
            None
        };
        runs.current = next.map(|run| (run, now));
        (next, runs.held.len())
    }

    /// Keeps the outcomes of the runs that are held.
    pub(super) fn keep_held(&self, ends: Vec<RunEnd>) {
        let mut runs = self.runs();
        runs.held.clear();
        runs.keep(ends);
    }

    /// Moves up to `max_runs` unclaimed runs to memory shared with another process. Returns `false` if
    /// no run is left or may start.
    pub(super) fn share(&self, shared: &Arc<SharedRuns>, max_runs: u64, now: Micros) -> bool {
        let mut runs = self.runs();
        let Some(next) = self.next(&runs, max_runs, now) else {
            return false;
        };
        shared.fill(&next, now);
        runs.unclaimed.start = next.end;
        runs.remote = Some(Arc::clone(shared) as Arc<dyn RemoteRuns>);
        true
    }

    /// Moves up to `max_runs` unclaimed runs to another process that gets their numbers; what it was sent
    /// before may still be there. `None`: no run is left or may start.
    pub(super) fn send(&self, max_runs: u64, now: Micros) -> Option<Range<u64>> {
        let mut runs = self.runs();
        let next = self.next(&runs, max_runs, now)?;
        match &runs.remote {
            Some(remote) if !remote.extend(&next) => return None,
            Some(_) => {}
            None => {
                runs.num_streams += 1;
                let sent = SentRuns::new(runs.num_streams, next.clone(), now);
                runs.remote = Some(Arc::new(sent));
            }
        }
        runs.unclaimed.start = next.end;
        Some(next)
    }

    /// The next of up to `max_runs` unclaimed runs, if they may start.
    fn next(&self, runs: &Runs, max_runs: u64, now: Micros) -> Option<Range<u64>> {
        if !self.may_start(now) || runs.unclaimed.is_empty() {
            return None;
        }
        let first = runs.unclaimed.start;
        Some(first..runs.unclaimed.end.min(first.saturating_add(max_runs)))
    }

    /// The first run that would be sent; `None`: no run is left or may start.
    pub(super) fn first_unsent(&self, now: Micros) -> Option<u64> {
        self.next(&self.runs(), 1, now).map(|next| next.start)
    }

    /// The number of the stream that the remote worker's ranges belong to, and its runs.
    pub(super) fn in_flight(&self) -> Option<(u64, Range<u64>)> {
        let runs = self.runs();
        let remote = runs.remote.as_ref()?;
        let (first, _) = remote.current();
        let (begun, others) = remote.counts();
        Some((remote.stream(), first..first + begun + others))
    }

    /// What to ask the remote worker for; see `RemoteRuns::recall`.
    pub(super) fn recall(&self, now: Micros) -> Option<(u64, bool)> {
        let runs = self.runs();
        let stops = !self.may_start(now) || runs.revoked;
        runs.remote.as_ref()?.recall(stops)
    }

    /// The remote worker has answered; see `RemoteRuns::given_up`. What was not sent follows what it gave up,
    /// and goes with it.
    pub(super) fn given_up(&self, stream: u64, first: Option<u64>) -> Option<Range<u64>> {
        let mut runs = self.runs();
        if runs.revoked {
            return None;
        }
        let given_up = runs.remote.as_ref()?.given_up(stream, first)?;
        let unsent = runs.take_unclaimed();
        let end = if unsent.is_empty() {
            given_up.end
        } else {
            unsent.end
        };
        Some(given_up.start..end)
    }

    /// Takes back the runs that the remote worker did not begin, after it reported `num_ended` runs.
    /// Returns those that are to start elsewhere.
    pub(super) fn settle_remote(&self, num_ended: u64, now: Micros) -> Option<Range<u64>> {
        let mut runs = self.runs();
        let remote = runs.remote.as_ref()?;
        let (rest, is_recalled) = remote.settle(num_ended, now)?;
        runs.remote = None;
        if is_recalled && !runs.revoked {
            return Some(rest).filter(|rest| !rest.is_empty());
        }
        runs.put_back(rest);
        None
    }

    /// Takes back all runs of a remote worker that died. Returns how many of them it had ended without
    /// reporting them, so that the next is the run that it died of; `None` where that is unknown.
    pub(super) fn reclaim_remote(&self) -> Option<u64> {
        let mut runs = self.runs();
        let (lost, num_ended) = runs.remote.take()?.reclaim();
        runs.put_back(lost);
        num_ended
    }

    /// Keeps an outcome until it is taken. Returns how many are kept.
    pub(super) fn keep(&self, end: RunEnd) -> usize {
        let mut runs = self.runs();
        if !runs.revoked {
            runs.outcomes.push(end);
        }
        runs.outcomes.len()
    }

    /// Keeps the outcomes that a remote worker reported until they are taken.
    pub(super) fn keep_all(&self, ends: Vec<RunEnd>) {
        self.runs().keep(ends);
    }

    /// Takes everything from a worker that is ended by force: the outcomes that are kept, and the runs
    /// that have not ended. Nothing that it does later counts.
    pub(super) fn revoke(&self) -> (Vec<RunEnd>, Vec<Range<u64>>) {
        let mut runs = self.runs();
        runs.revoked = true;
        let current = runs.current.take().map(|(run, _)| run..run + 1);
        let remote = runs.remote.take().map(|remote| remote.reclaim().0);
        let unclaimed = runs.take_unclaimed();
        let held = std::mem::take(&mut runs.held);
        let held = held.into_iter().map(|run| run..run + 1);
        let left = [current, remote, Some(unclaimed)].into_iter().flatten();
        let left = held.chain(left);
        let left = left.filter(|runs| !runs.is_empty()).collect();
        (std::mem::take(&mut runs.outcomes), left)
    }

    /// Takes the outcomes that are kept.
    pub(super) fn take_outcomes(&self) -> Vec<RunEnd> {
        std::mem::take(&mut self.runs().outcomes)
    }

    /// Takes the outcomes that are kept, if the current run has stalled.
    pub(super) fn take_outcomes_if_stalled(&self, now: Micros) -> Vec<RunEnd> {
        if self.is_stalled(now) {
            self.take_outcomes()
        } else {
            Vec::new()
        }
    }

    fn is_stalled(&self, now: Micros) -> bool {
        let since = self.current().map_or(now, |(_, since)| since);
        now - since > STALLED_AFTER.as_micros() as Micros
    }

    /// Stops the backfill: no further run starts from any of its assignments.
    pub(super) fn stop_all(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether the worker was ended by force.
    pub(super) fn is_revoked(&self) -> bool {
        self.runs().revoked
    }

    /// The run that is executed, and since when.
    pub(super) fn current(&self) -> Option<(u64, Micros)> {
        let runs = self.runs();
        let remote = runs.remote.as_ref().map(|remote| remote.current());
        remote.or(runs.current)
    }

    /// Number of runs that can be taken back.
    pub(super) fn unclaimed(&self) -> u64 {
        let runs = self.runs();
        let remote = runs.remote.as_ref().map_or(0, |remote| remote.counts().1);
        runs.unclaimed.end - runs.unclaimed.start + remote
    }

    /// Takes back all unclaimed runs: those of the remote worker, and those behind them.
    pub(super) fn yield_unclaimed(&self) -> [Range<u64>; 2] {
        let mut runs = self.runs();
        let remote = runs
            .remote
            .as_ref()
            .map_or(0..0, |remote| remote.yield_unclaimed());
        [remote, runs.take_unclaimed()]
    }

    /// Takes back all unclaimed runs if the current run has stalled.
    ///
    /// A remote worker keeps its runs until it has begun one: a process that replaces a dead one needs
    /// time to start, and is meant to execute what was sent to it apart from the others.
    pub(super) fn yield_if_stalled(&self, now: Micros) -> Option<[Range<u64>; 2]> {
        if !self.is_stalled(now) {
            return None;
        }
        let mut runs = self.runs();
        let begun = runs.remote.as_ref().filter(|remote| remote.counts().0 > 0);
        let remote = begun.map_or(0..0, |remote| remote.yield_if_stalled(now));
        let local = runs.take_unclaimed();
        (!remote.is_empty() || !local.is_empty()).then_some([remote, local])
    }
}

impl Runs {
    /// Puts runs back in front of the unclaimed ones. Those follow them in number, unless they were
    /// taken back meanwhile: then none is left, and the two ranges need not meet.
    fn put_back(&mut self, runs: Range<u64>) {
        if self.revoked {
            return;
        }
        let end = if self.unclaimed.is_empty() {
            runs.end
        } else {
            self.unclaimed.end
        };
        self.unclaimed = runs.start..end;
    }

    /// Keeps outcomes, unless what the worker reports is dropped.
    fn keep(&mut self, ends: Vec<RunEnd>) {
        if self.revoked {
            return;
        }
        // Often, those of the last report were taken.
        if self.outcomes.is_empty() {
            self.outcomes = ends;
        } else {
            self.outcomes.extend(ends);
        }
    }

    fn take_unclaimed(&mut self) -> Range<u64> {
        let end = self.unclaimed.end;
        std::mem::replace(&mut self.unclaimed, end..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::remote_runs::Claimable;

    const STALLED: Micros = STALLED_AFTER.as_micros() as Micros + 1;

    fn assignment(runs: Range<u64>) -> Arc<Assignment> {
        let leased_until = Arc::new(AtomicI64::new(Micros::MAX));
        Assignment::new(runs, Arc::new(AtomicBool::new(false)), leased_until)
    }

    #[test]
    fn a_process_that_is_starting_keeps_the_runs_it_has_not_begun() {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = SharedRuns::create(&folder.path().join("runs")).expect("maps");
        let shared = Arc::new(shared);
        let assignment = assignment(1..9);
        assert!(assignment.share(&shared, 3, 0));
        assert_eq!(assignment.yield_if_stalled(STALLED), Some([0..0, 4..9]));
        assert_eq!(assignment.yield_if_stalled(STALLED), None);
        assert_eq!(shared.claim(STALLED), Some(1));
        assert_eq!(assignment.yield_if_stalled(STALLED + 1), None);
        assert_eq!(assignment.yield_if_stalled(2 * STALLED), Some([2..4, 9..9]));
    }

    #[test]
    fn sent_runs_are_not_taken_back_but_those_behind_them_are() {
        let assignment = assignment(1..9);
        assert_eq!(assignment.send(3, 0), Some(1..4));
        assert_eq!(assignment.unclaimed(), 7);
        assert_eq!(assignment.yield_if_stalled(STALLED), Some([4..4, 4..9]));
        assert_eq!(assignment.yield_if_stalled(STALLED), None);
        assert_eq!(assignment.unclaimed(), 2, "the worker may give them up");
        // The worker reported the first of three runs: the others start again.
        assert_eq!(assignment.settle_remote(1, 1), None);
        assert_eq!(assignment.send(u64::MAX, 1), Some(2..4));
        assert_eq!(assignment.settle_remote(2, 1), None);
        assert_eq!(assignment.send(u64::MAX, 2), None);
    }

    #[test]
    fn two_ranges_are_in_flight_and_what_is_asked_for_starts_elsewhere() {
        let assignment = assignment(1..9);
        assert_eq!(assignment.send(3, 0), Some(1..4));
        assert_eq!(assignment.send(3, 0), Some(4..7));
        assert_eq!(assignment.in_flight(), Some((1, 1..7)));
        assert_eq!(assignment.first_unsent(0), Some(7));
        assert_eq!(assignment.recall(0), None);
        assert_eq!(assignment.yield_unclaimed(), [7..7, 7..9]);
        assert_eq!(assignment.recall(0), Some((1, true)));
        assert_eq!(assignment.given_up(1, Some(3)), Some(3..7));
        assert_eq!(assignment.settle_remote(2, 1), None);
        assert_eq!(assignment.settle_remote(0, 1), None);
        assert_eq!(
            (assignment.in_flight(), assignment.first_unsent(1)),
            (None, None)
        );
    }

    #[test]
    fn what_was_not_sent_goes_with_what_was_given_up_and_comes_back_once() {
        let assignment = assignment(1..9);
        assert_eq!(assignment.send(3, 0), Some(1..4));
        assert_eq!(assignment.given_up(1, Some(2)), Some(2..9));
        assert_eq!(assignment.settle_remote(1, 1), None);
        assert_eq!(assignment.first_unsent(1), None);
        assert_eq!(assignment.yield_unclaimed(), [0..0, 2..2]);
    }

    #[test]
    fn a_report_that_comes_before_the_answer_gives_the_rest_back() {
        let assignment = assignment(1..9);
        assert_eq!(assignment.send(8, 0), Some(1..9));
        assignment.yield_unclaimed();
        assert_eq!(assignment.recall(0), Some((1, true)));
        assert_eq!(assignment.settle_remote(2, 1), Some(3..9));
        assert_eq!(assignment.given_up(1, Some(3)), None);
    }

    #[test]
    fn what_a_dead_worker_was_sent_is_sent_again_before_the_rest() {
        let assignment = assignment(1..9);
        assert_eq!(assignment.send(3, 0), Some(1..4));
        assert_eq!(assignment.reclaim_remote(), None);
        assert_eq!(assignment.send(1, 0), Some(1..2));
        assert_eq!(assignment.reclaim_remote(), Some(0));
        assert_eq!(assignment.claim(0), Some(1));
        assert_eq!(assignment.send(u64::MAX, 0), Some(2..9));
    }

    #[test]
    fn what_a_worker_does_after_it_was_revoked_is_dropped() {
        let end = |run| RunEnd {
            run,
            started_at: 0,
            ended_at: 0,
            partitions: 1,
            failed: 0,
            failures: Vec::new(),
            skips: Vec::new(),
            retry: None,
            metadata: Vec::new(),
        };
        let assignment = assignment(1..9);
        assert_eq!(assignment.claim(0), Some(1));
        assignment.keep(end(1));
        assert_eq!(assignment.claim(0), Some(2));
        assert_eq!(assignment.revoke(), (vec![end(1)], vec![2..3, 3..9]));
        assert_eq!(assignment.claim(0), None);
        assignment.keep(end(2));
        assert_eq!(
            (assignment.take_outcomes(), assignment.unclaimed()),
            (Vec::new(), 0)
        );
    }

    #[test]
    fn runs_that_are_held_are_revoked_like_the_current_one() {
        let assignment = assignment(1..9);
        assert_eq!(assignment.hold(0), (Some(1), 0));
        assert_eq!(assignment.hold(0), (Some(2), 1));
        assert_eq!(assignment.hold(0), (Some(3), 2));
        assert_eq!(
            assignment.revoke(),
            (Vec::new(), vec![1..2, 2..3, 3..4, 4..9])
        );
        assignment.keep_held(vec![RunEnd::plain(1, 0, 0, 1), RunEnd::plain(2, 0, 0, 1)]);
        assert_eq!(assignment.take_outcomes(), Vec::new());
    }

    #[test]
    fn runs_that_were_sent_are_revoked_together() {
        let assignment = assignment(1..9);
        assert_eq!(assignment.send(3, 0), Some(1..4));
        assert_eq!(assignment.revoke(), (Vec::new(), vec![1..4, 4..9]));
        assert_eq!(assignment.settle_remote(2, 1), None);
        assert_eq!(assignment.reclaim_remote(), None);
        assert_eq!(assignment.claim(0), None);
    }

    #[test]
    fn nothing_is_sent_once_the_backfill_stops() {
        let assignment = assignment(1..9);
        assignment.stop_all();
        assert_eq!((assignment.send(3, 0), assignment.claim(0)), (None, None));
    }
}
