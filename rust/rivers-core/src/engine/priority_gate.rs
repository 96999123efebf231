//! The way that is made for an urgent request while it is still being checked and recorded.
//!
//! Until its first run begins, nothing of a lower priority starts: the runs that are executed in this process
//! would hold what its caller and its worker need to get on, such as an interpreter.

use crate::clock::Micros;

/// A way is open so long at the most until the request is in the queue, and from then until a run begins.
const LONGEST: Micros = 50_000;

/// There is one at a time: for the most urgent of those that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// What is below starts nothing.
    pub(super) priority: i64,
    pub(super) until: Micros,
    stage: Stage,
}

/// How far the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not in the queue yet.
    Coming,
    /// It is.
    Queued,
    /// A worker has it, and is about to begin.
    Taken,
}

impl Way {
    /// For a request that comes now, or for one that came before and is more urgent.
    pub(super) fn open(before: Option<Self>, priority: i64, now: Micros) -> Self {
        Self {
            priority: before.map_or(priority, |way| way.priority.max(priority)),
            until: now + LONGEST,
            stage: Stage::Coming,
        }
    }

    pub(super) fn queued(&mut self, priority: i64, now: Micros) {
        if priority >= self.priority {
            self.stage = Stage::Queued;
            self.until = now + LONGEST;
        }
    }

    /// A worker has taken runs of this priority. `true`: the way is theirs, and they close it.
    pub(super) fn taken(&mut self, priority: i64) -> bool {
        let own = priority >= self.priority;
        if own {
            self.stage = Stage::Taken;
        }
        own
    }

    /// Whether it leads to a run; `can_go`: whether one that is as urgent could go now, or as soon as
    /// those below let it.
    pub(super) fn is_of_use(&self, now: Micros, can_go: bool) -> bool {
        now < self.until && (can_go || self.stage != Stage::Queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_open_from_the_call_to_the_first_run_and_not_for_what_cannot_go() {
        let mut way = Way::open(None, 0, 100);
        assert!(way.is_of_use(100, false), "the request is not recorded yet");
        way.queued(-10, 101);
        assert!(way.is_of_use(101, false), "that was another's");
        way.queued(0, 102);
        assert!(way.is_of_use(102, true));
        assert!(!way.is_of_use(102, false), "it waits for others");
        assert!(!way.taken(-10));
        assert!(way.taken(0));
        assert!(way.is_of_use(103, false), "a worker is about to begin it");
        assert!(way.is_of_use(101 + LONGEST, true));
        assert!(!way.is_of_use(102 + LONGEST, true));
        assert_eq!(Way::open(Some(way), -5, 200).priority, 0);
    }
}
