//! The map of an asset: its partitions with their states.

use std::ops::Range;
use std::sync::Arc;

use pyo3::prelude::*;
use rivers_core::table::cells::{self, AssetStatus};

use crate::cell_counts::{CellCounts, DimensionOf, WindowOf, window_of};
use crate::error::Result;
use crate::selection::{Selection, Space};

/// The map of an asset, of its partitions as they were when it was made.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct AssetCells {
    pub(crate) space: Arc<rivers_core::space::Space>,
    pub(crate) states: Vec<u8>,
}

#[pymethods]
impl AssetCells {
    /// From the state of each partition, in definition order; or, without them, from sets: a partition has
    /// the state of the last set that contains it, and the first state if none does.
    #[new]
    fn new(
        py: Python<'_>,
        space: &Space,
        states: Option<&[u8]>,
        sets: Vec<(PyRef<'_, Selection>, u8)>,
    ) -> Result<Self> {
        let sets: Vec<(Arc<rivers_core::space::Selection>, u8)> = sets
            .iter()
            .map(|(set, state)| (Arc::clone(&set.selection), *state))
            .collect();
        let space = Arc::clone(&space.space);
        let states = py.detach(|| match states {
            Some(states) => cells::checked_states(&space, states.to_vec()),
            None => cells::states_of(&space, &sets),
        })?;
        Ok(Self { space, states })
    }

    /// The dimensions of the asset.
    fn dimensions(&self) -> Vec<DimensionOf> {
        let dims = self.space.dims().iter();
        dims.map(|dim| (dim.name.clone(), dim.axis.len(), dim.axis.time().is_some()))
            .collect()
    }

    /// The keys at these coordinates of a dimension; those that do not exist are left out.
    fn labels(&self, dim: usize, coordinates: Vec<u32>) -> Vec<String> {
        let Some(dim) = self.space.dims().get(dim) else {
            return Vec::new();
        };
        let known = coordinates.into_iter().filter(|&at| at < dim.axis.len());
        known.map(|at| dim.axis.label(at).into_owned()).collect()
    }

    /// Counts all partitions.
    fn count(&self, py: Python<'_>, window: WindowOf) -> Result<CellCounts> {
        let window = window_of(window);
        let cells = py.detach(|| cells::asset_cells(&self.space, &self.states, &window))?;
        Ok(CellCounts { cells })
    }

    /// The partitions within bounds that are in one of these states.
    fn select(
        &self,
        py: Python<'_>,
        bounds: Vec<(u32, u32)>,
        states: Vec<String>,
    ) -> Result<Selection> {
        let bounds: Vec<Range<u32>> = bounds.into_iter().map(|(start, end)| start..end).collect();
        let selection = py.detach(|| {
            let states: Vec<u8> = states
                .iter()
                .map(|name| AssetStatus::parse(name).map(|state| state as u8))
                .collect::<rivers_core::Result<_>>()?;
            cells::asset_partitions_in(&self.space, &self.states, &bounds, &states)
        })?;
        Ok(selection.into())
    }
}
