//! A batch of runs on the side of a remote worker, which reports their outcomes together.

use std::ops::Range;
use std::sync::Arc;

use super::SharedRuns;
use super::assignment::STALLED_AFTER;
use super::current_run::{CurrentRun, HeldRuns};
use super::history::History;
use super::remote_runs::{Claimable, ReceivedRuns};
use super::report::{self, Report};
use super::run::{JobSpec, Run};
use crate::backfill::FailurePolicy;
use crate::clock::{Clock, Micros, SteadyClock};
use crate::error::Result;
use crate::store::fork;

/// How long a remote worker executes runs before it reports.
const REPORT_INTERVAL: Micros = 100_000;

/// Runs that a remote worker claims and executes one after another.
pub struct WorkerBatch {
    spec: JobSpec,
    runs: Arc<dyn Claimable>,
    history: History,
    current: Option<CurrentRun>,
    held: HeldRuns,
    report: Report,
    report_at: Micros,
    clock: SteadyClock,
    /// Of the process that executes the runs: in a child that a function forks, they remain its parent's.
    generation: u64,
}

impl WorkerBatch {
    /// A batch of the runs that `Batch::send` returned, with the result of `Batch::prior_attempts`.
    ///
    /// # Errors
    /// `Execution` if the prior attempts cannot be read.
    pub fn new(spec: JobSpec, runs: Range<u64>, prior_attempts: &[u8]) -> Result<Self> {
        Self::claiming(spec, Arc::new(ReceivedRuns::new(runs)), prior_attempts)
    }

    /// A batch of the runs that `Batch::share` put into shared memory, with the result of
    /// `Batch::prior_attempts`.
    ///
    /// # Errors
    /// `Execution` if the prior attempts cannot be read.
    pub fn over_shared(
        spec: JobSpec,
        shared: Arc<SharedRuns>,
        prior_attempts: &[u8],
    ) -> Result<Self> {
        // The engine's clock may be ahead of the machine's, and both note in this memory when a run begins.
        SteadyClock::reach(shared.since());
        Self::claiming(spec, shared, prior_attempts)
    }

    fn claiming(spec: JobSpec, runs: Arc<dyn Claimable>, prior_attempts: &[u8]) -> Result<Self> {
        let clock = SteadyClock;
        Ok(Self {
            spec,
            runs,
            history: postcard::from_bytes(prior_attempts).map_err(report::unreadable)?,
            current: None,
            held: HeldRuns::default(),
            report: Report::new(),
            report_at: clock.now() + REPORT_INTERVAL,
            clock,
            generation: fork::generation(),
        })
    }

    /// Ends the current run, if any, and begins the next. `None`: it is time to report.
    pub fn advance(&mut self) -> Option<Arc<Run>> {
        self.begin_next()?;
        self.current_run()
    }

    /// Like `advance`, but returns the run's number: a `Run` is made of it when `current_run` is called.
    pub fn begin_next(&mut self) -> Option<u64> {
        if self.is_parents() {
            return None;
        }
        let now = self.clock.now();
        if let Some(current) = self.current.take() {
            let end = current.end(&self.spec, now);
            self.runs.end();
            // What may stop the backfill, or is retried, cannot wait for the rest of the batch.
            let is_urgent = (end.failed > 0 && !self.may_hold()) || end.retry.is_some();
            self.report.add(end);
            if is_urgent || self.report.is_large() || now >= self.report_at {
                return None;
            }
        }
        let number = self.runs.claim(now)?;
        self.current = Some(CurrentRun::new(number, now));
        Some(number)
    }

    /// Like `begin_next`, but whether the current run succeeds is said later, of all that are held together:
    /// call `held_runs` and `release` when no run begins.
    pub fn begin_next_holding(&mut self) -> Option<u64> {
        if self.is_parents() {
            return None;
        }
        let now = self.clock.now();
        if let Some(current) = self.current.take() {
            self.runs.end();
            self.held.extend(Some(current), now);
            if now >= self.report_at {
                return None;
            }
        }
        let number = self.runs.claim(now)?;
        self.current = Some(CurrentRun::new(number, now));
        Some(number)
    }

    /// Whether this process is a forked child of the one that executes the runs.
    fn is_parents(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Those of the runs that are held, by their numbers in the order in which they ended.
    pub fn held_runs(&mut self, numbers: &[u64]) -> Vec<Arc<Run>> {
        self.held.runs(numbers, &self.spec, &self.history)
    }

    /// Whether outcomes may be held: none of them decides whether the next run begins.
    pub fn may_hold(&self) -> bool {
        self.spec.request.control.max_failures.is_none()
            && self.spec.request.failure_policy == FailurePolicy::Continue
    }

    /// Keeps the outcomes of the runs that are held.
    pub fn release(&mut self) {
        for end in self.held.take(&self.spec) {
            self.report.add(end);
        }
    }

    /// The run that was begun last, while it has not ended.
    pub fn current_run(&mut self) -> Option<Arc<Run>> {
        let current = self.current.as_mut()?;
        Some(current.run(&self.spec, &self.history))
    }

    /// Whether nothing that happened before matters to the batch's runs: each executes all that it has.
    pub fn is_plain(&self) -> bool {
        self.history.is_plain(&self.spec.plan)
    }

    /// Whether nothing that happened before matters to a run.
    pub fn is_plain_run(&self, number: u64) -> bool {
        self.history.is_plain_run(&self.spec.plan, number)
    }

    /// Records which step of the current run begins, for the parent.
    pub fn set_step(&self, step: u32) {
        self.runs.set_step(step);
    }

    /// The plan and the request of the backfill.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// Gives up the runs that have not begun; with `if_stalled` only if the current run holds them back.
    /// Returns the first of them, for `BatchWatch::given_up`; `None`: they stay here.
    pub fn give_up(&self, if_stalled: bool) -> Option<u64> {
        let stalled_after = STALLED_AFTER.as_micros() as Micros;
        let min_age = if if_stalled { stalled_after } else { 0 };
        self.runs.give_up(min_age, self.clock.now())
    }

    /// The outcomes of the runs that have ended, encoded for `Batch::receive`.
    ///
    /// # Errors
    /// `Execution` if they cannot be encoded.
    pub fn report(&self) -> Result<Vec<u8>> {
        self.report.encode(self.clock.now())
    }
}
