//! Which run goes next?
//!
//! A [`Queue`] holds one entry for each backfill or single run, regardless of the number of its runs,
//! and grants one slot at a time: higher priority first, then first come, first served. It is pure:
//! the caller reports which runs have ended, and the queue returns a decision.
//!
//! An entry is in one of three states:
//!
//! ```text
//! state     why                                                 leaves when
//! idle      it has nothing to start, or its own                 set_ready, release, update
//!           max_concurrency is used up
//! offered   it may go                                           decide takes it
//! parked    a tag limit or pool that applies to it is           that limit or pool gets enough
//!           exhausted                                           free slots
//! ```
//!
//! Invariant: memory does not grow with the partitions or the runs of an entry, and a decision does
//! not visit entries that are idle or parked.

#![warn(clippy::wildcard_enum_match_arm)]

mod entry;
mod limits;
mod pool_share;
mod priority;
mod token_bucket;

use std::collections::HashMap;

pub use entry::{Entry, EntryId};
pub use limits::{Limits, TagLimit};
pub use pool_share::{Claim, share};
use priority::{LaneId, Lanes, Rank};
pub use token_bucket::TokenBucket;

/// Decides which run goes next.
#[derive(Debug)]
pub struct Queue {
    max_concurrent_runs: u32,
    in_flight: u32,
    /// Number of runs that wait to take back the slots that they had lent: they go before all others.
    returning: u32,
    next_id: u64,
    entries: HashMap<EntryId, Slot>,
    lanes: Lanes,
}

/// The queue's record of an entry.
#[derive(Debug)]
struct Slot {
    rank: Rank,
    lane: LaneId,
    max_concurrency: u32,
    in_flight: u32,
    /// How many of the runs in flight have lent their slots.
    lent: u32,
    ready: bool,
    /// Whether the entry is in its lane: it has a run to start, and its own concurrency allows it.
    in_lane: bool,
}

