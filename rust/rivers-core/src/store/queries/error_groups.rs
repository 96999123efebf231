//! The errors of a backfill, grouped by their fingerprint: how many partitions failed with which error.

use std::cmp::Reverse;

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use crate::backfill::error_fingerprint::fingerprint;
use crate::backfill::{FailureRow, RunRow};
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Members, PositionSet, Selection};
use crate::store::Records;
use crate::store::queries::coverage::Coverage;
use crate::store::records::{BackfillRow, Key};

/// Number of runs that are read at once.
const CHUNK: u64 = 1 << 20;

/// Errors of one type whose messages differ only in what varies, and the partitions that failed with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroup {
    /// The type of the error.
    pub error_type: String,
    /// The message without what varies.
    pub message: String,
    /// Number of partitions that failed; one with several errors counts for its first.
    pub partitions: u64,
    /// When the first run with such an error ended.
    pub first_at: Micros,
    /// When the last run with such an error ended.
    pub last_at: Micros,
    /// The first partition that failed, as text.
    pub example: String,
    /// The traceback, if the error was an exception.
    pub traceback: Option<String>,
}

/// The numbers of an error and of its fingerprint, `None` if that was not recorded.
#[derive(Clone, Copy)]
struct ErrorId {
    error: i64,
    fingerprint: Option<i64>,
}

/// The errors of the partitions of one run: those with an error of their own, and all others.
struct RunErrors {
    own: HashMap<u64, ErrorId>,
    others: Option<ErrorId>,
}

impl RunErrors {
    /// Of the run's failures, in the order in which they were recorded.
    fn new(failures: &[FailureRow]) -> Self {
        let mut own = HashMap::new();
        for row in failures {
            let Some(error) = row.cause else { continue };
            let error = ErrorId {
                error,
                fingerprint: row.family,
            };
            match row.partition {
                Some(partition) => {
                    own.entry(partition).or_insert(error);
                }
                None => {
                    let others = Some(error);
                    return Self { own, others };
                }
            }
        }
        Self { own, others: None }
    }
}

/// Calls `visit` with each ended run that has failures, by number, and with those.
pub(super) fn for_each_failed(
    store: &dyn Records,
    key: Key,
    mut failures: Vec<FailureRow>,
    mut visit: impl FnMut(RunRow, &[FailureRow]) -> Result<()>,
) -> Result<()> {
    // A stable sort, and fast because runs fail nearly in the order of their numbers.
    failures.sort_by_key(|row| row.run);
    let mut by_run = failures.chunk_by(|a, b| a.run == b.run).peekable();
    // Segments without a failure are not read, and the others some at a time.
    for numbers in Coverage::new(store, key)?.failed() {
        let mut start = numbers.start;
        while start < numbers.end {
            let end = numbers.end.min(start.saturating_add(CHUNK));
            for run in &store.ended_runs(key, start..end)? {
                let run = run?;
                while by_run.next_if(|rows| rows[0].run < run.run).is_some() {}
                if let Some(rows) = by_run.next_if(|rows| rows[0].run == run.run) {
                    visit(run, rows)?;
                }
            }
            start = end;
        }
    }
    Ok(())
}

/// The errors of a backfill in groups, that with the most partitions first.
///
/// # Errors
/// `Storage`.
pub fn error_groups(store: &dyn Records, row: &BackfillRow) -> Result<Vec<ErrorGroup>> {
    if row.counts.failed == 0 {
        return Ok(Vec::new());
    }
    let plan = store.plan(row.key)?;
    let mut tally = Tally::default();
    let failures = store.failures(row.key, None)?;
    for_each_failed(store, row.key, failures, |run, rows| {
        let errors = RunErrors::new(rows);
        let space = plan.layers()[plan.layer_of(run.run)].selection().space();
        let mut own: Vec<(u64, ErrorId)> =
            errors.own.iter().map(|(&at, &error)| (at, error)).collect();
        own.sort_unstable_by_key(|(partition, _)| *partition);
        for (partition, error) in own {
            tally.count(error, 1, run.ended_at, || space.text(partition));
        }
        let others = plan.run_len(run.run) - errors.own.len() as u64;
        if let Some(error) = errors.others.filter(|_| others > 0) {
            tally.count(error, others, run.ended_at, || {
                let partitions = plan.run(run.run);
                let first = partitions.iter().find(|at| !errors.own.contains_key(at));
                space.text(first.unwrap_or_else(|| partitions.nth(0)))
            });
        }
        Ok(())
    })?;
    tally.groups(store)
}

/// Counts by fingerprint, or by error where no fingerprint was recorded.
#[derive(Default)]
struct Tally {
    indices: HashMap<(Option<i64>, i64), usize>,
    counted: Vec<Counted>,
}

