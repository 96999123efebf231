//! The limits that users set, and the counters that enforce them.
//!
//! A [`TagLimit`] is a rule. It has one counter or, with `per_unique_value`, one for each value that
//! an entry in the queue has. A counter is dropped when no entry needs it.
//!
//! A pool has one counter for each number of slots that runs take, so that entries that need few
//! slots can start while those that need many wait. Slots in use are counted once, in the pool.

use std::collections::HashMap;

/// A limit on the runs in flight with a certain tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagLimit {
    /// The tag's key.
    pub key: String,
    /// The tag's value; `None` for every value of the key.
    pub value: Option<String>,
    /// Maximum number of runs in flight; 0 blocks them forever.
    pub limit: u32,
    /// Whether each value of the key has a limit of its own; otherwise all values share one. Only
    /// without `value`.
    pub per_unique_value: bool,
}

/// The limits of a queue; by default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of runs in flight over all entries; `None` for no limit.
    pub max_concurrent_runs: Option<u32>,
    /// Limits on runs with certain tags; an entry must satisfy all that apply to it.
    pub tag_limits: Vec<TagLimit>,
    /// Number of slots of each pool.
    pub pools: Vec<(String, u32)>,
}

/// Identifies a counter in [`Counters`]; reused after the counter is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct CounterId(pub(super) usize);

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum CounterName {
    /// Runs under a rule: the rule's index, and the tag's value if each value has its own limit.
    Tag(usize, Option<String>),
    /// Slots of a pool: the pool's index, and the number of slots that a run takes.
    Pool(usize, u32),
}

#[derive(Debug)]
struct Counter {
    name: CounterName,
    /// Number of runs in flight under the rule.
    in_flight: u32,
    users: usize,
}

#[derive(Debug)]
struct Pool {
    name: String,
    slots: u32,
    taken: u32,
    counters: Vec<CounterId>,
}

/// The counters of rules and pools that the present entries need.
#[derive(Debug)]
pub(super) struct Counters {
    rules: Vec<TagLimit>,
    pools: Vec<Pool>,
    counters: Vec<Counter>,
    vacant: Vec<CounterId>,
    by_name: HashMap<CounterName, CounterId>,
}

