//! A batch of runs on the side of a remote worker, which reports their outcomes together.

use std::ops::Range;
use std::sync::Arc;

use super::SharedRuns;
use super::current_run::CurrentRun;
use super::history::History;
use super::remote_runs::{RemoteRuns, SentRuns};
use super::run::{JobSpec, Run};
use crate::backfill::{FailurePolicy, RunEnd};
use crate::clock::{Clock, Micros, SteadyClock};
use crate::error::{Error, Result};

/// How long a remote worker executes runs before it reports.
const REPORT_INTERVAL: Micros = 100_000;

/// Runs that a remote worker claims and executes one after another.
pub struct WorkerBatch {
    spec: JobSpec,
    runs: Arc<dyn RemoteRuns>,
    history: History,
    current: Option<CurrentRun>,
    ended: Vec<RunEnd>,
    report_at: Micros,
    clock: SteadyClock,
}

impl WorkerBatch {
    /// A batch of the runs that `Batch::send` returned, with the result of `Batch::prior_attempts`.
    ///
    /// # Errors
    /// `Execution` if the prior attempts cannot be read.
    pub fn new(spec: JobSpec, runs: Range<u64>, prior_attempts: &[u8]) -> Result<Self> {
        let sent = SentRuns::new(runs, SteadyClock.now());
        Self::claiming(spec, Arc::new(sent), prior_attempts)
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
        Self::claiming(spec, shared, prior_attempts)
    }

    fn claiming(spec: JobSpec, runs: Arc<dyn RemoteRuns>, prior_attempts: &[u8]) -> Result<Self> {
        let clock = SteadyClock;
        Ok(Self {
            spec,
            runs,
            history: postcard::from_bytes(prior_attempts).map_err(unreadable)?,
            current: None,
            ended: Vec::new(),
            report_at: clock.now() + REPORT_INTERVAL,
            clock,
        })
    }

    /// Ends the current run, if any, and begins the next. `None`: it is time to report.
    pub fn advance(&mut self) -> Option<Arc<Run>> {
        self.begin_next()?;
        self.current_run()
    }

    /// Like `advance`, but returns the run's number: a `Run` is made of it when `current_run` is called.
    pub fn begin_next(&mut self) -> Option<u64> {
        let now = self.clock.now();
        if let Some(current) = self.current.take() {
            let end = current.end(&self.spec, now);
            self.runs.end();
            let request = &self.spec.request;
            let counts = request.failure_policy == FailurePolicy::StopOnFailure
                || request.control.max_failures.is_some();
            // What may stop the backfill, or is retried, cannot wait for the rest of the batch.
            let is_urgent = (end.failed > 0 && counts) || end.retry.is_some();
            self.ended.push(end);
            if is_urgent || now >= self.report_at {
                return None;
            }
        }
        let number = self.runs.claim(now)?;
        self.current = Some(CurrentRun::new(number, now));
        Some(number)
    }

    /// The run that was begun last, while it has not ended.
    pub fn current_run(&mut self) -> Option<Arc<Run>> {
        let current = self.current.as_mut()?;
        Some(current.run(&self.spec, &self.history))
    }

    /// Whether nothing that happened before matters to the batch's runs: each executes all that it has.
    pub fn is_plain(&self) -> bool {
        self.history.is_empty() && !self.spec.plan.has_materialized()
    }

    /// Records which step of the current run begins, for the parent.
    pub fn set_step(&self, step: u32) {
        self.runs.set_step(step);
    }

    /// The plan and the request of the backfill.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// The outcomes of the runs that have ended, encoded for `Batch::receive`.
    ///
    /// # Errors
    /// `Execution` if they cannot be encoded.
    pub fn report(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(&self.ended).map_err(unreadable)
    }
}

/// The engine and a worker cannot read each other's messages.
pub(super) fn unreadable(error: postcard::Error) -> Error {
    Error::Execution(format!(
        "a worker process and its parent do not understand each other: {error}"
    ))
}
