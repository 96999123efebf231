//! Determines which runs a run needs, from the mappings between assets and never from a list of
//! edges.

use std::ops::Range;

use super::{Layer, Link, Plan, Strategy};
use crate::error::{Error, Result};
use crate::space::{Members, Selection};

/// Maximum number of partitions whose runs are looked up one by one.
const MAX_LOOKED_UP: u64 = 64;

/// What a run needs through a link.
#[derive(Debug)]
pub struct Need {
    /// The partitions needed, some of which may not be part of the plan.
    pub partitions: Selection,
    /// The runs that make them.
    pub runs: Runs,
}

/// Runs that must end before the dependent run starts.
#[derive(Debug, PartialEq, Eq)]
pub enum Runs {
    /// Exactly these runs, ascending.
    Listed(Vec<u64>),
    /// All runs that are needed, and possibly some between them.
    Within(Range<u64>),
}

impl Plan {
    /// Plans runs in layers, each given as its selection, strategy and asset indices in the request.
    ///
    /// # Errors
    /// Those of `new` for each layer; `PartitionValidation` where a mapping cannot relate two layers;
    /// `Configuration` where a run would need itself; `Execution` for too many runs.
    pub fn in_layers(
        layers: impl IntoIterator<Item = (Selection, Strategy, Vec<u32>)>,
        links: Vec<Link>,
    ) -> Result<Self> {
        let mut plan = Self {
            layers: Vec::new(),
            starts: vec![0],
            assets: Vec::new(),
            links,
            materialized: Vec::new(),
        };
        let (mut end, mut partitions) = (0, 0_u64);
        for (selection, strategy, assets) in layers {
            let layer = Layer::new(selection, strategy)?;
            // There are at most as many runs as partitions.
            partitions = partitions
                .checked_add(layer.selection().len())
                .filter(|sum| i64::try_from(*sum).is_ok())
                .ok_or_else(too_many)?;
            end += layer.num_runs();
            plan.starts.push(end);
            plan.layers.push(layer);
            plan.assets.push(assets);
        }
        for link in &plan.links {
            let (down, up) = (&plan.layers[link.down], &plan.layers[link.up]);
            // If the mapping works for the whole selection, it works for each run, so later calls
            // cannot fail.
            link.mapping
                .upstream(down.selection(), up.selection().space())?;
            if link.down == link.up {
                link.check_own(down)?;
            }
        }
        Ok(plan)
    }

    /// Indices in the request of each layer's assets; empty for a plan with one layer.
    pub fn assets(&self) -> &[Vec<u32>] {
        &self.assets
    }

    /// The partitions and runs that a run needs through a link of its layer.
    pub fn need(&self, run: u64, link: &Link) -> Need {
        let up = &self.layers[link.up];
        let partitions = self.run(run);
        let needed = link.mapping.upstream(&partitions, up.selection().space());
        let Ok(partitions) = needed else {
            unreachable!("it was mapped when the plan was made");
        };
        let start = self.starts[link.up];
        let runs = if partitions.len() <= MAX_LOOKED_UP || link.down == link.up {
            let mut runs: Vec<u64> = partitions.iter().filter_map(|at| up.run_of(at)).collect();
            runs.sort_unstable();
            runs.dedup();
            runs.iter_mut().for_each(|run| *run += start);
            Runs::Listed(runs)
        } else {
            let within = around(up, &partitions);
            Runs::Within(within.start + start..within.end + start)
        };
        Need { partitions, runs }
    }
}

fn too_many() -> Error {
    Error::Execution(format!(
        "the assets have more than {} partitions together; select fewer",
        i64::MAX
    ))
}

/// The range of a layer's runs from the first that makes some of the partitions to the last.
fn around(layer: &Layer, partitions: &Selection) -> Range<u64> {
    let (Members::Product(own), Members::Product(wanted)) =
        (layer.selection().members(), partitions.members())
    else {
        return 0..layer.num_runs();
    };
    let both = own
        .iter()
        .zip(wanted)
        .map(|(own, wanted)| own.intersection(wanted));
    let space = partitions.space().clone();
    let both = Selection::new(space, Members::Product(both.collect()));
    // In each dimension, a later position in the layer's order is never in an earlier run.
    let Ok(both) = both.arranged_as(layer.selection()) else {
        unreachable!("a product is not listed");
    };
    match both.len().checked_sub(1) {
        None => 0..0,
        Some(last) => {
            let run_of = |position| layer.run_of(both.nth(position)).unwrap_or_default();
            run_of(0)..run_of(last) + 1
        }
    }
}

impl Link {
    /// Refuses a grouping in which a run would need itself, or two runs each other.
    fn check_own(&self, layer: &Layer) -> Result<()> {
        let space = layer.selection().space();
        let apart = match layer.strategy() {
            Strategy::MultiRun => true,
            Strategy::SingleRun | Strategy::Chunked { .. } => layer.num_runs() == 0,
            grouped @ Strategy::PerDimension { .. } => {
                let dims = grouped.run_dimensions(space)?;
                dims.iter()
                    .any(|&dim| self.mapping.goes_back_in(&space.dims()[dim]))
            }
        };
        if apart && self.mapping.goes_back() {
            return Ok(());
        }
        Err(Error::Configuration(format!(
            "an asset needs its own earlier partitions, so each time window needs a run of its own; {} does \
             not give it one: use multi_run, or per_dimension with the time dimension in multi_run",
            layer.strategy()
        )))
    }
}
