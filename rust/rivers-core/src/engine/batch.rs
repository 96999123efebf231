//! A batch of runs on the engine's side: one worker executes them one after another.

use std::ops::Range;
use std::sync::Arc;

use super::assignment::{Assignment, Dispatch};
use super::current_run::{CurrentRun, HeldRuns};
use super::history::History;
use super::report;
use super::run::{JobSpec, Run};
use super::shared::Shared;
use super::shared_runs::SharedRuns;
use super::types::Program;
use crate::backfill::{Cause, FailurePolicy, RunEnd};
use crate::clock::Micros;
use crate::error::Result;
use crate::queue::EntryId;
use crate::store::{Key, ValueStore};

/// Maximum run time between two flushes of outcomes.
const FLUSH_INTERVAL: Micros = 20_000;
/// Maximum run time between two flushes of outcomes while one of them is an attempt that is tried again: a single
/// one is passed on at once, and many that follow each other are passed on together.
const RETRY_INTERVAL: Micros = 1_000;
/// Number of outcomes after which they are flushed before that.
const MAX_UNFLUSHED: usize = 4_096;

/// A batch of runs taken from the engine. Dropping it gives back what has not begun.
pub struct Batch {
    shared: Arc<Shared>,
    key: Key,
    entry: EntryId,
    spec: JobSpec,
    assignment: Arc<Assignment>,
    history: History,
    program: Program,
    current: Option<CurrentRun>,
    held: HeldRuns,
    flushed_at: Micros,
    due: bool,
    /// Whether an outcome that has not been passed on is an attempt that is tried again.
    keeps_retry: bool,
    closed: bool,
    ends_preemption: bool,
}

impl Batch {
    pub(super) fn new(shared: &Arc<Shared>, dispatch: Dispatch) -> Self {
        Self {
            key: dispatch.key,
            entry: dispatch.entry,
            spec: JobSpec {
                plan: dispatch.plan,
                request: dispatch.request,
            },
            assignment: dispatch.assignment,
            history: dispatch.history,
            program: dispatch.program,
            current: None,
            held: HeldRuns::default(),
            flushed_at: shared.clock.now(),
            shared: Arc::clone(shared),
            due: false,
            keeps_retry: false,
            closed: false,
            ends_preemption: dispatch.ends_preemption,
        }
    }

    /// The key of the backfill.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The plan and the request of the backfill.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// What earlier attempts and runs leave to the batch's runs, encoded for a `WorkerBatch`.
    ///
    /// # Errors
    /// `Execution` if they cannot be encoded.
    pub fn prior_attempts(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(&self.history).map_err(report::unreadable)
    }

    /// The program that was submitted to execute the runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Ends the current run, if any, and begins the next. It never blocks: call `flush` when
    /// `should_flush`.
    pub fn advance(&mut self) -> Option<Arc<Run>> {
        self.begin_next()?;
        self.current_run()
    }

    /// Like `advance`, but returns the run's number: a `Run` is made of it when `current_run` is called.
    pub fn begin_next(&mut self) -> Option<u64> {
        if self.shared.is_parents() {
            return None;
        }
        let now = self.shared.clock.now();
        let number = match self.current.take() {
            Some(current) if current.is_plain() => {
                let (number, kept) = self.assignment.advance(current.end(&self.spec, now), now);
                self.due = self.is_due(now, kept);
                number
            }
            current => {
                self.current = current;
                self.end_current(now);
                self.assignment.claim(now)
            }
        };
        self.current = number.map(|number| CurrentRun::new(number, now));
        self.end_preemption();
        number
    }

