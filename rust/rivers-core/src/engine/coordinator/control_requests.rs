//! What is done to a live backfill because somebody wants it: stop, pause, change.

use std::sync::Arc;

use super::Hub;
use crate::backfill::{Event, Request, Stop};
use crate::store::{ControlRequest, Key};

impl Hub {
    /// Stops a backfill. `false`: it is not live here.
    pub(in crate::engine) fn stop(&mut self, key: Key, why: Stop) -> bool {
        let Some(live) = self.live.get_mut(&key) else {
            return false;
        };
        live.state.apply(Event::Stop(why));
        self.settle(key);
        true
    }

    /// Does what somebody wants of a backfill. `false`: it is not live here, or nothing changes.
    pub(in crate::engine) fn heed(&mut self, wish: ControlRequest) -> bool {
        let paused = self.set_paused(wish.key, wish.pause);
        (wish.cancel && self.stop(wish.key, Stop::Canceled)) || paused
    }

    /// Pauses a backfill: what workers have not begun they give back; or has it go on.
    pub(in crate::engine) fn set_paused(&mut self, key: Key, paused: bool) -> bool {
        let Some(live) = self.live.get_mut(&key).filter(|live| live.paused != paused) else {
            return false;
        };
        live.paused = paused;
        if paused {
            live.take_back();
        }
        self.settle(key);
        true
    }

    /// The request of a backfill is known as of this change.
    pub(in crate::engine) fn known(&mut self, key: Key, revision: u64) {
        if let Some(live) = self.live.get_mut(&key) {
            live.revision = revision;
        }
    }

    /// Those of which the request was changed since it was read.
    pub(in crate::engine) fn changed(&self, wishes: &[ControlRequest]) -> Vec<Key> {
        let differs = |wish: &&ControlRequest| {
            let live = self.live.get(&wish.key);
            live.is_some_and(|live| live.revision != wish.revision)
        };
        wishes.iter().filter(differs).map(|wish| wish.key).collect()
    }

    /// Goes on with another request. What workers have not begun they give back: it may be too much, or
    /// be in the way of others now.
    pub(in crate::engine) fn change(&mut self, key: Key, request: Request, revision: u64) -> bool {
        let Some(live) = self.live.get_mut(&key) else {
            return false;
        };
        let (priority, most) = (request.priority, request.max_concurrency);
        self.queue
            .update(live.entry, Some(priority), Some(most.min(live.workers)));
        let most_failures = request.control.max_failures;
        live.request = Arc::new(request);
        live.revision = revision;
        live.take_back();
        live.state.apply(Event::Limited(most_failures));
        self.settle(key);
        if !self.queue.can_decide() {
            self.make_room(priority);
        }
        true
    }
}
