//! How a run ended, and what failed in it.

use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::clock::Micros;
use crate::space::{Members, PositionSet, Selection};

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Cause {
    /// The type of the exception, or `mark_partition_failed`.
    pub error_type: String,
    /// The message.
    pub message: String,
    /// The traceback, if it was an exception.
    pub traceback: Option<String>,
}

/// An asset that a run did not materialize, for one partition or all.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// Index of the asset in the request.
    pub asset: u32,
    /// The partition; `None`: all partitions of the run.
    pub partition: Option<u64>,
    /// The reason; `None` if it was skipped because something that it needs failed.
    pub cause: Option<Arc<Cause>>,
    /// The fingerprint of the message, once the run has ended.
    pub fingerprint: Option<String>,
}

impl Failure {
    /// The failures of an asset for the rest of a run's partitions; `None`: all.
    pub fn of_rest(
        asset: u32,
        cause: Option<Arc<Cause>>,
        rest: Option<&[u64]>,
    ) -> impl Iterator<Item = Self> {
        let partitions = match rest {
            None => vec![None],
            Some(rest) => rest.iter().copied().map(Some).collect(),
        };
        partitions.into_iter().map(move |partition| Self {
            asset,
            partition,
            cause: cause.clone(),
            fingerprint: None,
        })
    }
}

/// Facts about what a run materialized of an asset, for one partition or all.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OutputMetadata {
    /// Index of the asset in the request.
    pub asset: u32,
    /// The partition; `None`: all partitions of the run that have no facts of their own.
    pub partition: Option<u64>,
    /// The facts: a JSON object.
    pub body: Arc<str>,
}

/// An asset that a run skipped, for one partition or all.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Skip {
    /// Index of the asset in the request.
    pub asset: u32,
    /// The partition; `None`: all partitions of the run that did not fail.
    pub partition: Option<u64>,
    /// The reason; stored like that of a failure.
    pub reason: Arc<Cause>,
}

/// An attempt of a run that is followed by another.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retry {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When the next attempt is due.
    pub due_at: Micros,
    /// The assets that failed and are retried, with the reasons.
    pub causes: Vec<(u32, Arc<Cause>)>,
    /// Assets that need those and have not been executed.
    pub deferred: Vec<u32>,
    /// The partitions that are left of assets which are executed again, but not for all partitions.
    pub rest: Vec<(u32, Vec<u64>)>,
    /// What is not executed again; `None`: nothing.
    pub left: Option<Arc<Left>>,
}

/// What an attempt of a run leaves to the next.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Left {
    /// When the attempt began.
    pub started_at: Micros,
    /// When the attempt ended.
    pub ended_at: Micros,
    /// The assets that are left to execute.
    pub again: Vec<u32>,
    /// What failed for good.
    pub failures: Vec<Failure>,
    /// Facts about what was materialized and is not executed again.
    pub metadata: Vec<OutputMetadata>,
    /// What was skipped.
    pub skips: Vec<Skip>,
    /// Of the assets that are left to execute, the partitions for which they need not be.
    pub made: Vec<(u32, Vec<u64>)>,
}

impl Cause {
    /// The reason of a skip.
    pub fn of_skip(reason: impl Into<String>) -> Self {
        Self {
            error_type: "Skip".into(),
            message: reason.into(),
            traceback: None,
        }
    }
}

impl Retry {
    /// The assets that failed.
    pub fn failed(&self) -> impl Iterator<Item = u32> {
        self.causes.iter().map(|(asset, _)| *asset)
    }
}

impl Left {
    /// Leaves only what belongs to what is not executed again.
    pub fn retain_kept(&mut self) {
        let Self { again, made, .. } = self;
        let is_kept = |asset| !again.contains(&asset);
        let is_made = |asset, partition: Option<u64>| {
            let own = made.iter().find(|(other, _)| *other == asset);
            own.zip(partition)
                .is_some_and(|((_, made), partition)| made.contains(&partition))
        };
        self.failures.retain(|failure| is_kept(failure.asset));
        self.skips.retain(|skip| is_kept(skip.asset));
        self.metadata
            .retain(|own| is_kept(own.asset) || is_made(own.asset, own.partition));
    }

    /// The partitions of a run for which the attempt materialized or skipped an asset.
    pub fn done(&self, asset: u32, run: &Selection) -> Selection {
        let mut done = RoaringTreemap::new();
        if !self.again.contains(&asset) {
            done = run.to_treemap();
        } else if let Some((_, made)) = self.made.iter().find(|(other, _)| *other == asset) {
            done.extend(made);
        }
        for failure in self.failures.iter().filter(|own| own.asset == asset) {
            match failure.partition {
                None => done.clear(),
                Some(partition) => _ = done.remove(partition),
            }
        }
        let members = Members::Explicit(PositionSet::ascending(done));
        Selection::new(Arc::clone(run.space()), members)
    }

