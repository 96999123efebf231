//! The order of entries, and where blocked entries are parked.
//!
//! Entries with the same counters differ only in rank, so they share one *lane*, and only the first
//! entry of a lane is considered. A lane is parked under one of its counters. A counter with a free
//! slot offers the best lane parked under it; an exhausted counter offers none:
//!
//! ```text
//! offers  <-  counter "db"   <-  lane {db}:      entries by rank
//!                            <-  lane {db, api}: entries by rank
//!         <-  counter "api"  <-  lane {api}:     entries by rank
//!         <-  lane {}:           entries by rank
//! ```
//!
//! The best offer is granted, unless another counter of its lane is exhausted. In that case the lane
//! is parked under that counter, and its former counter offers the next lane. A blocked lane is
//! therefore not considered again until the counter that blocks it has a free slot.
//!
//! The cost of a decision does not depend on the number of entries in a lane. The exception: with
//! `per_unique_value` there are as many lanes as values, and if two further limits on all of them are
//! exhausted alternately, each decision moves every lane from one to the other (0.2 us per lane).
//!
//! Invariant: only `seat` changes the counter under which a lane is parked, and only `offer` changes
//! what a counter offers. Invariant: an exhausted counter offers nothing, which is why `best`
//! terminates.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::entry::EntryId;
use super::limits::{CounterId, Counters, TagLimit};

/// The rank of an entry; the lowest goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    priority: Reverse<i64>,
    pub(super) id: EntryId,
}

impl Rank {
    pub(super) fn new(priority: i64, id: EntryId) -> Self {
        Self {
            priority: Reverse(priority),
            id,
        }
    }

    pub(super) fn priority(self) -> i64 {
        self.priority.0
    }
}

/// Identifies a lane in [`Lanes`]; reused after the lane is dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LaneId(usize);

/// The entries with the same counters.
#[derive(Debug, Default)]
struct Lane {
    counters: Box<[CounterId]>,
    /// Number of entries of this lane, waiting or not.
    members: usize,
    waiting: BTreeSet<Rank>,
    /// The counter under which the lane is parked, if it has any.
    under: Option<CounterId>,
    /// The first of `waiting` when `parked` or `offers` was last updated.
    head: Option<Rank>,
}

/// The lanes parked under a counter.
#[derive(Debug, Default)]
struct Parked {
    heads: BTreeSet<(Rank, LaneId)>,
    /// The first of `heads`, if the counter offers it at present.
    offered: Option<(Rank, LaneId)>,
}

/// All entries with a run to start, by counters and rank.
#[derive(Debug)]
pub(super) struct Lanes {
    counters: Counters,
    lanes: Vec<Lane>,
    vacant: Vec<LaneId>,
    by_counters: HashMap<Box<[CounterId]>, LaneId>,
    /// The parked lanes, by counter.
    parked: Vec<Parked>,
    offers: BTreeSet<(Rank, LaneId)>,
}

impl Lanes {
    pub(super) fn new(rules: Vec<TagLimit>, pools: Vec<(String, u32)>) -> Self {
        Self {
            counters: Counters::new(rules, pools),
            lanes: Vec::new(),
            vacant: Vec::new(),
            by_counters: HashMap::new(),
            parked: Vec::new(),
            offers: BTreeSet::new(),
        }
    }

