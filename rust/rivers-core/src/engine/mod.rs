//! Who holds the threads, the lease and the clock?
//!
//! The engine wires the stages: it records a submission, lets the queue decide whose runs go next,
//! hands them to workers in batches, applies their outcomes to the backfill's state, and has one
//! writer thread commit them. It knows nothing of how a run is executed.

mod assignment;
mod batch;
mod control;
mod coordinator;
mod live_backfill;
mod priority_gate;
mod run;
mod run_failures;
mod shared_runs;
mod types;
mod writer;

pub use batch::{Batch, WorkerBatch};
pub use run::{Run, Worked};
pub use shared_runs::SharedRuns;
pub use types::{Execution, Program, Progress, Standing, new_id};

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::backfill::{Counts, Request, Retries, RunSet, Todo};
use crate::clock::{Clock, Micros, SECOND};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::queue::{EntryId, Limits};
use crate::store::{Key, LeaseTerms, Store};
use coordinator::Hub;
use live_backfill::Rest;

/// How long a lease lasts without being renewed, where nothing else is asked for.
pub const LEASE: Micros = 15 * SECOND;
/// A lease is renewed so many times in its life.
const RENEWALS: Micros = 5;

/// Runs backfills of one storage in this process.
pub struct Engine {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the engine, its batches and its writer share.
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    owner: String,
    /// How long a lease lasts.
    lease: Micros,
    /// Until when the leases of all live backfills hold, as far as is known: no run starts later.
    leased_until: Arc<AtomicI64>,
    _alive: Box<dyn Send + Sync>,
    hub: Mutex<Hub>,
    /// Held from a look at what is wanted until it is done.
    hearing: Mutex<()>,
    /// Something that workers or callers wait for may have happened.
    changed: Condvar,
    /// There is something to write.
    to_write: Condvar,
    /// The writer has caught up.
    room: Condvar,
}

/// A lease that this process asks for. It is valid from before the request on, so that this process stops
/// relying on it before the storage, which has a clock of its own, regards it as expired.
struct RequestedLease {
    terms: LeaseTerms,
    /// By this process's clock.
    valid_until: Micros,
}

impl Shared {
    /// Nobody panics while holding the hub but by a mistake of ours; the others may go on.
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lease to ask the storage for.
    fn lease(&self) -> RequestedLease {
        RequestedLease {
            terms: LeaseTerms {
                owner: self.owner.clone(),
                duration: self.lease,
            },
            valid_until: self.clock.now() + self.lease,
        }
    }

    fn close_way(&self) {
        self.hub().close_way();
        self.changed.notify_all();
    }

    /// One less is at work with a backfill that stopped here. The last one gives the lease back, so
    /// that it can be resumed at once; where the storage cannot be written, the lease runs out.
    fn left(&self, entry: EntryId) {
        let last = self.hub().left(entry);
        if let Some(key) = last {
            let _ = self.store.release(key, &self.owner);
            self.hub().gone(entry);
            self.changed.notify_all();
        }
    }

    /// A lease was written for a backfill that is to be admitted. Those that are live keep the moment
    /// of their last renewal: they may have been lost since.
    fn leased_first(&self, lease: &RequestedLease) {
        let hub = self.hub();
        if hub.live_keys().is_empty() {
            self.leased(lease);
        }
    }

    /// A lease was written.
    fn leased(&self, lease: &RequestedLease) {
        self.leased_until
            .store(lease.valid_until, Ordering::Release);
        self.changed.notify_all();
    }
}

/// How long it is until a moment.
fn until(at: Micros, now: Micros) -> Duration {
    Duration::from_micros(at.saturating_sub(now).max(0).cast_unsigned())
}

