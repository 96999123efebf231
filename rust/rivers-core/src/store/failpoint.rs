//! Places where a test lets the process die: before, within and after every transaction that writes.
//!
//! Without the feature `failpoints` a `hit` compiles to nothing. With it, a test arms one point by a
//! call, and the process aborts when the point is hit for the n-th time: no destructor runs, no
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
    /// Leases that go on.
    Renew,
    /// A lease that is given back.
    Release,
    /// A lease that is taken from a dead process.
    TakeOver,
    /// A cancel that the owner is to hear of.
    RequestCancel,
    /// A pause, or its end, that the owner is to hear of.
    SetPaused,
    /// A change of the request that the owner is to hear of.
    Change,
    /// Keys of a dynamic dimension that come or go.
    Dynamic,
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has not begun.
    Before,
    /// The counts of a backfill are written, the rows that they count are not.
    Between,
    /// All is written, nothing is committed.
    Within,
    /// It is on disk; nobody has been told.
    After,
}

/// Dies here, if a test wants it.
#[inline]
pub(super) fn hit(_work: Work, _moment: Moment) {
    #[cfg(feature = "failpoints")]
    armed::hit(_work, _moment);
}

#[cfg(feature = "failpoints")]
pub use armed::arm;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::{Mutex, PoisonError};

    use super::{Moment, Work};

    /// The point, and how many hits are left. The one global of the core: not in what is shipped.
    static ARMED: Mutex<Option<(Work, Moment, u32)>> = Mutex::new(None);

    /// Lets the process abort at the n-th hit of a point from now on; replaces what was armed.
    pub fn arm(work: Work, moment: Moment, nth: u32) {
        *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some((work, moment, nth));
    }

    pub(super) fn hit(work: Work, moment: Moment) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((its_work, its_moment, left)) = armed.as_mut()
            && (*its_work, *its_moment) == (work, moment)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                std::process::abort();
            }
        }
    }
}
