//! Preemption: the priority gate applied to live backfills.

use super::Coordinator;
use crate::clock::Micros;
use crate::engine::live_backfill::LiveBackfill;
use crate::engine::priority_gate::PriorityGate;

impl Coordinator {
    /// Takes back unclaimed runs below `priority` and holds those priorities back until the announced
    /// request has begun.
    pub(in crate::engine) fn begin_preemption(&mut self, priority: i64, now: Micros) {
        if self
            .live
            .values()
            .any(|live| live.request.priority < priority)
        {
            self.gate = Some(PriorityGate::close(self.gate, priority, now));
            self.preempt_below(priority);
        }
    }

    /// A request of `priority` is in the queue.
    pub(in crate::engine) fn preemption_queued(&mut self, priority: i64, now: Micros) {
        if let Some(gate) = &mut self.gate {
            gate.queued(priority, now);
        }
    }

    pub(in crate::engine) fn end_preemption(&mut self) {
        self.gate = None;
    }

    /// Whether runs of `priority` are held back.
    pub(in crate::engine) fn is_held_back(&self, priority: i64) -> bool {
        self.gate.is_some_and(|gate| priority < gate.priority)
    }

    /// The minimum priority of runs that may start now, and until when it applies.
    pub(in crate::engine) fn min_priority(&mut self, now: Micros) -> Option<(i64, Micros)> {
        let gate = self.gate?;
        let below = |live: &LiveBackfill| {
            live.request.priority < gate.priority && !live.assignments.is_empty()
        };
        let can_start = self.queue.can_decide_from(gate.priority) || self.live.values().any(below);
        self.gate = Some(gate).filter(|gate| gate.is_closed(now, can_start));
        self.gate.map(|gate| (gate.priority, gate.until))
    }

    /// Takes back what workers have not begun below `priority`: a slot becomes free as soon as one of
    /// their runs ends, not their batch.
    pub(super) fn preempt_below(&mut self, priority: i64) {
        let lower = self
            .live
            .iter_mut()
            .filter(|(_, live)| live.request.priority < priority);
        let mut keys = Vec::new();
        for (&key, live) in lower {
            live.yield_unclaimed();
            keys.push(key);
        }
        for key in keys {
            self.settle(key);
        }
    }
}
