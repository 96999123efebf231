//! Points where a test aborts the process: before, within and after every transaction that writes.
//!
//! The same feature lets a test plant a [`Bug`] in the engine, to see whether it is found.
//!
//! Without the feature `failpoints` a `hit` compiles to nothing. With it, a test arms one point by a
//! call, and the process aborts when the point is hit for the n-th time: no destructor runs and no
//! buffer is flushed, as if the process had been killed.

/// A transaction that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A step of a migration.
    Migrate,
    /// A new backfill.
    Create,
    /// Outcomes and counts.
    Commit,
    /// Segments merged into one.
    Merge,
    /// Renewed leases.
    Renew,
    /// A released lease.
    Release,
    /// A lease taken over from a dead process.
    TakeOver,
    /// A request to cancel.
    RequestCancel,
    /// A request to pause or unpause.
    SetPaused,
    /// What an executor says of its workers.
    SetWorkers,
    /// A change of the request.
    Change,
    /// Keys of a dynamic dimension, registered or deleted.
    Dynamic,
    /// A report about an asset.
    Report,
    /// Removed records.
    Prune,
    /// The slots of a pool, or a share of them.
    Pool,
}

/// How far a transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It has not begun.
    Before,
    /// The segment of a commit is written, its failures are not; or one backfill of several is migrated.
    Between,
    /// All is written and nothing is committed.
    Within,
    /// It is durable and not yet reported.
    After,
}

/// Aborts the process if a test has armed this point.
#[inline]
pub(super) fn hit(_work: Work, _step: Step) {
    #[cfg(feature = "failpoints")]
    armed::hit(_work, _step);
}

/// Defines the bugs that a test can plant, and a list of all.
macro_rules! bugs {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A mistake that the engine makes while a test has planted it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[$doc])+ $name,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

bugs! {
    /// What could not be committed is published.
    PublishFailedCommit,
    /// An engine that has lost a lease goes on.
    IgnoreLostLease,
    /// A run starts although the lease may have expired.
    StartWithoutLease,
    /// The lease of a new backfill counts for all others.
    ExtendAllLeases,
    /// A slot of the queue is not returned.
    KeepSlot,
    /// A backfill gets one slot more than its limit.
    ExceedConcurrency,
    /// A worker that waits is not woken.
    MissWakeUp,
    /// The lease of an aborted backfill is released while workers still execute its runs.
    ForgetWorkers,
    /// A backfill is taken over although its owner is alive.
    TakeOverFromLiveOwner,
    /// A resume forgets a cancel that was requested.
    ForgetCancel,
    /// A retry does not wait until it is due.
    RetryAtOnce,
}

/// Whether a test has planted this bug in the engine of this thread.
#[inline]
pub(crate) fn is_planted(_bug: Bug) -> bool {
    #[cfg(feature = "failpoints")]
    return planted::is_planted(_bug);
    #[cfg(not(feature = "failpoints"))]
    false
}

#[cfg(feature = "failpoints")]
pub use armed::arm;
#[cfg(feature = "failpoints")]
pub use planted::plant;

#[cfg(feature = "failpoints")]
mod planted {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in the engines that this thread executes, in place of any other.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(super) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::{Mutex, PoisonError};

    use super::{Step, Work};

    /// The point and the number of hits left. The only global of the core; it is not in what is shipped.
    static ARMED: Mutex<Option<(Work, Step, u32)>> = Mutex::new(None);

    /// Arms a point: the process aborts at its n-th hit from now on. Replaces what was armed.
    pub fn arm(work: Work, step: Step, nth: u32) {
        *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some((work, step, nth));
    }

    pub(super) fn hit(work: Work, step: Step) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((its_work, its_step, left)) = armed.as_mut()
            && (*its_work, *its_step) == (work, step)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                std::process::abort();
            }
        }
    }
}
