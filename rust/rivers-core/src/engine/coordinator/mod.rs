//! What is live in this process, under one lock that is taken per batch, never per run.

mod control_requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hashbrown::HashMap;

use super::assignment::{Hand, Taken};
use super::live_backfill::{Live, Rest};
use super::priority_gate::Way;
use super::{Execution, Progress, Standing};
use crate::backfill::{Event, Phase, Request, RunEnd, Status};
use crate::clock::Micros;
use crate::error::Error;
use crate::plan::Plan;
use crate::queue::{Entry, EntryId, Limits, Queue};
use crate::store::{Commit, Key};

/// Outcomes that may wait for the writer before workers wait for it too.
const MOST_UNWRITTEN: usize = 16_384;

/// So many are written at once.
const MANY_UNWRITTEN: usize = 1_024;

/// All live backfills, and the queue that decides among them.
pub(super) struct Hub {
    queue: Queue,
    live: HashMap<Key, Live>,
    by_entry: HashMap<EntryId, Key>,
    unwritten: usize,
    /// Workers waiting in `take`.
    pub(super) idle_workers: usize,
    /// Backfills that stopped here without having ended, and why.
    pub(super) broken: HashMap<Key, Error>,
    /// Backfills of which nobody has been told yet that they ended or stopped here.
    pub(super) ended: Vec<Key>,
    /// Backfills that stopped here for a reason, and how many are still at work with each: until they
    /// are done nobody else gets it.
    leaving: HashMap<EntryId, (Key, usize)>,
    pub(super) closed: bool,
    /// Made for an urgent request that is not being executed yet.
    way: Option<Way>,
}

