//! What a backfill's failures have in common: how many partitions failed for which reason.

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use super::{BackfillRow, Key, Store};
use crate::backfill::error_fingerprint::fingerprint;
use crate::backfill::{FailureRow, RunRow};
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Members, PositionSet, Selection};

/// What failures have in common, and what failed so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseCount {
    /// The type of the error.
    pub error_type: String,
    /// Its message, without what varies.
    pub message: String,
    /// How many partitions failed so; one that failed for several reasons counts for its first.
    pub partitions: u64,
    /// When the first run that met it ended.
    pub first_at: Micros,
    /// When the last one did.
    pub last_at: Micros,
    /// The first partition that failed so, as text.
    pub example: String,
    /// Where that happened, if it was an exception.
    pub traceback: Option<String>,
}

/// Where a reason stands, and what it has in common with others.
#[derive(Clone, Copy)]
struct Reason {
    cause: i64,
    family: Option<i64>,
}

/// Why the partitions of one run failed: those with a reason of their own, and all others.
struct Reasons {
    own: HashMap<u64, Reason>,
    others: Option<Reason>,
}

impl Reasons {
    /// Of the run's failures, in the order in which they were recorded.
    fn new(failures: &[FailureRow]) -> Self {
        let mut own = HashMap::new();
        for row in failures {
            let Some(cause) = row.cause else { continue };
            let family = row.family;
            let reason = Reason { cause, family };
            match row.partition {
                Some(partition) => {
                    own.entry(partition).or_insert(reason);
                }
                None => {
                    let others = Some(reason);
                    return Self { own, others };
                }
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

/// What partitions of a backfill failed for, the most frequent first.
///
/// # Errors
/// `Storage`.
pub fn causes(store: &dyn Store, row: &BackfillRow) -> Result<Vec<CauseCount>> {
    if row.counts.failed == 0 {
        return Ok(Vec::new());
    }
    let plan = store.plan(row.key)?;
    let mut tally = Tally::default();
    let failures = store.failures(row.key, None)?;
    for_each_failed(store, row.key, failures, |run, reasons| {
        let space = plan.layers()[plan.layer_of(run.run)].selection().space();
        let mut own: Vec<(u64, Reason)> = reasons.own.iter().map(|(&at, &why)| (at, why)).collect();
        own.sort_unstable_by_key(|(partition, _)| *partition);
        for (partition, reason) in own {
            tally.count(reason, 1, run.ended_at, || space.text(partition));
        }
        let rest = plan.run_len(run.run) - reasons.own.len() as u64;
        if let Some(reason) = reasons.others.filter(|_| rest > 0) {
            tally.count(reason, rest, run.ended_at, || {
                let partitions = plan.run(run.run);
                let first = partitions.iter().find(|at| !reasons.own.contains_key(at));
                space.text(first.unwrap_or_else(|| partitions.nth(0)))
            });
        }
    })?;
    tally.told(store)
}

/// What was counted, by family; by cause where that was not recorded.
#[derive(Default)]
struct Tally {
    places: HashMap<(Option<i64>, i64), usize>,
    counted: Vec<Counted>,
}

struct Counted {
    /// The first of them.
    reason: Reason,
    partitions: u64,
    first_at: Micros,
    last_at: Micros,
    example: String,
}

impl Tally {
    fn count(
        &mut self,
        reason: Reason,
        partitions: u64,
        at: Micros,
        example: impl FnOnce() -> String,
    ) {
        let alone = if reason.family.is_none() {
            reason.cause
        } else {
            0
        };
        let place = *self
            .places
            .entry((reason.family, alone))
            .or_insert_with(|| {
                self.counted.push(Counted {
                    reason,
                    partitions: 0,
                    first_at: at,
                    last_at: at,
                    example: example(),
                });
                self.counted.len() - 1
            });
        let counted = &mut self.counted[place];
        counted.partitions += partitions;
        counted.first_at = counted.first_at.min(at);
        counted.last_at = counted.last_at.max(at);
    }

    fn told(self, store: &dyn Store) -> Result<Vec<CauseCount>> {
        let mut told: Vec<CauseCount> = Vec::new();
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        for counted in self.counted {
            let Some((_, cause)) = store.causes(&[counted.reason.cause])?.pop() else {
                continue;
            };
            let (error_type, message) = match counted.reason.family {
                Some(id) => store.families(&[id])?.swap_remove(0),
                None => {
                    let message = fingerprint(&cause.message, &counted.example);
                    (cause.error_type, message)
                }
            };
            let key = (error_type, message);
            if let Some(&place) = places.get(&key) {
                let known = &mut told[place];
                known.partitions += counted.partitions;
                known.first_at = known.first_at.min(counted.first_at);
                known.last_at = known.last_at.max(counted.last_at);
                continue;
            }
            places.insert(key.clone(), told.len());
            told.push(CauseCount {
                error_type: key.0,
                message: key.1,
                partitions: counted.partitions,
                first_at: counted.first_at,
                last_at: counted.last_at,
                example: counted.example,
                traceback: cause.traceback,
            });
        }
        told.sort_by_key(|cause| (std::cmp::Reverse(cause.partitions), cause.first_at));
        Ok(told)
    }
}

/// The partitions of a backfill that failed for a reason of this type, layer by layer and in its order.
///
/// # Errors
/// `Storage`.
pub fn failed_with(
    store: &dyn Store,
    row: &BackfillRow,
    error_type: &str,
) -> Result<Vec<Selection>> {
    let plan = store.plan(row.key)?;
    let failures = store.failures(row.key, None)?;
    let (mut families, mut causes) = (Vec::new(), Vec::new());
    for row in &failures {
        match (row.family, row.cause) {
            (Some(family), _) => families.push(family),
            (None, Some(cause)) => causes.push(cause),
            (None, None) => {}
        }
    }
    for ids in [&mut families, &mut causes] {
        ids.sort_unstable();
        ids.dedup();
    }
    let texts = store.families(&families)?;
    let of_families = families.into_iter().zip(texts);
    let families: Vec<i64> = of_families
        .filter_map(|(id, (kind, _))| (kind == error_type).then_some(id))
        .collect();
    let of_causes = store.causes(&causes)?.into_iter();
    let causes: Vec<i64> = of_causes
        .filter_map(|(id, cause)| (cause.error_type == error_type).then_some(id))
        .collect();
    // The ids are ascending still.
    let is_wanted = |reason: Reason| match reason.family {
        Some(family) => families.binary_search(&family).is_ok(),
        None => causes.binary_search(&reason.cause).is_ok(),
    };
    let mut failed = vec![RoaringTreemap::new(); plan.layers().len()];
    for_each_failed(store, row.key, failures, |run, reasons| {
        let Reasons { own, others } = reasons;
        let failed = &mut failed[plan.layer_of(run.run)];
        if others.is_some_and(is_wanted) {
            let partitions = plan.run(run.run);
            failed.extend(partitions.iter().filter(|at| !own.contains_key(at)));
        }
        let own = own.into_iter().filter(|(_, reason)| is_wanted(*reason));
        failed.extend(own.map(|(partition, _)| partition));
    })?;
    let layers = plan.layers().iter().zip(failed).map(|(layer, failed)| {
        let set = Members::Explicit(PositionSet::ascending(failed));
        let failed = Selection::new(layer.selection().space().clone(), set);
        layer
            .selection()
            .intersection(&failed)
            .arranged_as(layer.selection())
    });
    layers.collect()
}
