//! Which runs cover the selected partitions?
//!
//! A `Plan` is a function from a run's number to its partitions. For a product it is arithmetic; for
//! single keys that are grouped by dimension it is one pass over the keys.

pub mod codec;
pub mod group;
pub mod strategy;

pub use strategy::Strategy;

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::error::Result;
use crate::space::{Members, Selection};
use group::{DimensionGroups, KeyGroups};

/// The runs of a backfill.
#[derive(Debug, Clone)]
pub struct Plan {
    selection: Arc<Selection>,
    strategy: Strategy,
    grouping: Grouping,
}

#[derive(Debug, Clone)]
enum Grouping {
    EachPartition,
    All,
    Chunks(NonZeroU64),
    Dimensions(DimensionGroups),
    Keys(Arc<KeyGroups>),
}

impl Plan {
    /// Plans the runs.
    ///
    /// # Errors
    /// `Configuration` when the strategy names dimensions that the space does not have; `Execution`
    /// when it would group too many single keys.
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
        })
    }

    /// What it covers.
    pub fn selection(&self) -> &Arc<Selection> {
        &self.selection
    }

    /// How it groups.
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// How many runs.
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
                self.selection.stretch(start..start + self.run_len(run))
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

    /// How many partitions a run has.
    pub fn run_len(&self, run: u64) -> u64 {
        match &self.grouping {
            Grouping::EachPartition => 1,
            Grouping::All => self.selection.len(),
            Grouping::Chunks(n) => n.get().min(self.selection.len() - run * n.get()),
            Grouping::Dimensions(groups) => groups.partitions_per_run(),
            Grouping::Keys(groups) => groups.run_len(run),
        }
    }
}
