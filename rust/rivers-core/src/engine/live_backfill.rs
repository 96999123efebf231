//! One live backfill: its state, the assignments of its runs, and the size of its batches.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::assignment::Assignment;
use super::history::History;
use super::{Execution, Placement, Program};
use crate::backfill::{
    ClaimedRuns, Counts, Event, PendingRuns, Phase, Request, RetryQueue, RunEnd, SkipRow,
    SkippedPartitions, State, Stop,
};
use crate::clock::Micros;
use crate::plan::{Link, Plan};
use crate::queue::{EntryId, TokenBucket};
use crate::store::failpoint::{Bug, is_planted};

/// How large the batches of a worker are.
struct Sizing {
    /// How long the runs of a batch should take together, in microseconds.
    target: f64,
    /// Maximum ratio of a batch's size to that of the batch before: run times are learned, not assumed.
    max_growth: f64,
    /// A batch gets at most a worker's even share of the runs that are left, divided by this.
    caution: f64,
}

/// Long enough that the cost of a batch does not matter, short enough that a run with a higher priority
/// starts soon.
const LOCAL: Sizing = Sizing {
    target: 30_000.0,
    max_growth: 4.0,
    caution: 1.5,
};

impl Sizing {
    fn of(placement: Placement) -> Self {
        match placement {
            Placement::Local => LOCAL,
            Placement::Remote { batch_target } => Self {
                target: batch_target.as_micros() as f64,
                max_growth: 32.0,
                caution: 1.1,
            },
        }
    }
}

/// Maximum number of runs in one batch.
const MAX_BATCH_RUNS: f64 = 8_192.0;
/// Weight of a batch's run times in the moving average.
const LEARNING_RATE: f64 = 0.3;

/// How far a backfill had come when this process admits it.
pub(super) struct ResumePoint {
    pub(super) pending: PendingRuns,
    pub(super) retries: RetryQueue,
    pub(super) counts: Counts,
    /// The recorded skips.
    pub(super) skips: Vec<SkipRow>,
}

/// A backfill in this process.
pub(super) struct LiveBackfill {
    pub(super) entry: EntryId,
    pub(super) request: Arc<Request>,
    pub(super) plan: Arc<Plan>,
    pub(super) program: Program,
    pub(super) state: State,
    /// Runs that are attempted again.
    pub(super) retries: RetryQueue,
    /// Checked by workers between runs.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) assignments: Vec<Arc<Assignment>>,
    /// Outcomes that are not committed yet.
    pub(super) outbox: Vec<RunEnd>,
    /// Something must be committed, if only the runs in flight.
    pub(super) dirty: bool,
    /// No new runs start for now.
    pub(super) paused: bool,
    /// Whether no run starts yet, since what its runs need is being made.
    pub(super) held: bool,
    /// Limits how many runs start per second.
    pub(super) rate_limit: Option<TokenBucket>,
    /// Revision of the request when it was read.
    pub(super) revision: u64,
    /// Maximum number of runs in flight where the program is executed.
    pub(super) capacity: Option<u32>,
    /// When runs in flight are ended by force, by `Threads::now`, and the delay that was asked for.
    pub(super) force: Option<(Duration, Duration)>,
    /// The slots that each run takes, by pool.
    pub(super) pools: Vec<(String, u32)>,
    placement: Placement,
    /// The writer has its end.
    pub(super) written_end: bool,
    /// The counts that are committed.
    pub(super) published: Counts,
    /// What runs skipped of assets that later runs need.
    skipped: Arc<SkippedPartitions>,
    mean_run: Option<f64>,
    last_batch: f64,
}

impl LiveBackfill {
    pub(super) fn new(
        entry: EntryId,
        request: Request,
        plan: Arc<Plan>,
        resume_point: ResumePoint,
        execution: Execution,
    ) -> Self {
        let ResumePoint {
            pending,
            retries,
            counts,
            skips,
        } = resume_point;
        let mut state = State::new(
            request.failure_policy,
            request.control,
            plan.num_partitions(),
            pending,
            counts,
        );
        if let Some(runs) = request.control.canary {
            state.start_with_canary(runs, plan.num_runs());
        }
        retries
            .scheduled()
            .for_each(|run| state.apply(Event::Scheduled(run)));
        let mut skipped = SkippedPartitions::default();
        for skip in skips {
            skipped.record(skip.asset, skip.partition, || plan.run(skip.run));
        }
        let rate_limit = request.control.max_starts_per_second.map(TokenBucket::new);
        Self {
            entry,
            program: execution.program,
            capacity: execution.capacity,
            pools: execution.pools,
            force: None,
            placement: execution.placement,
            state,
            retries,
            request: Arc::new(request),
            plan,
            stop: Arc::new(AtomicBool::new(false)),
            assignments: Vec::new(),
            outbox: Vec::new(),
            dirty: true,
            paused: false,
            held: execution.held,
            rate_limit,
            revision: 0,
            written_end: false,
            published: counts,
            skipped: Arc::new(skipped),
            mean_run: None,
            last_batch: 0.25,
        }
    }