impl Queue {
    /// Creates an empty queue with these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            // Without a limit, the largest count is the limit.
            max_concurrent_runs: limits.max_concurrent_runs.unwrap_or(u32::MAX),
            in_flight: 0,
            returning: 0,
            next_id: 0,
            entries: HashMap::new(),
            lanes: Lanes::new(limits.tag_limits, limits.pools),
        }
    }

    /// Adds an entry, which is ready, behind the entries of its priority.
    pub fn push(&mut self, entry: Entry) -> EntryId {
        let id = EntryId(self.next_id);
        self.next_id += 1;
        let slot = Slot {
            rank: Rank::new(entry.priority, id),
            lane: self.lanes.join(&entry.tags, &entry.pools),
            max_concurrency: entry.max_concurrency,
            in_flight: 0,
            lent: 0,
            ready: true,
            in_lane: false,
        };
        self.entries.insert(id, slot);
        self.settle(id);
        id
    }

    /// The entry that may put one more run in flight, or `None` if there is none.
    ///
    /// Takes a slot of the entry, of the whole queue, and of each tag limit and pool that applies.
    pub fn decide(&mut self) -> Option<EntryId> {
        self.decide_from(i64::MIN)
    }

    /// Like `decide`, but only considers entries of this priority and above.
    pub fn decide_from(&mut self, priority: i64) -> Option<EntryId> {
        let id = self.best(priority)?;
        let slot = self.entries.get_mut(&id)?;
        slot.in_flight += 1;
        self.in_flight += 1;
        let lane = slot.lane;
        // Leave the lane first if this was its last slot, so that the lane is updated only once.
        self.settle(id);
        self.lanes.take(lane);
        Some(id)
    }

    /// Whether [`decide`](Self::decide) would return an entry; takes no slot.
    pub fn can_decide(&mut self) -> bool {
        self.can_decide_from(i64::MIN)
    }

    /// Like `can_decide`, but only considers entries of this priority and above.
    pub fn can_decide_from(&mut self, priority: i64) -> bool {
        self.best(priority).is_some()
    }

    /// Returns the slots of a run of the entry that has ended.
    ///
    /// Does nothing if the entry has no run in flight, or was removed, which already returned its
    /// slots.
    pub fn release(&mut self, id: EntryId) {
        let Some(slot) = self.entries.get_mut(&id) else {
            return;
        };
        if slot.in_flight == 0 {
            return;
        }
        if slot.lent == slot.in_flight {
            // A run that has lent its slots was ended from outside.
            slot.lent -= 1;
            self.in_flight += 1;
            self.lanes.take_tags(slot.lane);
        }
        slot.in_flight -= 1;
        self.in_flight -= 1;
        self.lanes.give_back(slot.lane, 1);
        self.settle(id);
    }

    /// Sets whether the entry has a run to start now; it has none while paused, or once all have
    /// started.
    pub fn set_ready(&mut self, id: EntryId, ready: bool) {
        if let Some(slot) = self.entries.get_mut(&id) {
            slot.ready = ready;
            self.settle(id);
        }
    }

    /// Removes an entry, and returns the slots that it still holds.
    pub fn remove(&mut self, id: EntryId) {
        let Some(slot) = self.entries.remove(&id) else {
            return;
        };
        if slot.in_lane {
            self.lanes.exit(slot.lane, slot.rank);
        }
        self.in_flight -= slot.in_flight - slot.lent;
        for _ in 0..slot.lent {
            self.lanes.take_tags(slot.lane);
        }
        self.lanes.give_back(slot.lane, slot.in_flight);
        self.lanes.leave(slot.lane);
    }

    /// Lends the slots of a run in flight of the entry, while that run waits for another entry: those of
    /// the whole queue and of tag limits, not those of pools. The entry's own concurrency stays taken.
    /// Returns `false` if the entry has no run in flight that could.
    pub fn lend(&mut self, id: EntryId) -> bool {
        let Some(slot) = self.entries.get_mut(&id) else {
            return false;
        };
        if slot.lent == slot.in_flight {
            return false;
        }
        slot.lent += 1;
        self.in_flight -= 1;
        self.lanes.give_back_tags(slot.lane);
        true
    }

    /// A run that lent its slots waits to take them back: no other run gets them first.
    pub fn want_back(&mut self) {
        self.returning += 1;
    }

    /// Takes back slots that were lent, after `want_back`. Returns `false` while there are none.
    pub fn take_back(&mut self, id: EntryId) -> bool {
        let Some(slot) = self.entries.get_mut(&id).filter(|slot| slot.lent > 0) else {
            self.returning -= 1;
            return true;
        };
        if self.in_flight >= self.max_concurrent_runs || self.lanes.has_full_tag(slot.lane) {
            return false;
        }
        self.returning -= 1;
        slot.lent -= 1;
        self.in_flight += 1;
        self.lanes.take_tags(slot.lane);
        true
    }

    /// Changes the entry's priority or concurrency; `None` leaves a value unchanged.
    ///
    /// Runs in flight are not affected: an entry above its new concurrency starts nothing until
    /// enough of them have ended.
    pub fn update(&mut self, id: EntryId, priority: Option<i64>, max_concurrency: Option<u32>) {
        let Some(slot) = self.entries.get_mut(&id) else {
            return;
        };
        if let Some(max_concurrency) = max_concurrency {
            slot.max_concurrency = max_concurrency;
        }
        if let Some(priority) = priority {
            if std::mem::take(&mut slot.in_lane) {
                self.lanes.exit(slot.lane, slot.rank);
            }
            slot.rank = Rank::new(priority, id);
        }
        self.settle(id);
    }

    /// Changes the number of slots of a pool. Runs in flight keep what they hold.
    pub fn set_pool_slots(&mut self, pool: &str, slots: u32) {
        self.lanes.set_pool_slots(pool, slots);
    }

    /// Number of slots of a pool that runs in flight hold.
    pub fn pool_slots_taken(&self, pool: &str) -> u32 {
        self.lanes.pool_slots_taken(pool)
    }

    /// How many more of its runs the entry could put in flight, but for the limits that it shares with others.
    pub fn wanted(&self, id: EntryId) -> u32 {
        let slot = self.entries.get(&id).filter(|slot| slot.in_lane);
        slot.map_or(0, |slot| {
            slot.max_concurrency.saturating_sub(slot.in_flight)
        })
    }

    /// Number of runs of the entry in flight; 0 for an entry that was removed.
    pub fn in_flight(&self, id: EntryId) -> u32 {
        self.entries.get(&id).map_or(0, |slot| slot.in_flight)
    }

    /// Number of runs in flight, over all entries.
    pub fn total_in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Number of entries, ready or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the queue has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn best(&mut self, least: i64) -> Option<EntryId> {
        if self.in_flight.saturating_add(self.returning) >= self.max_concurrent_runs {
            return None;
        }
        // If the best entry has a lower priority, all others have, too.
        let best = self.lanes.best()?;
        (best.priority() >= least).then_some(best.id)
    }

    /// Adds the entry to its lane or removes it, after a change of its readiness or concurrency.
    fn settle(&mut self, id: EntryId) {
        let Some(slot) = self.entries.get_mut(&id) else {
            return;
        };
        let belongs = slot.ready && slot.in_flight < slot.max_concurrency;
        match (slot.in_lane, belongs) {
            (false, true) => self.lanes.enter(slot.lane, slot.rank),
            (true, false) => self.lanes.exit(slot.lane, slot.rank),
            (true, true) | (false, false) => {}
        }
        slot.in_lane = belongs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reference implementation of the rules, which scans all entries.
    #[derive(Clone)]
    struct Oracle {
        limits: Limits,
        entries: Vec<(EntryId, Entry, u32, bool)>,
    }

    impl Oracle {
        fn get(&mut self, id: EntryId) -> Option<&mut (EntryId, Entry, u32, bool)> {
            self.entries.iter_mut().find(|entry| entry.0 == id)
        }

        fn total(&self) -> u32 {
            self.entries.iter().map(|entry| entry.2).sum()
        }

        fn held(&self, applies: impl Fn(&(String, String)) -> bool) -> u32 {
            self.entries
                .iter()
                .filter(|entry| entry.1.tags.iter().any(&applies))
                .map(|entry| entry.2)
                .sum()
        }

        fn blocked(&self, tags: &[(String, String)]) -> bool {
            tags.iter().any(|(key, value)| {
                self.limits
                    .tag_limits
                    .iter()
                    .filter(|rule| rule.key == *key)
                    .any(|rule| match &rule.value {
                        Some(only) => {
                            only == value
                                && self.held(|tag| tag.0 == *key && tag.1 == *only) >= rule.limit
                        }
                        None if rule.per_unique_value => {
                            self.held(|tag| tag.0 == *key && tag.1 == *value) >= rule.limit
                        }
                        None => self.held(|tag| tag.0 == *key) >= rule.limit,
                    })
            })
        }

        fn short_of_slots(&self, pools: &[(String, u32)]) -> bool {
            let taken = |pool: &str| -> u32 {
                let of = |entry: &(EntryId, Entry, u32, bool)| {
                    let mine = entry.1.pools.iter().filter(|(name, _)| name == pool);
                    mine.map(|(_, slots)| slots * entry.2).sum::<u32>()
                };
                self.entries.iter().map(of).sum()
            };
            pools.iter().any(|(name, slots)| {
                let all = self.limits.pools.iter().find(|(other, _)| other == name);
                all.is_some_and(|(_, all)| taken(name) + slots > *all)
            })
        }

        fn decide(&mut self) -> Option<EntryId> {
            if self
                .limits
                .max_concurrent_runs
                .is_some_and(|most| self.total() >= most)
            {
                return None;
            }
            let id = self
                .entries
                .iter()
                .filter(|(_, entry, held, ready)| *ready && *held < entry.max_concurrency)
                .filter(|(_, entry, ..)| !self.blocked(&entry.tags))
                .filter(|(_, entry, ..)| !self.short_of_slots(&entry.pools))
                .max_by_key(|(id, entry, ..)| (entry.priority, std::cmp::Reverse(*id)))?
                .0;
            self.get(id)?.2 += 1;
            Some(id)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(Entry),
        Decide,
        Release(usize),
        SetReady(usize, bool),
        Remove(usize),
        Update(usize, Option<i64>, Option<u32>),
    }

    fn tag() -> impl Strategy<Value = (String, String)> {
        ("[ab]", "[xyz]")
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let rule = (tag(), any::<bool>(), 0..4u32, any::<bool>()).prop_map(
            |(tag, any_value, limit, unique)| {
                let value = (!any_value).then_some(tag.1);
                TagLimit {
                    key: tag.0,
                    value,
                    limit,
                    per_unique_value: unique,
                }
            },
        );
        (
            prop::option::of(0..12u32),
            prop::collection::vec(rule, 0..5),
            (1..5u32, 1..5u32),
        )
            .prop_map(|(max_concurrent_runs, tag_limits, pools)| Limits {
                max_concurrent_runs,
                tag_limits,
                pools: vec![("p".into(), pools.0), ("q".into(), pools.1)],
            })
    }

    fn step() -> impl Strategy<Value = Step> {
        let pools = prop::collection::btree_map("[pqr]", 1..4u32, 0..3);
        let entry = (-2..3i64, prop::collection::vec(tag(), 0..4), pools, 0..4u32).prop_map(
            |(priority, tags, pools, max_concurrency)| Entry {
                priority,
                tags,
                pools: pools.into_iter().collect(),
                max_concurrency,
            },
        );
        let id = 0..40usize;
        prop_oneof![
            4 => entry.prop_map(Step::Push),
            8 => Just(Step::Decide),
            5 => id.clone().prop_map(Step::Release),
            2 => (id.clone(), any::<bool>()).prop_map(|(id, ready)| Step::SetReady(id, ready)),
            1 => id.clone().prop_map(Step::Remove),
            2 => (id, prop::option::of(-2..3i64), prop::option::of(0..4u32))
                .prop_map(|(id, priority, concurrency)| Step::Update(id, priority, concurrency)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn decides_as_a_scan_would(limits in limits(), steps in prop::collection::vec(step(), 1..200)) {
            let mut queue = Queue::new(limits.clone());
            let mut oracle = Oracle { limits, entries: Vec::new() };
            let mut pushed = Vec::new();
            // Numbers beyond the last entry are mapped to the latest entries, so that each step finds
            // one.
            let pick = |pushed: &[EntryId], at: usize| pushed.iter().rev().cycle().nth(at).copied();
            for step in steps {
                match step {
                    Step::Push(entry) => {
                        let id = queue.push(entry.clone());
                        oracle.entries.push((id, entry, 0, true));
                        pushed.push(id);
                    }
                    Step::Decide => {
                        let could = [-1, 0, 1].map(|least| queue.can_decide_from(least));
                        prop_assert_eq!(queue.can_decide(), oracle.clone().decide().is_some());
                        let decided = queue.decide();
                        prop_assert_eq!(decided, oracle.decide());
                        let priority = decided.and_then(|id| Some(oracle.get(id)?.1.priority));
                        let can = |least| priority.is_some_and(|priority| priority >= least);
                        prop_assert_eq!(could, [-1, 0, 1].map(can));
                    }
                    Step::Release(at) => if let Some(id) = pick(&pushed, at) {
                        queue.release(id);
                        if let Some(entry) = oracle.get(id) { entry.2 = entry.2.saturating_sub(1); }
                    },
                    Step::SetReady(at, ready) => if let Some(id) = pick(&pushed, at) {
                        queue.set_ready(id, ready);
                        if let Some(entry) = oracle.get(id) { entry.3 = ready; }
                    },
                    Step::Remove(at) => if let Some(id) = pick(&pushed, at) {
                        queue.remove(id);
                        oracle.entries.retain(|entry| entry.0 != id);
                    },
                    Step::Update(at, priority, concurrency) => if let Some(id) = pick(&pushed, at) {
                        queue.update(id, priority, concurrency);
                        if let Some(entry) = oracle.get(id) {
                            entry.1.priority = priority.unwrap_or(entry.1.priority);
                            entry.1.max_concurrency = concurrency.unwrap_or(entry.1.max_concurrency);
                        }
                    },
                }
                prop_assert_eq!((queue.len(), queue.total_in_flight()), (oracle.entries.len(), oracle.total()));
                for (id, _, held, _) in &oracle.entries {
                    prop_assert_eq!(queue.in_flight(*id), *held);
                }
            }
            while let Some(id) = oracle.decide() {
                prop_assert_eq!(queue.decide(), Some(id));
            }
            prop_assert_eq!(queue.decide(), None);
        }
    }
}
