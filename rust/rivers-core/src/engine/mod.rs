//! What holds the threads, the lease and the clock?
//!
//! The engine connects the stages: it records a submission, lets the queue decide which runs come next,
//! assigns them to workers in batches, applies their outcomes to the backfill's state, and has one
//! writer thread commit them. It does not know how a run is executed.

mod assignment;
mod batch;
mod control;
mod coordinator;
mod current_run;
mod history;
mod live_backfill;
mod nested_calls;
mod nested_waits;
mod priority_gate;
mod remote_runs;
mod report;
mod run;
mod run_failures;
mod run_metadata;
mod run_skips;
mod shared;
mod shared_runs;
mod threads;
mod types;
mod worker_batch;
mod writer;

pub use batch::{Batch, BatchWatch};
pub use run::{JobSpec, Run};
pub use shared_runs::SharedRuns;
pub use threads::Scheduler;
pub use types::{Execution, Placement, Program, Progress, Snapshot, new_id};
pub use worker_batch::WorkerBatch;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::backfill::{Counts, PendingRuns, Request, RetryQueue, RunSet};
use crate::clock::{Clock, Micros, SECOND};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::queue::Limits;
use crate::store::failpoint::{Bug, is_planted};
use crate::store::{Key, Store, fork};
use coordinator::Coordinator;
use live_backfill::ResumePoint;
use shared::{RequestedLease, Shared};
use threads::{Thread, Threads};

/// Default duration of a lease that is not renewed.
pub const LEASE: Micros = 15 * SECOND;
/// Number of renewals within the duration of a lease.
const RENEWALS: Micros = 5;

/// Number of workers that may wait for a batch: they wake up to end, at the cost of those that compute.
const MAX_IDLE_WORKERS: usize = 64;

/// Runs the backfills of one storage in this process.
pub struct Engine {
    shared: Arc<Shared>,
    writer: Mutex<Option<Thread>>,
    /// Wakes the writer when the storage says that there are control requests.
    watch: Mutex<Option<Box<dyn Send + Sync>>>,
}

/// Duration from `now` until `time`; zero if it has passed.
fn until(time: Micros, now: Micros) -> Duration {
    Duration::from_micros(time.saturating_sub(now).max(0).cast_unsigned())
}

