//! What a backfill's failures have in common: how many partitions failed for which reason.

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use super::{BackfillRow, Key, Store};
use crate::backfill::{Cause, FailureRow, RunRow};
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Members, PositionSet, Selection};

/// A reason, and what failed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseCount {
    /// The reason.
    pub cause: Cause,
    /// How many partitions failed for it; one that failed for several counts for its first.
    pub partitions: u64,
    /// When the first run that met it ended.
    pub first_at: Micros,
    /// When the last one did.
    pub last_at: Micros,
    /// The first partition that failed for it.
    pub example: u64,
}

/// Why the partitions of one run failed: those with a reason of their own, and all others.
struct Reasons {
    own: HashMap<u64, i64>,
    others: Option<i64>,
}

impl Reasons {
    /// Of the run's failures, in the order in which they were recorded.
    fn new(failures: &[FailureRow]) -> Self {
        let mut own = HashMap::new();
        for row in failures {
            match (row.cause, row.partition) {
                (Some(cause), Some(partition)) => {
                    own.entry(partition).or_insert(cause);
                }
                (others @ Some(_), None) => return Self { own, others },
                (None, _) => {}
            }
        }
        Self { own, others: None }
    }
}

/// Calls `visit` for each run that failed, by number.
fn for_each_failed(
    store: &dyn Store,
    key: Key,
    mut failures: Vec<FailureRow>,
    mut visit: impl FnMut(RunRow, Reasons),
) -> Result<()> {
    // Stable, and quick: runs fail nearly in the order of their numbers.
    failures.sort_by_key(|row| row.run);
    let mut by_run = failures.chunk_by(|a, b| a.run == b.run).peekable();
    for run in store.runs(key, 0..u64::MAX)? {
        while by_run.next_if(|rows| rows[0].run < run.run).is_some() {}
        if let Some(rows) = by_run.next_if(|rows| rows[0].run == run.run) {
            visit(run, Reasons::new(rows));
        }
    }
    Ok(())
}

/// The reasons for which partitions of a backfill failed, in the order of their first runs.
///
/// # Errors
/// `Storage`.
pub fn causes(store: &dyn Store, row: &BackfillRow) -> Result<Vec<CauseCount>> {
    if row.counts.failed == 0 {
        return Ok(Vec::new());
    }
    let plan = store.plan(row.key)?;
    let mut ids: Vec<i64> = Vec::new();
    let mut places: HashMap<i64, usize> = HashMap::new();
    let mut counted: Vec<(u64, Micros, Micros, u64)> = Vec::new();
    let failures = store.failures(row.key, None)?;
    for_each_failed(store, row.key, failures, |run, reasons| {
        let mut count = |cause: i64, partitions: u64, example: &dyn Fn() -> u64| {
            let place = *places.entry(cause).or_insert_with(|| {
                ids.push(cause);
                counted.push((0, run.ended_at, run.ended_at, example()));
                ids.len() - 1
            });
            let (sum, first, last, _) = &mut counted[place];
            *sum += partitions;
            *first = run.ended_at.min(*first);
            *last = run.ended_at.max(*last);
        };
        let mut own: Vec<(u64, i64)> = reasons.own.iter().map(|(&at, &id)| (at, id)).collect();
        own.sort_unstable();
        for (partition, cause) in own {
            count(cause, 1, &|| partition);
        }
        let rest = plan.run_len(run.run) - reasons.own.len() as u64;
        if let Some(cause) = reasons.others.filter(|_| rest > 0) {
            count(cause, rest, &|| {
                let partitions = plan.run(run.run);
                let first = partitions.iter().find(|at| !reasons.own.contains_key(at));
                first.unwrap_or_else(|| partitions.nth(0))
            });
        }
    })?;
    let texts = store.causes(&ids)?.into_iter().map(|(_, cause)| cause);
    let count = |(cause, (partitions, first_at, last_at, example))| CauseCount {
        cause,
        partitions,
        first_at,
        last_at,
        example,
    };
    Ok(texts.zip(counted).map(count).collect())
}

/// The partitions of a backfill that failed for a reason of this type, in its order.
///
/// # Errors
/// `Storage`.
pub fn failed_with(store: &dyn Store, row: &BackfillRow, error_type: &str) -> Result<Selection> {
    let plan = store.plan(row.key)?;
    let failures = store.failures(row.key, None)?;
    let mut ids: Vec<i64> = failures.iter().filter_map(|row| row.cause).collect();
    ids.sort_unstable();
    ids.dedup();
    let texts = store.causes(&ids)?.into_iter();
    let wanted: Vec<i64> = texts
        .filter(|(_, cause)| cause.error_type == error_type)
        .map(|(id, _)| id)
        .collect();
    // `ids` is ascending, so what is left of them is.
    let is_wanted = |cause: i64| wanted.binary_search(&cause).is_ok();
    let mut failed = RoaringTreemap::new();
    for_each_failed(store, row.key, failures, |run, reasons| {
        let Reasons { own, others } = reasons;
        if others.is_some_and(is_wanted) {
            let partitions = plan.run(run.run);
            failed.extend(partitions.iter().filter(|at| !own.contains_key(at)));
        }
        let own = own.into_iter().filter(|(_, cause)| is_wanted(*cause));
        failed.extend(own.map(|(partition, _)| partition));
    })?;
    let set = Members::Explicit(PositionSet::ascending(failed));
    let failed = Selection::new(plan.selection().space().clone(), set);
    plan.selection()
        .intersection(&failed)
        .arranged_as(plan.selection())
}