impl Hub {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            queue: Queue::new(limits),
            live: HashMap::new(),
            by_entry: HashMap::new(),
            unwritten: 0,
            idle_workers: 0,
            broken: HashMap::new(),
            ended: Vec::new(),
            leaving: HashMap::new(),
            closed: false,
            way: None,
        }
    }

    pub(super) fn admit(
        &mut self,
        key: Key,
        request: Request,
        plan: Arc<Plan>,
        rest: Rest,
        execution: Execution,
    ) {
        let priority = request.priority;
        let entry = self.queue.push(Entry {
            priority,
            tags: request.tags.clone(),
            pools: execution.pools.clone(),
            max_concurrency: request.max_concurrency.min(execution.workers),
        });
        self.broken.remove(&key);
        self.by_entry.insert(entry, key);
        self.live
            .insert(key, Live::new(entry, request, plan, rest, execution));
        self.settle(key);
        if !self.queue.can_decide() {
            self.make_room(priority);
        }
    }

    /// Has what is below a priority give up what has not begun, and start nothing until the request that
    /// comes has begun.
    pub(super) fn make_way(&mut self, priority: i64, now: Micros) {
        if self
            .live
            .values()
            .any(|live| live.request.priority < priority)
        {
            self.way = Some(Way::open(self.way, priority, now));
            self.make_room(priority);
        }
    }

    /// A request that way was made for is in the queue.
    pub(super) fn is_queued(&mut self, priority: i64, now: Micros) {
        if let Some(way) = &mut self.way {
            way.queued(priority, now);
        }
    }

    pub(super) fn close_way(&mut self) {
        self.way = None;
    }

    /// Whether what has this priority is to make room.
    pub(super) fn is_in_the_way(&self, priority: i64) -> bool {
        self.way.is_some_and(|way| priority < way.priority)
    }

    /// What may start now has this priority at least, and until when that holds.
    pub(super) fn floor(&mut self, now: Micros) -> Option<(i64, Micros)> {
        let way = self.way?;
        let below = |live: &Live| live.request.priority < way.priority && !live.hands.is_empty();
        let can_go = self.queue.can_decide_from(way.priority) || self.live.values().any(below);
        self.way = Some(way).filter(|way| way.is_of_use(now, can_go));
        self.way.map(|way| (way.priority, way.until))
    }

    /// Has workers let go of what they have not begun for a lower priority: a slot comes free as soon
    /// as one of their runs ends, not their batch.
    fn make_room(&mut self, priority: i64) {
        let lower = self
            .live
            .iter_mut()
            .filter(|(_, live)| live.request.priority < priority);
        let mut keys = Vec::new();
        for (&key, live) in lower {
            live.take_back();
            keys.push(key);
        }
        for key in keys {
            self.settle(key);
        }
    }

    /// Tells the queue whether the backfill has runs to start, and the writer when it has ended.
    fn settle(&mut self, key: Key) {
        if let Some(live) = self.live.get_mut(&key) {
            let ready = live.is_ready();
            self.queue.set_ready(live.entry, ready);
            if live.state.phase() != Phase::Running {
                live.stop.store(true, Ordering::Release);
            }
            live.dirty = true;
        }
    }

    pub(super) fn can_take(&mut self) -> bool {
        self.queue.can_decide()
    }

    /// The next runs of this priority at least.
    pub(super) fn take(&mut self, leased_until: &Arc<AtomicI64>, least: i64) -> Option<Taken> {
        let entry = self.queue.decide_from(least)?;
        let key = *self.by_entry.get(&entry)?;
        let live = self.live.get_mut(&key)?;
        let Some(batch) = live.take_batch() else {
            unreachable!("the queue only decides for entries that are ready");
        };
        let earlier = live.retries.of(&batch.runs);
        let hand = Hand::new(batch.runs, Arc::clone(&live.stop), Arc::clone(leased_until));
        live.hands.push(Arc::clone(&hand));
        let taken = Taken {
            key,
            entry,
            plan: Arc::clone(&live.plan),
            request: Arc::clone(&live.request),
            hand,
            earlier,
            lost: batch.lost,
            program: Arc::clone(&live.program),
            has_way: self
                .way
                .as_mut()
                .is_some_and(|way| way.taken(live.request.priority)),
        };
        self.settle(key);
        Some(taken)
    }

    /// Lets the runs start whose time has come: the next attempt is due, or others started long enough
    /// ago. When the one after that is, if any waits.
    pub(super) fn wake_due(&mut self, now: Micros) -> Option<Micros> {
        let due = |live: &mut Live| live.fill_starts(now) | live.wake_due(now);
        let woken = self
            .live
            .iter_mut()
            .filter_map(|(&key, live)| due(live).then_some(key));
        for key in woken.collect::<Vec<_>>() {
            self.settle(key);
        }
        self.live.values().filter_map(Live::next_start).min()
    }

    /// Whether runs wait for their next attempt.
    pub(super) fn has_retries(&self) -> bool {
        self.live
            .values()
            .any(|live| live.retries.next_due().is_some())
    }

    /// Whether a worker holds runs that it has not begun.
    pub(super) fn has_unclaimed(&self) -> bool {
        self.live
            .values()
            .flat_map(|live| &live.hands)
            .any(|hand| hand.unclaimed() > 0)
    }

    /// Takes back what lies behind a slow run, so that others can have it.
    pub(super) fn reclaim_stalled(&mut self, now: Micros) {
        let mut keys = Vec::new();
        for (&key, live) in &mut self.live {
            for at in 0..live.hands.len() {
                if let Some(given_up) = live.hands[at].give_up_if_stalled(now) {
                    given_up.into_iter().for_each(|runs| live.returned(runs));
                    keys.push(key);
                }
            }
        }
        for key in keys {
            self.settle(key);
        }
    }

    /// Brings in what has ended before a slow run, which its worker will only bring after it.
    pub(super) fn bring_in_stalled(&mut self, now: Micros) {
        let hands = self.live.iter().flat_map(|(&key, live)| {
            live.hands
                .iter()
                .map(move |hand| (key, live.entry, Arc::clone(hand)))
        });
        for (key, entry, hand) in hands.collect::<Vec<_>>() {
            self.ended(key, entry, hand.take_ended_if_stalled(now));
        }
    }

    /// Whether workers must wait for the writer before they bring more.
    pub(super) fn is_full(&self) -> bool {
        self.unwritten >= MOST_UNWRITTEN && !self.closed
    }

    /// Whether what there is to write is to be written now: it is a lot, or somebody waits for an end.
    pub(super) fn is_pressing(&self) -> bool {
        let ends = |live: &Live| live.state.phase() == Phase::Ended && !live.written_end;
        self.closed || self.unwritten >= MANY_UNWRITTEN || self.live.values().any(ends)
    }

    /// The backfill that runs were taken from, if it is still that one: after it was abandoned here
    /// and perhaps resumed, late outcomes are dropped, since those runs are executed again.
    fn same(&mut self, key: Key, entry: EntryId) -> Option<&mut Live> {
        self.live.get_mut(&key).filter(|live| live.entry == entry)
    }

    /// Applies outcomes.
    pub(super) fn ended(&mut self, key: Key, entry: EntryId, ends: Vec<RunEnd>) {
        let brought = ends.len();
        if brought == 0 {
            return;
        }
        let Some(live) = self.same(key, entry) else {
            return;
        };
        live.bring_in(ends);
        self.unwritten += brought;
        self.settle(key);
    }

    /// Takes a worker's hand away, with what it did not begin. `false`: it is one of a backfill that
    /// is no longer live.
    pub(super) fn released(&mut self, key: Key, entry: EntryId, hand: &Arc<Hand>) -> bool {
        let Some(live) = self.same(key, entry) else {
            return false;
        };
        live.hands.retain(|other| !Arc::ptr_eq(other, hand));
        hand.give_up()
            .into_iter()
            .for_each(|runs| live.returned(runs));
        live.state.apply(Event::Released);
        self.queue.release(entry);
        self.settle(key);
        true
    }

    /// One less is at work with a backfill that stopped here. `Some`: nobody is; its lease can go
    /// back, and then it is `gone`.
    pub(super) fn left(&mut self, entry: EntryId) -> Option<Key> {
        let (key, at_work) = self.leaving.get_mut(&entry)?;
        *at_work -= 1;
        (*at_work == 0).then_some(*key)
    }

    pub(super) fn gone(&mut self, entry: EntryId) {
        self.leaving.remove(&entry);
    }

    /// Whether a backfill here has runs to start, though perhaps not now: that may change at any moment,
    /// and from another process.
    pub(super) fn has_waiting(&self) -> bool {
        self.live
            .values()
            .any(|live| live.state.runs_to_start() > 0)
    }

    /// Forgets a backfill that has not ended; its workers find out between runs. With a reason, the
    /// caller counts as one more at work with it, until it says that it `left`.
    pub(super) fn abandon(&mut self, key: Key, reason: Option<Error>) -> Option<EntryId> {
        let mut entry = None;
        if let Some(live) = self.live.remove(&key) {
            live.stop.store(true, Ordering::Release);
            self.queue.remove(live.entry);
            self.by_entry.remove(&live.entry);
            self.unwritten -= live.outbox.len();
            if reason.is_some() {
                self.leaving.insert(live.entry, (key, live.hands.len() + 1));
                entry = Some(live.entry);
            }
        }
        if let Some(reason) = reason {
            self.broken.insert(key, reason);
            self.ended.push(key);
        }
        entry
    }

    /// Backfills that ended or stopped here, and that nobody is at work with any more.
    pub(super) fn to_be_told(&self) -> impl Iterator<Item = Key> {
        let keys = self.ended.iter().copied();
        keys.filter(|&key| !self.is_leaving(key))
    }

    /// What is to be written: of each backfill all since the last time.
    pub(super) fn collect(&mut self, now: Micros, urgent_only: bool) -> Vec<Commit> {
        let mut commits = Vec::new();
        for (&key, live) in &mut self.live {
            let ended = live.state.phase() == Phase::Ended;
            let urgent = ended || !live.outbox.is_empty();
            if live.written_end || !live.dirty || (urgent_only && !urgent) {
                continue;
            }
            live.dirty = false;
            live.written_end = ended;
            let counts = live.state.counts();
            commits.push(Commit {
                key,
                ended: std::mem::take(&mut live.outbox),
                counts,
                in_flight: live
                    .hands
                    .iter()
                    .filter_map(|hand| hand.current())
                    .collect(),
                stop: live.state.stop(),
                finished: ended.then(|| (counts.final_status(), now)),
            });
        }
        commits
    }

    /// A commit is on disk: what it says may be told.
    pub(super) fn committed(&mut self, commit: &Commit) {
        self.unwritten -= commit.ended.len();
        let Some(live) = self.live.get_mut(&commit.key) else {
            return;
        };
        live.reported = commit.counts;
        if matches!(commit.finished, Some((status, _)) if status != Status::InProgress) {
            self.abandon(commit.key, None);
            self.ended.push(commit.key);
        }
    }

    /// A commit failed: the backfill stops here, and can be resumed.
    pub(super) fn failed(&mut self, commit: &Commit, reason: &Error) -> Option<EntryId> {
        self.unwritten -= commit.ended.len();
        self.abandon(commit.key, Some(reason.clone()))
    }

    pub(super) fn is_live(&self, key: Key) -> bool {
        self.live.contains_key(&key)
    }

    /// Whether a worker still executes a run of a backfill that stopped here.
    pub(super) fn is_leaving(&self, key: Key) -> bool {
        self.leaving.values().any(|(other, _)| *other == key)
    }

    pub(super) fn leaving_keys(&self) -> Vec<Key> {
        self.leaving.values().map(|(key, _)| *key).collect()
    }

    pub(super) fn live_keys(&self) -> Vec<Key> {
        self.live.keys().copied().collect()
    }

    /// A backfill by its id.
    pub(super) fn standing(&self, id: &str) -> Option<Standing> {
        let live = self.live.values().find(|live| live.request.id == id)?;
        Some(Standing {
            request: Arc::clone(&live.request),
            num_partitions: live.plan.selection().len(),
            num_runs: live.plan.num_runs(),
            counts: live.reported,
            paused: live.paused,
        })
    }

    pub(super) fn progress(&self, key: Key) -> Option<Progress> {
        let live = self.live.get(&key)?;
        let running = live
            .hands
            .iter()
            .filter(|hand| hand.current().is_some())
            .count();
        Some(Progress {
            counts: live.reported,
            runs_in_flight: running as u64,
        })
    }
}