    /// Whether a run may start now, as far as this process knows.
    pub(super) fn is_ready(&mut self) -> bool {
        let tokens = self.rate_limit.as_ref().map_or(1, TokenBucket::available);
        !self.paused && !self.held && tokens > 0 && self.state.can_start()
    }

    /// Claims the next runs for one worker: enough to fill a batch, within the rate limit and the worker's
    /// share of what is left.
    pub(super) fn claim_batch(&mut self) -> Option<ClaimedRuns> {
        let sizing = Sizing::of(self.placement);
        let fitting = self
            .mean_run
            .map_or(1.0, |mean| sizing.target / mean.max(0.1));
        let workers = f64::from(self.request.max_concurrency);
        let share = (self.state.runs_to_start() as f64 / (sizing.caution * workers)).ceil();
        let size = fitting
            .min(self.last_batch * sizing.max_growth)
            .min(share)
            .clamp(1.0, MAX_BATCH_RUNS);
        self.last_batch = size;
        let max = self
            .rate_limit
            .as_ref()
            .map_or(u64::MAX, TokenBucket::available);
        let claimed = self.state.claim(max.min(size as u64))?;
        if let Some(rate_limit) = &mut self.rate_limit {
            rate_limit.take(claimed.runs.end - claimed.runs.start);
        }
        Some(claimed)
    }

    /// A worker gave back runs that it had not begun.
    pub(super) fn yielded(&mut self, runs: Range<u64>) {
        if let Some(rate_limit) = &mut self.rate_limit {
            rate_limit.give_back(runs.end - runs.start);
        }
        self.state.apply(Event::Yielded(runs));
    }

    /// Refills the rate limit. Returns whether runs may start that could not before.
    pub(super) fn refill_tokens(&mut self, now: Micros) -> bool {
        let Some(rate_limit) = &mut self.rate_limit else {
            return false;
        };
        let before = rate_limit.available();
        rate_limit.fill(now);
        before == 0 && rate_limit.available() > 0
    }

    /// When a run may start that cannot now: the next retry, or the next start within the rate limit.
    pub(super) fn next_start(&self) -> Option<Micros> {
        let tokens = self.rate_limit.as_ref().map_or(1, TokenBucket::available);
        let waits = tokens == 0 && !self.paused && self.state.runs_to_start() > 0;
        let soon = self
            .rate_limit
            .as_ref()
            .filter(|_| waits)
            .map(TokenBucket::next_at);
        let running = self.state.phase() == Phase::Running;
        let retry = self.retries.next_due().filter(|_| running);
        soon.into_iter().chain(retry).min()
    }

    /// Applies the outcomes of runs: those that have ended, and those that are attempted again. Returns
    /// how many are to be committed.
    pub(super) fn apply_outcomes(&mut self, mut ends: Vec<RunEnd>) -> usize {
        if self.state.phase() != Phase::Running {
            ends.iter_mut().for_each(RunEnd::give_up_retries);
        }
        if self.state.stop() == Some(Stop::Canceled) {
            // The library that a function used took the cancel for Ctrl-C.
            let interrupted = |end: &RunEnd| end.was_interrupted();
            let canceled: Vec<RunEnd> = ends.extract_if(.., |end| interrupted(end)).collect();
            for end in canceled {
                self.yielded(end.run..end.run + 1);
            }
        }
        let count = ends.len();
        self.learn(&ends);
        self.retries.record(&ends);
        self.record_skips(&ends);
        self.state.apply(Event::Ended(&ends));
        self.outbox.extend(ends);
        count
    }

    /// What happened before the runs of a batch.
    pub(super) fn history(&self, runs: &Range<u64>) -> History {
        History {
            prior_attempts: self.retries.prior_attempts(runs),
            skipped: Arc::clone(&self.skipped),
        }
    }

    /// Notes what runs skipped of assets that later runs need.
    fn record_skips(&mut self, ends: &[RunEnd]) {
        for end in ends.iter().filter(|end| end.retry.is_none()) {
            for skip in &end.skips {
                let needed = |link: &Link| link.asset == skip.asset;
                if self.plan.links().iter().any(needed) {
                    let run = || self.plan.run(end.run);
                    Arc::make_mut(&mut self.skipped).record(skip.asset, skip.partition, run);
                }
            }
        }
    }

    /// Lets the retries start that are due. Returns whether there were any.
    pub(super) fn start_due(&mut self, now: Micros) -> bool {
        let mut woken = false;
        let now = if is_planted(Bug::RetryAtOnce) {
            Micros::MAX
        } else {
            now
        };
        while self.state.phase() == Phase::Running {
            let Some(run) = self.retries.pop_due(now) else {
                break;
            };
            self.state.apply(Event::Due(run));
            woken = true;
        }
        woken
    }

    /// Takes back the runs that workers have not begun.
    pub(super) fn yield_unclaimed(&mut self) {
        let given_up: Vec<_> = self
            .assignments
            .iter()
            .flat_map(|assignment| assignment.yield_unclaimed())
            .collect();
        given_up.into_iter().for_each(|runs| self.yielded(runs));
    }

    /// Updates the mean run time from the runs that were executed.
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
            Some(known) => known + LEARNING_RATE * (mean - known),
            None => mean,
        });
    }
}
