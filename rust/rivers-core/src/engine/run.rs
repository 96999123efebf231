//! One run while it is executed: its partitions, and what failed in it so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hashbrown::HashSet;
use roaring::RoaringTreemap;

use super::history::History;
use super::run_failures::RunFailures;
use super::run_metadata::RunMetadata;
use crate::backfill::error_fingerprint::fingerprint;
use crate::backfill::{
    Cause, Failure, FailurePolicy, Left, PriorAttempts, Request, Retry, RunEnd, SkippedPartitions,
};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::space::{Members, PositionSet, Selection, Space};

/// The plan and the request of a backfill: all that a worker needs to execute its runs.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The request.
    pub request: Arc<Request>,
}

/// By asset and partition (`None`: all), why it was skipped.
pub(super) type Reasons = BTreeMap<(u32, Option<u64>), Arc<Cause>>;

/// A run being executed.
#[derive(Debug)]
pub struct Run {
    spec: JobSpec,
    number: u64,
    started_at: Micros,
    partitions: Selection,
    /// What earlier attempts left, if this is not the first.
    prior_attempts: Option<Arc<PriorAttempts>>,
    made_before: OnceLock<BTreeMap<u32, RoaringTreemap>>,
    /// By asset, the partitions that had been skipped when it was about to be executed.
    skipped_at_entry: Mutex<BTreeMap<u32, RoaringTreemap>>,
    failures: Mutex<RunFailures>,
    /// What was skipped so far.
    pub(super) skips: Mutex<Reasons>,
    /// What earlier runs skipped of assets that this one may need.
    pub(super) skipped_before: Arc<SkippedPartitions>,
    again: Mutex<Option<Again>>,
    /// By asset, partitions that it materialized before it failed in this attempt and is retried.
    yielded: Mutex<Vec<(u32, Vec<u64>)>>,
    metadata: RunMetadata,
}

/// What is deferred to the next attempt, and how long to wait for it.
#[derive(Debug, Default)]
struct Again {
    delay: Micros,
    causes: Vec<(u32, Arc<Cause>)>,
    deferred: Vec<u32>,
    repeated: Vec<u32>,
}

impl Run {
    pub(super) fn new(
        spec: JobSpec,
        number: u64,
        started_at: Micros,
        history: &History,
    ) -> Arc<Self> {
        let partitions = spec.plan.run(number);
        let prior_attempts = history.prior_attempts_of(number).cloned();
        let left = prior_attempts.as_ref().and_then(|known| known.left.clone());
        let failures = left.as_ref().map(|left| left.failures.clone());
        let metadata = RunMetadata::new(prior_attempts.as_deref());
        let skips = left.iter().flat_map(|left| &left.skips);
        let skips = skips
            .map(|skip| ((skip.asset, skip.partition), Arc::clone(&skip.reason)))
            .collect();
        Arc::new(Self {
            spec,
            number,
            started_at,
            partitions,
            prior_attempts,
            made_before: OnceLock::new(),
            skipped_at_entry: Mutex::default(),
            failures: Mutex::new(RunFailures::new(failures.unwrap_or_default())),
            skips: Mutex::new(skips),
            skipped_before: Arc::clone(&history.skipped),
            again: Mutex::new(None),
            yielded: Mutex::new(Vec::new()),
            metadata,
        })
    }

    /// A run that has ended, to look at: what is said about it is not recorded.
    pub fn ended(spec: JobSpec, number: u64) -> Arc<Self> {
        Self::new(spec, number, 0, &History::default())
    }

    /// The run's number in the backfill.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The layer of the plan that the run belongs to.
    pub fn layer(&self) -> usize {
        self.spec.plan.layer_of(self.number)
    }

    /// The request of the run's backfill.
    pub fn request(&self) -> &Request {
        &self.spec.request
    }

    /// The run's partitions, in definition order.
    pub fn partitions(&self) -> &Selection {
        &self.partitions
    }

