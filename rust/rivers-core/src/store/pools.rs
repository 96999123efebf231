//! Pools whose number of slots is set in the storage, for all processes that share it.

use super::records::{LeaseTerms, StorageTime};
use crate::clock::Micros;
use crate::error::Result;
use crate::queue::{Claim, share};

/// A pool as it is set in the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPool {
    /// Its name.
    pub name: String,
    /// Its number of slots.
    pub slots: u32,
    /// How many of them processes have for their runs at present.
    pub lent: u32,
    /// How many slots they wait for.
    pub waiting: u32,
}

/// What a process needs of a pool; see [`crate::queue::Claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolNeed {
    /// The pool.
    pub pool: String,
    /// How many slots its runs hold.
    pub taken: u32,
    /// How many slots its next run needs; 0 if none waits.
    pub least: u32,
    /// How many slots it could use now, those taken included; with 0 its share ends.
    pub wanted: u32,
}

/// How many slots of a pool a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolShare {
    /// All slots of the pool.
    pub slots: u32,
    /// Those that the process may use until its lease ends.
    pub granted: u32,
}

/// Pools of the storage, whose slots are lent in shares.
pub trait Pools: Send + Sync {
    /// All pools, by name.
    ///
    /// # Errors
    /// `Storage`.
    fn pools(&self) -> Result<Vec<StoredPool>>;

    /// Sets the number of slots of a pool; without a number, the storage limits it no more. Runs in flight keep what
    /// they hold.
    ///
    /// # Errors
    /// `Storage`.
    fn set_pool(&self, name: &str, slots: Option<u32>) -> Result<()>;

    /// Renews the share of a process in each pool for the duration of a lease, and fits it to what all need. A share
    /// that was not renewed in time has ended. `None` for a pool that is not set in the storage.
    ///
    /// # Errors
    /// `Storage`; then the process must assume that it has no share.
    fn share_pools(&self, lease: &LeaseTerms, needs: &[PoolNeed])
    -> Result<Vec<Option<PoolShare>>>;
}

/// What a storage does about one process and one pool.
pub(super) enum Decision {
    /// The pool is not set here, or the process needs nothing: its share ends.
    End(Option<PoolShare>),
    /// The claim stays as it is.
    Keep(PoolShare),
    /// This claim is published.
    Publish(PoolShare, Claim),
}

/// Fits the share of a process to what all need. `claims` are all that are published about the pool, with the time at
/// which each expires; a share lasts until `until`.
pub(super) fn decide(
    slots: Option<u32>,
    claims: &[(Claim, Micros)],
    owner: &str,
    need: &PoolNeed,
    now: StorageTime,
    until: StorageTime,
) -> Decision {
    let Some(slots) = slots.filter(|_| need.wanted > 0) else {
        return Decision::End(slots.map(|slots| PoolShare { slots, granted: 0 }));
    };
    let valid = |&&(_, expires_at): &&(Claim, Micros)| expires_at > now.0;
    let is_own = |claim: &Claim| claim.owner == owner;
    let known = claims.iter().filter(valid).find(|(claim, _)| is_own(claim));
    let others = claims.iter().filter(valid).map(|(claim, _)| claim);
    let mut all: Vec<Claim> = others.filter(|claim| !is_own(claim)).cloned().collect();
    all.push(need.claim(owner, known.map(|(claim, _)| claim), now));
    let me = all.len() - 1;
    let granted = share(slots, &all, me);
    let claim = Claim {
        granted,
        ..all.remove(me)
    };
    let share = PoolShare { slots, granted };
    // It is renewed when a fifth of it has passed.
    let lasts = |&&(_, expires_at): &&(Claim, Micros)| {
        expires_at.saturating_sub(now.0) > until.0.saturating_sub(now.0) / 5 * 4
    };
    let says_it = |(known, _): &&(Claim, Micros)| {
        let since = known.since;
        *known
            == Claim {
                since,
                ..claim.clone()
            }
    };
    match known.filter(lasts).filter(says_it) {
        Some(_) => Decision::Keep(share),
        None => Decision::Publish(share, claim),
    }
}

impl PoolNeed {
    /// What the owner publishes, before its share is known. While its next run has not got its slots, `since` stays.
    fn claim(&self, owner: &str, known: Option<&Claim>, now: StorageTime) -> Claim {
        let waits = |known: &&Claim| {
            let was_short = known.least > known.granted.saturating_sub(known.taken);
            was_short && known.taken >= self.taken && self.least > 0
        };
        Claim {
            owner: owner.to_owned(),
            granted: 0,
            taken: self.taken,
            least: self.least,
            wanted: self.wanted.max(self.taken),
            since: known.filter(waits).map_or(now.0, |known| known.since),
        }
    }
}
