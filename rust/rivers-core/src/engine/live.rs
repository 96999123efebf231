//! One backfill while it runs, and the hands that its runs are in.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Execution, Program, SharedRuns};
use crate::backfill::{Counts, Event, Phase, Request, Retries, RunEnd, State, Taken, Todo};
use crate::clock::Micros;
use crate::plan::Plan;
use crate::queue::{EntryId, TokenBucket};

/// How large the batches of a worker are.
struct Sizing {
    /// How long the runs of one should take together, in microseconds.
    target: f64,
    /// One may be so many times larger than the one before: run times are learnt, not assumed.
    growth: f64,
    /// What one may have of the runs that are left is a worker's even share of them, divided by this.
    caution: f64,
}

/// Long enough that what a batch costs does not count, short enough that a run with a higher priority
/// starts soon.
const HERE: Sizing = Sizing {
    target: 30_000.0,
    growth: 4.0,
    caution: 1.5,
};
/// Where other processes execute them, which are back in time with most of them (`batch::AWAY`). To send a
/// batch takes most of a millisecond of this process, and of a core that they could use; what they have not
/// begun can be had back.
const AWAY: Sizing = Sizing {
    target: 80_000.0,
    growth: 32.0,
    caution: 1.1,
};
/// Most runs in one batch.
const MOST_IN_BATCH: f64 = 8_192.0;
/// How much of what is known of run times each batch of outcomes replaces.
const LEARNING: f64 = 0.3;
/// A run that has taken so long no longer holds back those behind it in its batch.
pub(super) const STALLED_AFTER: Duration = Duration::from_millis(25);

/// How far a backfill is when it comes into this process.
pub(super) struct Rest {
    pub(super) todo: Todo,
    pub(super) retries: Retries,
    pub(super) counts: Counts,
}

/// A backfill in this process.
pub(super) struct Live {
    pub(super) entry: EntryId,
    pub(super) request: Arc<Request>,
    pub(super) plan: Arc<Plan>,
    pub(super) program: Program,
    pub(super) state: State,
    /// What is attempted again.
    pub(super) retries: Retries,
    /// Seen by workers between runs.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) hands: Vec<Arc<Hand>>,
    /// Outcomes that are not written yet.
    pub(super) outbox: Vec<RunEnd>,
    /// Something is to be written, if only what is in flight.
    pub(super) dirty: bool,
    /// Nothing new starts for now.
    pub(super) paused: bool,
    /// Bounds how many runs start in a second.
    pub(super) starts: Option<TokenBucket>,
    /// How often the request had been changed when it was read.
    pub(super) revision: u64,
    /// Most runs that can be in flight where the program is executed.
    pub(super) workers: u32,
    /// Its end is with the writer.
    pub(super) written_end: bool,
    /// What is committed.
    pub(super) reported: Counts,
    mean_run: Option<f64>,
    last_batch: f64,
}

impl Live {
    pub(super) fn new(
        entry: EntryId,
        request: Request,
        plan: Arc<Plan>,
        rest: Rest,
        execution: Execution,
    ) -> Self {
        let Rest {
            todo,
            retries,
            counts,
        } = rest;
        let mut state = State::new(
            request.failure_policy,
            request.control,
            plan.num_partitions(),
            todo,
            counts,
        );
        if let Some(runs) = request.control.canary {
            state.begin_with(runs, plan.num_runs());
        }
        retries
            .waiting()
            .for_each(|run| state.apply(Event::Held(run)));
        let starts = request.control.max_starts_per_second.map(TokenBucket::new);
        Self {
            entry,
            program: execution.program,
            workers: execution.workers,
            state,
            retries,
            request: Arc::new(request),
            plan,
            stop: Arc::new(AtomicBool::new(false)),
            hands: Vec::new(),
            outbox: Vec::new(),
            dirty: true,
            paused: false,
            starts,
            revision: 0,
            written_end: false,
            reported: counts,
            mean_run: None,
            last_batch: 0.25,
        }
    }

