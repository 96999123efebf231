//! The writer thread: commits outcomes, renews leases and polls for control requests, at once where the storage
//! says that there are some.
//!
//! While it commits, more outcomes gather: the busier the backfill, the larger the transactions.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::RENEWALS;
use super::shared::Shared;
use crate::clock::Micros;
use crate::error::Error;
use crate::store::failpoint::{Bug, is_planted};
use crate::store::{Commit, Committed, StorageTime};

/// How often the writer polls for control requests and records the runs in flight.
const TICK: Duration = Duration::from_millis(200);
/// How long outcomes may gather between two commits: a commit costs the same for one as for many.
const GATHER: Duration = Duration::from_millis(20);

/// A storage's clock that moved by more microseconds against ours, between two looks, was set.
const MAX_DRIFT: u64 = 1_000_000;

/// Commits until the engine is closed.
pub(super) fn run(shared: &Shared) {
    let mut ticked_at = shared.clock.now();
    let mut write_at = shared.threads.now();
    let mut ahead = None;
    loop {
        let now = shared.clock.now();
        let until = shared.leased_until.load(Ordering::Acquire);
        let ticks = now - ticked_at >= TICK.as_micros() as Micros;
        let is_due = until.saturating_sub(now) < shared.lease - shared.lease / RENEWALS;
        if is_due || (ticks && storage_clock_was_set(shared, now, &mut ahead)) {
            renew(shared);
        }
        // The lock is held for this look only.
        let (is_asked, are_pools_due) = {
            let mut coordinator = shared.coordinator();
            (
                std::mem::take(&mut coordinator.is_asked),
                std::mem::take(&mut coordinator.are_pools_due),
            )
        };
        if is_asked && !ticks {
            poll_control_requests(shared);
        }
        if are_pools_due || ticks {
            share_pools(shared);
        }
        let commits = {
            let mut coordinator = shared.coordinator();
            if (coordinator.is_asked || coordinator.are_pools_due) && !coordinator.closed {
                continue;
            }
            if ticks {
                coordinator.flush_stalled(now, || shared.flush_values());
                coordinator.end_forced(shared.threads.now());
            }
            let gathers = write_at.saturating_sub(shared.threads.now());
            if !gathers.is_zero() && !ticks && !coordinator.must_write_now() {
                drop(shared.wait(&shared.to_write, coordinator, Some(gathers)));
                continue;
            }
            let commits = coordinator.collect(now, !ticks);
            if commits.is_empty() && coordinator.closed {
                return;
            }
            if commits.is_empty() && !ticks {
                // Without a live backfill there is no lease to renew: sleep until there is one.
                let nothing =
                    coordinator.live_keys().is_empty() && coordinator.draining_keys().is_empty();
                let sleep = (!nothing).then_some(TICK);
                drop(shared.wait(&shared.to_write, coordinator, sleep));
                continue;
            }
            commits
        };
        if !commits.is_empty() {
            write(shared, &commits);
            write_at = shared.threads.now() + GATHER;
        }
        if ticks {
            ticked_at = now;
            poll_control_requests(shared);
        }
    }
}

/// Whether the storage's clock was set since the last look: leases that it gave may look expired now. `ahead` is how
/// far it was ahead of ours.
fn storage_clock_was_set(shared: &Shared, now: Micros, ahead: &mut Option<Micros>) -> bool {
    let Ok(StorageTime(storage)) = shared.store.now() else {
        return false;
    };
    let before = ahead.replace(storage.saturating_sub(now));
    before.is_some_and(|before| storage.saturating_sub(now).abs_diff(before) > MAX_DRIFT)
}

/// Renews the leases of live backfills, and aborts those that another process has taken over.
fn renew(shared: &Shared) {
    let (live, draining) = {
        let coordinator = shared.coordinator();
        (coordinator.live_keys(), coordinator.draining_keys())
    };
    if live.is_empty() && draining.is_empty() {
        return;
    }
    let lease = shared.lease();
    let all = [live.as_slice(), draining.as_slice()].concat();
    // A storage that cannot be written now may be writable at the next commit, which reports it.
    let Ok(renewed) = shared.store.renew(&lease.terms, &all) else {
        return;
    };
    let mut coordinator = shared.coordinator();
    let lost = live.into_iter().filter(|key| !renewed.contains(key));
    let aborted: Vec<_> = lost
        .filter_map(|key| coordinator.abandon(key, Some(lease_lost())))
        .collect();
    // What became live meanwhile may have a lease that ends earlier.
    if { coordinator.live_keys() }
        .iter()
        .all(|key| renewed.contains(key))
    {
        shared.leased(&coordinator, &lease);
    }
    drop(coordinator);
    aborted
        .into_iter()
        .for_each(|entry| shared.worker_left(entry));
    shared.writer_caught_up.notify_all();
}

