//! Runs in the hands of one worker. It executes them one after another; in between it hands in what
//! has ended and finds out whether it should go on.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::hub::Taken;
use super::live::Hand;
use super::run::{Run, Worked};
use super::{Program, Shared};
use crate::backfill::{FailurePolicy, RunEnd};
use crate::clock::{Clock, Micros, SystemClock};
use crate::error::{Error, Result};
use crate::queue::EntryId;
use crate::store::Key;

/// Outcomes are handed in at least so often, in microseconds of run time ...
const HAND_IN_AFTER: Micros = 20_000;
/// ... and so many at once at the most.
const HAND_IN_AT: usize = 4_096;
/// How long a worker in another process executes runs before it comes back.
const AWAY: Micros = 40_000;

/// A batch of runs taken from the engine. Dropping it gives back what was not begun.
pub struct Batch {
    shared: Arc<Shared>,
    key: Key,
    entry: EntryId,
    worked: Worked,
    hand: Arc<Hand>,
    program: Program,
    current: Option<Arc<Run>>,
    ended: Vec<RunEnd>,
    handed_in_at: Micros,
    due: bool,
    closed: bool,
}

impl Batch {
    pub(super) fn new(shared: &Arc<Shared>, taken: Taken) -> Self {
        Self {
            key: taken.key,
            entry: taken.entry,
            worked: Worked { plan: taken.plan, request: taken.request },
            hand: taken.hand,
            program: taken.program,
            current: None,
            ended: Vec::new(),
            handed_in_at: shared.clock.now(),
            shared: Arc::clone(shared),
            due: false,
            closed: false,
        }
    }

    /// The backfill.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The plan and the request.
    pub fn worked(&self) -> &Worked {
        &self.worked
    }

    /// What was submitted to execute the runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Ends the current run, if there is one, and begins the next. It never waits: what has ended is
    /// brought to the engine by `hand_in`, when `is_due`.
    pub fn advance(&mut self) -> Option<Arc<Run>> {
        let now = self.shared.clock.now();
        self.end_current(now);
        let run = self.hand.claim(now).map(|number| Run::new(self.worked.clone(), number, now));
        self.current.clone_from(&run);
        run
    }

    fn end_current(&mut self, now: Micros) {
        let Some(run) = self.current.take() else { return };
        let end = run.end(now);
        let fatal = end.failed > 0 && self.worked.request.failure_policy == FailurePolicy::StopOnFailure;
        if fatal {
            self.hand.stop_all();
        }
        self.due = fatal
            || now - self.handed_in_at >= HAND_IN_AFTER
            || self.ended.len() + 1 >= HAND_IN_AT;
        self.ended.push(end);
    }

    /// Whether it is time for `hand_in`.
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Brings the outcomes to the engine; waits while the writer is far behind.
    pub fn hand_in(&mut self) {
        self.due = false;
        self.handed_in_at = self.shared.clock.now();
        if self.ended.is_empty() {
            return;
        }
        let mut hub = self.shared.hub();
        while hub.is_full() {
            hub = self.shared.room.wait(hub).unwrap_or_else(PoisonError::into_inner);
        }
        hub.ended(self.key, self.entry, std::mem::take(&mut self.ended));
        drop(hub);
        self.shared.to_write.notify_one();
    }

    /// Ends the current run, if there is one; the others of this batch are to be executed in another
    /// process. `None`: nothing may start.
    pub fn send(&mut self) -> Option<Range<u64>> {
        let now = self.shared.clock.now();
        self.end_current(now);
        self.hand.claim_all(now)
    }

    /// Takes in what a worker in another process brought back of the runs sent.
    ///
    /// # Errors
    /// `Execution` for a report that cannot be read.
    pub fn receive(&mut self, report: &[u8], sent: Range<u64>) -> Result<()> {
        let ended: Vec<RunEnd> = postcard::from_bytes(report).map_err(|error| {
            Error::Execution(format!("a worker's report cannot be read: {error}"))
        })?;
        let begun = sent.start + ended.len() as u64;
        if begun > sent.end {
            return Err(Error::Execution("a worker's report holds more runs than it was sent".into()));
        }
        self.hand.unclaim(begun..sent.end);
        let failed = ended.iter().any(|end| end.failed > 0);
        if failed && self.worked.request.failure_policy == FailurePolicy::StopOnFailure {
            self.hand.stop_all();
        }
        self.ended.extend(ended);
        self.hand_in();
        Ok(())
    }

    /// Begins one of the runs sent in this process, so that it can be failed here: the worker is gone.
    pub fn lost(&mut self, sent: Range<u64>) -> Option<Arc<Run>> {
        self.hand.unclaim(sent);
        self.advance()
    }

    /// Hands everything in and gives back what was not begun.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let now = self.shared.clock.now();
        self.end_current(now);
        self.hand_in();
        self.shared.hub().released(self.key, self.entry, &self.hand);
        self.shared.changed.notify_all();
        self.shared.to_write.notify_one();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // A run that was begun and not ended is lost with its worker: it did not happen.
        self.current = None;
        self.close();
    }
}

/// The same in another process: a stretch of runs, and the outcomes to bring back.
pub struct WorkerBatch {
    worked: Worked,
    unclaimed: Range<u64>,
    current: Option<Arc<Run>>,
    ended: Vec<RunEnd>,
    until: Micros,
    clock: SystemClock,
}

impl WorkerBatch {
    /// A batch of these runs.
    pub fn new(worked: Worked, runs: Range<u64>) -> Self {
        let clock = SystemClock;
        let until = clock.now() + AWAY;
        Self { worked, unclaimed: runs, current: None, ended: Vec::new(), until, clock }
    }

    /// Ends the current run, if there is one, and begins the next, unless it is time to report.
    pub fn advance(&mut self) -> Option<Arc<Run>> {
        let now = self.clock.now();
        let mut stop = !self.ended.is_empty() && now >= self.until;
        if let Some(run) = self.current.take() {
            let end = run.end(now);
            stop |= now >= self.until
                || (end.failed > 0
                    && self.worked.request.failure_policy == FailurePolicy::StopOnFailure);
            self.ended.push(end);
        }
        if stop {
            return None;
        }
        let number = self.unclaimed.next()?;
        self.current = Some(Run::new(self.worked.clone(), number, now));
        self.current.clone()
    }

    /// What to bring back.
    ///
    /// # Errors
    /// `Execution` when it cannot be encoded.
    pub fn report(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(&self.ended)
            .map_err(|error| Error::Execution(format!("the outcomes cannot be reported: {error}")))
    }
}
