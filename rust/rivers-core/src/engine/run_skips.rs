//! What a run skips: partitions for which there is nothing to produce.

use std::sync::{Arc, MutexGuard, PoisonError};

use roaring::RoaringTreemap;

use super::run::{Reasons, Run};
use crate::backfill::{Cause, Failure, Skip};
use crate::error::Result;
use crate::space::Selection;

impl Run {
    pub(super) fn skips(&self) -> MutexGuard<'_, Reasons> {
        self.skips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that `asset` skipped some partitions, or (`None`) all that have not failed. A second record
    /// of a partition replaces the first.
    ///
    /// # Errors
    /// `PartitionValidation` if a partition does not belong to the run; then none is skipped.
    pub fn mark_skipped(
        &self,
        asset: u32,
        partitions: Option<&[u64]>,
        reason: &Arc<Cause>,
    ) -> Result<()> {
        let Some(partitions) = partitions else {
            self.skips().insert((asset, None), Arc::clone(reason));
            return Ok(());
        };
        self.check_own(partitions)?;
        let mut skips = self.skips();
        for &partition in partitions {
            skips.insert((asset, Some(partition)), Arc::clone(reason));
        }
        Ok(())
    }

    /// Whether `asset` was skipped for all partitions of the run.
    pub fn is_skipped(&self, asset: u32) -> bool {
        self.skips().contains_key(&(asset, None))
    }

    /// The partitions of the run that `asset` skipped; `None`: none.
    pub fn skipped(&self, asset: u32) -> Option<Selection> {
        if self.is_skipped(asset) {
            return Some(self.partitions().clone());
        }
        let skipped = self.singly_skipped(asset)?;
        Some(self.selected(skipped.iter()))
    }

    /// The partitions that `asset` skipped one by one; `None`: none.
    pub(super) fn singly_skipped(&self, asset: u32) -> Option<RoaringTreemap> {
        let skips = self.skips();
        let single = of_asset(&skips, asset).filter_map(|((_, partition), _)| *partition);
        let skipped: RoaringTreemap = single.collect();
        (!skipped.is_empty()).then_some(skipped)
    }

    /// Those of the partitions of an asset that this run needs which earlier runs skipped; `None`: none.
    pub fn skipped_before(&self, asset: u32, needed: &Selection) -> Option<Selection> {
        let plan = &self.spec().plan;
        let layer = &plan.layers()[plan.layer_with(asset)];
        let space = layer.selection().space();
        self.skipped_before.among(asset, space, needed)
    }

    /// Skips for `asset` what one of `upstreams` skipped in this run.
    pub fn follow_skips(&self, asset: u32, upstreams: &[u32]) {
        let mut skips = self.skips();
        let mut followed = Reasons::new();
        for &upstream in upstreams {
            let name = &self.request().assets[upstream as usize].name;
            for ((_, partition), reason) in of_asset(&skips, upstream) {
                let reason = Cause::of_skip(format!("{name:?} was skipped: {}", reason.message));
                followed.insert((asset, *partition), Arc::new(reason));
            }
        }
        for (place, reason) in followed {
            skips.entry(place).or_insert(reason);
        }
    }

    /// Whether `asset` failed for a partition, skipped it, or materialized it in an earlier attempt.
    pub fn leaves_out(&self, asset: u32, partition: u64) -> bool {
        let skips = self.skips();
        let is_skipped = [None, Some(partition)]
            .iter()
            .any(|place| skips.contains_key(&(asset, *place)));
        drop(skips);
        let made = self.made_before(asset);
        is_skipped
            || self.has_failed(asset, partition)
            || made.is_some_and(|made| made.contains(partition))
    }

    /// Those of the partitions (`None`: all) that `asset` has neither skipped nor was materialized for
    /// before; `None`: all.
    pub(super) fn to_execute(
        &self,
        asset: u32,
        partitions: Option<Selection>,
    ) -> Option<Selection> {
        let skipped = self.skipped(asset);
        let materialized = self.spec().plan.materialized(asset);
        let materialized = materialized.map(|done| self.partitions().intersection(done));
        let materialized = materialized.filter(|done| !done.is_empty());
        let left_out = [skipped, materialized];
        let left_out = left_out.iter().flatten().map(Selection::to_treemap);
        let left_out = left_out.chain(self.made_before(asset).cloned());
        let Some(left_out) = left_out.reduce(|one, other| one | other) else {
            return partitions;
        };
        let partitions = partitions.unwrap_or_else(|| self.partitions().clone());
        Some(partitions.difference(&left_out))
    }

    /// The skips of the run, now that it has ended. What failed was not skipped.
    pub(super) fn take_skips(&self, failures: &[Failure]) -> Vec<Skip> {
        let mut skips = std::mem::take(&mut *self.skips());
        if skips.is_empty() {
            return Vec::new();
        }
        for failure in failures {
            match failure.partition {
                None => skips.retain(|(asset, _), _| *asset != failure.asset),
                partition => _ = skips.remove(&(failure.asset, partition)),
            }
        }
        let skip = |((asset, partition), reason)| Skip {
            asset,
            partition,
            reason,
        };
        skips.into_iter().map(skip).collect()
    }
}

fn of_asset(
    skips: &Reasons,
    asset: u32,
) -> impl Iterator<Item = (&(u32, Option<u64>), &Arc<Cause>)> {
    skips.range((asset, None)..=(asset, Some(u64::MAX)))
}
