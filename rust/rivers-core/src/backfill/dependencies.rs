//! Which runs may start, where runs need what others make.
//!
//! Runs are looked at in the order of their numbers, no more than are wanted. One that needs a run that
//! has not ended waits for the last of those, and is looked at again when that ends. So nothing is kept
//! of a run but while it waits. A layer whose needs have all ended, without a failure, is not looked at
//! run by run.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use super::outcome::FailureRow;
use super::run_end::RunEnd;
use super::run_set::RunSet;
use crate::plan::{Link, Plan, Runs};

/// So many runs may wait; further ones are looked at when nothing else is left to do.
const MOST_WAITING: u64 = 16_384;

/// What is still to be started of a backfill.
#[derive(Debug, Clone)]
pub enum Todo {
    /// Runs that need nothing of each other.
    Free(RunSet),
    /// Runs with an order between them.
    Ordered(Box<Frontier>),
}

impl Todo {
    /// Of a plan of which `todo` is to be started and `failures` are recorded.
    pub fn new(plan: &Arc<Plan>, todo: RunSet, failures: &[FailureRow]) -> Self {
        if plan.links().is_empty() {
            Self::Free(todo)
        } else {
            Self::Ordered(Box::new(Frontier::new(Arc::clone(plan), todo, failures)))
        }
    }

