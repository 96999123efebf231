//! A stage of runs over one selection: a function from a run's number to its partitions, and back.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};

use super::Strategy;
use super::group::{DimensionGroups, KeyGroups};
use crate::error::Result;
use crate::space::{Members, Selection, Space};

/// The runs of one selection that execute the same assets.
#[derive(Debug, Clone)]
pub struct Layer {
    selection: Arc<Selection>,
    strategy: Strategy,
    grouping: Grouping,
    /// The run or the position of each partition, where it cannot be computed; built on first use.
    index: Arc<OnceLock<HashMap<u64, u64>>>,
}

#[derive(Debug, Clone)]
enum Grouping {
    EachPartition,
    All,
    Chunks(NonZeroU64),
    Dimensions(DimensionGroups),
    Keys(Arc<KeyGroups>),
}

impl Layer {
    /// Groups the partitions into runs.
    ///
    /// # Errors
    /// `Configuration` when the strategy names dimensions that the space does not have; `Execution`
    /// for too many explicit keys.
    pub fn new(selection: Selection, strategy: Strategy) -> Result<Self> {
        let grouping = match &strategy {
            Strategy::MultiRun => Grouping::EachPartition,
            Strategy::SingleRun => Grouping::All,
            Strategy::Chunked { n } => Grouping::Chunks(*n),
            Strategy::PerDimension { .. } => {
                let dims = strategy.run_dimensions(selection.space())?;
                match selection.members() {
                    Members::Product(sets) => Grouping::Dimensions(DimensionGroups::new(
                        sets,
                        &dims,
                        &selection.nesting(),
                    )),
                    Members::Explicit(_) | Members::One(_) => {
                        Grouping::Keys(Arc::new(KeyGroups::new(&selection, &dims)?))
                    }
                }
            }
        };
        Ok(Self {
            selection: Arc::new(selection),
            strategy,
            grouping,
            index: Arc::default(),
        })
    }

    /// The selection that the runs cover.
    pub fn selection(&self) -> &Arc<Selection> {
        &self.selection
    }

    /// The strategy that groups partitions into runs.
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// Number of runs.
    pub fn num_runs(&self) -> u64 {
        match &self.grouping {
            Grouping::EachPartition => self.selection.len(),
            Grouping::All => u64::from(!self.selection.is_empty()),
            Grouping::Chunks(n) => self.selection.len().div_ceil(n.get()),
            Grouping::Dimensions(groups) => groups.num_runs(),
            Grouping::Keys(groups) => groups.num_runs(),
        }
    }

    /// The partitions of a run, in definition order; `run` must be below `num_runs`.
    pub fn run(&self, run: u64) -> Selection {
        let space = Arc::clone(self.selection.space());
        match &self.grouping {
            Grouping::EachPartition => Selection::new(space, Members::One(self.selection.nth(run))),
            Grouping::All => self.selection.sorted(),
            Grouping::Chunks(n) => {
                let start = run * n.get();
                self.selection.span(start..start + self.run_len(run))
            }
            Grouping::Dimensions(groups) => {
                let Members::Product(sets) = self.selection.members() else {
                    unreachable!("only a product is grouped by its dimensions");
                };
                Selection::new(space, Members::Product(groups.run(sets, run)))
            }
            Grouping::Keys(groups) => Selection::new(space, groups.run(run)),
        }
    }

    /// The space and the number of the partition of a run that has exactly one.
    pub fn only_partition(&self, run: u64) -> Option<(&Arc<Space>, u64)> {
        let partition = match &self.grouping {
            Grouping::EachPartition => self.selection.nth(run),
            Grouping::All | Grouping::Chunks(_) | Grouping::Dimensions(_) | Grouping::Keys(_) => {
                let partitions = self.run(run);
                (partitions.len() == 1).then(|| partitions.nth(0))?
            }
        };
        Some((self.selection.space(), partition))
    }

    /// Number of partitions of a run.
    pub fn run_len(&self, run: u64) -> u64 {
        match &self.grouping {
            Grouping::EachPartition => 1,
            Grouping::All => self.selection.len(),
            Grouping::Chunks(n) => n.get().min(self.selection.len() - run * n.get()),
            Grouping::Dimensions(groups) => groups.partitions_per_run(),
            Grouping::Keys(groups) => groups.run_len(run),
        }
    }

    /// The run of a partition, or `None` if the partition is not selected.
    ///
    /// For explicit keys that are listed in an order of their own, or grouped by dimension, the first
    /// call builds an index of all keys.
    pub fn run_of(&self, partition: u64) -> Option<u64> {
        let listed = || self.index().get(&partition).copied();
        let position = || match self.selection.members() {
            Members::Explicit(set) if set.is_listed() => listed(),
            Members::Product(_) | Members::Explicit(_) | Members::One(_) => {
                self.selection.position(partition)
            }
        };
        match &self.grouping {
            Grouping::EachPartition => position(),
            Grouping::All => self.selection.contains(partition).then_some(0),
            Grouping::Chunks(n) => position().map(|position| position / n.get()),
            Grouping::Dimensions(groups) => {
                let Members::Product(sets) = self.selection.members() else {
                    unreachable!("only a product is grouped by its dimensions");
                };
                let space = self.selection.space();
                let index = |dim| space.index(partition, dim);
                (self.selection.contains(partition)).then(|| groups.run_of(sets, index))
            }
            Grouping::Keys(_) => listed(),
        }
    }

    /// Maps each partition to its run or, in a selection of listed keys, to its position.
    fn index(&self) -> &HashMap<u64, u64> {
        self.index.get_or_init(|| match &self.grouping {
            Grouping::Keys(groups) => (0..groups.num_runs())
                .flat_map(|run| groups.members_of(run).iter().map(move |&at| (at, run)))
                .collect(),
            Grouping::EachPartition
            | Grouping::All
            | Grouping::Chunks(_)
            | Grouping::Dimensions(_) => self.selection.iter().zip(0..).collect(),
        })
    }
}
