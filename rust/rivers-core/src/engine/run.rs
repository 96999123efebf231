//! One run while it is executed: its partitions, and what failed in it so far.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;

use super::run_failures::Missing;
use crate::backfill::error_fingerprint::folded;
use crate::backfill::{Cause, Earlier, Failure, FailurePolicy, Request, Retry, RunEnd};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::space::{Members, PositionSet, Selection, Space};

/// What a run needs to know of its backfill, wherever it is executed.
#[derive(Debug, Clone)]
pub struct Worked {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The request.
    pub request: Arc<Request>,
}

/// A run being executed.
#[derive(Debug)]
pub struct Run {
    worked: Worked,
    number: u64,
    started_at: Micros,
    partitions: Selection,
    /// What earlier attempts left, if this is not the first.
    earlier: Option<Arc<Earlier>>,
    failures: Mutex<Missing>,
    again: Mutex<Option<Again>>,
}

/// What is put off to the next attempt, and how long to wait for that.
#[derive(Debug, Default)]
struct Again {
    delay: Micros,
    causes: Vec<(u32, Arc<Cause>)>,
    deferred: Vec<u32>,
    repeated: Vec<u32>,
}

impl Run {
    pub(super) fn new(
        worked: Worked,
        number: u64,
        started_at: Micros,
        earlier: &[Arc<Earlier>],
    ) -> Arc<Self> {
        let partitions = worked.plan.run(number);
        let earlier = earlier.iter().find(|known| known.run == number).cloned();
        let failures = earlier.as_ref().map(|known| known.failures.clone());
        Arc::new(Self {
            worked,
            number,
            started_at,
            partitions,
            earlier,
            failures: Mutex::new(Missing::new(failures.unwrap_or_default())),
            again: Mutex::new(None),
        })
    }

    /// Its number in the backfill.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The layer of the plan that it belongs to.
    pub fn layer(&self) -> usize {
        self.worked.plan.layer_of(self.number)
    }

    /// Its backfill.
    pub fn request(&self) -> &Request {
        &self.worked.request
    }

    /// Its partitions, in definition order.
    pub fn partitions(&self) -> &Selection {
        &self.partitions
    }

    fn failures(&self) -> MutexGuard<'_, Missing> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn again(&self) -> MutexGuard<'_, Option<Again>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing has failed so far, in this attempt or an earlier one.
    pub fn is_sound(&self) -> bool {
        self.earlier.is_none() && self.failures().is_empty() && self.again().is_none()
    }

    /// Whether this attempt executes the asset: earlier ones may have.
    pub fn executes(&self, asset: u32) -> bool {
        self.earlier
            .as_ref()
            .is_none_or(|known| known.leaves(asset))
    }

    /// How often the asset failed before and was to be tried again.
    pub fn tries(&self, asset: u32) -> u32 {
        self.earlier.as_ref().map_or(0, |known| known.tries(asset))
    }

    /// The assets of a step failed, and are tried again in so many microseconds; these others, which
    /// were executed, with them.
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

    /// Leaves assets to the next attempt, where it is to execute one that they need. `false`: it is not.
    pub fn defer(&self, assets: &[u32], needs: &[u32]) -> bool {
        let mut again = self.again();
        let Some(again) = &mut *again else {
            return false;
        };
        let failed = again.causes.iter().map(|(asset, _)| asset);
        let waits = failed
            .chain(&again.deferred)
            .any(|asset| needs.contains(asset));
        if waits {
            again.deferred.extend_from_slice(assets);
        }
        waits
    }

    /// The asset failed, for all the run's partitions.
    pub fn fail(&self, asset: u32, cause: Cause) {
        self.failures().push(Failure {
            asset,
            partition: None,
            cause: Some(Arc::new(cause)),
            folded: None,
        });
    }

    /// None of its assets can be executed.
    pub(super) fn fail_all(&self, cause: &Arc<Cause>) {
        let layer = self.layer();
        let assets = 0..self.worked.request.assets.len() as u32;
        let own = assets.filter(|&asset| self.worked.plan.has_asset(layer, asset));
        let mut failures = self.failures();
        for asset in own {
            failures.push(Failure {
                asset,
                partition: None,
                cause: Some(Arc::clone(cause)),
                folded: None,
            });
        }
    }