impl Counters {
    pub(super) fn new(rules: Vec<TagLimit>, pools: Vec<(String, u32)>) -> Self {
        let pool = |(name, slots)| Pool {
            name,
            slots,
            taken: 0,
            counters: Vec::new(),
        };
        Self {
            rules,
            pools: pools.into_iter().map(pool).collect(),
            counters: Vec::new(),
            vacant: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    /// Acquires the counters that apply to these tags and pool slots: sorted and distinct, each with
    /// one more user.
    pub(super) fn acquire(
        &mut self,
        tags: &[(String, String)],
        pools: &[(String, u32)],
    ) -> Vec<CounterId> {
        let mut names: Vec<CounterName> = Vec::new();
        for (at, pool) in self.pools.iter().enumerate() {
            let needed = pools.iter().filter(|(name, _)| *name == pool.name);
            names.extend(needed.map(|&(_, slots)| CounterName::Pool(at, slots)));
        }
        for (position, rule) in self.rules.iter().enumerate() {
            for (_, value) in tags.iter().filter(|(key, _)| *key == rule.key) {
                match &rule.value {
                    Some(only) if only != value => {}
                    None if rule.per_unique_value => {
                        names.push(CounterName::Tag(position, Some(value.clone())));
                    }
                    Some(_) | None => names.push(CounterName::Tag(position, None)),
                }
            }
        }
        // A key can occur in the tags more than once, but a run takes at most one slot of a counter.
        names.sort_unstable();
        names.dedup();
        let mut found: Vec<CounterId> = names.into_iter().map(|name| self.intern(name)).collect();
        found.sort_unstable();
        found
    }

    /// Releases each of these counters, which then has one user less.
    pub(super) fn abandon(&mut self, ids: &[CounterId]) {
        for &id in ids {
            let counter = &mut self.counters[id.0];
            counter.users -= 1;
            if counter.users == 0 {
                debug_assert_eq!(counter.in_flight, 0, "who leaves has given back its slots");
                self.by_name.remove(&counter.name);
                match &mut counter.name {
                    CounterName::Tag(_, value) => *value = None,
                    CounterName::Pool(pool, _) => {
                        self.pools[*pool].counters.retain(|other| *other != id);
                    }
                }
                self.vacant.push(id);
            }
        }
    }

    pub(super) fn is_full(&self, id: CounterId) -> bool {
        let counter = &self.counters[id.0];
        match counter.name {
            CounterName::Tag(rule, _) => counter.in_flight >= self.rules[rule].limit,
            CounterName::Pool(pool, slots) => {
                let pool = &self.pools[pool];
                slots > pool.slots.saturating_sub(pool.taken)
            }
        }
    }

    /// Whether the counter is one of a tag limit, not of a pool.
    pub(super) fn is_tag(&self, id: CounterId) -> bool {
        match self.counters[id.0].name {
            CounterName::Tag(..) => true,
            CounterName::Pool(..) => false,
        }
    }

    /// Takes the slots of one run.
    pub(super) fn take(&mut self, id: CounterId) {
        match self.counters[id.0].name {
            CounterName::Tag(..) => self.counters[id.0].in_flight += 1,
            CounterName::Pool(pool, slots) => self.pools[pool].taken += slots,
        }
    }

    /// Returns the slots of `runs` runs.
    pub(super) fn give_back(&mut self, id: CounterId, runs: u32) {
        match self.counters[id.0].name {
            CounterName::Tag(..) => self.counters[id.0].in_flight -= runs,
            CounterName::Pool(pool, slots) => self.pools[pool].taken -= slots * runs,
        }
    }

    /// Changes the number of slots of a pool, below which more may be taken at present. Returns its counters.
    pub(super) fn set_pool_slots(&mut self, name: &str, slots: u32) -> Vec<CounterId> {
        match self.pools.iter_mut().find(|pool| pool.name == name) {
            Some(pool) => {
                pool.slots = slots;
                pool.counters.clone()
            }
            None => Vec::new(),
        }
    }

    /// Number of slots of a pool that are taken.
    pub(super) fn pool_slots_taken(&self, name: &str) -> u32 {
        let pool = self.pools.iter().find(|pool| pool.name == name);
        pool.map_or(0, |pool| pool.taken)
    }

    /// Number of counters that share their slots with this one, including itself.
    pub(super) fn shared_by(&self, id: CounterId) -> usize {
        match self.counters[id.0].name {
            CounterName::Tag(..) => 1,
            CounterName::Pool(pool, _) => self.pools[pool].counters.len(),
        }
    }

    /// One of the counters that share their slots.
    pub(super) fn sharer(&self, id: CounterId, at: usize) -> CounterId {
        match self.counters[id.0].name {
            CounterName::Tag(..) => id,
            CounterName::Pool(pool, _) => self.pools[pool].counters[at],
        }
    }

    fn intern(&mut self, name: CounterName) -> CounterId {
        if let Some(&id) = self.by_name.get(&name) {
            self.counters[id.0].users += 1;
            return id;
        }
        let counter = Counter {
            name: name.clone(),
            in_flight: 0,
            users: 1,
        };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.counters[id.0] = counter;
                id
            }
            None => {
                self.counters.push(counter);
                CounterId(self.counters.len() - 1)
            }
        };
        if let CounterName::Pool(pool, _) = name {
            self.pools[pool].counters.push(id);
        }
        self.by_name.insert(name, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Entry, EntryId, Queue};

    fn rule(key: &str, value: Option<&str>, limit: u32, per_unique_value: bool) -> TagLimit {
        TagLimit {
            key: key.into(),
            value: value.map(Into::into),
            limit,
            per_unique_value,
        }
    }

    fn queue(tag_limits: Vec<TagLimit>) -> Queue {
        Queue::new(Limits {
            max_concurrent_runs: None,
            tag_limits,
            pools: Vec::new(),
        })
    }

    fn push(queue: &mut Queue, tags: &[(&str, &str)]) -> EntryId {
        let tags = tags
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        queue.push(Entry {
            priority: 0,
            tags,
            pools: Vec::new(),
            max_concurrency: 1,
        })
    }

    fn drain(queue: &mut Queue) -> Vec<EntryId> {
        std::iter::from_fn(|| queue.decide()).collect()
    }

    fn entry(priority: i64, max_concurrency: u32) -> Entry {
        Entry {
            priority,
            tags: Vec::new(),
            pools: Vec::new(),
            max_concurrency,
        }
    }

    fn whole(max_concurrent_runs: u32) -> Queue {
        Queue::new(Limits {
            max_concurrent_runs: Some(max_concurrent_runs),
            tag_limits: Vec::new(),
            pools: Vec::new(),
        })
    }

    #[test]
    fn an_entry_stays_within_its_own_concurrency() {
        let mut queue = Queue::new(Limits::default());
        let first = queue.push(entry(0, 2));
        let second = queue.push(entry(0, 1));
        assert_eq!(
            [queue.decide(), queue.decide(), queue.decide()],
            [Some(first), Some(first), Some(second)]
        );
        assert_eq!(
            (
                queue.decide(),
                queue.in_flight(first),
                queue.total_in_flight()
            ),
            (None, 2, 3)
        );
        queue.release(first);
        assert_eq!((queue.decide(), queue.decide()), (Some(first), None));
    }

    #[test]
    fn the_whole_stays_within_max_concurrent_runs() {
        let mut queue = whole(2);
        let first = queue.push(entry(0, 1));
        let second = queue.push(entry(0, 9));
        assert_eq!(
            [queue.decide(), queue.decide(), queue.decide()],
            [Some(first), Some(second), None]
        );
        queue.set_ready(first, false);
        queue.release(first);
        assert_eq!((queue.decide(), queue.decide()), (Some(second), None));

        let mut closed = whole(0);
        closed.push(entry(0, 1));
        assert_eq!((closed.can_decide(), closed.decide()), (false, None));
    }

    #[test]
    fn a_run_that_waits_lends_its_slots_and_gets_them_back_first() {
        let mut queue = Queue::new(Limits {
            max_concurrent_runs: Some(1),
            tag_limits: vec![rule("db", None, 1, false)],
            pools: Vec::new(),
        });
        let (outer, inner) = (
            push(&mut queue, &[("db", "a")]),
            push(&mut queue, &[("db", "a")]),
        );
        assert_eq!((queue.decide(), queue.decide()), (Some(outer), None));
        assert!(queue.lend(outer));
        assert!(!queue.lend(outer));
        assert_eq!((queue.decide(), queue.decide()), (Some(inner), None));
        queue.want_back();
        assert!(!queue.take_back(outer));
        queue.release(inner);
        // The inner entry has more to start, but the run that waits comes first.
        assert_eq!(queue.decide(), None);
        assert!(queue.take_back(outer));
        assert_eq!((queue.total_in_flight(), queue.in_flight(outer)), (1, 1));
        queue.release(outer);
        assert_eq!(queue.decide(), Some(outer));
        queue.lend(outer);
        queue.remove(outer);
        assert_eq!((queue.total_in_flight(), queue.decide()), (0, Some(inner)));
    }

    #[test]
    fn an_entry_that_is_not_ready_is_passed_over() {
        let mut queue = Queue::new(Limits::default());
        let first = queue.push(entry(0, 9));
        let second = queue.push(entry(0, 9));
        queue.set_ready(first, false);
        assert_eq!(queue.decide(), Some(second));
        queue.set_ready(first, true);
        assert_eq!(queue.decide(), Some(first));
    }

    #[test]
    fn removing_gives_back_what_the_entry_held() {
        let mut queue = whole(2);
        let first = queue.push(entry(0, 2));
        let second = queue.push(entry(0, 2));
        assert_eq!([queue.decide(), queue.decide()], [Some(first), Some(first)]);
        queue.remove(first);
        assert_eq!(
            (queue.len(), queue.in_flight(first), queue.total_in_flight()),
            (1, 0, 0)
        );
        queue.release(first);
        assert_eq!(
            [queue.decide(), queue.decide(), queue.decide()],
            [Some(second), Some(second), None]
        );
        queue.remove(second);
        assert!(queue.is_empty());
        assert!(
            queue.push(entry(0, 1)) > second,
            "a number is never given out again"
        );
    }

    #[test]
    fn lowering_concurrency_waits_for_runs_in_flight() {
        let mut queue = Queue::new(Limits::default());
        let id = queue.push(entry(0, 3));
        assert_eq!(
            [queue.decide(), queue.decide(), queue.decide()],
            [Some(id); 3]
        );
        queue.update(id, None, Some(1));
        queue.release(id);
        queue.release(id);
        assert!(!queue.can_decide());
        queue.release(id);
        assert_eq!((queue.decide(), queue.decide()), (Some(id), None));
        queue.update(id, None, Some(2));
        assert_eq!(queue.decide(), Some(id));
    }

    #[test]
    fn releasing_too_often_frees_nothing() {
        let mut queue = whole(1);
        let idle = queue.push(entry(-1, 1));
        let busy = queue.push(entry(0, 1));
        assert_eq!(queue.decide(), Some(busy));
        queue.release(idle);
        assert_eq!((queue.total_in_flight(), queue.can_decide()), (1, false));
    }

    #[test]
    fn a_value_limits_the_entries_that_have_it() {
        for per_unique_value in [false, true] {
            let mut queue = queue(vec![rule("db", Some("main"), 1, per_unique_value)]);
            let first = push(&mut queue, &[("db", "main")]);
            let second = push(&mut queue, &[("db", "main")]);
            let other = push(&mut queue, &[("db", "copy")]);
            let none = push(&mut queue, &[("team", "main")]);
            assert_eq!(drain(&mut queue), [first, other, none]);
            queue.release(other);
            assert_eq!(drain(&mut queue), [other]);
            queue.remove(first);
            assert_eq!(drain(&mut queue), [second]);
        }
    }

    #[test]
    fn without_a_value_the_key_shares_one_limit() {
        let mut queue = queue(vec![rule("db", None, 2, false)]);
        let [first, second] = ["a", "b"].map(|value| push(&mut queue, &[("db", value)]));
        let third = push(&mut queue, &[("db", "c")]);
        assert_eq!(drain(&mut queue), [first, second]);
        queue.remove(second);
        assert_eq!(drain(&mut queue), [third]);
    }

    #[test]
    fn per_unique_value_gives_each_value_its_own_limit() {
        let mut queue = queue(vec![rule("db", None, 1, true)]);
        let [first, _, third] = ["a", "a", "b"].map(|value| push(&mut queue, &[("db", value)]));
        assert_eq!(drain(&mut queue), [first, third]);
    }

    #[test]
    fn a_limit_of_zero_blocks_for_ever() {
        let mut queue = queue(vec![rule("db", None, 0, false)]);
        push(&mut queue, &[("db", "a")]);
        let free = push(&mut queue, &[]);
        assert_eq!(drain(&mut queue), [free]);
    }

    #[test]
    fn an_entry_under_several_limits_needs_a_slot_of_each() {
        let mut queue = queue(vec![
            rule("db", None, 1, false),
            rule("api", None, 1, false),
        ]);
        let db = push(&mut queue, &[("db", "a")]);
        let api = push(&mut queue, &[("api", "a")]);
        let both = push(&mut queue, &[("db", "a"), ("api", "a")]);
        let later = push(&mut queue, &[("db", "a")]);
        assert_eq!(drain(&mut queue), [db, api]);
        // The first limit has a free slot for the entry but the second has none, so the next entry
        // goes.
        queue.remove(db);
        assert_eq!(drain(&mut queue), [later]);
        queue.remove(api);
        assert_eq!(drain(&mut queue), []);
        queue.remove(later);
        assert_eq!(drain(&mut queue), [both]);
    }

    #[test]
    fn a_key_that_is_given_twice_counts_once() {
        let mut queue = queue(vec![rule("db", None, 2, false), rule("db", None, 1, true)]);
        let both = push(&mut queue, &[("db", "a"), ("db", "b"), ("db", "a")]);
        push(&mut queue, &[("db", "b")]);
        let third = push(&mut queue, &[("db", "c")]);
        assert_eq!(drain(&mut queue), [both, third]);
    }

    #[test]
    fn counters_go_with_their_last_user() {
        let rules = vec![rule("db", None, 1, true), rule("db", None, 9, false)];
        let mut counters = Counters::new(rules, vec![("disk".into(), 9)]);
        for value in 0..1_000_u32 {
            let disk = [("disk".into(), value % 9 + 1)];
            let ids = counters.acquire(&[("db".into(), value.to_string())], &disk);
            assert_eq!((ids.len(), counters.by_name.len()), (3, 3));
            counters.abandon(&ids);
        }
        assert_eq!((counters.counters.len(), counters.by_name.len()), (3, 0));
        assert!(counters.pools[0].counters.is_empty());
    }
}
