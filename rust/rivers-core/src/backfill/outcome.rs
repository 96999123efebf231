//! What the records of a backfill say about its partitions: completed, failed, materialized for an
//! asset. None of it is stored twice: it follows from the plan and the runs.

use std::ops::Range;

use hashbrown::{HashMap, HashSet};
use roaring::RoaringTreemap;

use crate::clock::Micros;
use crate::plan::{Plan, Strategy};

/// The record of a run that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunRow {
    /// The run's number.
    pub run: u64,
    /// When the run began.
    pub started_at: Micros,
    /// When the run ended.
    pub ended_at: Micros,
    /// Number of its partitions that failed.
    pub failed: u64,
}

/// The record of something that a run did not materialize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRow {
    /// The run's number.
    pub run: u64,
    /// Index of the asset in the request.
    pub asset: u32,
    /// The partition; `None`: all partitions of the run.
    pub partition: Option<u64>,
    /// The id of the recorded reason; `None`: skipped.
    pub cause: Option<i64>,
    /// The id of the reason's fingerprint; `None`: it was not recorded.
    pub family: Option<i64>,
}

/// The record of facts about what a run materialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRow {
    /// The run's number.
    pub run: u64,
    /// Index of the asset in the request.
    pub asset: u32,
    /// The partition; `None`: all partitions of the run that have no facts of their own.
    pub partition: Option<u64>,
    /// The id of the recorded facts.
    pub body: i64,
}

/// The failures of a backfill, by run.
#[derive(Debug, Default)]
pub struct Failures {
    by_run: HashMap<u64, Vec<FailureRow>>,
}

impl FromIterator<FailureRow> for Failures {
    fn from_iter<I: IntoIterator<Item = FailureRow>>(rows: I) -> Self {
        let mut by_run: HashMap<u64, Vec<FailureRow>> = HashMap::new();
        for row in rows {
            by_run.entry(row.run).or_default().push(row);
        }
        Self { by_run }
    }
}

/// The partitions of a run that failed or were skipped.
#[derive(Debug, PartialEq, Eq)]
pub enum FailedPart {
    /// No partition.
    None,
    /// All partitions.
    All,
    /// These partitions.
    Some(HashSet<u64>),
}

impl FailedPart {
    /// Whether a partition of the run is among them.
    pub fn has(&self, partition: u64) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(partitions) => partitions.contains(&partition),
        }
    }
}

impl Failures {
    /// The partitions of a run that `asset` did not materialize, or (`None`) that failed in the backfill.
    pub fn failed_part(&self, run: u64, asset: Option<u32>) -> FailedPart {
        let Some(rows) = self.by_run.get(&run) else {
            return FailedPart::None;
        };
        let counted = rows.iter().filter(|row| match asset {
            Some(asset) => row.asset == asset,
            None => row.cause.is_some(),
        });
        let mut some = HashSet::new();
        for row in counted {
            match row.partition {
                None => return FailedPart::All,
                Some(partition) => some.insert(partition),
            };
        }
        if some.is_empty() {
            FailedPart::None
        } else {
            FailedPart::Some(some)
        }
    }

    /// The first reason for which a partition of the run failed.
    pub fn cause(&self, run: u64, partition: u64) -> Option<i64> {
        let rows = self.by_run.get(&run)?;
        let own = rows
            .iter()
            .filter(|row| row.partition.is_none_or(|own| own == partition));
        own.filter_map(|row| row.cause).next()
    }
}

/// The partitions of a layer's ended runs in which nothing failed (`asset` is `None`), or in which `asset` did
/// not fail: it materialized or skipped them, or was materialized before.
pub fn done(
    plan: &Plan,
    layer: usize,
    ended: &[RunRow],
    failures: &Failures,
    asset: Option<u32>,
) -> RoaringTreemap {
    let mut done = RoaringTreemap::new();
    let runs = plan.runs_of(layer);
    let own = &plan.layers()[layer];
    // Runs in order that did not fail are taken together, where each is a span of the selection.
    let per_run = match own.strategy() {
        Strategy::MultiRun => Some(1),
        Strategy::Chunked { n } => Some(n.get()),
        Strategy::SingleRun | Strategy::PerDimension { .. } => None,
    };
    let mut span: Range<u64> = 0..0;
    let add = |span: &Range<u64>, done: &mut RoaringTreemap| {
        if let (Some(per_run), false) = (per_run, span.is_empty()) {
            let positions = span.start * per_run..(span.end * per_run).min(own.selection().len());
            *done |= own.selection().span(positions).to_treemap();
        }
    };
    for row in rows_of(ended, &runs) {
        if row.failed == 0 && per_run.is_some() {
            let run = row.run - runs.start;
            if run != span.end {
                add(&span, &mut done);
                span = run..run;
            }
            span.end = run + 1;
            continue;
        }
        let failed_part = if row.failed == 0 {
            FailedPart::None
        } else {
            failures.failed_part(row.run, asset)
        };
        if failed_part == FailedPart::All {
            continue;
        }
        let mut own = plan.run(row.run).to_treemap();
        if let FailedPart::Some(failed) = &failed_part {
            failed
                .iter()
                .for_each(|&partition| _ = own.remove(partition));
        }
        done |= own;
    }
    add(&span, &mut done);
    done
}

/// The partitions of a layer for which `asset` was to be executed and failed, or was not executed for a failure.
pub fn failed(plan: &Plan, layer: usize, failures: &Failures, asset: u32) -> RoaringTreemap {
    let runs = plan.runs_of(layer);
    let mut failed = RoaringTreemap::new();
    for &run in failures.by_run.keys().filter(|run| runs.contains(run)) {
        match failures.failed_part(run, Some(asset)) {
            FailedPart::None => {}
            FailedPart::All => failed |= plan.run(run).to_treemap(),
            FailedPart::Some(partitions) => failed.extend(partitions),
        }
    }
    failed
}

/// The records of `runs`, from records that ascend by number.
pub fn rows_of<'a>(ended: &'a [RunRow], runs: &Range<u64>) -> &'a [RunRow] {
    let before = |number| ended.partition_point(|row| row.run < number);
    &ended[before(runs.start)..before(runs.end)]
}
