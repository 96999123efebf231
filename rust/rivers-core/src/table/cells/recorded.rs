//! What has happened to the runs of a backfill, as sets that are kept between two looks at it.

use std::collections::BTreeMap;
use std::ops::Range;

use hashbrown::{HashMap, HashSet};
use roaring::RoaringTreemap;

use crate::backfill::{FailureRow, RunRow, SkipRow, Status};
use crate::error::Result;
use crate::plan::Plan;
use crate::store::queries::coverage::Coverage;
use crate::store::{BackfillRow, Key, Records};
use crate::table::states::PartitionStatus;

/// Number of runs that are read at once.
const CHUNK: u64 = 1 << 20;

/// Number of runs from which on it is cheaper to unpack all of them than to find out which have ended.
const MIN_SPLIT: u64 = 1 << 16;

/// Maximum number of ended runs between two gaps that are read as one: about a segment.
const MAX_BETWEEN: u64 = 1 << 14;

/// Maximum number of runs whose failures are read one by one.
const MAX_RUNS_READ: usize = 32;

/// The outcomes of a backfill's runs. Its size grows with what is irregular, at most a few bits a run.
#[derive(Debug, Default)]
pub struct Recorded {
    status: Option<Status>,
    /// Runs that have ended.
    ended: RoaringTreemap,
    /// Runs of which every partition failed.
    failed: RoaringTreemap,
    /// The failed partitions of other runs.
    partly_failed: BTreeMap<u64, HashSet<u64>>,
    /// Runs that skipped every partition that did not fail.
    skipped: RoaringTreemap,
    /// The skipped partitions of other runs.
    partly_skipped: BTreeMap<u64, HashSet<u64>>,
    /// Runs in flight, ascending.
    running: Vec<u64>,
}

impl Recorded {
    /// Reads what was recorded since the last call.
    ///
    /// # Errors
    /// `Storage`.
    pub fn refresh(&mut self, store: &dyn Records, row: &BackfillRow, plan: &Plan) -> Result<()> {
        if self.status.is_some_and(has_ended) {
            return Ok(());
        }
        let ended = has_ended(row.status);
        if ended && row.counts.canceled == 0 {
            // Every run has ended, so only what is special about some of them is read.
            self.ended.insert_range(0..plan.num_runs());
            self.failed.clear();
            self.partly_failed.clear();
            self.read_failures(store, row, plan)?;
        } else if self.status.is_none() {
            self.read_first(store, row, plan)?;
        } else {
            self.read_runs(store, row, plan)?;
        }
        self.skipped.clear();
        self.partly_skipped.clear();
        for skip in store.skips(row.key, None)? {
            self.add_skip(&skip);
        }
        self.running = row.in_flight.iter().map(|(run, _)| *run).collect();
        self.running.retain(|&run| !self.ended.contains(run));
        self.running.sort_unstable();
        self.running.dedup();
        self.status = Some(row.status);
        Ok(())
    }

    /// Reads a backfill that has not been looked at: where all runs of a range have ended, none is unpacked.
    fn read_first(&mut self, store: &dyn Records, row: &BackfillRow, plan: &Plan) -> Result<()> {
        let coverage = Coverage::new(store, row.key)?;
        let ranges = coverage.split(0..plan.num_runs(), MIN_SPLIT)?;
        for full in ranges.full {
            self.ended.insert_range(full);
        }
        for mixed in ranges.mixed {
            for_each_ended(store, row.key, mixed, |run| {
                self.ended.insert(run.run);
            })?;
        }
        self.read_failures(store, row, plan)
    }

    /// Reads the failures of all runs that have ended.
    fn read_failures(&mut self, store: &dyn Records, row: &BackfillRow, plan: &Plan) -> Result<()> {
        if row.counts.failed > 0 {
            for failure in store.failures(row.key, None)? {
                // A run that has ended since is read at the next look.
                if self.ended.contains(failure.run) {
                    self.add_failure(&failure, plan);
                }
            }
        }
        Ok(())
    }

    /// Reads the runs that had not ended at the last look.
    fn read_runs(&mut self, store: &dyn Records, row: &BackfillRow, plan: &Plan) -> Result<()> {
        let Some(highest) = store.run_before(row.key, plan.num_runs())? else {
            return Ok(());
        };
        let mut partly: HashMap<u64, u64> = HashMap::new();
        for gap in self.gaps(highest.run + 1) {
            for_each_ended(store, row.key, gap, |run| {
                self.add_run(&run, plan, &mut partly);
            })?;
        }
        if partly.is_empty() {
            return Ok(());
        }
        if partly.len() <= MAX_RUNS_READ {
            for &run in partly.keys() {
                for failure in store.failures(row.key, Some(run))? {
                    self.add_failure(&failure, plan);
                }
            }
        } else {
            for failure in store.failures(row.key, None)? {
                if partly.contains_key(&failure.run) {
                    self.add_failure(&failure, plan);
                }
            }
        }
        Ok(())
    }

