//! Calls in functions that the engine executes, and closing while others call.
//!
//! A function may launch a backfill on the engine that executes it, and wait for it. Its run then keeps the
//! concurrency of its own backfill, but lends its slots of the run queue and of tag limits, since it does
//! nothing itself. Slots of pools stay taken: they stand for something that the function holds.

use std::time::Duration;

use super::Engine;
use crate::error::Result;
use crate::store::Key;

impl Engine {
    /// A function in a run of `caller` is about to wait for `target`: its run lends its slots of the queue
    /// until `end_wait`.
    ///
    /// # Errors
    /// `Execution` if the wait could never end; then `end_wait` must not be called.
    pub fn begin_wait(&self, caller: Key, target: Key) -> Result<()> {
        self.shared.coordinator().begin_wait(caller, target)?;
        self.shared.notify();
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
            coordinator = self.shared.wait(&self.shared.changed, coordinator, None);
        }
    }

    /// Refuses new backfills from now on, unless they are launched in a run; then waits up to `timeout` until
    /// nothing is live. Returns whether nothing is: then nothing can become live any more.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        let deadline = self.shared.threads.now().saturating_add(timeout);
        let mut coordinator = self.shared.coordinator();
        coordinator.closing = true;
        loop {
            if coordinator.is_idle() {
                coordinator.closed = true;
                return true;
            }
            let left = deadline.saturating_sub(self.shared.threads.now());
            if left.is_zero() {
                return false;
            }
            coordinator = self
                .shared
                .wait(&self.shared.changed, coordinator, Some(left));
        }
    }
}
