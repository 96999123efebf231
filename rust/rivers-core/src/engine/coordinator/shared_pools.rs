//! Pools that are set in the storage: this process uses the share that it was granted.

use super::{Coordinator, UsedPool};
use crate::store::{PoolNeed, PoolShare, StoredPool};

impl Coordinator {
    /// A backfill that uses these pools becomes live. Until the storage was asked about them, it starts nothing.
    pub(super) fn use_pools(&mut self, pools: &[(String, u32)]) {
        for (name, _) in pools {
            if !self.used_pools.contains_key(name) {
                let declared = self.pool_limits.get(name).copied().unwrap_or(u32::MAX);
                let used = UsedPool {
                    declared,
                    is_shared: false,
                };
                self.used_pools.insert(name.clone(), used);
                self.queue.set_pool_slots(name, 0);
            }
        }
        self.are_pools_due |= !pools.is_empty();
    }

    /// Whether the storage must be asked about pools.
    pub(in crate::engine) fn uses_pools(&self) -> bool {
        !self.used_pools.is_empty()
    }

    /// What this process needs of the pools that are set in the storage, and of those that were. Until `pools_shared`,
    /// runs hold no more of these than they do now.
    pub(in crate::engine) fn pool_needs(&mut self, stored: &[StoredPool]) -> Vec<PoolNeed> {
        let mut needs = Vec::new();
        for (name, used) in &mut self.used_pools {
            let is_stored = stored.iter().any(|pool| pool.name == *name);
            if !is_stored && !used.is_shared {
                self.queue.set_pool_slots(name, used.declared);
                continue;
            }
            let taken = self.queue.pool_slots_taken(name);
            let mut need = PoolNeed {
                pool: name.clone(),
                taken,
                least: 0,
                wanted: taken,
            };
            for live in self.live.values() {
                let pending = u32::try_from(live.state.runs_to_start()).unwrap_or(u32::MAX);
                let runs = self.queue.wanted(live.entry).min(pending);
                for (_, slots) in live.pools.iter().filter(|(own, _)| own == name && runs > 0) {
                    need.least = match need.least {
                        0 => *slots,
                        least => least.min(*slots),
                    };
                    need.wanted = need.wanted.saturating_add(slots.saturating_mul(runs));
                }
            }
            self.queue.set_pool_slots(name, taken);
            used.is_shared = true;
            needs.push(need);
        }
        let live = self.live.values().flat_map(|live| &live.pools);
        let named: hashbrown::HashSet<&str> = live.map(|(name, _)| name.as_str()).collect();
        let limits = &mut self.pool_limits;
        self.used_pools.retain(|name, used| {
            let is_used = named.contains(name.as_str());
            if !is_used && used.declared != u32::MAX {
                limits.insert(name.clone(), used.declared);
            }
            is_used
        });
        needs
    }

    /// The storage has answered; `None`: it could not, so that this process has no share that is certain.
    pub(in crate::engine) fn pools_shared(
        &mut self,
        needs: &[PoolNeed],
        answer: Option<Vec<Option<PoolShare>>>,
    ) {
        let shares = answer.unwrap_or_else(|| {
            let none = PoolShare {
                slots: u32::MAX,
                granted: 0,
            };
            vec![Some(none); needs.len()]
        });
        for (need, share) in needs.iter().zip(shares) {
            let Some(used) = self.used_pools.get_mut(&need.pool) else {
                continue;
            };
            used.is_shared = share.is_some();
            let (all, own) = match share {
                Some(share) => (share.slots, share.granted),
                None => (u32::MAX, u32::MAX),
            };
            let declared = used.declared;
            self.pool_limits
                .insert(need.pool.clone(), all.min(declared));
            self.queue.set_pool_slots(&need.pool, own.min(declared));
        }
    }

    /// The end of all shares of this process.
    pub(in crate::engine) fn no_pool_needs(&self) -> Vec<PoolNeed> {
        let shared = self.used_pools.iter().filter(|(_, used)| used.is_shared);
        shared
            .map(|(name, _)| PoolNeed {
                pool: name.clone(),
                taken: 0,
                least: 0,
                wanted: 0,
            })
            .collect()
    }
}
