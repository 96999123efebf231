//! Preemption: holds back lower priorities while an urgent request is validated and recorded.
//!
//! Runs of a lower priority in this process would otherwise hold what the request's caller and worker
//! need to proceed, such as the interpreter. The gate opens again when the first run of the request
//! begins, or after `MAX_HOLD`.

use crate::clock::Micros;

/// Maximum time from the announcement of a request until it is queued, and from then until a run begins.
const MAX_HOLD: Micros = 50_000;

/// Holds back everything below the priority of the most urgent request that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PriorityGate {
    /// No run of a lower priority starts.
    pub(super) priority: i64,
    /// When the gate opens by itself.
    pub(super) until: Micros,
    stage: Stage,
}

/// How far the urgent request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not in the queue yet.
    Announced,
    /// It is in the queue.
    Queued,
    /// A worker has its runs and is about to begin the first.
    Dispatched,
}

impl PriorityGate {
    /// Closes a gate for a request announced at `now`, or keeps the higher priority of `previous`.
    pub(super) fn close(previous: Option<Self>, priority: i64, now: Micros) -> Self {
        Self {
            priority: previous.map_or(priority, |gate| gate.priority.max(priority)),
            until: now + MAX_HOLD,
            stage: Stage::Announced,
        }
    }

    /// A request of `priority` is in the queue.
    pub(super) fn queued(&mut self, priority: i64, now: Micros) {
        if priority >= self.priority {
            self.stage = Stage::Queued;
            self.until = now + MAX_HOLD;
        }
    }

    /// A worker has runs of `priority`. Returns whether they are what the gate was closed for: then the
    /// worker opens it when the first of them begins.
    pub(super) fn dispatched(&mut self, priority: i64) -> bool {
        let is_urgent = priority >= self.priority;
        if is_urgent {
            self.stage = Stage::Dispatched;
        }
        is_urgent
    }

    /// Whether the gate still holds lower priorities back. `can_start` is whether a run of the gate's
    /// priority could start now, or as soon as lower ones leave their slots.
    pub(super) fn is_closed(&self, now: Micros, can_start: bool) -> bool {
        now < self.until && (can_start || self.stage != Stage::Queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_closed_from_the_call_to_the_first_run_and_not_for_what_cannot_start() {
        let mut gate = PriorityGate::close(None, 0, 100);
        assert!(
            gate.is_closed(100, false),
            "the request is not recorded yet"
        );
        gate.queued(-10, 101);
        assert!(gate.is_closed(101, false), "that was another request");
        gate.queued(0, 102);
        assert!(gate.is_closed(102, true));
        assert!(!gate.is_closed(102, false), "it waits for others");
        assert!(!gate.dispatched(-10));
        assert!(gate.dispatched(0));
        assert!(
            gate.is_closed(103, false),
            "a worker is about to begin the run"
        );
        assert!(gate.is_closed(101 + MAX_HOLD, true));
        assert!(!gate.is_closed(102 + MAX_HOLD, true));
        assert_eq!(PriorityGate::close(Some(gate), -5, 200).priority, 0);
    }
}