    /// The partitions of a run that the attempt skipped for an asset.
    pub fn skipped(&self, asset: u32, run: &Selection) -> Selection {
        let mut skipped = RoaringTreemap::new();
        for skip in self.skips.iter().filter(|skip| skip.asset == asset) {
            match skip.partition {
                Some(partition) => _ = skipped.insert(partition),
                None => skipped |= run.to_treemap(),
            }
        }
        let members = Members::Explicit(PositionSet::ascending(skipped));
        Selection::new(Arc::clone(run.space()), members)
    }

    /// The facts about a partition of an asset, or (`None`) about all that have none of their own.
    pub fn body(&self, asset: u32, partition: Option<u64>) -> Option<&str> {
        let mut own = self.metadata.iter();
        own.find(|own| own.asset == asset && own.partition == partition)
            .map(|own| &*own.body)
    }

    /// Has an asset executed again where its values cannot be loaded.
    pub fn require(&mut self, asset: u32, run: &Selection, loadable: &Selection) {
        if self.done(asset, run).minus(loadable).is_empty() {
            return;
        }
        match self.made.iter_mut().find(|(other, _)| *other == asset) {
            Some((_, made)) => made.retain(|&partition| loadable.contains(partition)),
            None => self.again.push(asset),
        }
        self.retain_kept();
    }
}

/// How a run ended, or an attempt of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunEnd {
    /// The run's number.
    pub run: u64,
    /// When the run began.
    pub started_at: Micros,
    /// When the run ended.
    pub ended_at: Micros,
    /// Number of its partitions.
    pub partitions: u64,
    /// Number of its partitions that failed.
    pub failed: u64,
    /// What was not materialized, in the order in which it happened.
    pub failures: Vec<Failure>,
    /// What was skipped because there is nothing to produce.
    pub skips: Vec<Skip>,
    /// If set, the run has not ended: it is attempted again.
    pub retry: Option<Retry>,
    /// Facts about what was materialized.
    pub metadata: Vec<OutputMetadata>,
}

/// The type of the exception that Ctrl-C raises in Python.
const INTERRUPT: &str = "KeyboardInterrupt";

impl RunEnd {
    /// The end of a run of which there is nothing to say but that it was executed.
    pub fn plain(run: u64, started_at: Micros, ended_at: Micros, partitions: u64) -> Self {
        Self {
            run,
            started_at,
            ended_at,
            partitions,
            failed: 0,
            failures: Vec::new(),
            skips: Vec::new(),
            retry: None,
            metadata: Vec::new(),
        }
    }

    /// Whether an asset failed because something in it was interrupted, as by Ctrl-C.
    pub fn was_interrupted(&self) -> bool {
        let mut causes = self
            .failures
            .iter()
            .filter_map(|failure| failure.cause.as_ref());
        causes.any(|cause| cause.error_type == INTERRUPT)
    }

    /// Turns the retry into failures: there is no further attempt.
    pub fn give_up_retries(&mut self) {
        let Some(retry) = self.retry.take() else {
            return;
        };
        self.skips
            .retain(|skip| retry.failed().all(|asset| asset != skip.asset));
        let failed = retry.causes.into_iter();
        let failed = failed.map(|(asset, cause)| (asset, Some(cause)));
        let blocked = retry.deferred.into_iter().map(|asset| (asset, None));
        for (asset, cause) in failed.chain(blocked) {
            let own = retry.rest.iter().find(|(other, _)| *other == asset);
            self.failures
                .extend(Failure::of_rest(asset, cause, own.map(|(_, rest)| &**rest)));
        }
        self.failed = Self::failed_partitions(&self.failures, self.partitions);
    }

    /// Number of partitions that `failures` fail: all, if an asset failed as a whole.
    pub fn failed_partitions(failures: &[Failure], partitions: u64) -> u64 {
        let failed = || failures.iter().filter(|failure| failure.cause.is_some());
        if failed().any(|failure| failure.partition.is_none()) {
            return partitions;
        }
        let distinct: std::collections::BTreeSet<u64> =
            failed().filter_map(|failure| failure.partition).collect();
        distinct.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_fails_in_two_assets_counts_once() {
        let cause = Some(Arc::new(Cause {
            error_type: "ValueError".into(),
            message: "bad".into(),
            traceback: None,
        }));
        let mark = |asset, partition| Failure {
            asset,
            partition,
            cause: cause.clone(),
            fingerprint: None,
        };
        assert_eq!(
            RunEnd::failed_partitions(&[mark(0, Some(3)), mark(1, Some(3))], 5),
            1
        );
        assert_eq!(
            RunEnd::failed_partitions(&[mark(0, Some(3)), mark(1, None)], 5),
            5
        );
        let skipped = Failure {
            asset: 1,
            partition: None,
            cause: None,
            fingerprint: None,
        };
        assert_eq!(
            RunEnd::failed_partitions(&[mark(0, Some(3)), skipped], 5),
            1
        );
    }
}
