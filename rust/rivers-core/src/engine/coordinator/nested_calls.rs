//! Waits of runs for other backfills: those that could never end are refused, and slots are lent.

use super::Coordinator;
use crate::error::{Error, Result};
use crate::store::Key;

impl Coordinator {
    /// A run of `caller` is about to wait for `target`.
    pub(in crate::engine) fn begin_wait(&mut self, caller: Key, target: Key) -> Result<()> {
        if self.nested_waits.leads_to(target, caller) {
            return Err(refused(
                "the backfill waits for the function that would wait for it, so neither could end",
            ));
        }
        self.nested_waits.begin(caller, target);
        if let Some(pool) = self.exhausted_pool(target) {
            self.nested_waits.end(caller, target);
            return Err(refused(&format!(
                "it needs the pool {pool:?}, whose slots are held by this run and others that wait, so it \
                 could never start; raise the pool's limit, or do not wait for it in the function"
            )));
        }
        if let Some(entry) = self.entry_of(caller) {
            self.lend(entry);
        }
        Ok(())
    }

    /// A pool that a backfill needs more of than waiting runs leave.
    fn exhausted_pool(&self, target: Key) -> Option<String> {
        let held = |name: &str| -> u32 {
            let waiting = self.nested_waits.waiting();
            waiting
                .map(|(key, runs)| runs * self.pool_slots(key, name))
                .sum()
        };
        self.pools_of(target)
            .iter()
            .find(|(name, slots)| {
                let limit = self.pool_limits.get(name).copied().unwrap_or(u32::MAX);
                *slots > limit.saturating_sub(held(name))
            })
            .map(|(name, _)| name.clone())
    }

    fn pool_slots(&self, key: Key, name: &str) -> u32 {
        let pools = self.pools_of(key).iter();
        pools
            .filter(|(own, _)| own == name)
            .map(|(_, slots)| slots)
            .sum()
    }
}

fn refused(why: &str) -> Error {
    Error::Execution(format!(
        "a call that would wait for itself is refused: {why}"
    ))
}
