//! Which runs cover the selected partitions?
//!
//! A `Plan` is a function from a run's number to its partitions. For a product it is arithmetic; for
//! explicit keys that are grouped by dimension it is one pass over the keys.
//!
//! Most plans have one layer (a stage of runs): each run executes all assets for its partitions.
//! Where partitions of one asset need *other* partitions of another asset, or of the asset itself, a
//! run depends on other runs. Such assets have layers of their own, which are numbered one after
//! another, and `order` determines from the mappings which runs a run needs.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod codec;
pub mod group;
mod layer;
mod link;
mod order;
pub mod strategy;

pub use layer::Layer;
pub use link::Link;
pub use order::{Need, Runs};
pub use strategy::Strategy;

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::space::{Selection, Space};

/// The runs of a backfill.
#[derive(Debug, Clone)]
pub struct Plan {
    layers: Vec<Layer>,
    /// The number of each layer's first run, followed by the total number of runs.
    starts: Vec<u64>,
    /// Indices in the request of each layer's assets; empty if one layer executes all assets.
    assets: Vec<Vec<u32>>,
    links: Vec<Link>,
    /// By asset, the partitions for which it is already materialized, in the space of its layer.
    materialized: Vec<(u32, Selection)>,
}

impl Plan {
    /// Plans runs that do not depend on each other.
    ///
    /// # Errors
    /// `Configuration` when the strategy names dimensions that the space does not have; `Execution`
    /// for too many explicit keys.
    pub fn new(selection: Selection, strategy: Strategy) -> Result<Self> {
        let layer = Layer::new(selection, strategy)?;
        Ok(Self {
            starts: vec![0, layer.num_runs()],
            layers: vec![layer],
            assets: Vec::new(),
            links: Vec::new(),
            materialized: Vec::new(),
        })
    }

    /// The layers, in order of execution.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The range of a layer's run numbers.
    pub fn runs_of(&self, layer: usize) -> Range<u64> {
        self.starts[layer]..self.starts[layer + 1]
    }

    /// The layer of a run.
    pub fn layer_of(&self, run: u64) -> usize {
        match self.layers.len() {
            1 => 0,
            // A layer without runs starts at the same number as the next one.
            _ => self.starts.partition_point(|&start| start <= run) - 1,
        }
    }

    /// The layer that executes an asset, given the asset's index in the request.
    pub fn layer_with(&self, asset: u32) -> usize {
        let with = self.assets.iter().position(|own| own.contains(&asset));
        with.unwrap_or(0)
    }

    /// Whether a layer executes an asset.
    pub fn has_asset(&self, layer: usize, asset: u32) -> bool {
        self.assets
            .get(layer)
            .is_none_or(|own| own.contains(&asset))
    }

    /// The dependencies between layers.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The plan with the partitions for which assets are already materialized: their runs do not execute
    /// these assets for them. Partitions that an asset's layer does not have are left out.
    #[must_use]
    pub fn with_materialized(
        self,
        materialized: impl IntoIterator<Item = (u32, Selection)>,
    ) -> Self {
        let own = |(asset, done): (u32, Selection)| {
            let layer = &self.layers[self.layer_with(asset)];
            let done = done.intersection(layer.selection());
            (!done.is_empty()).then_some((asset, done))
        };
        let materialized = materialized.into_iter().filter_map(own).collect();
        Self {
            materialized,
            ..self
        }
    }

    /// The partitions for which an asset is already materialized; `None`: none.
    pub fn materialized(&self, asset: u32) -> Option<&Selection> {
        let found = self.materialized.iter().find(|(own, _)| *own == asset);
        found.map(|(_, selection)| selection)
    }

    /// Whether some asset is already materialized for some partition.
    pub fn has_materialized(&self) -> bool {
        !self.materialized.is_empty()
    }

    /// The selection of the first layer.
    pub fn selection(&self) -> &Arc<Selection> {
        self.layers[0].selection()
    }

    /// The strategy of the first layer.
    pub fn strategy(&self) -> &Strategy {
        self.layers[0].strategy()
    }

    /// Whether the plan has one layer with the strategy `SingleRun`.
    pub fn is_one_run(&self) -> bool {
        self.layers.len() == 1 && *self.strategy() == Strategy::SingleRun
    }

    /// Number of partitions executed, summed over the layers.
    pub fn num_partitions(&self) -> u64 {
        self.layers
            .iter()
            .map(|layer| layer.selection().len())
            .sum()
    }

    /// Number of runs.
    pub fn num_runs(&self) -> u64 {
        self.starts[self.layers.len()]
    }

    /// The partitions of a run, in definition order; `run` must be below `num_runs`.
    pub fn run(&self, run: u64) -> Selection {
        let layer = self.layer_of(run);
        self.layers[layer].run(run - self.starts[layer])
    }

    /// The space and the number of the partition of a run that has exactly one.
    pub fn only_partition(&self, run: u64) -> Option<(&Arc<Space>, u64)> {
        let layer = self.layer_of(run);
        self.layers[layer].only_partition(run - self.starts[layer])
    }

    /// Number of partitions of a run.
    pub fn run_len(&self, run: u64) -> u64 {
        let layer = self.layer_of(run);
        self.layers[layer].run_len(run - self.starts[layer])
    }
}