    /// Whether a run may start now, as far as is known.
    pub(super) fn is_ready(&mut self) -> bool {
        let tokens = self.starts.as_ref().map_or(1, TokenBucket::available);
        !self.paused && tokens > 0 && self.state.can_start()
    }

    /// The next runs for one worker: as many as fill a batch and may start, but a fair share of what is
    /// left.
    pub(super) fn take_batch(&mut self) -> Option<Taken> {
        let sizing = if self.workers == u32::MAX { HERE } else { AWAY };
        let fitting = self
            .mean_run
            .map_or(1.0, |mean| sizing.target / mean.max(0.1));
        let workers = f64::from(self.request.max_concurrency);
        let share = (self.state.runs_to_start() as f64 / (sizing.caution * workers)).ceil();
        let size = fitting
            .min(self.last_batch * sizing.growth)
            .min(share)
            .clamp(1.0, MOST_IN_BATCH);
        self.last_batch = size;
        let most = self
            .starts
            .as_ref()
            .map_or(u64::MAX, TokenBucket::available);
        let taken = self.state.take(most.min(size as u64))?;
        if let Some(starts) = &mut self.starts {
            starts.take(taken.runs.end - taken.runs.start);
        }
        Some(taken)
    }

    /// These runs were taken and will not start from there.
    pub(super) fn returned(&mut self, runs: Range<u64>) {
        if let Some(starts) = &mut self.starts {
            starts.give_back(runs.end - runs.start);
        }
        self.state.apply(Event::Returned(runs));
    }

    /// More runs may start as time goes on. `true`: some may that could not.
    pub(super) fn fill_starts(&mut self, now: Micros) -> bool {
        let Some(starts) = &mut self.starts else {
            return false;
        };
        let before = starts.available();
        starts.fill(now);
        before == 0 && starts.available() > 0
    }

    /// When something may start that cannot now: another attempt, or what comes too soon after others.
    pub(super) fn next_start(&self) -> Option<Micros> {
        let tokens = self.starts.as_ref().map_or(1, TokenBucket::available);
        let waits = tokens == 0 && !self.paused && self.state.runs_to_start() > 0;
        let soon = self
            .starts
            .as_ref()
            .filter(|_| waits)
            .map(TokenBucket::next_at);
        let running = self.state.phase() == Phase::Running;
        let retry = self.retries.next_due().filter(|_| running);
        soon.into_iter().chain(retry).min()
    }

    /// Applies what workers bring: runs that have ended, and those that are to be attempted again.
    pub(super) fn bring_in(&mut self, mut ends: Vec<RunEnd>) {
        if self.state.phase() != Phase::Running {
            ends.iter_mut().for_each(RunEnd::give_up);
        }
        self.learn(&ends);
        self.retries.note(&ends);
        self.state.apply(Event::Ended(&ends));
        self.outbox.extend(ends);
    }

    /// Runs that have waited long enough for their next attempt may start. `true`: there were some.
    pub(super) fn wake_due(&mut self, now: Micros) -> bool {
        let mut woken = false;
        while self.state.phase() == Phase::Running {
            let Some(run) = self.retries.pop_due(now) else {
                break;
            };
            self.state.apply(Event::Due(run));
            woken = true;
        }
        woken
    }

    /// Takes back what its workers have not begun.
    pub(super) fn take_back(&mut self) {
        let given_up: Vec<_> = self.hands.iter().flat_map(|hand| hand.give_up()).collect();
        given_up.into_iter().for_each(|runs| self.returned(runs));
    }

    /// Learns how long runs take, of those that were executed.
    pub(super) fn learn(&mut self, ends: &[RunEnd]) {
        if ends
            .iter()
            .all(|end| end.failed > 0 && end.ended_at == end.started_at)
        {
            return;
        }
        let total: Micros = ends.iter().map(|end| end.ended_at - end.started_at).sum();
        let mean = total.max(0) as f64 / ends.len() as f64;
        self.mean_run = Some(match self.mean_run {
            Some(known) => known + LEARNING * (mean - known),
            None => mean,
        });
    }
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
