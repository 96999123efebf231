//! All live backfills of this process, under one lock that is taken per batch, never per run.

mod control_requests;
mod nested_calls;
mod preemption;
mod shared_pools;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hashbrown::{HashMap, HashSet};

use super::assignment::{Assignment, Dispatch};
use super::live_backfill::{LiveBackfill, ResumePoint};
use super::nested_waits::NestedWaits;
use super::priority_gate::PriorityGate;
use super::{Execution, Progress, Snapshot};
use crate::backfill::{Event, Phase, Request, RunEnd, Status};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::queue::{Entry, EntryId, Limits, Queue};
use crate::store::failpoint::{Bug, is_planted};
use crate::store::{Commit, Key};

/// Number of uncommitted outcomes from which on workers wait for the writer.
const MAX_UNWRITTEN: usize = 16_384;

/// Number of uncommitted outcomes that are written without gathering more.
const GROUP_COMMIT_SIZE: usize = 1_024;

/// Minimum time between two scans of all assignments.
const SCAN_INTERVAL: Micros = 5_000;

/// A pool that live backfills use.
#[derive(Debug, Clone, Copy)]
struct UsedPool {
    /// Its slots in this process, as the repository declares them.
    declared: u32,
    /// Whether it is set in the storage.
    is_shared: bool,
}

/// All live backfills, and the queue that decides among them.
pub(super) struct Coordinator {
    queue: Queue,
    /// In order of their keys, so that equal events lead to equal decisions.
    live: BTreeMap<Key, LiveBackfill>,
    by_entry: HashMap<EntryId, Key>,
    unwritten: usize,
    /// A worker waits for stalled runs.
    pub(super) is_watched: bool,
    /// When assignments were last scanned for stalled runs, and whether there were unclaimed runs.
    scanned: Option<(Micros, bool)>,
    /// Number of workers waiting in `next_batch`.
    pub(super) idle_workers: usize,
    /// Backfills that stopped here without having ended, and why.
    pub(super) aborted: HashMap<Key, Error>,
    /// Backfills that ended or stopped here and are not in the result of `drain_finished` yet.
    pub(super) finished: Vec<Key>,
    /// Backfills that were aborted here, and how many workers still execute a run of each: until those
    /// are done the lease is kept.
    draining: BTreeMap<EntryId, (Key, usize)>,
    pub(super) closed: bool,
    /// Backfills with a commit that the storage has not answered yet.
    writing: Vec<Key>,
    /// Backfills that threads are taking over from other owners.
    pub(super) takeovers: HashSet<Key>,
    /// A thread reads and applies control requests.
    pub(super) is_polling: bool,
    /// The storage said that there may be control requests.
    pub(super) is_asked: bool,
    /// New backfills are refused unless a run launches them.
    pub(super) closing: bool,
    /// Number of submissions that have been let in and are not live yet.
    pub(super) submissions: u32,
    /// Runs that wait for other backfills.
    pub(super) nested_waits: NestedWaits,
    /// Number of slots of each pool.
    pub(super) pool_limits: HashMap<String, u32>,
    /// The pools that live backfills use.
    used_pools: BTreeMap<String, UsedPool>,
    /// The storage is asked about pools at once.
    pub(super) are_pools_due: bool,
    /// Closed while an urgent request is announced whose first run has not begun.
    gate: Option<PriorityGate>,
}

