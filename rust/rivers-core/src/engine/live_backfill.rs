//! One backfill while it runs, and the hands that its runs are in.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::assignment::Hand;
use super::{Execution, Program};
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