    fn failures(&self) -> MutexGuard<'_, RunFailures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spec(&self) -> &JobSpec {
        &self.spec
    }

    fn skipped_at_entry(&self) -> MutexGuard<'_, BTreeMap<u32, RoaringTreemap>> {
        let skipped = self.skipped_at_entry.lock();
        skipped.unwrap_or_else(PoisonError::into_inner)
    }

    fn again(&self) -> MutexGuard<'_, Option<Again>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether each asset is executed for all partitions: nothing has failed, was skipped or was materialized
    /// so far, in this attempt, an earlier one, or a run whose partitions this one may need.
    pub fn has_no_failures(&self) -> bool {
        self.prior_attempts.is_none()
            && self.failures().is_empty()
            && self.again().is_none()
            && self.skips().is_empty()
            && !self.spec.plan.has_materialized()
            && self.skipped_before.is_empty()
    }

    /// Whether this attempt executes `asset`: an earlier one may have done so.
    pub fn executes(&self, asset: u32) -> bool {
        self.prior_attempts
            .as_ref()
            .is_none_or(|known| known.executes(asset))
    }

    /// Number of earlier attempts in which `asset` failed and was to be retried.
    pub fn failed_attempts(&self, asset: u32) -> u32 {
        self.prior_attempts
            .as_ref()
            .map_or(0, |known| known.failed_attempts(asset))
    }

    /// Records that `assets`, which one step makes, failed and are retried after `delay`. The next attempt
    /// also executes `repeated`, whose values are lost with this one.
    pub fn retry(&self, assets: &[u32], cause: Cause, delay: Micros, repeated: &[u32]) {
        let cause = Arc::new(cause);
        let mut again = self.again();
        let again = again.get_or_insert_default();
        again.delay = again.delay.max(delay);
        again
            .causes
            .extend(assets.iter().map(|&asset| (asset, Arc::clone(&cause))));
        again.repeated = repeated.to_vec();
    }

    /// Defers `assets` to the next attempt if that executes one of `needs`. Returns whether it does.
    pub fn defer(&self, assets: &[u32], needs: &[u32]) -> bool {
        let mut again = self.again();
        let Some(again) = &mut *again else {
            return false;
        };
        let failed = again.causes.iter().map(|(asset, _)| asset);
        let is_deferred = failed
            .chain(&again.deferred)
            .any(|asset| needs.contains(asset));
        if is_deferred {
            again.deferred.extend_from_slice(assets);
        }
        is_deferred
    }

    /// Records that `asset`, which failed and is retried, materialized partitions before: the next attempt does
    /// not execute it for them.
    ///
    /// # Errors
    /// `PartitionValidation` if a partition does not belong to the run; then nothing is recorded.
    pub fn keep_yielded(&self, asset: u32, partitions: &[u64]) -> Result<()> {
        self.check_own(partitions)?;
        let mut yielded = self.yielded.lock().unwrap_or_else(PoisonError::into_inner);
        yielded.push((asset, partitions.to_vec()));
        Ok(())
    }

    /// The partitions of an asset that is executed which earlier attempts materialized; `None`: none.
    pub(super) fn made_before(&self, asset: u32) -> Option<&RoaringTreemap> {
        let made = self.made_before.get_or_init(|| {
            let left = { self.prior_attempts.iter() }.filter_map(|known| known.left.as_ref());
            let made = left.flat_map(|left| &left.made);
            made.map(|(asset, made)| (*asset, made.iter().copied().collect()))
                .collect()
        });
        made.get(&asset)
    }

    /// Records that `asset` failed for all partitions of the run that are left of it.
    pub fn fail(&self, asset: u32, cause: Cause) {
        self.fail_rest(asset, Some(&Arc::new(cause)));
    }

    fn fail_rest(&self, asset: u32, cause: Option<&Arc<Cause>>) {
        let made = self.made_before(asset);
        // The function is not called for what was skipped before it, so it does not fail for that.
        let skipped = self.skipped_at_entry();
        let without = |done: &RoaringTreemap| self.partitions.difference(done).iter().collect();
        let rest: Option<Vec<u64>> = match (made, skipped.get(&asset)) {
            (Some(made), Some(skipped)) => Some(without(&(skipped | made))),
            (Some(done), None) | (None, Some(done)) => Some(without(done)),
            (None, None) => None,
        };
        drop(skipped);
        let mut failures = self.failures();
        Failure::of_rest(asset, cause.cloned(), rest.as_deref())
            .for_each(|failure| failures.push(failure));
    }

    /// Fails all assets of the run: none of them can be executed.
    pub(super) fn fail_all(&self, cause: &Arc<Cause>) {
        let layer = self.layer();
        let assets = 0..self.spec.request.assets.len() as u32;
        let own = assets.filter(|&asset| self.spec.plan.has_asset(layer, asset));
        own.for_each(|asset| self.fail_rest(asset, Some(cause)));
    }

    /// Records that `asset` was not executed because something it needs failed.
    pub fn skip(&self, asset: u32) {
        self.fail_rest(asset, None);
    }

    /// Whether a failure of exactly this partition of `asset` is recorded.
    pub(super) fn has_failed(&self, asset: u32, partition: u64) -> bool {
        self.failures().has(asset, partition)
    }

    /// Whether `asset` failed or was skipped for all partitions.
    pub fn failed_or_skipped(&self, asset: u32) -> bool {
        self.failures()
            .iter()
            .any(|failure| failure.asset == asset && failure.partition.is_none())
    }

    /// Records that `asset` failed for some partitions. A second record of a partition replaces the first.
    ///
    /// # Errors
    /// `PartitionValidation` if a partition does not belong to the run; then none is marked.
    pub fn mark_failed(&self, asset: u32, partitions: &[u64], cause: &Cause) -> Result<()> {
        self.check_own(partitions)?;
        let cause = Arc::new(cause.clone());
        let mut failures = self.failures();
        for &partition in partitions {
            failures.mark(asset, partition, &cause);
        }
        Ok(())
    }

    /// Records facts, a JSON object, about what was materialized of `asset`: for these partitions, or
    /// (`None`) for all that have no facts of their own.
    ///
    /// # Errors
    /// `PartitionValidation` if a partition does not belong to the run; then nothing is recorded.
    pub fn add_metadata(&self, asset: u32, partitions: Option<&[u64]>, body: &str) -> Result<()> {
        self.check_own(partitions.unwrap_or_default())?;
        self.metadata.add(asset, partitions, body);
        Ok(())
    }

    /// Refuses partitions that do not belong to the run.
    ///
    /// # Errors
    /// `PartitionValidation` naming the first of them.
    pub(super) fn check_own(&self, partitions: &[u64]) -> Result<()> {
        match partitions
            .iter()
            .find(|&&partition| !self.partitions.contains(partition))
        {
            None => Ok(()),
            Some(&other) => Err(Error::PartitionValidation(format!(
                "the partition {:?} is not one of this run's {}",
                self.partitions.space().text(other),
                self.partitions.len()
            ))),
        }
    }

    /// The partitions of `asset` that this run materializes: neither marked as failed nor skipped, nor
    /// materialized before; `None`: all.
    pub fn survivors(&self, asset: u32) -> Option<Selection> {
        self.to_execute(asset, self.without(&[asset]))
    }

    /// Those of some partitions of the run that are [`Self::survivors`]; `None`: all of them. The cost is theirs, and
    /// not that of the run: a function may yield a run's partitions one by one.
    pub fn survivors_among(&self, asset: u32, some: &Selection) -> Option<Selection> {
        let done = self.spec.plan.materialized(asset);
        let survives = |&partition: &u64| {
            !self.leaves_out(asset, partition) && !done.is_some_and(|done| done.contains(partition))
        };
        if some.iter().all(|partition| survives(&partition)) {
            return None;
        }
        Some(self.selected(some.iter().filter(survives)))
    }

    /// The partitions for which `asset` is executed; `None`: all. Those that were skipped or materialized
    /// before are left out, and those that failed in one of `needs` are left out and recorded as blocked.
    pub fn enter(&self, asset: u32, needs: &[u32]) -> Option<Selection> {
        if let Some(skipped) = self.singly_skipped(asset) {
            self.skipped_at_entry().insert(asset, skipped);
        }
        self.to_execute(asset, self.without_failed(asset, needs))
    }

    fn without_failed(&self, asset: u32, needs: &[u32]) -> Option<Selection> {
        let own = self.without(&[asset]);
        let left = match self.without(needs) {
            Some(left) => own.map_or_else(|| left.clone(), |own| left.intersection(&own)),
            None => return own,
        };
        let mut failures = self.failures();
        for partition in self.partitions.iter() {
            if !left.contains(partition) && !failures.has(asset, partition) {
                failures.push(Failure {
                    asset,
                    partition: Some(partition),
                    cause: None,
                    fingerprint: None,
                });
            }
        }
        Some(left)
    }

    /// Fails the partitions of `asset` that are not in `space`: its definition has changed since the
    /// backfill was submitted.
    pub fn check_defined(&self, asset: u32, space: &Space) {
        let own = self.partitions.space();
        let undefined: Vec<u64> = self
            .partitions
            .iter()
            .filter(|&partition| own.translate(space, partition).is_none())
            .collect();
        for partition in undefined {
            let cause = Cause {
                error_type: "PartitionNotDefined".into(),
                message: format!(
                    "the partition {:?} is no longer defined: the asset's definition has changed since the \
                     backfill was submitted",
                    own.text(partition)
                ),
                traceback: None,
            };
            let failure = Failure {
                asset,
                partition: Some(partition),
                cause: Some(Arc::new(cause)),
                fingerprint: None,
            };
            self.failures().push(failure);
        }
    }

    fn without(&self, assets: &[u32]) -> Option<Selection> {
        let failed: HashSet<u64> = self
            .failures()
            .iter()
            .filter(|failure| assets.contains(&failure.asset))
            .filter_map(|failure| failure.partition)
            .collect();
        if failed.is_empty() {
            return None;
        }
        let left = self
            .partitions
            .iter()
            .filter(|partition| !failed.contains(partition));
        Some(self.selected(left))
    }

    /// A selection of these partitions of the run.
    pub(super) fn selected(&self, partitions: impl IntoIterator<Item = u64>) -> Selection {
        let space = Arc::clone(self.partitions.space());
        Selection::new(space, Members::Explicit(PositionSet::in_order(partitions)))
    }

    /// The retry of an attempt that ended so.
    fn retry_after(&self, end: &RunEnd, again: Again, attempt: u32) -> Retry {
        let mut executed: Vec<u32> = again.causes.iter().map(|(asset, _)| *asset).collect();
        for &asset in again.deferred.iter().chain(&again.repeated) {
            if !executed.contains(&asset) {
                executed.push(asset);
            }
        }
        let mut made =
            std::mem::take(&mut *self.yielded.lock().unwrap_or_else(PoisonError::into_inner));
        let before = self
            .prior_attempts
            .iter()
            .filter_map(|known| known.left.as_ref());
        for (asset, partitions) in before.flat_map(|left| &left.made) {
            match made.iter_mut().find(|(other, _)| other == asset) {
                Some((_, own)) => own.extend(partitions),
                None => made.push((*asset, partitions.clone())),
            }
        }
        made.retain(|(asset, _)| executed.contains(asset) && !again.repeated.contains(asset));
        let rest = made.iter().map(|(asset, own)| {
            let own = RoaringTreemap::from_iter(own);
            (*asset, self.partitions.difference(&own).iter().collect())
        });
        let rest = rest.collect();
        let layer = self.layer();
        let mut assets = 0..self.spec.request.assets.len() as u32;
        let is_left = |asset| self.spec.plan.has_asset(layer, asset) && !executed.contains(&asset);
        let left = (assets.any(is_left) || !made.is_empty()).then(|| {
            let mut left = Left {
                started_at: end.started_at,
                ended_at: end.ended_at,
                again: executed,
                failures: end.failures.clone(),
                metadata: end.metadata.clone(),
                skips: end.skips.clone(),
                made,
            };
            left.retain_kept();
            Arc::new(left)
        });
        Retry {
            attempt,
            due_at: end.ended_at.saturating_add(again.delay),
            causes: again.causes,
            deferred: again.deferred,
            rest,
            left,
        }
    }

    /// The outcome of the run.
    pub(super) fn end(&self, now: Micros) -> RunEnd {
        let failures = self.failures().take();
        let skips = self.take_skips(&failures);
        let partitions = self.partitions.len();
        let attempts = self
            .prior_attempts
            .as_ref()
            .map_or(0, |known| known.attempts);
        let mut end = RunEnd {
            run: self.number,
            started_at: self.started_at,
            ended_at: now,
            partitions,
            failed: RunEnd::failed_partitions(&failures, partitions),
            failures,
            skips,
            retry: None,
            metadata: self.metadata.take(),
        };
        let again = self.again().take();
        end.retry = again.map(|again| self.retry_after(&end, again, attempts + 1));
        // The backfill stops here, so nothing is attempted again.
        let stops = self.request().failure_policy == FailurePolicy::StopOnFailure;
        if end.failed > 0 && stops {
            end.give_up_retries();
        } else if end.retry.is_some() {
            end.failed = 0;
        }
        for failure in &mut end.failures {
            failure.fingerprint = failure.cause.as_ref().map(|cause| {
                let failed = failure.partition;
                let partition = failed.unwrap_or_else(|| self.partitions.nth(0));
                fingerprint(&cause.message, &self.partitions.space().text(partition))
            });
        }
        end
    }
}