    /// Like `begin_next`, but whether the current run succeeds is said later, of all that are held together:
    /// call `held_runs` and `release` when `should_flush`, and when no run begins.
    pub fn begin_next_holding(&mut self) -> Option<u64> {
        if self.shared.is_parents() {
            return None;
        }
        let now = self.shared.clock.now();
        let (number, held) = self.assignment.hold(now);
        self.held.extend(self.current.take(), now);
        self.due = self.is_due(now, held);
        self.current = number.map(|number| CurrentRun::new(number, now));
        self.end_preemption();
        number
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
        let ends = self.held.take(&self.spec);
        self.keeps_retry |= ends.iter().any(|end| end.retry.is_some());
        self.assignment.keep_held(ends);
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

    /// The first run has begun, or will not begin.
    fn end_preemption(&mut self) {
        if std::mem::take(&mut self.ends_preemption) {
            self.shared.end_preemption();
        }
    }

    /// Fails all runs: through this link of the plan they need what was not materialized.
    pub(super) fn fail_blocked(mut self, link: usize) {
        let needed = self.spec.plan.links()[link].asset;
        let name = &self.spec.request.assets[needed as usize].name;
        let cause = Arc::new(Cause {
            error_type: "UpstreamFailed".into(),
            message: format!("a partition of {name:?} that it needs was not made"),
            traceback: None,
        });
        loop {
            let now = self.shared.clock.now();
            let Some(number) = self.assignment.claim(now) else {
                break;
            };
            let run = Run::new(self.spec.clone(), number, now, &History::default());
            run.fail_all(&cause);
            if self.assignment.keep(run.end(now)) >= MAX_UNFLUSHED {
                self.flush();
            }
        }
        self.close();
    }

    fn end_current(&mut self, now: Micros) {
        let Some(current) = self.current.take() else {
            return;
        };
        let end = current.end(&self.spec, now);
        let stops = self.stops_on(&end);
        if stops {
            self.assignment.stop_all();
        }
        let counts = end.failed > 0 && self.spec.request.control.max_failures.is_some();
        self.keeps_retry |= end.retry.is_some();
        let kept = self.assignment.keep(end);
        // Whether the failure was one too many is decided before the next run begins, and the next attempt need
        // not wait for that run.
        if counts || (self.keeps_retry && now - self.flushed_at >= RETRY_INTERVAL) {
            self.flushed_at = now;
            self.report();
        }
        self.due = stops || counts || self.is_due(now, kept);
    }

    /// Whether outcomes are to be flushed, of which so many are kept.
    fn is_due(&self, now: Micros, kept: usize) -> bool {
        let interval = if self.keeps_retry {
            RETRY_INTERVAL
        } else {
            FLUSH_INTERVAL
        };
        now - self.flushed_at >= interval || kept >= MAX_UNFLUSHED
    }

    fn stops_on(&self, end: &RunEnd) -> bool {
        end.failed > 0 && self.spec.request.failure_policy == FailurePolicy::StopOnFailure
    }

    /// Whether outcomes should be flushed now.
    pub fn should_flush(&self) -> bool {
        self.due
    }

    /// Passes the outcomes to the engine. Blocks while the writer is far behind, unless a more urgent
    /// request waits for the slot.
    pub fn flush(&mut self) {
        if self.shared.is_parents() {
            return;
        }
        self.due = false;
        self.flushed_at = self.shared.clock.now();
        let mut coordinator = self.shared.coordinator();
        while coordinator.is_writer_behind()
            && !coordinator.is_held_back(self.spec.request.priority)
        {
            coordinator = self
                .shared
                .wait(&self.shared.writer_caught_up, coordinator, None);
        }
        drop(coordinator);
        self.report();
    }

    /// Whether `flush` and `close` would wait for a disk or for the writer, or release a lease.
    pub fn may_block(&self) -> bool {
        let has_values = |values: &Arc<ValueStore>| values.has_pending();
        if self.closed || self.shared.is_parents() {
            return false;
        }
        if self.shared.store.values().is_some_and(has_values) {
            return true;
        }
        let coordinator = self.shared.coordinator();
        coordinator.is_writer_behind() || !coordinator.is_live(self.key)
    }

    /// Passes the outcomes to the engine without blocking.
    fn report(&mut self) {
        self.keeps_retry = false;
        // A run that needs these finds their values.
        if let Err(error) = self.shared.flush_values() {
            self.shared.abort(self.key, error);
            return;
        }
        // Taken and applied in one step: what ends the worker by force finds an outcome in one place.
        let mut coordinator = self.shared.coordinator();
        let ended = self.assignment.take_outcomes();
        let is_retried = ended.iter().any(|end| end.retry.is_some());
        coordinator.apply_outcomes(self.key, self.entry, ended);
        drop(coordinator);
        self.shared.to_write.notify_one();
        if is_retried {
            // A worker that sleeps until the next retry may have to wake up earlier.
            self.shared.notify_worker();
        }
    }

    /// Ends the current run, if any, and moves up to `max_runs` of the next runs to memory shared with
    /// another process. Returns `false` if no run is left or may start.
    pub fn share(&mut self, shared: &Arc<SharedRuns>, max_runs: u64) -> bool {
        if self.shared.is_parents() {
            return false;
        }
        let now = self.end_before_sending();
        let is_shared = self.assignment.share(shared, max_runs, now);
        self.end_preemption();
        is_shared
    }

    /// Ends the current run, if any, and returns up to `max_runs` of the next runs of one layer, to be
    /// executed by a `WorkerBatch` that shares no memory with the engine. `None`: no run is left or may
    /// start. Ranges that were sent before may still be at the worker, as long as it reports all of each.
    pub fn send(&mut self, max_runs: u64) -> Option<Range<u64>> {
        if self.shared.is_parents() {
            return None;
        }
        let now = self.end_before_sending();
        let first = self.assignment.first_unsent(now)?;
        let in_layer = self.spec.plan.runs_of(self.spec.plan.layer_of(first)).end - first;
        let max_runs = max_runs.min(in_layer);
        let sent = self.assignment.send(max_runs, now);
        self.end_preemption();
        sent
    }

    fn end_before_sending(&mut self) -> Micros {
        let now = self.shared.clock.now();
        self.end_current(now);
        if self.due {
            self.flush();
        }
        now
    }

    /// The run that would be sent next, and its layer of the plan. `None`: no run is left or may start.
    pub fn next_unsent(&self) -> Option<(u64, usize)> {
        let first = self.assignment.first_unsent(self.shared.clock.now())?;
        Some((first, self.spec.plan.layer_of(first)))
    }

    /// The number of the stream that the worker's ranges belong to, and the runs that it did not report.
    pub fn in_flight(&self) -> Option<(u64, Range<u64>)> {
        self.assignment.in_flight()
    }

    /// A view of the batch for the thread that asks its worker to give up runs.
    pub fn watch(&self) -> BatchWatch {
        BatchWatch::new(&self.shared, self.key, self.entry, &self.assignment)
    }

    /// Applies the report of a `WorkerBatch`, and returns the number of runs in it. The runs that the
    /// worker did not begin can be sent again, unless they were asked for.
    ///
    /// # Errors
    /// `Execution` if the report cannot be read.
    pub fn receive(&mut self, report: &[u8]) -> Result<usize> {
        let now = self.shared.clock.now();
        let ended = report::decode(report, now)?;
        let num_ended = ended.len();
        if let Some(rest) = self.assignment.settle_remote(num_ended as u64, now) {
            self.watch().give_back(rest);
        }
        if ended.iter().any(|end| self.stops_on(end)) {
            self.assignment.stop_all();
        }
        self.assignment.keep_all(ended);
        self.flush();
        Ok(num_ended)
    }

    /// Takes back all runs of a worker that died, to be executed again. Returns how many of them it had
    /// ended without reporting them, so that the next is the run that it died of; `None` where that is
    /// unknown: the worker had several runs and shared no memory.
    pub fn reclaim(&mut self) -> Option<u64> {
        self.assignment.reclaim_remote()
    }

    /// Flushes all outcomes and gives back what has not begun.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) || self.shared.is_parents() {
            return;
        }
        let now = self.shared.clock.now();
        self.end_current(now);
        self.end_preemption();
        self.flush();
        let is_live = self
            .shared
            .coordinator()
            .released(self.key, self.entry, &self.assignment);
        // Who was ended by force is not counted any more.
        if !is_live && !self.assignment.is_revoked() {
            self.shared.worker_left(self.entry);
        }
        self.shared.notify();
        self.shared.to_write.notify_one();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // A run that has begun and not ended is lost with its worker: nothing of it is recorded.
        self.current = None;
        self.held = HeldRuns::default();
        self.close();
    }
}

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
