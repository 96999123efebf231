//! Which runs cover the selected partitions?
//!
//! A `Plan` is a function from a run's number to its partitions. For a product it is arithmetic; for
//! single keys that are grouped by dimension it is one pass over the keys.
//!
//! Most plans have one layer: each run executes all assets for its partitions. Where partitions of one
//! asset need *other* partitions of another asset, or of itself, one run needs what others make. Such
//! assets have layers of their own, whose runs follow each other in number, and `order` tells from the
//! mappings which runs a run needs.

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
use crate::space::Selection;

/// The runs of a backfill.
#[derive(Debug, Clone)]
pub struct Plan {
    layers: Vec<Layer>,
    /// For each layer, the number of its first run; then the number of all runs.
    starts: Vec<u64>,
    /// For each layer, places of its assets in the request; empty: there is one layer, with all.
    assets: Vec<Vec<u32>>,
    links: Vec<Link>,
}

impl Plan {
    /// Plans runs that need nothing of each other.
    ///
    /// # Errors
    /// `Configuration` when the strategy names dimensions that the space does not have; `Execution`
    /// when it would group too many single keys.
    pub fn new(selection: Selection, strategy: Strategy) -> Result<Self> {
        let layer = Layer::new(selection, strategy)?;
        Ok(Self {
            starts: vec![0, layer.num_runs()],
            layers: vec![layer],
            assets: Vec::new(),
            links: Vec::new(),
        })
    }

    /// The layers, the first executed first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The numbers of a layer's runs.
    pub fn runs_of(&self, layer: usize) -> Range<u64> {
        self.starts[layer]..self.starts[layer + 1]
    }

    /// The layer of a run.
    pub fn layer_of(&self, run: u64) -> usize {
        match self.layers.len() {
            1 => 0,
            // A layer without runs starts where the next does.
            _ => self.starts.partition_point(|&start| start <= run) - 1,
        }
    }

    /// The layer that executes an asset, by the asset's place in the request.
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

    /// Which layers need what of which.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// What the first layer covers.
    pub fn selection(&self) -> &Arc<Selection> {
        self.layers[0].selection()
    }

    /// How the first layer groups.
    pub fn strategy(&self) -> &Strategy {
        self.layers[0].strategy()
    }

    /// Whether the plan has one layer whose partitions all belong to one run, however many they are.
    pub fn is_one_run(&self) -> bool {
        self.layers.len() == 1 && *self.strategy() == Strategy::SingleRun
    }

    /// How many partitions are executed: those of all layers.
    pub fn num_partitions(&self) -> u64 {
        self.layers
            .iter()
            .map(|layer| layer.selection().len())
            .sum()
    }

    /// How many runs.
    pub fn num_runs(&self) -> u64 {
        self.starts[self.layers.len()]
    }

    /// The partitions of a run, in definition order; `run` must be below `num_runs`.
    pub fn run(&self, run: u64) -> Selection {
        let layer = self.layer_of(run);
        self.layers[layer].run(run - self.starts[layer])
    }

    /// How many partitions a run has.
    pub fn run_len(&self, run: u64) -> u64 {
        let layer = self.layer_of(run);
        self.layers[layer].run_len(run - self.starts[layer])
    }
}