    /// How many runs, whether they may start yet or not.
    pub fn len(&self) -> u64 {
        match self {
            Self::Free(runs) => runs.len(),
            Self::Ordered(frontier) => frontier.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a look at a run finds.
enum Found {
    /// All that it needs has been made.
    Ready,
    /// It needs a run that has not ended.
    Waits(u64),
    /// Something that it needs, through this link, was not made.
    Lost(usize),
}

/// The order between the runs of a plan in layers.
#[derive(Debug, Clone)]
pub struct Frontier {
    plan: Arc<Plan>,
    /// Not looked at, or to be looked at again.
    unseen: RunSet,
    ready: RunSet,
    /// By link, runs that need through it what was not made.
    lost: Vec<RunSet>,
    /// Runs that wait, by the run that they wait for.
    waiting: HashMap<u64, Vec<u64>>,
    num_waiting: u64,
    /// What has ended of the layers that others need.
    ended: RunSet,
    /// By layer, how many runs have not ended.
    left: Vec<u64>,
    /// By asset that is needed, what was not made of it.
    missed: HashMap<u32, RoaringTreemap>,
}

impl Frontier {
    /// The order of a plan of which `todo` is to be started and `failures` are recorded.
    pub fn new(plan: Arc<Plan>, todo: RunSet, failures: &[FailureRow]) -> Self {
        let mut ended = RunSet::default();
        let mut next = 0;
        for open in todo.stretches() {
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
            todo.stretches().map(within).sum()
        };
        let left = (0..plan.layers().len()).map(left).collect();
        let mut frontier = Self {
            lost: vec![RunSet::default(); plan.links().len()],
            missed: plan
                .links()
                .iter()
                .map(|link| (link.asset, RoaringTreemap::new()))
                .collect(),
            unseen: todo,
            ready: RunSet::default(),
            waiting: HashMap::new(),
            num_waiting: 0,
            ended,
            left,
            plan,
        };
        for row in failures {
            frontier.miss(row.run, row.asset, row.partition);
        }
        frontier
    }

    /// How many runs are still to be started.
    fn len(&self) -> u64 {
        let lost: u64 = self.lost.iter().map(RunSet::len).sum();
        self.unseen.len() + self.ready.len() + self.num_waiting + lost
    }

    /// Takes runs that may start, at most so many, the lowest first; or runs that cannot be executed,
    /// with the link through which they need what was not made. `idle`: nothing is in flight.
    pub fn take(&mut self, most: u64, idle: bool) -> Option<(Range<u64>, Option<usize>)> {
        self.look_ahead(most, idle);
        for (link, lost) in self.lost.iter_mut().enumerate() {
            if let Some(runs) = lost.take(most) {
                return Some((runs, Some(link)));
            }
        }
        self.ready.take(most).map(|runs| (runs, None))
    }

    /// Whether `take` would give runs.
    pub fn has_some(&mut self, idle: bool) -> bool {
        self.look_ahead(1, idle);
        !self.ready.is_empty() || self.lost.iter().any(|lost| !lost.is_empty())
    }

    /// Runs that were taken come back.
    pub fn put_back(&mut self, runs: Range<u64>) {
        self.unseen.insert(runs);
    }

    /// Takes a run out until it is put back; `false`: it was not to be started.
    pub fn hold(&mut self, run: u64) -> bool {
        self.unseen.remove(run)
    }

    /// A run has ended: what waited for it is looked at again.
    pub fn end(&mut self, end: &RunEnd) {
        let layer = self.plan.layer_of(end.run);
        self.left[layer] -= 1;
        if !self.plan.links().iter().any(|link| link.up == layer) {
            return;
        }
        self.ended.insert(end.run..end.run + 1);
        for failure in &end.failures {
            self.miss(end.run, failure.asset, failure.partition);
        }
        for run in self.waiting.remove(&end.run).unwrap_or_default() {
            self.num_waiting -= 1;
            self.unseen.insert(run..run + 1);
        }
    }

    /// An asset was not made: a partition, or all of the run's.
    fn miss(&mut self, run: u64, asset: u32, partition: Option<u64>) {
        if let Some(missed) = self.missed.get_mut(&asset) {
            match partition {
                Some(partition) => _ = missed.insert(partition),
                None => *missed |= self.plan.run(run).to_treemap(),
            }
        }
    }

    /// Looks at runs until so many are found that may start.
    fn look_ahead(&mut self, wanted: u64, idle: bool) {
        while self.ready.len() < wanted
            && let Some(first) = self.unseen.first()
        {
            let layer = self.plan.layer_of(first);
            if self.is_free(layer) {
                let most = wanted - self.ready.len();
                let runs = self.plan.runs_of(layer).end - first;
                if let Some(runs) = self.unseen.take(runs.min(most)) {
                    self.ready.insert(runs);
                }
                continue;
            }
            // While something may still end, what waits is enough.
            let busy = !idle || !self.ready.is_empty();
            if self.num_waiting >= MOST_WAITING && busy {
                break;
            }
            self.unseen.take(1);
            match self.look_at(first, layer) {
                Found::Ready => self.ready.insert(first..first + 1),
                Found::Lost(link) => self.lost[link].insert(first..first + 1),
                Found::Waits(run) => {
                    self.waiting.entry(run).or_default().push(first);
                    self.num_waiting += 1;
                }
            }
        }
    }

    /// Whether all that the layer needs was made.
    fn is_free(&self, layer: usize) -> bool {
        let made = |link: &Link| {
            link.up != layer && self.left[link.up] == 0 && self.missed[&link.asset].is_empty()
        };
        self.plan
            .links()
            .iter()
            .filter(|link| link.down == layer)
            .all(made)
    }

    fn look_at(&self, run: u64, layer: usize) -> Found {
        let mut lost = None;
        for (place, link) in self.plan.links().iter().enumerate() {
            let missed = &self.missed[&link.asset];
            if link.down != layer || (self.left[link.up] == 0 && missed.is_empty()) {
                continue;
            }
            let need = self.plan.need(run, link);
            let open = match &need.runs {
                Runs::Listed(runs) => runs.iter().rev().copied().find(|&run| self.is_open(run)),
                Runs::Within(runs) => self.ended.last_missing(runs.clone()),
            };
            if let Some(open) = open {
                return Found::Waits(open);
            }
            let is_lost = || {
                let (few, many) = (&need.partitions, missed);
                if few.len() <= many.len() {
                    few.iter().any(|partition| many.contains(partition))
                } else {
                    many.iter().any(|partition| few.contains(partition))
                }
            };
            if lost.is_none() && !missed.is_empty() && is_lost() {
                lost = Some(place);
            }
        }
        lost.map_or(Found::Ready, Found::Lost)
    }

    fn is_open(&self, run: u64) -> bool {
        self.ended.last_missing(run..run + 1).is_some()
    }
}
