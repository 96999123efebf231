//! Runs in the hands of one worker. It executes them one after another; in between it hands in what
//! has ended and finds out whether it should go on.

use std::sync::{Arc, PoisonError};

use super::assignment::{Hand, Taken};
use super::run::{Run, Worked};
use super::{Program, Shared, SharedRuns};
use crate::backfill::{Cause, Earlier, FailurePolicy, RunEnd};
use crate::clock::{Clock, Micros, SystemClock};
use crate::error::{Error, Result};
use crate::queue::EntryId;
use crate::store::Key;

/// Outcomes are handed in at least so often, in microseconds of run time ...
const HAND_IN_AFTER: Micros = 20_000;
/// ... and so many at once at the most.
const HAND_IN_AT: usize = 4_096;
/// How long a worker in another process executes runs before it comes back.
const AWAY: Micros = 100_000;

/// A batch of runs taken from the engine. Dropping it gives back what was not begun.
pub struct Batch {
    shared: Arc<Shared>,
    key: Key,
    entry: EntryId,
    worked: Worked,
    hand: Arc<Hand>,
    earlier: Vec<Arc<Earlier>>,
    program: Program,
    current: Option<Arc<Run>>,
    sent: Option<Arc<SharedRuns>>,
    handed_in_at: Micros,
    due: bool,
    closed: bool,
    has_way: bool,
}

