//! The plan: private to the package.

use std::num::NonZeroU64;
use std::sync::Arc;

use pyo3::prelude::*;
use rivers_core::plan;

use crate::error::Result;
use crate::selection::Selection;

/// A strategy of `rivers.BackfillStrategy`, with the same fields: both lists, a size, or which other kind.
#[derive(FromPyObject)]
pub(crate) enum Strategy {
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

impl TryFrom<Strategy> for plan::Strategy {
    type Error = rivers_core::Error;

    fn try_from(strategy: Strategy) -> rivers_core::Result<Self> {
        match strategy {
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
    fn new(py: Python<'_>, selection: &Selection, strategy: Strategy) -> Result<Self> {
        let strategy = plan::Strategy::try_from(strategy)?;
        let selection = rivers_core::space::Selection::clone(&selection.selection);
        let plan = py.detach(|| plan::Plan::new(selection, strategy))?;
        Ok(Self {
            plan: Arc::new(plan),
        })
    }

    /// Grouped as another plan's partitions are.
    #[staticmethod]
    fn like(py: Python<'_>, selection: &Selection, other: &Self) -> Result<Self> {
        let strategy = other.plan.strategy().clone();
        let selection = rivers_core::space::Selection::clone(&selection.selection);
        let plan = py.detach(|| plan::Plan::new(selection, strategy))?;
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
        self.plan.selection().len()
    }

    #[getter]
    fn selection(&self) -> Selection {
        Selection {
            selection: Arc::clone(self.plan.selection()),
        }
    }

    /// The partitions of a run.
    fn run(&self, number: u64) -> Selection {
        self.plan.run(number).into()
    }

    #[getter]
    fn strategy(&self) -> String {
        self.plan.strategy().to_string()
    }
}
