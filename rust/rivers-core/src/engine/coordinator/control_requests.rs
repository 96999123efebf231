//! Control requests applied to live backfills: stop, pause, change.

use std::sync::Arc;

use std::time::Duration;

use super::{Coordinator, bounded};
use crate::backfill::{Event, Request, Stop};
use crate::engine::Program;
use crate::engine::live_backfill::LiveBackfill;
use crate::store::{ControlRequest, Key};

impl Coordinator {
    /// Stops a backfill. Returns `false` if it is not live here.
    pub(in crate::engine) fn stop(&mut self, key: Key, reason: Stop) -> bool {
        let Some(live) = self.live.get_mut(&key) else {
            return false;
        };
        live.state.apply(Event::Stop(reason));
        self.settle(key);
        true
    }

    /// Applies a control request. Returns whether it changed a live backfill.
    pub(in crate::engine) fn apply_control_request(
        &mut self,
        request: ControlRequest,
        now: Duration,
    ) -> bool {
        let paused = self.set_paused(request.key, request.pause);
        let canceled = request.cancel && self.stop(request.key, Stop::Canceled);
        if let Some(after) = request.force_after {
            self.force_after(request.key, after, now);
        }
        canceled || paused
    }

    /// Has the runs in flight of a live backfill, which is being canceled, end by force `after` the present time, `now`. Asked
    /// with the same delay again, as each poll does, it keeps to the first time.
    pub(in crate::engine) fn force_after(&mut self, key: Key, after: Duration, now: Duration) {
        let Some(live) = self.live.get_mut(&key) else {
            return;
        };
        if live.force.is_none_or(|(_, known)| known != after) {
            live.force = Some((now.saturating_add(after), after));
        }
    }

    /// Ends the runs in flight of backfills for which it is time: they are canceled. Their workers may
    /// still execute them, but nothing of it counts.
    pub(in crate::engine) fn end_forced(&mut self, now: Duration) {
        let due = |live: &LiveBackfill| live.force.is_some_and(|(at, _)| at <= now);
        let keys = self.live.iter().filter(|(_, live)| due(live));
        for key in keys.map(|(&key, _)| key).collect::<Vec<_>>() {
            self.stop(key, Stop::Canceled);
            self.end_by_force(key);
        }
    }

    fn end_by_force(&mut self, key: Key) {
        let Some(live) = self.live.get_mut(&key) else {
            return;
        };
        let (entry, assignments) = (live.entry, std::mem::take(&mut live.assignments));
        for assignment in assignments {
            let (ends, left) = assignment.revoke();
            self.apply_outcomes(key, entry, ends);
            if let Some(live) = self.live.get_mut(&key) {
                left.into_iter().for_each(|runs| live.yielded(runs));
                live.state.apply(Event::Released);
            }
            self.queue.release(entry);
        }
        self.settle(key);
    }

    /// Pauses a backfill, so that workers yield what they have not begun, or unpauses it. Returns whether
    /// that changed a live backfill.
    pub(in crate::engine) fn set_paused(&mut self, key: Key, paused: bool) -> bool {
        let Some(live) = self.live.get_mut(&key).filter(|live| live.paused != paused) else {
            return false;
        };
        live.paused = paused;
        if paused {
            live.yield_unclaimed();
        }
        self.settle(key);
        true
    }

    /// Starts a backfill that was held, with this program.
    pub(in crate::engine) fn start_held(&mut self, key: Key, program: Program) {
        if let Some(live) = self.live.get_mut(&key) {
            live.program = program;
            live.held = false;
            self.settle(key);
        }
    }

    /// Sets the revision as of which the request of a backfill is known.
    pub(in crate::engine) fn set_revision(&mut self, key: Key, revision: u64) {
        if let Some(live) = self.live.get_mut(&key) {
            live.revision = revision;
        }
    }

    /// The backfills whose request was changed since it was read.
    pub(in crate::engine) fn outdated(&self, requests: &[ControlRequest]) -> Vec<Key> {
        let differs = |request: &&ControlRequest| {
            let live = self.live.get(&request.key);
            live.is_some_and(|live| live.revision != request.revision)
        };
        requests
            .iter()
            .filter(differs)
            .map(|request| request.key)
            .collect()
    }

    /// Replaces the request of a backfill. Workers yield what they have not begun: it may exceed the new
    /// limits, or delay others that come first now.
    pub(in crate::engine) fn change(&mut self, key: Key, request: Request, revision: u64) -> bool {
        let Some(live) = self.live.get_mut(&key) else {
            return false;
        };
        let priority = request.priority;
        let max_concurrency = bounded(request.max_concurrency, live.capacity);
        self.queue
            .update(live.entry, Some(priority), Some(max_concurrency));
        let max_failures = request.control.max_failures;
        live.request = Arc::new(request);
        live.revision = revision;
        live.yield_unclaimed();
        live.state.apply(Event::LimitChanged(max_failures));
        self.settle(key);
        if !self.queue.can_decide() {
            self.preempt_below(priority);
        }
        true
    }
}
