//! Which runs may start, if runs need what other runs materialize.
//!
//! Runs are checked in the order of their numbers, and no more of them than are requested. A run that
//! needs runs which have not ended waits for the last of those, and is checked again when that ends: so
//! only runs that wait take memory. A layer whose upstream layers have all ended without a failure is
//! not checked run by run.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use super::outcome::FailureRow;
use super::run_end::RunEnd;
use super::run_set::RunSet;
use crate::plan::{Link, Plan, Runs};

/// Maximum number of runs that wait for others; further runs are checked when nothing else is left to do.
const MAX_WAITING: u64 = 16_384;

/// The runs of a backfill that are still to be started.
#[derive(Debug, Clone)]
pub enum PendingRuns {
    /// Runs that do not need each other.
    Independent(RunSet),
    /// Runs that need other runs of the backfill.
    Ordered(Box<DependencyTracker>),
}

impl PendingRuns {
    /// The `pending` runs of a plan whose recorded failures are `failures`.
    pub fn new(plan: &Arc<Plan>, pending: RunSet, failures: &[FailureRow]) -> Self {
        if plan.links().is_empty() {
            Self::Independent(pending)
        } else {
            Self::Ordered(Box::new(DependencyTracker::new(
                Arc::clone(plan),
                pending,
                failures,
            )))
        }
    }

    /// Number of runs, whether they may start yet or not.
    pub fn len(&self) -> u64 {
        match self {
            Self::Independent(runs) => runs.len(),
            Self::Ordered(tracker) => tracker.len(),
        }
    }

    /// Whether no run is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether a run may start.
enum Readiness {
    /// All that it needs has been materialized.
    Ready,
    /// It needs this run, which has not ended.
    Waiting(u64),
    /// Something that it needs, through this link, was not materialized.
    Blocked(usize),
}

/// Tracks which runs of a plan in layers may start.
#[derive(Debug, Clone)]
pub struct DependencyTracker {
    plan: Arc<Plan>,
    /// Runs that were not checked yet, or have to be checked again.
    unchecked: RunSet,
    ready: RunSet,
    /// By link, runs that need through it what was not materialized.
    blocked: Vec<RunSet>,
    /// Runs that wait, by the run that they wait for.
    waiting: HashMap<u64, Vec<u64>>,
    num_waiting: u64,
    /// Ended runs of the layers that others need.
    ended: RunSet,
    /// By layer, number of runs that have not ended.
    left: Vec<u64>,
    /// By asset that others need, the partitions that were not materialized.
    not_materialized: HashMap<u32, RoaringTreemap>,
}

impl DependencyTracker {
    /// Tracks a plan of which `pending` is to be started and `failures` are recorded.
    pub fn new(plan: Arc<Plan>, pending: RunSet, failures: &[FailureRow]) -> Self {
        let mut ended = RunSet::default();
        let mut next = 0;
        for open in pending.ranges() {
            ended.insert(next..open.start);
            next = open.end;
        }
        ended.insert(next..plan.num_runs());
        let left = |layer| {
            let own = plan.runs_of(layer);
            let within = |open: Range<u64>| {
                let end = open.end.min(own.end);
                end.saturating_sub(open.start.max(own.start))
            };
            pending.ranges().map(within).sum()
        };
        let left = (0..plan.layers().len()).map(left).collect();
        let mut tracker = Self {
            blocked: vec![RunSet::default(); plan.links().len()],
            not_materialized: plan
                .links()
                .iter()
                .map(|link| (link.asset, RoaringTreemap::new()))
                .collect(),
            unchecked: pending,
            ready: RunSet::default(),
            waiting: HashMap::new(),
            num_waiting: 0,
            ended,
            left,
            plan,
        };
        for row in failures {
            tracker.record_failure(row.run, row.asset, row.partition);
        }
        tracker
    }

    /// Number of runs that are still to be started.
    fn len(&self) -> u64 {
        let blocked: u64 = self.blocked.iter().map(RunSet::len).sum();
        self.unchecked.len() + self.ready.len() + self.num_waiting + blocked
    }

    /// Takes up to `max` runs that may start, lowest first; or blocked runs, with the link through which
    /// they need what was not materialized. `idle` is whether nothing is in flight.
    pub fn take(&mut self, max: u64, idle: bool) -> Option<(Range<u64>, Option<usize>)> {
        self.fill_ready(max, idle);
        for (link, blocked) in self.blocked.iter_mut().enumerate() {
            if let Some(runs) = blocked.take(max) {
                return Some((runs, Some(link)));
            }
        }
        self.ready.take(max).map(|runs| (runs, None))
    }