impl Coordinator {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            pool_limits: limits.pools.iter().cloned().collect(),
            queue: Queue::new(limits),
            live: BTreeMap::new(),
            by_entry: HashMap::new(),
            unwritten: 0,
            is_watched: false,
            scanned: None,
            idle_workers: 0,
            aborted: HashMap::new(),
            finished: Vec::new(),
            draining: BTreeMap::new(),
            closed: false,
            writing: Vec::new(),
            takeovers: HashSet::new(),
            is_polling: false,
            is_asked: false,
            used_pools: BTreeMap::new(),
            are_pools_due: false,
            closing: false,
            submissions: 0,
            nested_waits: NestedWaits::default(),
            gate: None,
        }
    }

    pub(super) fn admit(
        &mut self,
        key: Key,
        request: Request,
        plan: Arc<Plan>,
        resume_point: ResumePoint,
        execution: Execution,
    ) {
        let priority = request.priority;
        self.use_pools(&execution.pools);
        let entry = self.queue.push(Entry {
            priority,
            tags: request.tags.clone(),
            pools: execution.pools.clone(),
            max_concurrency: bounded(request.max_concurrency, execution.capacity)
                + u32::from(is_planted(Bug::ExceedConcurrency)),
        });
        self.aborted.remove(&key);
        self.by_entry.insert(entry, key);
        self.live.insert(
            key,
            LiveBackfill::new(entry, request, plan, resume_point, execution),
        );
        self.settle(key);
        if !self.queue.can_decide() {
            self.preempt_below(priority);
        }
    }

    /// Updates the queue and the writer after the state of a backfill changed.
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

    pub(super) fn can_dispatch(&mut self) -> bool {
        self.queue.can_decide()
    }

    /// Claims the next runs with at least `min_priority` for a worker.
    pub(super) fn dispatch(
        &mut self,
        leased_until: &Arc<AtomicI64>,
        min_priority: i64,
    ) -> Option<Dispatch> {
        let entry = self.queue.decide_from(min_priority)?;
        let key = *self.by_entry.get(&entry)?;
        let live = self.live.get_mut(&key)?;
        let Some(batch) = live.claim_batch() else {
            unreachable!("the queue only decides for entries that are ready");
        };
        let history = live.history(&batch.runs);
        if batch.runs.end - batch.runs.start > 1 {
            self.scanned = None;
        }
        let assignment =
            Assignment::new(batch.runs, Arc::clone(&live.stop), Arc::clone(leased_until));
        live.assignments.push(Arc::clone(&assignment));
        let dispatch = Dispatch {
            key,
            entry,
            plan: Arc::clone(&live.plan),
            request: Arc::clone(&live.request),
            assignment,
            history,
            blocked_by: batch.blocked_by,
            program: Arc::clone(&live.program),
            ends_preemption: self
                .gate
                .as_mut()
                .is_some_and(|gate| gate.dispatched(live.request.priority)),
        };
        self.settle(key);
        Some(dispatch)
    }

    /// Lets the runs start that have become due, by a retry or the rate limit. Returns when the next one
    /// is due.
    pub(super) fn start_due(&mut self, now: Micros) -> Option<Micros> {
        let due = |live: &mut LiveBackfill| live.refill_tokens(now) | live.start_due(now);
        let started = self
            .live
            .iter_mut()
            .filter_map(|(&key, live)| due(live).then_some(key));
        for key in started.collect::<Vec<_>>() {
            self.settle(key);
        }
        self.live
            .values()
            .filter_map(LiveBackfill::next_start)
            .min()
    }

    /// Whether retries are scheduled.
    pub(super) fn has_retries(&self) -> bool {
        self.live
            .values()
            .any(|live| live.retries.next_due().is_some())
    }

    /// Whether a worker has runs that could be taken back.
    pub(super) fn has_unclaimed(&self) -> bool {
        self.scanned.is_none_or(|(_, has_unclaimed)| has_unclaimed)
    }

    /// Takes back the runs behind a stalled one, so that other workers can execute them.
    ///
    /// With thousands of workers there is much to scan, so it is done every few milliseconds.
    pub(super) fn reclaim_stalled(&mut self, now: Micros) {
        let is_recent = |at: Micros| at <= now && now - at < SCAN_INTERVAL;
        if self.scanned.is_some_and(|(at, _)| is_recent(at)) {
            return;
        }
        let mut keys = Vec::new();
        for (&key, live) in &mut self.live {
            for index in 0..live.assignments.len() {
                if let Some(unclaimed) = live.assignments[index].yield_if_stalled(now) {
                    unclaimed.into_iter().for_each(|runs| live.yielded(runs));
                    keys.push(key);
                }
            }
        }
        for key in keys {
            self.settle(key);
        }
        let mut assignments = self.live.values().flat_map(|live| &live.assignments);
        let has_unclaimed = assignments.any(|assignment| assignment.unclaimed() > 0);
        self.scanned = Some((now, has_unclaimed));
    }

    /// Applies the outcomes that precede a stalled run, which its worker would only flush after it.
    ///
    /// `flush_values` is called before they are applied, if there are any: runs that need them find their values.
    pub(super) fn flush_stalled(&mut self, now: Micros, flush_values: impl Fn() -> Result<()>) {
        let assignments = self.live.iter().flat_map(|(&key, live)| {
            live.assignments
                .iter()
                .map(move |assignment| (key, live.entry, Arc::clone(assignment)))
        });
        for (key, entry, assignment) in assignments.collect::<Vec<_>>() {
            let ended = assignment.take_outcomes_if_stalled(now);
            if ended.is_empty() {
                continue;
            }
            match flush_values() {
                Ok(()) => self.apply_outcomes(key, entry, ended),
                // Its worker flushes them after the run, or says why it cannot.
                Err(_) => assignment.keep_all(ended),
            }
        }
    }

    /// Whether workers must wait for the writer before they flush more outcomes.
    pub(super) fn is_writer_behind(&self) -> bool {
        self.unwritten >= MAX_UNWRITTEN && !self.closed
    }

    /// Whether the writer should commit at once: there are many outcomes, or a backfill has ended.
    pub(super) fn must_write_now(&self) -> bool {
        let ends = |live: &LiveBackfill| live.state.phase() == Phase::Ended && !live.written_end;
        self.closed || self.unwritten >= GROUP_COMMIT_SIZE || self.live.values().any(ends)
    }

    /// The backfill of a queue entry, if it is still live under that entry. After it was abandoned here,
    /// and perhaps resumed, late outcomes are dropped, since those runs are executed again.
    fn still_live(&mut self, key: Key, entry: EntryId) -> Option<&mut LiveBackfill> {
        self.live.get_mut(&key).filter(|live| live.entry == entry)
    }

    /// Applies the outcomes of runs.
    pub(super) fn apply_outcomes(&mut self, key: Key, entry: EntryId, ends: Vec<RunEnd>) {
        if ends.is_empty() {
            return;
        }
        let Some(live) = self.still_live(key, entry) else {
            return;
        };
        let count = live.apply_outcomes(ends);
        self.unwritten += count;
        self.settle(key);
    }

    /// Takes back runs that the worker of a live assignment gave up.
    pub(super) fn given_back(&mut self, key: Key, entry: EntryId, runs: Range<u64>) {
        if let Some(live) = self.still_live(key, entry) {
            live.yielded(runs);
            self.settle(key);
        }
    }

    /// Ends an assignment and takes back what its worker did not begin. Returns `false` if the backfill
    /// is no longer live.
    pub(super) fn released(
        &mut self,
        key: Key,
        entry: EntryId,
        assignment: &Arc<Assignment>,
    ) -> bool {
        let Some(live) = self.still_live(key, entry) else {
            return false;
        };
        let before = live.assignments.len();
        live.assignments
            .retain(|other| !Arc::ptr_eq(other, assignment));
        if live.assignments.len() == before {
            return true; // It was ended by force, which released it.
        }
        assignment
            .yield_unclaimed()
            .into_iter()
            .for_each(|runs| live.yielded(runs));
        live.state.apply(Event::Released);
        if !is_planted(Bug::KeepSlot) {
            self.queue.release(entry);
        }
        self.settle(key);
        true
    }

    /// A worker left an aborted backfill. Returns its key if that was the last one: then the lease can be
    /// released, and the backfill is `drained`.
    pub(super) fn worker_left(&mut self, entry: EntryId) -> Option<Key> {
        let (key, workers) = self.draining.get_mut(&entry)?;
        *workers -= 1;
        (*workers == 0).then_some(*key)
    }

    pub(super) fn drained(&mut self, entry: EntryId) {
        self.draining.remove(&entry);
    }

    /// Whether a live backfill has pending runs, even if none may start now: that may change at any time,
    /// also from another process.
    pub(super) fn has_pending(&self) -> bool {
        self.live
            .values()
            .any(|live| live.state.runs_to_start() > 0)
    }

    /// Removes a backfill that has not ended; its workers notice between runs. With a `reason`, the caller
    /// counts as one of its workers until it calls `worker_left`.
    pub(super) fn abandon(&mut self, key: Key, reason: Option<Error>) -> Option<EntryId> {
        let mut entry = None;
        if let Some(live) = self.live.remove(&key) {
            live.stop.store(true, Ordering::Release);
            self.queue.remove(live.entry);
            self.by_entry.remove(&live.entry);
            self.unwritten -= live.outbox.len();
            if reason.is_some() {
                let workers = if is_planted(Bug::ForgetWorkers) {
                    1
                } else {
                    live.assignments.len() + 1
                };
                self.draining.insert(live.entry, (key, workers));
                entry = Some(live.entry);
            }
        }
        if let Some(reason) = reason {
            self.aborted.insert(key, reason);
            self.finished.push(key);
        }
        entry
    }

    /// Backfills that ended or stopped here and have no worker left.
    pub(super) fn unpublished(&self) -> impl Iterator<Item = Key> {
        let keys = self.finished.iter().copied();
        keys.filter(|&key| !self.is_draining(key))
    }

    /// The commits of all backfills with something new since the last call.
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
                    .assignments
                    .iter()
                    .filter_map(|assignment| assignment.current())
                    .collect(),
                stop: live.state.stop(),
                finished: ended.then(|| (counts.final_status(), now)),
            });
        }
        self.writing = commits.iter().map(|commit| commit.key).collect();
        commits
    }

    /// The storage has answered.
    pub(super) fn answered(&mut self) {
        self.writing.clear();
    }

    /// A commit is on disk: its counts may be published.
    pub(super) fn committed(&mut self, commit: &Commit) {
        self.unwritten -= commit.ended.len();
        let Some(live) = self.live.get_mut(&commit.key) else {
            return;
        };
        live.published = commit.counts;
        if matches!(commit.finished, Some((status, _)) if status != Status::InProgress) {
            self.abandon(commit.key, None);
            self.finished.push(commit.key);
        }
    }

    /// A commit failed: the backfill is aborted here and can be resumed.
    pub(super) fn failed(&mut self, commit: &Commit, reason: &Error) -> Option<EntryId> {
        self.unwritten -= commit.ended.len();
        self.abandon(commit.key, Some(reason.clone()))
    }

    /// Whether nothing is live here, nor will be once the present submissions are made.
    pub(super) fn is_idle(&self) -> bool {
        self.live.is_empty() && self.draining.is_empty() && self.submissions == 0
    }

    /// The queue entry of a live backfill.
    pub(super) fn entry_of(&self, key: Key) -> Option<EntryId> {
        self.live.get(&key).map(|live| live.entry)
    }

    /// The slots that each run of a live backfill takes, by pool.
    pub(super) fn pools_of(&self, key: Key) -> &[(String, u32)] {
        self.live.get(&key).map_or(&[], |live| &live.pools)
    }

    /// Lends the slots of a run to the queue; see `Queue::lend`.
    pub(super) fn lend(&mut self, entry: EntryId) -> bool {
        self.queue.lend(entry)
    }

    pub(super) fn want_back(&mut self) {
        self.queue.want_back();
    }

    pub(super) fn take_back(&mut self, entry: EntryId) -> bool {
        self.closed || self.queue.take_back(entry)
    }

    pub(super) fn is_live(&self, key: Key) -> bool {
        self.live.contains_key(&key)
    }

    /// Whether a worker still executes a run of a backfill that was aborted here, or a commit of it may still
    /// be written: a resume would execute what that records.
    pub(super) fn is_draining(&self, key: Key) -> bool {
        let is_written = !self.is_live(key) && self.writing.contains(&key);
        is_written || self.draining.values().any(|(other, _)| *other == key)
    }

    pub(super) fn draining_keys(&self) -> Vec<Key> {
        self.draining.values().map(|(key, _)| *key).collect()
    }

    pub(super) fn live_keys(&self) -> Vec<Key> {
        self.live.keys().copied().collect()
    }

    /// The snapshot of a live backfill by its id.
    pub(super) fn snapshot(&self, id: &str) -> Option<Snapshot> {
        let (key, live) = self.live.iter().find(|(_, live)| live.request.id == id)?;
        Some(Snapshot {
            request: Arc::clone(&live.request),
            num_partitions: live.plan.selection().len(),
            num_runs: live.plan.num_runs(),
            counts: live.published,
            paused: live.paused,
            is_written: self.writing.contains(key),
        })
    }

    pub(super) fn progress(&self, key: Key) -> Option<Progress> {
        let live = self.live.get(&key)?;
        let running = live
            .assignments
            .iter()
            .filter(|assignment| assignment.current().is_some())
            .count();
        Some(Progress {
            counts: live.published,
            runs_in_flight: running as u64,
        })
    }
}

/// The concurrency of a backfill where at most `capacity` runs can be executed at once.
fn bounded(max_concurrency: u32, capacity: Option<u32>) -> u32 {
    capacity.map_or(max_concurrency, |capacity| max_concurrency.min(capacity))
}