impl Engine {
    /// An engine over a storage, with the limits of the run queue and the time that leases last.
    ///
    /// # Errors
    /// `Storage` when the process cannot show that it is alive.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        lease: Micros,
    ) -> Result<Self> {
        let owner = uuid::Uuid::now_v7().simple().to_string();
        let alive = store.register_owner(&owner)?;
        let shared = Shared {
            store,
            clock,
            owner,
            lease,
            leased_until: Arc::new(AtomicI64::new(Micros::MIN)),
            _alive: alive,
            hub: Mutex::new(Hub::new(limits)),
            hearing: Mutex::new(()),
            changed: Condvar::new(),
            to_write: Condvar::new(),
            room: Condvar::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            writer: Mutex::new(None),
        })
    }

    /// Records a request and puts it in the queue.
    ///
    /// # Errors
    /// `Storage`; nothing is queued then.
    pub fn submit(&self, request: Request, plan: Plan, execution: Execution) -> Result<Key> {
        let lease = (plan.num_runs() > 0).then(|| self.shared.lease());
        let key =
            self.shared
                .store
                .create(&request, &plan, lease.as_ref().map(|lease| &lease.terms))?;
        if let Some(lease) = lease {
            self.shared.leased_first(&lease);
            let plan = Arc::new(plan);
            let rest = Rest {
                todo: Todo::new(&plan, RunSet::all(plan.num_runs()), &[]),
                retries: Retries::default(),
                counts: Counts::default(),
            };
            let priority = request.priority;
            self.admit(|hub| {
                hub.admit(key, request, plan, rest, execution);
                hub.is_queued(priority, self.now());
            });
        } else {
            self.shared.hub().ended.push(key);
        }
        Ok(key)
    }

    /// An urgent request is about to be submitted: until its first run begins, or for a short while,
    /// nothing of a lower priority starts. `close_way` when it is not submitted after all.
    pub fn make_way(&self, priority: i64) {
        self.shared.hub().make_way(priority, self.now());
        self.shared.room.notify_all();
    }

    /// What is less urgent may start again.
    pub fn close_way(&self) {
        self.shared.close_way();
    }

    /// Puts a recorded backfill in the queue.
    fn admit(&self, admit: impl FnOnce(&mut Hub)) {
        self.ensure_writer();
        admit(&mut self.shared.hub());
        self.shared.changed.notify_all();
        self.shared.to_write.notify_all();
    }

    /// The next batch of runs for a worker; waits for one at most so long. `None`: there was none.
    /// Who waits at all stays while a worker holds runs that it has not begun: they may have to be taken
    /// from behind a slow one.
    pub fn take(&self, patience: Duration) -> Option<Batch> {
        let deadline = Instant::now() + patience;
        let mut hub = self.shared.hub();
        hub.idle_workers += 1;
        let batch = loop {
            let now = self.shared.clock.now();
            hub.reclaim_stalled(now);
            let due = hub.wake_due(now);
            let leased = now < self.shared.leased_until.load(Ordering::Acquire);
            // Who cannot wait would be gone when the way is closed.
            let floor = hub.floor(now).filter(|_| !patience.is_zero());
            let least = floor.map_or(i64::MIN, |(priority, _)| priority);
            if let Some(taken) = leased
                .then(|| hub.take(&self.shared.leased_until, least))
                .flatten()
            {
                let lost = taken.lost;
                let batch = Batch::new(&self.shared, taken);
                let Some(link) = lost else {
                    break Some(batch);
                };
                drop(hub);
                batch.lose(link);
                hub = self.shared.hub();
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let watches = hub.has_unclaimed() && !patience.is_zero();
            if hub.closed || (left.is_zero() && !watches) {
                break None;
            }
            let nap = if watches {
                assignment::STALLED_AFTER
            } else {
                left
            };
            let next = due.into_iter().chain(floor.map(|(_, at)| at)).min();
            let nap = next.map_or(nap, |at| nap.min(until(at, now)));
            let waited = self.shared.changed.wait_timeout(hub, nap);
            hub = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        hub.idle_workers -= 1;
        if batch.is_some() {
            self.shared.to_write.notify_one();
        }
        batch
    }

    /// Whether one more worker would find something to do; or should wait for a backfill that may start
    /// nothing now, which another process can change, for a run's next attempt, or behind runs that may turn out to be slow.
    pub fn wants_worker(&self) -> bool {
        let mut hub = self.shared.hub();
        !hub.closed
            && hub.idle_workers == 0
            && (hub.can_take() || hub.has_waiting() || hub.has_retries() || hub.has_unclaimed())
    }

    /// Waits at most so long for a backfill to end. `true`: it has, and that is committed.
    ///
    /// # Errors
    /// Why it will not end here: the storage failed, or the lease was lost.
    pub fn wait(&self, key: Key, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        let mut hub = self.shared.hub();
        loop {
            if let Some(error) = hub.broken.get(&key).filter(|_| !hub.is_leaving(key)) {
                return Err(error.clone());
            }
            if !hub.is_live(key) && !hub.is_leaving(key) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let waited = self.shared.changed.wait_timeout(hub, left);
            hub = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until there is something to be told by `take_ended`; not longer than so long, or than the
    /// engine is open.
    pub fn await_ended(&self, patience: Duration) {
        let hub = self.shared.hub();
        let nothing = |hub: &mut Hub| hub.to_be_told().next().is_none() && !hub.closed;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(hub, patience, nothing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Backfills that have ended, or stopped here, since the last time: each is told once.
    pub fn take_ended(&self) -> Vec<Key> {
        let mut hub = self.shared.hub();
        let told: Vec<Key> = hub.to_be_told().collect();
        hub.ended.retain(|key| !told.contains(key));
        told
    }

    /// Backfills that have not ended in this process.
    pub fn live(&self) -> Vec<Key> {
        self.shared.hub().live_keys()
    }

    /// A live backfill, as it is recorded; `None` when it is not live here. It waits for nothing.
    pub fn standing(&self, id: &str) -> Option<Standing> {
        self.shared.hub().standing(id)
    }

    /// How a live backfill stands; `None` when it is not live here.
    pub fn progress(&self, key: Key) -> Option<Progress> {
        self.shared.hub().progress(key)
    }

    /// The file by which worker processes of this engine show that they run.
    pub fn worker_lock_file(&self) -> Option<PathBuf> {
        self.shared.store.worker_lock_file(&self.shared.owner)
    }

    /// The moment, by the engine's clock.
    pub fn now(&self) -> Micros {
        self.shared.clock.now()
    }

    fn ensure_writer(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            let shared = Arc::clone(&self.shared);
            *writer = Some(std::thread::spawn(move || writer::run(&shared)));
        }
    }

    /// Ends the writer; what is live stays resumable.
    pub fn close(&self) {
        self.shared.hub().closed = true;
        self.shared.changed.notify_all();
        self.shared.to_write.notify_all();
        self.shared.room.notify_all();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // A writer that panicked has left its backfills resumable; there is nothing to add.
            let _ = writer.join();
        }
    }

    fn not_found(id: &str) -> Error {
        Error::BackfillNotFound(id.to_owned())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
