//! Plans and their strategies; private to the package.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rivers_core::{plan, space};

use crate::error::{Raised, Result};
use crate::mapping::PartitionMapping;
use crate::selection::Selection;

/// The strategy of an earlier plan, for reuse in another plan.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct StoredStrategy {
    strategy: plan::Strategy,
}

/// A strategy from Python: a `StoredStrategy`, or a `rivers.BackfillStrategy`, whose `kind`
/// determines its fields.
pub(crate) struct Strategy(plan::Strategy);

impl<'py> FromPyObject<'_, 'py> for Strategy {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(stored) = given.cast::<StoredStrategy>() {
            return Ok(Self(stored.get().strategy.clone()));
        }
        let kind: String = given.getattr("kind")?.extract()?;
        let names = |field: &str| -> PyResult<Vec<String>> { given.getattr(field)?.extract() };
        let strategy = match kind.as_str() {
            "multi_run" => plan::Strategy::MultiRun,
            "single_run" => plan::Strategy::SingleRun,
            "chunked" => plan::Strategy::Chunked {
                n: given.getattr("n")?.extract()?,
            },
            "per_dimension" => {
                plan::Strategy::per_dimension(names("multi_run")?, names("single_run")?)
                    .map_err(Raised)?
            }
            unknown => {
                return Err(PyTypeError::new_err(format!(
                    "there is no kind of strategy {unknown:?}"
                )));
            }
        };
        Ok(Self(strategy))
    }
}

/// Checks the arguments of `BackfillStrategy.per_dimension()`.
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
    fn new(py: Python<'_>, selection: &Selection, strategy: Strategy) -> Result<Self> {
        let selection = space::Selection::clone(&selection.selection);
        let plan = py.detach(|| plan::Plan::new(selection, strategy.0))?;
        Ok(Self {
            plan: Arc::new(plan),
        })
    }

    /// Creates a plan of layers (selection, strategy, indices of their assets in the request) and
    /// links (dependent layer, layer that makes the partitions, index of the asset needed, mapping).
    #[staticmethod]
    fn in_layers(
        py: Python<'_>,
        layers: Vec<(PyRef<'_, Selection>, Strategy, Vec<u32>)>,
        links: Vec<(usize, usize, u32, PyRef<'_, PartitionMapping>)>,
    ) -> Result<Self> {
        let layer = |(selection, strategy, assets): (PyRef<'_, Selection>, Strategy, _)| {
            let selection = space::Selection::clone(&selection.selection);
            (selection, strategy.0, assets)
        };
        let layers: Vec<_> = layers.into_iter().map(layer).collect();
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

    /// The plan with the partitions for which assets, by index, are already materialized.
    fn with_materialized(&self, materialized: Vec<(u32, PyRef<'_, Selection>)>) -> Self {
        let own = |(asset, done): (u32, PyRef<'_, Selection>)| {
            (asset, space::Selection::clone(&done.selection))
        };
        let plan = plan::Plan::clone(&self.plan);
        Self {
            plan: Arc::new(plan.with_materialized(materialized.into_iter().map(own))),
        }
    }

    /// The partitions for which an asset, by its index, is already materialized; `None`: none.
    fn materialized(&self, asset: u32) -> Option<Selection> {
        self.plan.materialized(asset).cloned().map(Selection::from)
    }

    #[getter]
    fn num_runs(&self) -> u64 {
        self.plan.num_runs()
    }

    #[getter]
    fn num_partitions(&self) -> u64 {
        self.plan.num_partitions()
    }

    /// The selection of the first layer.
    #[getter]
    fn selection(&self) -> Selection {
        Selection {
            selection: Arc::clone(self.plan.selection()),
        }
    }

    /// The selection and the strategy of each layer, and the indices of its assets in the request
    /// (`None` for all).
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

    /// Whether one run executes all partitions, by the strategy.
    #[getter]
    fn is_one_run(&self) -> bool {
        self.plan.is_one_run()
    }

    /// The partitions of a run.
    fn run(&self, number: u64) -> Selection {
        self.plan.run(number).into()
    }

    /// Indices in the request of the assets that a run executes; `None` for all.
    fn assets_of(&self, number: u64) -> Option<Vec<u32>> {
        self.plan.assets().get(self.plan.layer_of(number)).cloned()
    }

    #[getter]
    fn strategy(&self) -> String {
        self.plan.strategy().to_string()
    }
}
