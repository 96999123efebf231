//! What runs skipped: partitions for which an asset intentionally produces nothing. A skipped partition
//! counts as completed.

use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use crate::space::{Members, PositionSet, Selection, Space};

/// The record of a `Skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkipRow {
    /// The run's number.
    pub run: u64,
    /// Index of the asset in the request.
    pub asset: u32,
    /// The partition; `None`: all partitions of the run that did not fail.
    pub partition: Option<u64>,
    /// The id of the recorded reason.
    pub reason: i64,
}

/// The skips of a backfill, by run.
#[derive(Debug, Default)]
pub struct Skips {
    by_run: HashMap<u64, RunSkips>,
}

#[derive(Debug, Default)]
struct RunSkips {
    /// By asset, the reason for all partitions.
    whole: Vec<(u32, i64)>,
    /// By partition, the assets and their reasons.
    single: HashMap<u64, Vec<(u32, i64)>>,
}

impl FromIterator<SkipRow> for Skips {
    fn from_iter<I: IntoIterator<Item = SkipRow>>(rows: I) -> Self {
        let mut skips = Self::default();
        for row in rows {
            let run = skips.by_run.entry(row.run).or_default();
            let reasons = match row.partition {
                None => &mut run.whole,
                Some(partition) => run.single.entry(partition).or_default(),
            };
            reasons.push((row.asset, row.reason));
        }
        skips
    }
}

impl Skips {
    /// Whether a run skipped anything.
    pub fn has_run(&self, run: u64) -> bool {
        self.by_run.contains_key(&run)
    }

    /// Why a run skipped a partition for `asset`, or (`None`) for the first asset that it skipped it for.
    pub fn reason(&self, run: u64, partition: u64, asset: Option<u32>) -> Option<i64> {
        let run = self.by_run.get(&run)?;
        let single = run.single.get(&partition).map_or(&[][..], Vec::as_slice);
        let fitting = |(own, _): &&(u32, i64)| asset.is_none_or(|asset| asset == *own);
        let mut all = single.iter().chain(&run.whole);
        all.find(fitting).map(|(_, reason)| *reason)
    }
}

/// The partitions that a backfill skipped, by asset.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(into = "Vec<(u32, PositionSet)>", from = "Vec<(u32, PositionSet)>")]
pub struct SkippedPartitions {
    by_asset: HashMap<u32, RoaringTreemap>,
}

impl SkippedPartitions {
    /// Whether nothing was skipped.
    pub fn is_empty(&self) -> bool {
        self.by_asset.is_empty()
    }

    /// Records what a run with these partitions skipped for an asset: one partition, or all.
    pub fn record(&mut self, asset: u32, partition: Option<u64>, run: impl FnOnce() -> Selection) {
        let skipped = self.by_asset.entry(asset).or_default();
        match partition {
            Some(partition) => _ = skipped.insert(partition),
            None => *skipped |= run().to_treemap(),
        }
    }

    /// Those of `partitions` that were skipped for an asset, whose partitions are numbers in `space`.
    /// `None`: none of them.
    pub fn among(&self, asset: u32, space: &Space, partitions: &Selection) -> Option<Selection> {
        let skipped = self.by_asset.get(&asset)?;
        let own = partitions.space();
        let is_skipped = |&partition: &u64| {
            let there = if **own == *space {
                Some(partition)
            } else {
                own.translate(space, partition)
            };
            there.is_some_and(|there| skipped.contains(there))
        };
        let found = PositionSet::in_order(partitions.iter().filter(is_skipped));
        let selection = || Selection::new(Arc::clone(own), Members::Explicit(found.clone()));
        (!found.is_empty()).then(selection)
    }
}

impl From<SkippedPartitions> for Vec<(u32, PositionSet)> {
    fn from(skipped: SkippedPartitions) -> Self {
        let by_asset = skipped.by_asset.into_iter();
        by_asset
            .map(|(asset, set)| (asset, PositionSet::ascending(set)))
            .collect()
    }
}

impl From<Vec<(u32, PositionSet)>> for SkippedPartitions {
    fn from(stored: Vec<(u32, PositionSet)>) -> Self {
        let by_asset = stored
            .into_iter()
            .map(|(asset, set)| (asset, set.set().clone()));
        Self {
            by_asset: by_asset.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(asset: u32, partition: Option<u64>, reason: i64) -> SkipRow {
        SkipRow {
            run: 7,
            asset,
            partition,
            reason,
        }
    }

    #[test]
    fn a_reason_is_that_of_the_partition_before_that_of_the_run() {
        let skips: Skips = [row(0, None, 1), row(0, Some(3), 2), row(1, Some(4), 3)]
            .into_iter()
            .collect();
        assert_eq!(skips.reason(7, 3, Some(0)), Some(2));
        assert_eq!(skips.reason(7, 9, Some(0)), Some(1));
        assert_eq!(skips.reason(7, 9, Some(1)), None);
        assert_eq!(skips.reason(7, 4, None), Some(3));
        assert_eq!(skips.reason(8, 4, None), None);
        assert!(skips.has_run(7) && !skips.has_run(8));
    }

    #[test]
    fn skipped_partitions_survive_being_sent() {
        let mut skipped = SkippedPartitions::default();
        assert!(skipped.is_empty());
        for partition in [5, 1 << 40] {
            skipped.record(2, Some(partition), || unreachable!());
        }
        let bytes = postcard::to_stdvec(&skipped).expect("it is serializable");
        let read: SkippedPartitions = postcard::from_bytes(&bytes).expect("it was just written");
        assert_eq!(read, skipped);
    }
}
