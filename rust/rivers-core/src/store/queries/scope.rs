//! Which single runs determine the state of an asset.
//!
//! A service that materializes a partition again and again records many backfills of one run, and of those that
//! ended alike only the last says what holds. So the storage keeps a *scope* for each asset of a backfill that has
//! one run: a number that stands for the partitions, and, once the run has ended, a letter for how it did. Of all
//! ended runs with one scope the storage finds the last through an index, whatever their number is.
//!
//! Scopes are not needed for correctness: a backfill without one is always looked at.

use std::sync::Arc;

use ring::digest::{Context, SHA256};

use crate::backfill::{
    Cause, Counts, Failure, FailureRow, Request, RequestedAsset, RunEnd, RunRow, Skip, SkipRow,
};
use crate::clock::Micros;
use crate::plan::Plan;
use crate::space::Space;
use crate::store::records::Commit;

/// Number of bytes that stand for partitions.
const LEN: usize = 16;

/// How a single run ended for an asset, as it is stored before the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Ending {
    /// It materialized the asset for all of its partitions.
    Made = b'm' as isize,
    /// It materialized it for none.
    Failed = b'f' as isize,
    /// It skipped all.
    Skipped = b's' as isize,
}

/// The scopes of the assets before the run has ended: of one with partitions, and of one without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Scopes(Option<(Vec<u8>, Vec<u8>)>);

impl Scopes {
    /// Of a backfill, whose space and plan are stored as these bytes.
    pub(in crate::store) fn new(plan: &Plan, encoded_space: &[u8], encoded_plan: &[u8]) -> Self {
        if plan.num_runs() != 1 || plan.has_materialized() {
            return Self(None);
        }
        let selection = plan.selection();
        let partitioned = match selection.iter().next() {
            // It has the same number in each space that has its key and window, so that a grid that grows keeps it.
            Some(one) if selection.len() == 1 => partition(selection.space(), one),
            _ => digest(&[b"several", encoded_space, encoded_plan]),
        };
        Self(Some((partitioned, digest(&[b"once"]))))
    }

    /// That of each asset, by its place in the request; `None` where an asset has none.
    pub(in crate::store) fn of<'a>(&'a self, request: &Request) -> Vec<Option<&'a [u8]>> {
        let assets = &request.assets;
        let is_twice = |name: &str| assets.iter().filter(|own| own.name == name).count() > 1;
        let scope = |asset: &RequestedAsset| match &self.0 {
            Some(_) if is_twice(&asset.name) => None,
            Some((partitioned, _)) if asset.partitioned => Some(&partitioned[..]),
            Some((_, once)) => Some(&once[..]),
            None => None,
        };
        assets.iter().map(scope).collect()
    }
}

fn partition(space: &Space, partition: u64) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::with_capacity(space.dims().len());
    for (at, dim) in space.dims().iter().enumerate() {
        let index = space.index(partition, at);
        let window = dim.axis.time().map(|time| time.window(index));
        parts.push(format!("{:?}", (&dim.name, dim.axis.label(index), window)).into_bytes());
    }
    // Dimensions are known by their names.
    parts.sort_unstable();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    digest(&parts)
}

fn digest(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context.finish().as_ref()[..LEN].to_vec()
}

/// Whether the commit ends a backfill in which one run has ended.
pub(in crate::store) fn is_end_of_one(commit: &Commit) -> bool {
    commit.finished.is_some() && commit.counts.runs_ended == 1
}

/// The end of a run, if the commit has it.
pub(in crate::store) fn run_end(commit: &Commit) -> Option<RunEnd> {
    commit.ended.iter().find(|end| end.retry.is_none()).cloned()
}

/// The end of the only run of a backfill with these counts, from its records.
pub(in crate::store) fn recorded_end(
    run: RunRow,
    counts: Counts,
    failures: &[FailureRow],
    skips: &[SkipRow],
) -> RunEnd {
    let partitions = counts.completed + counts.failed;
    let mut end = RunEnd::plain(run.run, run.started_at, run.ended_at, partitions);
    end.failed = run.failed;
    let failure = |own: &FailureRow| Failure {
        asset: own.asset,
        partition: own.partition,
        cause: None,
        fingerprint: None,
    };
    end.failures = failures.iter().map(failure).collect();
    let reason = Arc::new(Cause::of_skip(""));
    let skip = |own: &SkipRow| Skip {
        asset: own.asset,
        partition: own.partition,
        reason: Arc::clone(&reason),
    };
    end.skips = skips.iter().map(skip).collect();
    end
}

/// When a run ended, and how it did for the assets that it did not make for all partitions; `None` where it did in
/// several ways.
pub(in crate::store) fn endings(end: &RunEnd) -> (Micros, Vec<(u32, Option<Ending>)>) {
    let mut assets: Vec<u32> = end.failures.iter().map(|own| own.asset).collect();
    assets.extend(end.skips.iter().map(|own| own.asset));
    assets.sort_unstable();
    assets.dedup();
    let of = |asset: u32| {
        let is_whole = |partition: Option<u64>| end.partitions == 1 || partition.is_none();
        let mut failures = end.failures.iter().filter(|own| own.asset == asset);
        let mut skips = end.skips.iter().filter(|own| own.asset == asset);
        let has_failed = end.failures.iter().any(|own| own.asset == asset);
        if has_failed {
            // Without a failed partition, what has no cause failed because of something outside of the run.
            let is_alone = end.partitions == 1 || skips.next().is_none();
            let is_all = failures.any(|own| is_whole(own.partition));
            (end.failed > 0 && is_alone && is_all).then_some(Ending::Failed)
        } else {
            skips
                .any(|own| is_whole(own.partition))
                .then_some(Ending::Skipped)
        }
    };
    let endings = assets.into_iter().map(|asset| (asset, of(asset)));
    (end.ended_at, endings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(asset: u32, partition: Option<u64>) -> Failure {
        Failure {
            asset,
            partition,
            cause: Some(Arc::new(Cause::of_skip("bad"))),
            fingerprint: None,
        }
    }

    fn skip(asset: u32, partition: Option<u64>) -> Skip {
        let reason = Arc::new(Cause::of_skip("nothing"));
        Skip {
            asset,
            partition,
            reason,
        }
    }

    fn end(partitions: u64, failures: Vec<Failure>, skips: Vec<Skip>) -> RunEnd {
        let failed = RunEnd::failed_partitions(&failures, partitions);
        RunEnd {
            failed,
            failures,
            skips,
            ..RunEnd::plain(0, 1, 2, partitions)
        }
    }

    #[test]
    fn an_ending_is_known_where_it_is_that_of_all_partitions() {
        let of = |end: &RunEnd| endings(end).1;
        assert_eq!(of(&end(3, vec![], vec![])), []);
        assert_eq!(
            of(&end(3, vec![failure(1, None)], vec![])),
            [(1, Some(Ending::Failed))]
        );
        assert_eq!(of(&end(3, vec![failure(1, Some(7))], vec![])), [(1, None)]);
        assert_eq!(
            of(&end(1, vec![failure(1, Some(7))], vec![skip(0, Some(7))])),
            [(0, Some(Ending::Skipped)), (1, Some(Ending::Failed))]
        );
        assert_eq!(of(&end(3, vec![], vec![skip(0, Some(7))])), [(0, None)]);
        assert_eq!(
            of(&end(3, vec![failure(0, None)], vec![skip(0, None)])),
            [(0, None)]
        );
    }
}
