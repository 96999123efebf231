//! Which runs a run needs: told from the mappings between assets, never from a list of edges.

use std::ops::Range;

use super::{Layer, Link, Plan, Strategy};
use crate::error::{Error, Result};
use crate::space::{Members, Selection};

/// Up to so many partitions are gone through to find the runs that make them.
const MOST_LOOKED_UP: u64 = 64;

/// What a run needs through a link.
#[derive(Debug)]
pub struct Need {
    /// The partitions, of which some may not be part of the plan.
    pub partitions: Selection,
    /// The runs that make them.
    pub runs: Runs,
}

/// Runs that are to end first.
#[derive(Debug, PartialEq, Eq)]
pub enum Runs {
    /// Just these, ascending.
    Listed(Vec<u64>),
    /// These: all that are needed, and perhaps some between them.
    Within(Range<u64>),
}

impl Plan {
    /// Plans runs in layers: of each its selection, its grouping, and places of its assets in the
    /// request.
    ///
    /// # Errors
    /// As `new`, for each layer; `PartitionValidation` where a mapping cannot relate two layers;
    /// `Configuration` where the grouping would have a run need itself; `Execution` for too many.
    pub fn in_layers(
        layers: impl IntoIterator<Item = (Selection, Strategy, Vec<u32>)>,
        links: Vec<Link>,
    ) -> Result<Self> {
        let mut plan = Self {
            layers: Vec::new(),
            starts: vec![0],
            assets: Vec::new(),
            links,
        };
        let (mut end, mut partitions) = (0, 0_u64);
        for (selection, strategy, assets) in layers {
            let layer = Layer::new(selection, strategy)?;
            // There are no more runs than partitions.
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
            // What holds for all holds for each: later this cannot fail.
            link.mapping
                .upstream(down.selection(), up.selection().space())?;
            if link.down == link.up {
                link.check_own(down)?;
            }
        }
        Ok(plan)
    }

    /// The places of each layer's assets in the request; empty for a plan without an order.
    pub fn assets(&self) -> &[Vec<u32>] {
        &self.assets
    }

    /// What a run needs through a link of its layer.
    pub fn need(&self, run: u64, link: &Link) -> Need {
        let up = &self.layers[link.up];
        let partitions = self.run(run);
        let needed = link.mapping.upstream(&partitions, up.selection().space());
        let Ok(partitions) = needed else {
            unreachable!("it was mapped when the plan was made");
        };
        let start = self.starts[link.up];
        let runs = if partitions.len() <= MOST_LOOKED_UP || link.down == link.up {
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

/// The runs of a layer from the first that makes some of the partitions to the last.
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
    // In each dimension a position that comes later in the layer's order is in no earlier run.
    let Ok(both) = both.arranged_as(layer.selection()) else {
        unreachable!("a product is not listed");
    };
    match both.len().checked_sub(1) {
        None => 0..0,
        Some(last) => {
            let run_of = |place| layer.run_of(both.nth(place)).unwrap_or_default();
            run_of(0)..run_of(last) + 1
        }
    }
}

impl Link {
    /// Refuses a grouping under which a run would need itself, or two runs each other.
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
            "an asset needs its own earlier partitions, so each moment needs a run of its own; {} does \
             not give it one: use multi_run(), or per_dimension() with the time dimension in multi_run",
            layer.strategy()
        )))
    }
}