impl Batch {
    pub(super) fn new(shared: &Arc<Shared>, taken: Taken) -> Self {
        Self {
            key: taken.key,
            entry: taken.entry,
            worked: Worked {
                plan: taken.plan,
                request: taken.request,
            },
            hand: taken.hand,
            earlier: taken.earlier,
            program: taken.program,
            current: None,
            sent: None,
            handed_in_at: shared.clock.now(),
            shared: Arc::clone(shared),
            due: false,
            closed: false,
            has_way: taken.has_way,
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

    /// What is known of earlier attempts of its runs, for a worker in another process.
    ///
    /// # Errors
    /// `Execution` when it cannot be encoded.
    pub fn earlier(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(&self.earlier).map_err(unreadable)
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
        let run = self
            .hand
            .claim(now)
            .map(|number| Run::new(self.worked.clone(), number, now, &self.earlier));
        self.current.clone_from(&run);
        self.close_way();
        run
    }

    /// It has begun, or will not.
    fn close_way(&mut self) {
        if std::mem::take(&mut self.has_way) {
            self.shared.close_way();
        }
    }

    /// Fails all runs: through this link of the plan they need what was not made.
    pub(super) fn lose(mut self, link: usize) {
        let needed = self.worked.plan.links()[link].asset;
        let name = &self.worked.request.assets[needed as usize].name;
        let cause = Arc::new(Cause {
            error_type: "UpstreamFailed".into(),
            message: format!("a partition of {name:?} that it needs was not made"),
            traceback: None,
        });
        loop {
            let now = self.shared.clock.now();
            let Some(number) = self.hand.claim(now) else {
                break;
            };
            let run = Run::new(self.worked.clone(), number, now, &[]);
            run.fail_all(&cause);
            if self.hand.keep(run.end(now)) >= HAND_IN_AT {
                self.hand_in();
            }
        }
        self.close();
    }

    fn end_current(&mut self, now: Micros) {
        let Some(run) = self.current.take() else {
            return;
        };
        let end = run.end(now);
        let fatal =
            end.failed > 0 && self.worked.request.failure_policy == FailurePolicy::StopOnFailure;
        if fatal {
            self.hand.stop_all();
        }
        let counts = end.failed > 0 && self.worked.request.control.max_failures.is_some();
        let again = end.retry.is_some();
        let kept = self.hand.keep(end);
        if counts || again {
            // Whether it was one too many is decided before the next run begins; and its next attempt
            // does not wait for that run.
            self.bring();
        }
        self.due =
            fatal || counts || now - self.handed_in_at >= HAND_IN_AFTER || kept >= HAND_IN_AT;
    }

    /// Whether it is time for `hand_in`.
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Brings the outcomes to the engine; waits while the writer is far behind, unless somebody more
    /// urgent waits for the slot.
    pub fn hand_in(&mut self) {
        self.due = false;
        self.handed_in_at = self.shared.clock.now();
        let mut hub = self.shared.hub();
        while hub.is_full() && !hub.is_in_the_way(self.worked.request.priority) {
            hub = self
                .shared
                .room
                .wait(hub)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(hub);
        self.bring();
    }

    /// Brings the outcomes to the engine, without a wait.
    fn bring(&self) {
        let ended = self.hand.take_ended();
        let again = ended.iter().any(|end| end.retry.is_some());
        self.shared.hub().ended(self.key, self.entry, ended);
        self.shared.to_write.notify_one();
        if again {
            // Who sleeps until the next attempt of some run may have to get up earlier.
            self.shared.changed.notify_all();
        }
    }

    /// Ends the current run, if there is one; the next of this batch, at most so many, are to be
    /// executed in another process. `false`: nothing may start.
    pub fn send(&mut self, shared: &Arc<SharedRuns>, most: u64) -> bool {
        let now = self.shared.clock.now();
        self.end_current(now);
        if self.due {
            self.hand_in();
        }
        self.sent = Some(Arc::clone(shared));
        let sent = self.hand.send(shared, most, now);
        self.close_way();
        sent
    }

    /// Takes in what a worker in another process brought back of the runs sent.
    ///
    /// # Errors
    /// `Execution` for a report that cannot be read.
    pub fn receive(&mut self, report: &[u8]) -> Result<()> {
        let ended: Vec<RunEnd> = postcard::from_bytes(report).map_err(unreadable)?;
        self.hand.receive(None);
        let failed = ended.iter().any(|end| end.failed > 0);
        if failed && self.worked.request.failure_policy == FailurePolicy::StopOnFailure {
            self.hand.stop_all();
        }
        for end in ended {
            self.hand.keep(end);
        }
        self.hand_in();
        Ok(())
    }

    /// The worker did not come back: all that was sent is to be begun again. How many runs it had
    /// ended without reporting them; the run after those is the one that it was at.
    pub fn lost(&mut self) -> u64 {
        let Some(shared) = self.sent.take() else {
            return 0;
        };
        let (at, _) = shared.current();
        let before = shared.counts().0.saturating_sub(1);
        self.hand.receive(Some(at - before));
        before
    }

    /// Hands everything in and gives back what was not begun.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let now = self.shared.clock.now();
        self.end_current(now);
        self.close_way();
        self.hand_in();
        let live = self.shared.hub().released(self.key, self.entry, &self.hand);
        if !live {
            self.shared.left(self.entry);
        }
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

/// The same in another process: runs that both claim from, and the outcomes to bring back.
pub struct WorkerBatch {
    worked: Worked,
    shared: Arc<SharedRuns>,
    earlier: Vec<Arc<Earlier>>,
    current: Option<Arc<Run>>,
    ended: Vec<RunEnd>,
    until: Micros,
    clock: SystemClock,
}

impl WorkerBatch {
    /// A batch of the runs that were put there, with what `Batch::earlier` says of them.
    ///
    /// # Errors
    /// `Execution` when that cannot be read.
    pub fn new(worked: Worked, shared: Arc<SharedRuns>, earlier: &[u8]) -> Result<Self> {
        let clock = SystemClock;
        let until = clock.now() + AWAY;
        Ok(Self {
            worked,
            shared,
            earlier: postcard::from_bytes(earlier).map_err(unreadable)?,
            current: None,
            ended: Vec::new(),
            until,
            clock,
        })
    }

    /// Ends the current run, if there is one, and begins the next, unless it is time to report.
    pub fn advance(&mut self) -> Option<Arc<Run>> {
        let now = self.clock.now();
        if let Some(run) = self.current.take() {
            let end = run.end(now);
            let request = &self.worked.request;
            let counts = request.failure_policy == FailurePolicy::StopOnFailure
                || request.control.max_failures.is_some();
            let decides = (end.failed > 0 && counts) || end.retry.is_some();
            self.ended.push(end);
            if decides || now >= self.until {
                return None;
            }
        }
        let number = self.shared.claim(now)?;
        self.current = Some(Run::new(self.worked.clone(), number, now, &self.earlier));
        self.current.clone()
    }

    /// What to bring back.
    ///
    /// # Errors
    /// `Execution` when it cannot be encoded.
    pub fn report(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(&self.ended).map_err(unreadable)
    }
}

/// What goes between this process and a worker is not what it should be.
fn unreadable(error: postcard::Error) -> Error {
    Error::Execution(format!(
        "a worker process and its parent do not understand each other: {error}"
    ))
}