    /// The asset was not executed, since something it needs failed.
    pub fn skip(&self, asset: u32) {
        self.failures().push(Failure {
            asset,
            partition: None,
            cause: None,
            folded: None,
        });
    }

    /// Whether the asset failed or was skipped as a whole.
    pub fn missed(&self, asset: u32) -> bool {
        self.failures()
            .iter()
            .any(|failure| failure.asset == asset && failure.partition.is_none())
    }

    /// The asset failed for single partitions; said twice, the last reason stays.
    ///
    /// # Errors
    /// `PartitionValidation` for a partition that is not the run's; none is marked then.
    pub fn mark_failed(&self, asset: u32, partitions: &[u64], cause: &Cause) -> Result<()> {
        if let Some(&other) = partitions
            .iter()
            .find(|&&partition| !self.partitions.contains(partition))
        {
            return Err(Error::PartitionValidation(format!(
                "the partition {:?} is not one of this run's {}",
                self.partitions.space().text(other),
                self.partitions.len()
            )));
        }
        let cause = Arc::new(cause.clone());
        let mut failures = self.failures();
        for &partition in partitions {
            failures.mark(asset, partition, &cause);
        }
        Ok(())
    }

    /// The partitions that single marks of an asset leave over; `None`: all.
    pub fn survivors(&self, asset: u32) -> Option<Selection> {
        self.without(&[asset])
    }

    /// The partitions that an asset gets: without those that failed in what it needs, which are
    /// recorded as skipped. `None`: all.
    pub fn enter(&self, asset: u32, needs: &[u32]) -> Option<Selection> {
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
                    folded: None,
                });
            }
        }
        Some(left)
    }

    /// Fails the partitions that an asset no longer has: its definition has changed since the backfill
    /// was submitted.
    pub fn check_defined(&self, asset: u32, space: &Space) {
        let own = self.partitions.space();
        let gone: Vec<u64> = self
            .partitions
            .iter()
            .filter(|&partition| own.translate(space, partition).is_none())
            .collect();
        for partition in gone {
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
                folded: None,
            };
            self.failures().push(failure);
        }
    }

    fn without(&self, assets: &[u32]) -> Option<Selection> {
        let gone: HashSet<u64> = self
            .failures()
            .iter()
            .filter(|failure| assets.contains(&failure.asset))
            .filter_map(|failure| failure.partition)
            .collect();
        if gone.is_empty() {
            return None;
        }
        let left = self
            .partitions
            .iter()
            .filter(|partition| !gone.contains(partition));
        let space = Arc::clone(self.partitions.space());
        Some(Selection::new(
            space,
            Members::Explicit(PositionSet::in_order(left)),
        ))
    }

    /// Its record.
    pub(super) fn end(&self, now: Micros) -> RunEnd {
        let failures = self.failures().take();
        let partitions = self.partitions.len();
        let attempts = self.earlier.as_ref().map_or(0, |known| known.attempts);
        let retry = self.again().take().map(|mut again| {
            let others = |asset: &u32| {
                again.causes.iter().all(|(failed, _)| failed != asset)
                    && !again.deferred.contains(asset)
            };
            let repeated = again.repeated.iter().copied().filter(others).collect();
            Retry {
                attempt: attempts + 1,
                due_at: now.saturating_add(again.delay),
                repeated,
                causes: std::mem::take(&mut again.causes),
                deferred: again.deferred,
            }
        });
        let mut end = RunEnd {
            run: self.number,
            started_at: self.started_at,
            ended_at: now,
            partitions,
            failed: RunEnd::failed_partitions(&failures, partitions),
            failures,
            retry,
        };
        // The backfill stops here, so nothing is attempted again.
        let stops = self.request().failure_policy == FailurePolicy::StopOnFailure;
        if end.failed > 0 && stops {
            end.give_up();
        } else if end.retry.is_some() {
            end.failed = 0;
        }
        for failure in &mut end.failures {
            failure.folded = failure.cause.as_ref().map(|cause| {
                let failed = failure.partition;
                let partition = failed.unwrap_or_else(|| self.partitions.nth(0));
                folded(&cause.message, &self.partitions.space().text(partition))
            });
        }
        end
    }
}