fn write(shared: &Shared, commits: &[Commit]) {
    let lease = shared.lease();
    // Values before outcomes: each recorded outcome has its value.
    let outcome = shared
        .sync_values()
        .and_then(|()| shared.store.commit(&lease.terms, commits));
    let mut coordinator = shared.coordinator();
    coordinator.answered();
    let mut aborted = Vec::new();
    match outcome {
        Ok(verdicts) => {
            for (commit, verdict) in commits.iter().zip(verdicts) {
                match verdict {
                    Committed::Kept => coordinator.committed(commit),
                    Committed::LeaseLost if is_planted(Bug::IgnoreLostLease) => {
                        coordinator.committed(commit);
                    }
                    Committed::LeaseLost => {
                        aborted.extend(coordinator.failed(commit, &lease_lost()))
                    }
                }
            }
        }
        Err(_) if is_planted(Bug::PublishFailedCommit) => {
            commits
                .iter()
                .for_each(|commit| coordinator.committed(commit));
        }
        Err(error) => {
            aborted.extend(
                commits
                    .iter()
                    .filter_map(|commit| coordinator.failed(commit, &error)),
            );
        }
    }
    drop(coordinator);
    aborted
        .into_iter()
        .for_each(|entry| shared.worker_left(entry));
    shared.notify();
    shared.writer_caught_up.notify_all();
}

/// Fits what this process uses of the storage's pools to what all processes need.
fn share_pools(shared: &Shared) {
    if !shared.coordinator().uses_pools() {
        return;
    }
    // A storage that cannot be read now may be readable at the next look: what has a share keeps it so long.
    let Ok(stored) = shared.store.pools() else {
        return;
    };
    let needs = shared.coordinator().pool_needs(&stored);
    if !needs.is_empty() {
        let answer = shared.store.share_pools(&shared.lease().terms, &needs);
        shared.coordinator().pools_shared(&needs, answer.ok());
    }
    shared.notify();
}

/// Ends the shares of this process in the storage's pools, unless workers still execute runs.
pub(super) fn end_pool_shares(shared: &Shared) {
    let needs = {
        let coordinator = shared.coordinator();
        match coordinator.draining_keys().is_empty() {
            true => coordinator.no_pool_needs(),
            false => Vec::new(),
        }
    };
    if !needs.is_empty() {
        // What cannot be ended now expires.
        let _ = shared.store.share_pools(&shared.lease().terms, &needs);
    }
}

/// Reads the control requests of this process's backfills and applies them. Only one thread does so at a
/// time, so that an older reading never undoes a newer one.
pub(super) fn poll_control_requests(shared: &Shared) {
    let _turn = PollingTurn::new(shared);
    // A storage that cannot be read now may be readable at the next poll.
    let Ok(requests) = shared.store.control_requests(&shared.owner) else {
        return;
    };
    let outdated = shared.coordinator().outdated(&requests);
    let rows: Vec<_> = outdated
        .into_iter()
        .filter_map(|key| shared.store.get(key).ok()?)
        .collect();
    let now = shared.threads.now();
    let mut coordinator = shared.coordinator();
    let mut applied = requests
        .into_iter()
        .filter(|&request| coordinator.apply_control_request(request, now))
        .count();
    for row in rows {
        applied += usize::from(coordinator.change(row.key, row.request, row.revision));
    }
    drop(coordinator);
    if applied > 0 {
        shared.notify();
    }
}

/// The right to read and apply control requests.
struct PollingTurn<'a>(&'a Shared);

impl<'a> PollingTurn<'a> {
    fn new(shared: &'a Shared) -> Self {
        let mut coordinator = shared.coordinator();
        while coordinator.is_polling {
            coordinator = shared.wait(&shared.polled, coordinator, None);
        }
        coordinator.is_polling = true;
        Self(shared)
    }
}

impl Drop for PollingTurn<'_> {
    fn drop(&mut self) {
        self.0.coordinator().is_polling = false;
        self.0.polled.notify_one();
    }
}

pub(super) fn lease_lost() -> Error {
    Error::Execution(
        "this process lost the lease of the backfill: it was not renewed in time and another process took \
         the backfill over; nothing more was recorded here"
            .into(),
    )
}
