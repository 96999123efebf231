//! The writer: one thread that commits what workers bring, keeps the leases, and hears what
//! other processes want of its backfills. While it commits, more gathers: the busier, the larger the transactions.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{RENEWALS, Shared};
use crate::clock::Micros;
use crate::error::Error;
use crate::store::{Commit, Committed};

/// How often it looks for what other processes want and records what is in flight.
const TICK: Duration = Duration::from_millis(200);
/// How long a few outcomes may gather between two commits: each costs the same, if for one outcome.
const GATHER: Duration = Duration::from_millis(20);

/// Writes until the engine is closed.
pub(super) fn run(shared: &Shared) {
    let mut ticked_at = shared.clock.now();
    let mut write_at = Instant::now();
    loop {
        let now = shared.clock.now();
        let until = shared.leased_until.load(Ordering::Acquire);
        if until - now < shared.lease - shared.lease / RENEWALS {
            renew(shared);
        }
        let ticks = now - ticked_at >= TICK.as_micros() as Micros;
        let commits = {
            let mut hub = shared.hub();
            if ticks {
                hub.bring_in_stalled(now);
            }
            let gathers = write_at.saturating_duration_since(Instant::now());
            if !gathers.is_zero() && !ticks && !hub.is_pressing() {
                let waited = shared.to_write.wait_timeout(hub, gathers);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            let commits = hub.collect(now, !ticks);
            if commits.is_empty() && hub.closed {
                return;
            }
            if commits.is_empty() && !ticks {
                // With nothing live there is no lease to keep: sleep until there is.
                let nothing = hub.live_keys().is_empty() && hub.leaving_keys().is_empty();
                let nap = if nothing { Duration::MAX } else { TICK };
                if nap == Duration::MAX {
                    drop(
                        shared
                            .to_write
                            .wait(hub)
                            .unwrap_or_else(PoisonError::into_inner),
                    );
                } else {
                    let waited = shared.to_write.wait_timeout(hub, nap);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                }
                continue;
            }
            commits
        };
        if !commits.is_empty() {
            write(shared, &commits);
            write_at = Instant::now() + GATHER;
        }
        if ticks {
            ticked_at = now;
            hear_wishes(shared);
        }
    }
}

/// Renews the leases of what is live; what another process has taken over meanwhile stops here.
fn renew(shared: &Shared) {
    let (live, leaving) = {
        let hub = shared.hub();
        (hub.live_keys(), hub.leaving_keys())
    };
    if live.is_empty() && leaving.is_empty() {
        return;
    }
    let lease = shared.lease();
    let all = [live.as_slice(), leaving.as_slice()].concat();
    // A storage that cannot be written now may be writable at the next commit, which tells.
    let Ok(held) = shared.store.renew(&lease.terms, &all) else {
        return;
    };
    let mut hub = shared.hub();
    let lost = live.into_iter().filter(|key| !held.contains(key));
    let left: Vec<_> = lost
        .filter_map(|key| hub.abandon(key, Some(lease_lost())))
        .collect();
    drop(hub);
    left.into_iter().for_each(|entry| shared.left(entry));
    shared.leased(&lease);
    shared.room.notify_all();
}

fn write(shared: &Shared, commits: &[Commit]) {
    let lease = shared.lease();
    let outcome = shared.store.commit(&lease.terms, commits);
    let mut hub = shared.hub();
    let mut left = Vec::new();
    match outcome {
        Ok(verdicts) => {
            for (commit, verdict) in commits.iter().zip(verdicts) {
                match verdict {
                    Committed::Kept => hub.committed(commit),
                    Committed::LeaseLost => left.extend(hub.failed(commit, &lease_lost())),
                }
            }
        }
        Err(error) => {
            left.extend(
                commits
                    .iter()
                    .filter_map(|commit| hub.failed(commit, &error)),
            );
        }
    }
    drop(hub);
    left.into_iter().for_each(|entry| shared.left(entry));
    shared.changed.notify_all();
    shared.room.notify_all();
}

/// Does what is wanted of the backfills that run here. Looking and doing are one step: an older look
/// must not undo what a newer one has done.
pub(super) fn hear_wishes(shared: &Shared) {
    let _one_at_a_time = shared
        .hearing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    // A storage that cannot be read now may be readable at the next look.
    let Ok(wishes) = shared.store.control_requests(&shared.owner) else {
        return;
    };
    let changed = shared.hub().changed(&wishes);
    let rows: Vec<_> = changed
        .into_iter()
        .filter_map(|key| shared.store.get(key).ok()?)
        .collect();
    let mut hub = shared.hub();
    let mut heard = wishes.into_iter().filter(|&wish| hub.heed(wish)).count();
    for row in rows {
        heard += usize::from(hub.change(row.key, row.request, row.revision));
    }
    drop(hub);
    if heard > 0 {
        shared.changed.notify_all();
    }
}

fn lease_lost() -> Error {
    Error::Execution(
        "this process lost the lease of the backfill: it was not renewed in time and another process took \
         the backfill over; nothing more was recorded here"
            .into(),
    )
}
