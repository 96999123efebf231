//! State that the engine, its batches and its writer share.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::coordinator::Coordinator;
use super::threads::{Signal, Threads};
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::queue::EntryId;
use crate::store::failpoint::{Bug, is_planted};
use crate::store::{Key, LeaseTerms, Store, fork};

/// State shared by the engine, its batches and its writer.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) owner: String,
    /// Duration of a lease.
    pub(super) lease: Micros,
    /// Until when the leases of all live backfills are known to hold: no run starts later.
    pub(super) leased_until: Arc<AtomicI64>,
    pub(super) _alive: Box<dyn Send + Sync>,
    /// The process that made it, see [`fork::generation`].
    pub(super) generation: u64,
    pub(super) threads: Threads,
    pub(super) coordinator: Mutex<Coordinator>,
    /// Signals anything that callers may wait for: there are few of them.
    pub(super) changed: Signal,
    /// Signals one of the workers that wait for a run: there may be thousands.
    pub(super) has_work: Signal,
    /// Signals that there is something to commit.
    pub(super) to_write: Signal,
    /// Signals that the writer has caught up.
    pub(super) writer_caught_up: Signal,
    /// Signals that control requests have been read and applied.
    pub(super) polled: Signal,
}

/// A lease that this process asks for. It is valid from before the request on, so that this process stops
/// relying on it before the storage, which has a clock of its own, regards it as expired.
pub(super) struct RequestedLease {
    pub(super) terms: LeaseTerms,
    /// By this process's clock.
    pub(super) valid_until: Micros,
}

impl Shared {
    /// Whether this process is a forked child of the one that made it. Its locks may be held there by threads
    /// that the child does not have, and what it runs remains the parent's: the child leaves it alone.
    pub(super) fn is_parents(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Only a bug can poison the lock, and other threads may go on after it.
    pub(super) fn coordinator(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the coordinator's lock until `signal` is given, or `timeout` is over.
    pub(super) fn wait<'a>(
        &'a self,
        signal: &Signal,
        coordinator: MutexGuard<'a, Coordinator>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, Coordinator> {
        signal.wait(&self.coordinator, coordinator, timeout)
    }

    /// A lease to ask the storage for.
    pub(super) fn lease(&self) -> RequestedLease {
        RequestedLease {
            terms: LeaseTerms {
                owner: self.owner.clone(),
                duration: self.lease,
            },
            valid_until: self.clock.now() + self.lease,
        }
    }

    /// Something has changed for callers, and perhaps for workers. One worker is woken: if it finds more
    /// than it takes, it wakes the next.
    pub(super) fn notify(&self) {
        self.changed.notify_all();
        self.notify_worker();
    }

    /// There may be something to do for workers.
    pub(super) fn notify_worker(&self) {
        if !is_planted(Bug::MissWakeUp) {
            self.has_work.notify_one();
        }
    }

    /// Writes the values of the runs that have ended, so that others find them.
    pub(super) fn flush_values(&self) -> Result<()> {
        self.store.values().map_or(Ok(()), |values| values.flush())
    }

    /// Makes the values of the runs that have ended durable.
    pub(super) fn sync_values(&self) -> Result<()> {
        self.store.values().map_or(Ok(()), |values| {
            values.flush()?;
            values.sync()
        })
    }

    /// Stops a backfill, for `reason`, and leaves it resumable.
    pub(super) fn abort(&self, key: Key, reason: Error) {
        let entry = self.coordinator().abandon(key, Some(reason));
        self.notify();
        self.writer_caught_up.notify_all();
        if let Some(entry) = entry {
            self.worker_left(entry);
        }
    }

    pub(super) fn end_preemption(&self) {
        self.coordinator().end_preemption();
        self.notify();
    }

    /// A worker left an aborted backfill. The last one releases the lease, so that the backfill can be
    /// resumed at once; if the storage cannot be written, the lease expires.
    pub(super) fn worker_left(&self, entry: EntryId) {
        let last = self.coordinator().worker_left(entry);
        if let Some(key) = last {
            let _ = self.store.release(key, &self.owner);
            self.coordinator().drained(entry);
            self.notify();
        }
    }

    /// A lease was written for a backfill that is about to be admitted. If other backfills are live, only the
    /// writer's renewal extends `leased_until`: their leases may have been lost since the last one.
    pub(super) fn leased_first(&self, coordinator: &Coordinator, lease: &RequestedLease) {
        if coordinator.live_keys().is_empty() || is_planted(Bug::ExtendAllLeases) {
            self.leased(coordinator, lease);
        } else {
            self.leased_until
                .fetch_min(lease.valid_until, Ordering::AcqRel);
        }
    }

    /// A lease was written. It takes the coordinator's lock, without which a worker that has just found the
    /// lease expired, and is about to wait, would miss the signal.
    pub(super) fn leased(&self, _coordinator: &Coordinator, lease: &RequestedLease) {
        self.leased_until
            .store(lease.valid_until, Ordering::Release);
        self.notify();
    }
}