struct Counted {
    /// The first error of the group.
    error: ErrorId,
    partitions: u64,
    first_at: Micros,
    last_at: Micros,
    example: String,
}

impl Tally {
    fn count(
        &mut self,
        error: ErrorId,
        partitions: u64,
        at: Micros,
        example: impl FnOnce() -> String,
    ) {
        let ungrouped = if error.fingerprint.is_none() {
            error.error
        } else {
            0
        };
        let index = *self
            .indices
            .entry((error.fingerprint, ungrouped))
            .or_insert_with(|| {
                self.counted.push(Counted {
                    error,
                    partitions: 0,
                    first_at: at,
                    last_at: at,
                    example: example(),
                });
                self.counted.len() - 1
            });
        let counted = &mut self.counted[index];
        counted.partitions += partitions;
        counted.first_at = counted.first_at.min(at);
        counted.last_at = counted.last_at.max(at);
    }

    fn groups(self, store: &dyn Records) -> Result<Vec<ErrorGroup>> {
        let mut groups: Vec<ErrorGroup> = Vec::new();
        let mut indices: HashMap<(String, String), usize> = HashMap::new();
        for counted in self.counted {
            let Some((_, error)) = store.errors(&[counted.error.error])?.pop() else {
                continue;
            };
            let (error_type, message) = match counted.error.fingerprint {
                Some(id) => store.fingerprints(&[id])?.swap_remove(0),
                None => {
                    let message = fingerprint(&error.message, &counted.example);
                    (error.error_type, message)
                }
            };
            let key = (error_type, message);
            if let Some(&index) = indices.get(&key) {
                let group = &mut groups[index];
                group.partitions += counted.partitions;
                group.first_at = group.first_at.min(counted.first_at);
                group.last_at = group.last_at.max(counted.last_at);
                continue;
            }
            indices.insert(key.clone(), groups.len());
            groups.push(ErrorGroup {
                error_type: key.0,
                message: key.1,
                partitions: counted.partitions,
                first_at: counted.first_at,
                last_at: counted.last_at,
                example: counted.example,
                traceback: error.traceback,
            });
        }
        groups.sort_by_key(|group| (Reverse(group.partitions), group.first_at));
        Ok(groups)
    }
}

/// The partitions of a backfill that failed with an error of this type, and with this message if one is given
/// as that of a group: for each layer, in the backfill's order.
///
/// # Errors
/// `Storage`.
pub fn failed_with(
    store: &dyn Records,
    row: &BackfillRow,
    error_type: &str,
    message: Option<&str>,
) -> Result<Vec<Selection>> {
    let plan = store.plan(row.key)?;
    let is_message = |own: &str| message.is_none_or(|message| own == message);
    let failures = store.failures(row.key, None)?;
    let (mut fingerprints, mut errors) = (Vec::new(), Vec::new());
    for row in &failures {
        match (row.family, row.cause) {
            (Some(fingerprint), _) => fingerprints.push(fingerprint),
            (None, Some(error)) => errors.push(error),
            (None, None) => {}
        }
    }
    for ids in [&mut fingerprints, &mut errors] {
        ids.sort_unstable();
        ids.dedup();
    }
    let texts = store.fingerprints(&fingerprints)?;
    let fingerprints: Vec<i64> = fingerprints
        .into_iter()
        .zip(texts)
        .filter_map(|(id, (kind, own))| (kind == error_type && is_message(&own)).then_some(id))
        .collect();
    let errors: Vec<i64> = store
        .errors(&errors)?
        .into_iter()
        .filter_map(|(id, error)| {
            let own = || fingerprint(&error.message, "");
            let fits = error.error_type == error_type && (message.is_none() || is_message(&own()));
            fits.then_some(id)
        })
        .collect();
    // Both are still in ascending order.
    let is_wanted = |id: ErrorId| match id.fingerprint {
        Some(fingerprint) => fingerprints.binary_search(&fingerprint).is_ok(),
        None => errors.binary_search(&id.error).is_ok(),
    };
    let mut failed = vec![RoaringTreemap::new(); plan.layers().len()];
    for_each_failed(store, row.key, failures, |run, rows| {
        let RunErrors { own, others } = RunErrors::new(rows);
        let failed = &mut failed[plan.layer_of(run.run)];
        if others.is_some_and(is_wanted) {
            let partitions = plan.run(run.run);
            failed.extend(partitions.iter().filter(|at| !own.contains_key(at)));
        }
        let own = own.into_iter().filter(|(_, error)| is_wanted(*error));
        failed.extend(own.map(|(partition, _)| partition));
        Ok(())
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
