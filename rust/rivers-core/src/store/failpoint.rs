//! Points where a test aborts the process: before, within and after every transaction that writes.
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
    /// A change of the request.
    Change,
    /// Keys of a dynamic dimension, registered or deleted.
    Dynamic,
    /// A report about an asset.
    Report,
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

#[cfg(feature = "failpoints")]
pub use armed::arm;

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
