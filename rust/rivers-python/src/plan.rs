//! The plan: private to the package.

use std::num::NonZeroU64;
use std::sync::Arc;

use pyo3::prelude::*;
use rivers_core::{plan, space};

use crate::error::Result;
use crate::mapping::PartitionMapping;
use crate::selection::Selection;

/// How the runs of an earlier plan are grouped, to group others so.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct StoredStrategy {
    strategy: plan::Strategy,
}

/// A strategy of an earlier plan; or of `rivers.BackfillStrategy`, with the same fields: both lists, a
/// size, or which other kind.
#[derive(FromPyObject)]
pub(crate) enum Strategy<'py> {
    #[pyo3(transparent)]
    Stored(Bound<'py, StoredStrategy>),
    PerDimension {
        multi_run: Vec<String>,
        single_run: Vec<String>,
    },
    Chunked {
        n: NonZeroU64,
    },
    Plain {
        is_single_run: bool,
    },
}

impl TryFrom<Strategy<'_>> for plan::Strategy {
    type Error = rivers_core::Error;

    fn try_from(strategy: Strategy<'_>) -> rivers_core::Result<Self> {
        match strategy {
            Strategy::Stored(stored) => Ok(stored.get().strategy.clone()),
            Strategy::PerDimension {
                multi_run,
                single_run,
            } => Self::per_dimension(multi_run, single_run),
            Strategy::Chunked { n } => Ok(Self::Chunked { n }),
            Strategy::Plain {
                is_single_run: true,
            } => Ok(Self::SingleRun),
            Strategy::Plain {
                is_single_run: false,
            } => Ok(Self::MultiRun),
        }
    }
}

/// Refuses what `BackfillStrategy.per_dimension()` does not allow.
#[pyo3::pyfunction]
pub(crate) fn check_per_dimension(multi_run: Vec<String>, single_run: Vec<String>) -> Result<()> {
    plan::Strategy::per_dimension(multi_run, single_run)?;
    Ok(())
}

/// The runs of a backfill.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Plan {
    pub(crate) plan: Arc<plan::Plan>,
}

#[pymethods]
impl Plan {
    #[new]
    fn new(py: Python<'_>, selection: &Selection, strategy: Strategy<'_>) -> Result<Self> {
        let strategy = plan::Strategy::try_from(strategy)?;
        let selection = space::Selection::clone(&selection.selection);
        let plan = py.detach(|| plan::Plan::new(selection, strategy))?;
        Ok(Self {
            plan: Arc::new(plan),
        })
    }

    /// Of layers (partitions, how they are grouped, places of their assets in the request) and links
    /// (the layer that needs, the one that makes it, the place of the asset that is needed, its mapping).
    #[staticmethod]
    fn in_layers(
        py: Python<'_>,
        layers: Vec<(PyRef<'_, Selection>, Strategy<'_>, Vec<u32>)>,
        links: Vec<(usize, usize, u32, PyRef<'_, PartitionMapping>)>,
    ) -> Result<Self> {
        let layer = |(selection, strategy, assets): (PyRef<'_, Selection>, Strategy<'_>, _)| {
            let selection = space::Selection::clone(&selection.selection);
            Ok((selection, plan::Strategy::try_from(strategy)?, assets))
        };
        let layers: Vec<_> = layers.into_iter().map(layer).collect::<Result<_>>()?;
        let link =
            |(down, up, asset, mapping): (_, _, _, PyRef<'_, PartitionMapping>)| plan::Link {
                down,
                up,
                asset,
                mapping: mapping.mapping.clone(),
            };
        let links = links.into_iter().map(link).collect();
        let plan = py.detach(|| plan::Plan::in_layers(layers, links))?;
        Ok(Self {
            plan: Arc::new(plan),
        })
    }

    #[getter]
    fn num_runs(&self) -> u64 {
        self.plan.num_runs()
    }

    #[getter]
    fn num_partitions(&self) -> u64 {
        self.plan.num_partitions()
    }

    /// What the first layer covers.
    #[getter]
    fn selection(&self) -> Selection {
        Selection {
            selection: Arc::clone(self.plan.selection()),
        }
    }

    /// Of each layer: its partitions, how they are grouped, and places of its assets in the request
    /// (`None`: all).
    #[getter]
    fn layers(&self) -> Vec<(Selection, StoredStrategy, Option<Vec<u32>>)> {
        let layers = self.plan.layers().iter().enumerate();
        layers
            .map(|(at, layer)| {
                let selection = Selection {
                    selection: Arc::clone(layer.selection()),
                };
                let strategy = StoredStrategy {
                    strategy: layer.strategy().clone(),
                };
                (selection, strategy, self.plan.assets().get(at).cloned())
            })
            .collect()
    }

    /// The partitions of a run.
    fn run(&self, number: u64) -> Selection {
        self.plan.run(number).into()
    }

    /// Places in the request of the assets that a run executes; `None`: all.
    fn assets_of(&self, number: u64) -> Option<Vec<u32>> {
        self.plan.assets().get(self.plan.layer_of(number)).cloned()
    }

    #[getter]
    fn strategy(&self) -> String {
        self.plan.strategy().to_string()
    }
}