impl Engine {
    /// An engine over a storage, with the limits of the run queue and the duration of leases.
    ///
    /// # Errors
    /// `Storage` if the process cannot be registered as alive.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        lease: Micros,
    ) -> Result<Self> {
        Self::scheduled(store, clock, limits, lease, None)
    }

    /// Like `new`, with threads and waits that `scheduler` controls, if it is given.
    ///
    /// # Errors
    /// As `new`.
    pub fn scheduled(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        lease: Micros,
        scheduler: Option<Arc<dyn Scheduler>>,
    ) -> Result<Self> {
        let threads = Threads::new(scheduler);
        let owner = uuid::Uuid::now_v7().simple().to_string();
        let alive = store.register_owner(&owner)?;
        let shared = Shared {
            store,
            clock,
            owner,
            lease,
            leased_until: Arc::new(AtomicI64::new(Micros::MIN)),
            _alive: alive,
            generation: fork::generation(),
            coordinator: Mutex::new(Coordinator::new(limits)),
            changed: threads.signal(),
            has_work: threads.signal(),
            to_write: threads.signal(),
            writer_caught_up: threads.signal(),
            polled: threads.signal(),
            threads,
        };
        Ok(Self {
            shared: Arc::new(shared),
            writer: Mutex::new(None),
            watch: Mutex::new(None),
        })
    }

    /// Records a request and puts it in the queue.
    ///
    /// # Errors
    /// `Configuration` if a run needs more slots of a pool than the storage has; `Storage`; then nothing is queued.
    pub fn submit(&self, request: Request, plan: Plan, execution: Execution) -> Result<Key> {
        self.check_open()?;
        self.check_pools(&execution.pools)?;
        let lease = (plan.num_runs() > 0).then(|| self.shared.lease());
        let key =
            self.shared
                .store
                .create(&request, &plan, lease.as_ref().map(|lease| &lease.terms))?;
        if let Some(lease) = lease {
            let plan = Arc::new(plan);
            let resume_point = ResumePoint {
                pending: PendingRuns::new(&plan, RunSet::all(plan.num_runs()), &[]),
                retries: RetryQueue::default(),
                counts: Counts::default(),
                skips: Vec::new(),
            };
            let priority = request.priority;
            self.admit(key, lease, |coordinator| {
                coordinator.admit(key, request, plan, resume_point, execution);
                coordinator.preemption_queued(priority, self.now());
            })?;
        } else {
            self.shared.coordinator().finished.push(key);
        }
        Ok(key)
    }

    /// Announces an urgent request: until its first run begins, or for a short time, no run below
    /// `priority` starts. Call `end_preemption` if the request is not submitted after all.
    pub fn begin_preemption(&self, priority: i64) {
        self.shared
            .coordinator()
            .begin_preemption(priority, self.now());
        self.shared.writer_caught_up.notify_all();
    }

    /// Lets lower priorities start again.
    pub fn end_preemption(&self) {
        self.shared.end_preemption();
    }

    /// Puts a recorded backfill in the queue. If the engine was closed meanwhile, it can be resumed.
    /// The storage may have answered so late that its lease has expired since: then it is renewed first, and
    /// another owner may have it. Or another thread has found it orphaned and resumed it: then it is live.
    fn admit(
        &self,
        key: Key,
        mut lease: RequestedLease,
        admit: impl FnOnce(&mut Coordinator),
    ) -> Result<()> {
        if let Err(error) = self.ensure_writer() {
            self.shared.store.release(key, &self.shared.owner)?;
            return Err(error);
        }
        loop {
            let mut coordinator = self.shared.coordinator();
            if coordinator.closed {
                drop(coordinator);
                self.shared.store.release(key, &self.shared.owner)?;
                return Err(closed());
            }
            if coordinator.is_live(key) {
                return Ok(());
            }
            if self.now() < lease.valid_until {
                self.shared.leased_first(&coordinator, &lease);
                admit(&mut coordinator);
                break;
            }
            drop(coordinator);
            lease = self.shared.lease();
            if self.shared.store.renew(&lease.terms, &[key])? != [key] {
                return Err(writer::lease_lost());
            }
        }
        self.shared.notify();
        self.shared.to_write.notify_all();
        Ok(())
    }

    /// Refuses runs that need more slots of a pool than it has in the storage. A pool without slots holds runs back.
    fn check_pools(&self, needed: &[(String, u32)]) -> Result<()> {
        if needed.is_empty() {
            return Ok(());
        }
        for pool in self.shared.store.pools()? {
            let own = needed.iter().find(|(name, _)| *name == pool.name);
            if let Some((name, slots)) =
                own.filter(|(_, slots)| *slots > pool.slots && pool.slots > 0)
            {
                return Err(Error::Configuration(format!(
                    "a run takes {slots} slots of the pool {name:?}, which has {} in {}: it could never start; \
                     `rivers pools set {name} {slots}` gives it more",
                    pool.slots,
                    self.shared.store.display_name()
                )));
            }
        }
        Ok(())
    }

    fn check_open(&self) -> Result<()> {
        if self.shared.coordinator().closed {
            return Err(closed());
        }
        Ok(())
    }

    /// Lets a submission or a resume in; `end_submission` must follow. While the engine is closing, only
    /// runs may launch backfills (`in_run`): they are waited for anyway.
    ///
    /// # Errors
    /// `Execution` if the engine is closed or closing.
    pub fn begin_submission(&self, in_run: bool) -> Result<()> {
        let mut coordinator = self.shared.coordinator();
        if coordinator.closed || (coordinator.closing && !in_run) {
            return Err(closed());
        }
        coordinator.submissions += 1;
        Ok(())
    }

    /// The submission was made or has failed.
    pub fn end_submission(&self) {
        self.shared.coordinator().submissions -= 1;
        self.shared.notify();
    }

    /// The next batch of runs for a worker, or `None` if there is none within `timeout`.
    ///
    /// With a timeout above zero, the wait goes on while another worker has unclaimed runs: they may have
    /// to be taken over from behind a slow one. Where many workers wait already, it ends at once.
    pub fn next_batch(&self, timeout: Duration) -> Option<Batch> {
        self.find_batch(timeout, true)
    }

    /// Like `next_batch` for a worker that could wait, but returns `None` instead of waiting.
    pub fn try_next_batch(&self) -> Option<Batch> {
        self.find_batch(Duration::MAX, false)
    }

    fn find_batch(&self, timeout: Duration, waits: bool) -> Option<Batch> {
        if self.shared.is_parents() {
            return None;
        }
        let deadline = self.shared.threads.now().saturating_add(timeout);
        let mut coordinator = self.shared.coordinator();
        coordinator.idle_workers += 1;
        let (batch, next_start) = loop {
            let now = self.shared.clock.now();
            coordinator.reclaim_stalled(now);
            let due = coordinator.start_due(now);
            let leased = now < self.shared.leased_until.load(Ordering::Acquire)
                || is_planted(Bug::StartWithoutLease);
            // A worker that cannot wait would not be there when the gate opens.
            let gate = coordinator.min_priority(now).filter(|_| !timeout.is_zero());
            let next = due.into_iter().chain(gate.map(|(_, at)| at)).min();
            let min_priority = gate.map_or(i64::MIN, |(priority, _)| priority);
            if let Some(dispatch) = leased
                .then(|| coordinator.dispatch(&self.shared.leased_until, min_priority))
                .flatten()
            {
                let blocked_by = dispatch.blocked_by;
                let batch = Batch::new(&self.shared, dispatch);
                let Some(link) = blocked_by else {
                    break (Some(batch), next);
                };
                drop(coordinator);
                if !waits {
                    drop(batch); // It gives the runs back: failing them takes long.
                    coordinator = self.shared.coordinator();
                    break (None, next);
                }
                batch.fail_blocked(link);
                coordinator = self.shared.coordinator();
                continue;
            }
            let left = deadline.saturating_sub(self.shared.threads.now());
            // One worker is enough to watch for stalled runs; without an idle one, the next would start.
            let watches =
                !timeout.is_zero() && !coordinator.is_watched && coordinator.has_unclaimed();
            let is_enough = left.is_zero() || coordinator.idle_workers > MAX_IDLE_WORKERS;
            if coordinator.closed || !waits || (is_enough && !watches) {
                break (None, next);
            }
            let sleep = if watches {
                assignment::STALLED_AFTER
            } else {
                left
            };
            let sleep = next.map_or(sleep, |at| sleep.min(until(at, now)));
            coordinator.is_watched |= watches;
            coordinator = self
                .shared
                .wait(&self.shared.has_work, coordinator, Some(sleep));
            if watches {
                coordinator.is_watched = false;
            }
        };
        coordinator.idle_workers -= 1;
        // Another worker sleeps until the next start in place of this one.
        let is_more = coordinator.idle_workers > 0
            && (next_start.is_some()
                || coordinator.can_dispatch()
                || (!coordinator.is_watched && coordinator.has_unclaimed()));
        drop(coordinator);
        if is_more {
            self.shared.has_work.notify_one();
        }
        if batch.is_some() {
            self.shared.to_write.notify_one();
        }
        batch
    }

    /// Whether one more worker would find a run, or should wait for one: for a backfill that may start
    /// nothing now (another process can change that), for a retry, or behind runs that may prove slow.
    pub fn wants_worker(&self) -> bool {
        if self.shared.is_parents() {
            return false;
        }
        let mut coordinator = self.shared.coordinator();
        !coordinator.closed
            && coordinator.idle_workers == 0
            && (coordinator.can_dispatch()
                || coordinator.has_pending()
                || coordinator.has_retries()
                || coordinator.has_unclaimed())
    }

    /// Waits up to `timeout` for a backfill to end. Returns whether it has ended and that is committed.
    ///
    /// # Errors
    /// The reason for which it will not end here: the storage failed, or the lease was lost.
    pub fn wait(&self, key: Key, timeout: Duration) -> Result<bool> {
        let deadline = self.shared.threads.now().saturating_add(timeout);
        let mut coordinator = self.shared.coordinator();
        loop {
            if let Some(error) = coordinator
                .aborted
                .get(&key)
                .filter(|_| !coordinator.is_draining(key))
            {
                return Err(error.clone());
            }
            if !coordinator.is_live(key) && !coordinator.is_draining(key) {
                return Ok(true);
            }
            let left = deadline.saturating_sub(self.shared.threads.now());
            if left.is_zero() {
                return Ok(false);
            }
            coordinator = self
                .shared
                .wait(&self.shared.changed, coordinator, Some(left));
        }
    }

    /// Waits up to `timeout` until `drain_finished` has a result, or the engine is closed.
    pub fn wait_finished(&self, timeout: Duration) {
        let deadline = self.shared.threads.now().saturating_add(timeout);
        let mut coordinator = self.shared.coordinator();
        while coordinator.unpublished().next().is_none() && !coordinator.closed {
            let left = deadline.saturating_sub(self.shared.threads.now());
            if left.is_zero() {
                return;
            }
            coordinator = self
                .shared
                .wait(&self.shared.changed, coordinator, Some(left));
        }
    }

    /// The backfills that have ended or stopped here since the last call; each is returned once.
    pub fn drain_finished(&self) -> Vec<Key> {
        let mut coordinator = self.shared.coordinator();
        let finished: Vec<Key> = coordinator.unpublished().collect();
        coordinator.finished.retain(|key| !finished.contains(key));
        finished
    }

    /// The backfills that have not ended in this process.
    pub fn live(&self) -> Vec<Key> {
        self.shared.coordinator().live_keys()
    }

    /// A snapshot of a live backfill; `None` if it is not live here. It never blocks on the storage.
    pub fn snapshot(&self, id: &str) -> Option<Snapshot> {
        self.shared.coordinator().snapshot(id)
    }

    /// The progress of a live backfill; `None` if it is not live here.
    pub fn progress(&self, key: Key) -> Option<Progress> {
        self.shared.coordinator().progress(key)
    }

    /// The file that this engine's worker processes lock as long as they run; `None` where no other process
    /// could check it.
    pub fn worker_lock_file(&self) -> Option<PathBuf> {
        self.shared.store.worker_lock_file(&self.shared.owner)
    }

    /// The current time by the engine's clock.
    pub fn now(&self) -> Micros {
        self.shared.clock.now()
    }

    /// Starts the writer, unless it was started before or the engine is closed: `close` waits for one writer, and a
    /// second would commit beside it.
    fn ensure_writer(&self) -> Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() && !self.shared.coordinator().closed {
            let shared = Arc::clone(&self.shared);
            let run = move || writer::run(&shared);
            *writer = Some(self.shared.threads.spawn("rivers-writer", run)?);
            let shared = Arc::downgrade(&self.shared);
            let wake = move || {
                if let Some(shared) = shared.upgrade() {
                    shared.coordinator().is_asked = true;
                    shared.to_write.notify_all();
                }
            };
            let store = &self.shared.store;
            let watch = store.watch_control_requests(&self.shared.owner, Box::new(wake));
            *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = watch;
        }
        Ok(())
    }

    /// Ends the writer. Backfills that are live stay resumable, and `wait` says so.
    pub fn close(&self) {
        if self.shared.is_parents() {
            return;
        }
        drop(
            self.watch
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.shared.coordinator().closed = true;
        self.shared.notify();
        self.shared.has_work.notify_all();
        self.shared.to_write.notify_all();
        self.shared.writer_caught_up.notify_all();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // A writer that panicked has left its backfills resumable; there is nothing to add.
            writer.join();
        }
        let live = self.shared.coordinator().live_keys();
        for key in live {
            let entry = self.shared.coordinator().abandon(key, Some(closed()));
            entry
                .into_iter()
                .for_each(|entry| self.shared.worker_left(entry));
        }
        writer::end_pool_shares(&self.shared);
        self.shared.notify();
    }

    fn not_found(id: &str) -> Error {
        Error::BackfillNotFound(id.to_owned())
    }
}

fn closed() -> Error {
    Error::Execution(
        "the repository was closed while this call was made; what had been recorded can be resumed"
            .into(),
    )
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Encodes outcomes as a worker reports them, at a time of its clock; for simulated workers.
///
/// # Errors
/// `Execution` if they cannot be written.
#[cfg(feature = "failpoints")]
pub fn encode_report(ends: Vec<crate::backfill::RunEnd>, now: Micros) -> Result<Vec<u8>> {
    let mut report = report::Report::new();
    ends.into_iter().for_each(|end| report.add(end));
    report.encode(now)
}