    /// Adds an entry with these tags and pool slots to its lane, and returns the lane.
    pub(super) fn join(&mut self, tags: &[(String, String)], pools: &[(String, u32)]) -> LaneId {
        let counters = self.counters.acquire(tags, pools).into_boxed_slice();
        if let Some(last) = counters.last() {
            let needed = self.parked.len().max(last.0 + 1);
            self.parked.resize_with(needed, Parked::default);
        }
        if let Some(&id) = self.by_counters.get(&counters) {
            self.lanes[id.0].members += 1;
            return id;
        }
        let under = counters.first().copied();
        let lane = Lane {
            counters: counters.clone(),
            members: 1,
            under,
            ..Lane::default()
        };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.lanes[id.0] = lane;
                id
            }
            None => {
                self.lanes.push(lane);
                LaneId(self.lanes.len() - 1)
            }
        };
        self.by_counters.insert(counters, id);
        id
    }

    /// Removes an entry from its lane; it no longer waits and has returned its slots.
    pub(super) fn leave(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.0];
        self.counters.abandon(&lane.counters);
        lane.members -= 1;
        if lane.members == 0 {
            debug_assert!(lane.waiting.is_empty(), "who leaves waits no more");
            let lane = std::mem::take(lane);
            self.by_counters.remove(&lane.counters);
            self.vacant.push(id);
        }
    }

    /// Adds an entry with a run to start to the waiting entries of its lane.
    pub(super) fn enter(&mut self, id: LaneId, rank: Rank) {
        self.lanes[id.0].waiting.insert(rank);
        self.seat(id, self.lanes[id.0].under);
    }

    /// Removes an entry from the waiting entries of its lane.
    pub(super) fn exit(&mut self, id: LaneId, rank: Rank) {
        self.lanes[id.0].waiting.remove(&rank);
        self.seat(id, self.lanes[id.0].under);
    }

    /// The first entry that no counter blocks. Lanes that turn out to be blocked are parked.
    pub(super) fn best(&mut self) -> Option<Rank> {
        loop {
            let &(rank, id) = self.offers.first()?;
            let blocking = self.lanes[id.0]
                .counters
                .iter()
                .find(|counter| self.counters.is_full(**counter));
            match blocking {
                None => return Some(rank),
                // Terminates, because the exhausted counter withdraws its offer.
                Some(&counter) => self.seat(id, Some(counter)),
            }
        }
    }

    /// Takes a slot of each of the lane's counters.
    pub(super) fn take(&mut self, id: LaneId) {
        for at in 0..self.lanes[id.0].counters.len() {
            let counter = self.lanes[id.0].counters[at];
            self.counters.take(counter);
            self.offer_all(counter);
        }
    }

    /// Returns the slots that `runs` runs held of each of the lane's counters.
    pub(super) fn give_back(&mut self, id: LaneId, runs: u32) {
        for at in 0..self.lanes[id.0].counters.len() {
            let counter = self.lanes[id.0].counters[at];
            self.counters.give_back(counter, runs);
            self.offer_all(counter);
        }
    }

    pub(super) fn set_pool_slots(&mut self, pool: &str, slots: u32) {
        for counter in self.counters.set_pool_slots(pool, slots) {
            self.offer(counter);
        }
    }

    pub(super) fn pool_slots_taken(&self, pool: &str) -> u32 {
        self.counters.pool_slots_taken(pool)
    }

    /// Takes the slots that a run holds of the lane's tag limits.
    pub(super) fn take_tags(&mut self, id: LaneId) {
        for counter in self.tag_counters(id) {
            self.counters.take(counter);
            self.offer_all(counter);
        }
    }

    /// Returns the slots that a run holds of the lane's tag limits.
    pub(super) fn give_back_tags(&mut self, id: LaneId) {
        for counter in self.tag_counters(id) {
            self.counters.give_back(counter, 1);
            self.offer_all(counter);
        }
    }

    /// Whether a tag limit of the lane is exhausted.
    pub(super) fn has_full_tag(&self, id: LaneId) -> bool {
        let mut counters = self.tag_counters(id).into_iter();
        counters.any(|counter| self.counters.is_full(counter))
    }

    fn tag_counters(&self, id: LaneId) -> Vec<CounterId> {
        let counters = self.lanes[id.0].counters.iter().copied();
        counters.filter(|&id| self.counters.is_tag(id)).collect()
    }

    /// Updates the head of the lane and parks the lane under `counter`, which is either its present
    /// counter or an exhausted one.
    fn seat(&mut self, id: LaneId, under: Option<CounterId>) {
        let lane = &mut self.lanes[id.0];
        let head = lane.waiting.first().copied();
        let (old_under, old_head) = (lane.under, lane.head);
        if (old_under, old_head) == (under, head) {
            return;
        }
        (lane.under, lane.head) = (under, head);
        if let Some(rank) = old_head {
            self.heads(old_under).remove(&(rank, id));
        }
        if let Some(rank) = head {
            self.heads(under).insert((rank, id));
        }
        if let Some(counter) = old_under {
            self.offer(counter);
        }
    }

    /// The heads of the lanes under a counter; lanes without a counter are offers themselves.
    fn heads(&mut self, under: Option<CounterId>) -> &mut BTreeSet<(Rank, LaneId)> {
        match under {
            Some(counter) => &mut self.parked[counter.0].heads,
            None => &mut self.offers,
        }
    }

    /// Updates the offers of all counters that share their slots with this one.
    fn offer_all(&mut self, counter: CounterId) {
        for at in 0..self.counters.shared_by(counter) {
            self.offer(self.counters.sharer(counter, at));
        }
    }

    /// Updates the offer of a counter.
    fn offer(&mut self, counter: CounterId) {
        let parked = &mut self.parked[counter.0];
        let best = if self.counters.is_full(counter) {
            None
        } else {
            parked.heads.first().copied()
        };
        if parked.offered == best {
            return;
        }
        if let Some(old) = std::mem::replace(&mut parked.offered, best) {
            self.offers.remove(&old);
        }
        self.offers.extend(best);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Entry, Limits, Queue};

    fn push(queue: &mut Queue, priority: i64, tags: &[(&str, &str)]) -> EntryId {
        let tags = tags
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        queue.push(Entry {
            priority,
            tags,
            pools: Vec::new(),
            max_concurrency: 1,
        })
    }

    fn drain(queue: &mut Queue) -> Vec<EntryId> {
        std::iter::from_fn(|| queue.decide()).collect()
    }

    fn one_each(keys: &[&str], per_unique_value: bool) -> Limits {
        let rule = |key: &&str| TagLimit {
            key: key.to_string(),
            value: None,
            limit: 1,
            per_unique_value,
        };
        Limits {
            max_concurrent_runs: None,
            tag_limits: keys.iter().map(rule).collect(),
            pools: Vec::new(),
        }
    }

    #[test]
    fn higher_priority_first_then_first_come() {
        let mut queue = Queue::new(Limits::default());
        let [low, first, second, high] =
            [-10, 0, 0, 5].map(|priority| push(&mut queue, priority, &[]));
        assert_eq!(drain(&mut queue), [high, first, second, low]);
        let extremes = [i64::MIN, i64::MAX].map(|priority| push(&mut queue, priority, &[]));
        assert_eq!(drain(&mut queue), [extremes[1], extremes[0]]);
    }

    #[test]
    fn a_new_priority_counts_at_once_and_keeps_the_arrival() {
        let mut queue = Queue::new(Limits::default());
        let [first, second, third] = [0, 0, 1].map(|priority| push(&mut queue, priority, &[]));
        queue.update(second, Some(2), None);
        queue.update(first, Some(1), None);
        assert_eq!(drain(&mut queue), [second, first, third]);
    }

    #[test]
    fn a_slot_goes_to_the_best_that_waits_for_it() {
        let mut queue = Queue::new(one_each(&["db"], false));
        let holder = push(&mut queue, 0, &[("db", "a")]);
        assert_eq!(drain(&mut queue), [holder]);
        let [low, high] = [0, 3].map(|priority| push(&mut queue, priority, &[("db", "b")]));
        assert_eq!(drain(&mut queue), []);
        queue.update(low, Some(4), None);
        queue.remove(holder);
        assert_eq!(drain(&mut queue), [low]);
        queue.remove(low);
        assert_eq!(drain(&mut queue), [high]);
    }

    #[test]
    fn who_needs_few_slots_of_a_pool_goes_where_who_needs_many_waits() {
        let mut queue = Queue::new(Limits {
            pools: vec![("db".into(), 4)],
            ..Limits::default()
        });
        let [three, two, one] = [3, 2, 1].map(|slots| {
            queue.push(Entry {
                priority: i64::from(slots),
                tags: Vec::new(),
                pools: vec![("db".into(), slots)],
                max_concurrency: 1,
            })
        });
        assert_eq!(drain(&mut queue), [three, one]);
        queue.set_ready(three, false);
        queue.release(three);
        assert_eq!(drain(&mut queue), [two]);
    }

    #[test]
    fn a_blocked_lane_is_looked_at_once() {
        let mut queue = Queue::new(one_each(&["db", "api"], false));
        for _ in 0..100 {
            push(&mut queue, 0, &[("db", "a"), ("api", "a")]);
        }
        queue.decide();
        assert_eq!((queue.lanes.lanes.len(), queue.can_decide()), (1, false));
        assert!(queue.lanes.offers.is_empty(), "nothing is left to look at");
    }

    #[test]
    fn lanes_and_what_they_need_go_with_their_last_member() {
        let mut queue = Queue::new(one_each(&["db", "api"], true));
        for value in 0..1_000 {
            let value = value.to_string();
            let id = push(&mut queue, 0, &[("db", &value), ("api", &value)]);
            assert_eq!(drain(&mut queue), [id]);
            queue.remove(id);
        }
        let lanes = &queue.lanes;
        assert_eq!(
            (
                lanes.lanes.len(),
                lanes.by_counters.len(),
                lanes.parked.len()
            ),
            (1, 0, 2)
        );
        assert!(
            lanes.offers.is_empty() && lanes.parked.iter().all(|parked| parked.heads.is_empty())
        );
    }
}
