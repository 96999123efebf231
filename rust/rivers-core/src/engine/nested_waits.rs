//! Runs that wait for another backfill: a wait that could never end is refused, and slots are lent.
//!
//! A function may launch a backfill on the engine that executes it, and wait for it. Its run then keeps the
//! concurrency of its own backfill, but lends its slots of the run queue and of tag limits, since it does
//! nothing itself. Slots of pools stay taken: they stand for something that the function holds.

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::Engine;
use super::coordinator::Coordinator;
use crate::error::{Error, Result};
use crate::store::Key;

/// Which backfills wait for which, and how many of their runs do.
#[derive(Debug, Default)]
pub(super) struct NestedWaits {
    by_caller: HashMap<Key, HashMap<Key, u32>>,
}

impl NestedWaits {
    fn begin(&mut self, caller: Key, target: Key) {
        *self
            .by_caller
            .entry(caller)
            .or_default()
            .entry(target)
            .or_default() += 1;
    }

    fn end(&mut self, caller: Key, target: Key) {
        let Some(targets) = self.by_caller.get_mut(&caller) else {
            return;
        };
        if let Some(runs) = targets.get_mut(&target) {
            *runs -= 1;
            if *runs == 0 {
                targets.remove(&target);
            }
        }
        if targets.is_empty() {
            self.by_caller.remove(&caller);
        }
    }

    /// Whether a run of `from` waits for `to`, directly or through others.
    fn leads_to(&self, from: Key, to: Key) -> bool {
        let mut seen = vec![from];
        let mut next = 0;
        while let Some(&key) = seen.get(next) {
            if key == to {
                return true;
            }
            next += 1;
            for &target in self.by_caller.get(&key).into_iter().flat_map(HashMap::keys) {
                if !seen.contains(&target) {
                    seen.push(target);
                }
            }
        }
        false
    }

    /// The backfills with runs that wait, and how many do.
    fn waiting(&self) -> impl Iterator<Item = (Key, u32)> {
        let all = self.by_caller.iter();
        all.map(|(&key, targets)| (key, targets.values().sum()))
    }
}

impl Coordinator {
    /// A run of `caller` is about to wait for `target`.
    fn begin_wait(&mut self, caller: Key, target: Key) -> Result<()> {
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

impl Engine {
    /// A function in a run of `caller` is about to wait for `target`: its run lends its slots of the queue
    /// until `end_wait`.
    ///
    /// # Errors
    /// `Execution` if the wait could never end; then `end_wait` must not be called.
    pub fn begin_wait(&self, caller: Key, target: Key) -> Result<()> {
        self.shared.coordinator().begin_wait(caller, target)?;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// The wait has ended; the run waits for its slots, before all that have not started.
    pub fn end_wait(&self, caller: Key, target: Key) {
        let mut coordinator = self.shared.coordinator();
        coordinator.nested_waits.end(caller, target);
        let Some(entry) = coordinator.entry_of(caller) else {
            return;
        };
        coordinator.want_back();
        while !coordinator.take_back(entry) {
            let waited = self.shared.changed.wait(coordinator);
            coordinator = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Refuses new backfills from now on, unless they are launched in a run; then waits up to `timeout` until
    /// nothing is live. Returns whether nothing is: then nothing can become live any more.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut coordinator = self.shared.coordinator();
        coordinator.closing = true;
        loop {
            if coordinator.is_idle() {
                coordinator.closed = true;
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(coordinator, left);
            coordinator = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

fn refused(why: &str) -> Error {
    Error::Execution(format!(
        "a call that would wait for itself is refused: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_waits_is_found() {
        let mut waits = NestedWaits::default();
        waits.begin(1, 2);
        waits.begin(2, 3);
        assert!(waits.leads_to(1, 3) && waits.leads_to(1, 1) && !waits.leads_to(3, 1));
        waits.begin(1, 2);
        waits.end(1, 2);
        assert!(waits.leads_to(1, 3));
        waits.end(1, 2);
        assert!(!waits.leads_to(1, 3));
        assert_eq!(waits.waiting().collect::<Vec<_>>(), [(2, 1)]);
    }
}