    /// The runs below `end` that had not ended at the last look; gaps with few runs between them are one.
    fn gaps(&self, end: u64) -> Vec<Range<u64>> {
        let (mut gaps, mut next): (Vec<Range<u64>>, u64) = (Vec::new(), 0);
        let mut add = |gap: Range<u64>| match gaps.last_mut() {
            _ if gap.is_empty() => {}
            Some(last) if gap.start - last.end <= MAX_BETWEEN => last.end = gap.end,
            Some(_) | None => gaps.push(gap),
        };
        for ended in spans(&self.ended, 0..end) {
            add(next..ended.start);
            next = ended.end;
        }
        add(next..end);
        gaps
    }

    fn add_run(&mut self, run: &RunRow, plan: &Plan, partly: &mut HashMap<u64, u64>) {
        if !self.ended.insert(run.run) || run.failed == 0 {
            return;
        }
        if run.failed >= plan.run_len(run.run) {
            self.failed.insert(run.run);
        } else {
            partly.insert(run.run, run.failed);
        }
    }

    fn add_failure(&mut self, failure: &FailureRow, plan: &Plan) {
        if failure.cause.is_none() || self.failed.contains(failure.run) {
            return;
        }
        let run = failure.run;
        let is_whole = match failure.partition {
            None => true,
            Some(partition) => {
                let partitions = self.partly_failed.entry(run).or_default();
                partitions.insert(partition);
                partitions.len() as u64 >= plan.run_len(run)
            }
        };
        if is_whole {
            self.partly_failed.remove(&run);
            self.failed.insert(run);
        }
    }

    fn add_skip(&mut self, skip: &SkipRow) {
        // A run that failed as a whole skipped nothing that counts.
        if self.failed.contains(skip.run) || !self.ended.contains(skip.run) {
            return;
        }
        match skip.partition {
            None => {
                self.skipped.insert(skip.run);
            }
            Some(partition) => {
                let partitions = self.partly_skipped.entry(skip.run).or_default();
                partitions.insert(partition);
            }
        }
    }

    /// Whether the backfill has not ended, so that other runs are pending or running.
    pub fn is_open(&self) -> bool {
        !self.status.is_some_and(has_ended)
    }

    /// The runs of a layer that have ended.
    pub fn ended(&self, runs: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        spans(&self.ended, runs)
    }

    /// The runs of a layer of which every partition failed.
    pub fn failed(&self, runs: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        spans(&self.failed, runs)
    }

    /// The runs of a layer that skipped every partition which did not fail.
    pub fn skipped(&self, runs: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        spans(&self.skipped, runs)
    }

    /// The runs of a layer that are in flight.
    pub fn running(&self, runs: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        self.running
            .iter()
            .copied()
            .filter(move |run| runs.contains(run))
    }

    /// Calls `visit` with each partition that failed or was skipped on its own, with its state, and with
    /// whether its run skipped all that did not fail.
    pub fn for_each_single(
        &self,
        runs: Range<u64>,
        mut visit: impl FnMut(u64, PartitionStatus, bool),
    ) {
        for (run, failed) in self.partly_failed.range(runs.clone()) {
            for &partition in failed {
                visit(
                    partition,
                    PartitionStatus::Failed,
                    self.skipped.contains(*run),
                );
            }
        }
        for (run, skipped) in self.partly_skipped.range(runs) {
            if self.skipped.contains(*run) {
                continue;
            }
            let failed = self.partly_failed.get(run);
            for partition in skipped {
                if !failed.is_some_and(|failed| failed.contains(partition)) {
                    visit(*partition, PartitionStatus::Skipped, false);
                }
            }
        }
    }
}

/// Calls `visit` with the ended runs whose number is in a range, some at a time.
fn for_each_ended(
    store: &dyn Records,
    key: Key,
    numbers: Range<u64>,
    mut visit: impl FnMut(RunRow),
) -> Result<()> {
    let mut start = numbers.start;
    while start < numbers.end {
        let end = numbers.end.min(start.saturating_add(CHUNK));
        for run in &store.ended_runs(key, start..end)? {
            visit(run?);
        }
        start = end;
    }
    Ok(())
}

fn has_ended(status: Status) -> bool {
    status != Status::InProgress
}

/// The members of a set within `bounds`, as ranges.
pub(super) fn spans(
    set: &RoaringTreemap,
    bounds: Range<u64>,
) -> impl Iterator<Item = Range<u64>> + '_ {
    let low = (bounds.start >> 32) as u32;
    let high = (bounds.end.saturating_sub(1) >> 32) as u32;
    set.bitmaps()
        .filter(move |(key, _)| (low..=high).contains(key))
        .flat_map(move |(key, bitmap)| {
            let base = u64::from(key) << 32;
            let mut members = bitmap.iter();
            std::iter::from_fn(move || members.next_range()).map(move |range| {
                base + u64::from(*range.start())..base + u64::from(*range.end()) + 1
            })
        })
        .map(move |range| range.start.max(bounds.start)..range.end.min(bounds.end))
        .filter(|range| !range.is_empty())
}