    /// Whether `take` would return runs.
    pub fn has_next(&mut self, idle: bool) -> bool {
        self.fill_ready(1, idle);
        !self.ready.is_empty() || self.blocked.iter().any(|blocked| !blocked.is_empty())
    }

    /// Puts back runs that were taken.
    pub fn put_back(&mut self, runs: Range<u64>) {
        self.unchecked.insert(runs);
    }

    /// Removes a run until it is put back. Returns `false` if it was not to be started.
    pub fn withhold(&mut self, run: u64) -> bool {
        self.unchecked.remove(run)
    }

    /// Notes that a run has ended: runs that waited for it are checked again.
    pub fn end(&mut self, end: &RunEnd) {
        let layer = self.plan.layer_of(end.run);
        self.left[layer] -= 1;
        if !self.plan.links().iter().any(|link| link.up == layer) {
            return;
        }
        self.ended.insert(end.run..end.run + 1);
        for failure in &end.failures {
            self.record_failure(end.run, failure.asset, failure.partition);
        }
        for run in self.waiting.remove(&end.run).unwrap_or_default() {
            self.num_waiting -= 1;
            self.unchecked.insert(run..run + 1);
        }
    }

    /// Records that an asset was not materialized: one partition, or all of the run's.
    fn record_failure(&mut self, run: u64, asset: u32, partition: Option<u64>) {
        if let Some(not_materialized) = self.not_materialized.get_mut(&asset) {
            match partition {
                Some(partition) => _ = not_materialized.insert(partition),
                None => *not_materialized |= self.plan.run(run).to_treemap(),
            }
        }
    }

    /// Checks runs until `wanted` are ready.
    fn fill_ready(&mut self, wanted: u64, idle: bool) {
        while self.ready.len() < wanted
            && let Some(first) = self.unchecked.first()
        {
            let layer = self.plan.layer_of(first);
            if self.is_unblocked(layer) {
                let max = wanted - self.ready.len();
                let runs = self.plan.runs_of(layer).end - first;
                if let Some(runs) = self.unchecked.take(runs.min(max)) {
                    self.ready.insert(runs);
                }
                continue;
            }
            // While something may still end, the runs that wait are enough.
            let busy = !idle || !self.ready.is_empty();
            if self.num_waiting >= MAX_WAITING && busy {
                break;
            }
            self.unchecked.take(1);
            match self.readiness(first, layer) {
                Readiness::Ready => self.ready.insert(first..first + 1),
                Readiness::Blocked(link) => self.blocked[link].insert(first..first + 1),
                Readiness::Waiting(run) => {
                    self.waiting.entry(run).or_default().push(first);
                    self.num_waiting += 1;
                }
            }
        }
    }

    /// Whether all that the layer needs has been materialized.
    fn is_unblocked(&self, layer: usize) -> bool {
        let made = |link: &Link| {
            link.up != layer
                && self.left[link.up] == 0
                && (link.allow_missing || self.not_materialized[&link.asset].is_empty())
        };
        self.plan
            .links()
            .iter()
            .filter(|link| link.down == layer)
            .all(made)
    }

    fn readiness(&self, run: u64, layer: usize) -> Readiness {
        let mut blocked = None;
        for (index, link) in self.plan.links().iter().enumerate() {
            let not_materialized = &self.not_materialized[&link.asset];
            let is_over = self.left[link.up] == 0;
            if link.down != layer
                || (is_over && (link.allow_missing || not_materialized.is_empty()))
            {
                continue;
            }
            let need = self.plan.need(run, link);
            let open = match &need.runs {
                Runs::Listed(runs) => runs
                    .iter()
                    .rev()
                    .copied()
                    .find(|&run| self.has_not_ended(run)),
                Runs::Within(runs) => self.ended.last_absent(runs.clone()),
            };
            if let Some(open) = open {
                return Readiness::Waiting(open);
            }
            let is_blocked = || {
                let (few, many) = (&need.partitions, not_materialized);
                if few.len() <= many.len() {
                    few.iter().any(|partition| many.contains(partition))
                } else {
                    many.iter().any(|partition| few.contains(partition))
                }
            };
            let may_block = !link.allow_missing && !not_materialized.is_empty();
            if blocked.is_none() && may_block && is_blocked() {
                blocked = Some(index);
            }
        }
        blocked.map_or(Readiness::Ready, Readiness::Blocked)
    }

    fn has_not_ended(&self, run: u64) -> bool {
        self.ended.last_absent(run..run + 1).is_some()
    }
}
