//! The map of a backfill: the counts of states in the cells of a window.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use rivers_core::Error;
use rivers_core::clock::{Clock, SteadyClock};
use rivers_core::plan::Plan;
use rivers_core::space::RangeSpec;
use rivers_core::store;
use rivers_core::table::PartitionStatus;
use rivers_core::table::cells::{self, Grid, Recorded};

use crate::cell_counts::{CellCounts, DimensionOf, WindowOf, window_of};
use crate::error::Result;
use crate::range::KeyRange;
use crate::selection::Selection;
use crate::store::Store;

/// What is kept between two looks at a backfill.
struct Known {
    plan: Option<Plan>,
    grids: Vec<Arc<Grid>>,
    recorded: Recorded,
}

/// The map of a backfill, which reads what was recorded since it was last read.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct BackfillCells {
    store: Arc<dyn store::Store>,
    id: String,
    known: Mutex<Known>,
}

impl BackfillCells {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a function to what is known of a layer.
    fn with_layer<T>(
        &self,
        layer: usize,
        apply: impl FnOnce(&Plan, &Grid, &Recorded) -> rivers_core::Result<T>,
    ) -> rivers_core::Result<T> {
        let known = self.known();
        let missing = || Error::Configuration(format!("there is no layer {layer}"));
        let plan = known.plan.as_ref().ok_or_else(missing)?;
        let grid = known.grids.get(layer).ok_or_else(missing)?;
        apply(plan, grid, &known.recorded)
    }

    fn read(&self) -> rivers_core::Result<()> {
        let row = self
            .store
            .find(&self.id)?
            .ok_or_else(|| Error::BackfillNotFound(self.id.clone()))?;
        let mut known = self.known();
        let known = &mut *known;
        if known.plan.is_none() {
            let plan = self.store.plan(row.key)?;
            let layers = 0..plan.layers().len();
            known.grids = layers
                .map(|layer| Ok(Arc::new(Grid::of_layer(&plan, layer)?)))
                .collect::<rivers_core::Result<_>>()?;
            known.plan = Some(plan);
        }
        match &known.plan {
            Some(plan) => known.recorded.refresh(&*self.store, &row, plan),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl BackfillCells {
    #[new]
    fn new(py: Python<'_>, store: &Store, id: String) -> Result<Self> {
        let cells = Self {
            store: Arc::clone(&store.store),
            id,
            known: Mutex::new(Known {
                plan: None,
                grids: Vec::new(),
                recorded: Recorded::default(),
            }),
        };
        py.detach(|| cells.read())?;
        Ok(cells)
    }

    /// Reads what was recorded since the last call.
    fn refresh(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| self.read())?)
    }

    #[getter]
    fn num_layers(&self) -> usize {
        self.known().grids.len()
    }

    /// The dimensions of a layer.
    fn dimensions(&self, py: Python<'_>, layer: usize) -> Result<Vec<DimensionOf>> {
        let of = |grid: &Grid| {
            let dims = grid.space().dims().iter().zip(grid.lens());
            dims.map(|(dim, len)| (dim.name.clone(), len, dim.axis.time().is_some()))
                .collect()
        };
        Ok(py.detach(|| self.with_layer(layer, |_, grid, _| Ok(of(grid))))?)
    }

    /// The keys at these coordinates of a dimension; those that do not exist are left out.
    fn labels(
        &self,
        py: Python<'_>,
        layer: usize,
        dim: usize,
        coordinates: Vec<u32>,
    ) -> Result<Vec<String>> {
        let of = |grid: &Grid| {
            let len = grid.lens().get(dim).copied().unwrap_or(0);
            let known = coordinates.into_iter().filter(|&at| at < len);
            known.map(|at| grid.label(dim, at).into_owned()).collect()
        };
        Ok(py.detach(|| self.with_layer(layer, |_, grid, _| Ok(of(grid))))?)
    }

    /// The coordinates of a range of keys, by dimension.
    fn bounds(&self, py: Python<'_>, layer: usize, range: KeyRange) -> Result<Vec<(u32, u32)>> {
        let range = RangeSpec::from(range);
        let of = |grid: &Grid| {
            let bounds = grid.bounds_of(&range, SteadyClock.now())?.into_iter();
            Ok(bounds.map(|bounds| (bounds.start, bounds.end)).collect())
        };
        Ok(py.detach(|| self.with_layer(layer, |_, grid, _| of(grid)))?)
    }

    /// Counts the partitions of a layer.
    fn count(&self, py: Python<'_>, layer: usize, window: WindowOf) -> Result<CellCounts> {
        let window = window_of(window);
        let cells = py.detach(|| {
            self.with_layer(layer, |_, grid, recorded| {
                cells::backfill_cells(grid, recorded, &window)
            })
        })?;
        Ok(CellCounts { cells })
    }

    /// Counts the partitions of a layer, of which only these have failed.
    fn count_chosen(
        &self,
        py: Python<'_>,
        layer: usize,
        window: WindowOf,
        chosen: &Selection,
    ) -> Result<CellCounts> {
        let window = window_of(window);
        let cells = py.detach(|| {
            self.with_layer(layer, |_, grid, _| {
                cells::chosen_cells(grid, &chosen.selection, &window)
            })
        })?;
        Ok(CellCounts { cells })
    }

    /// The partitions within bounds that are in one of these states.
    fn select(
        &self,
        py: Python<'_>,
        layer: usize,
        bounds: Vec<(u32, u32)>,
        states: Vec<String>,
    ) -> Result<Selection> {
        let bounds: Vec<Range<u32>> = bounds.into_iter().map(|(start, end)| start..end).collect();
        let selection = py.detach(|| {
            let states: Vec<PartitionStatus> = states
                .iter()
                .map(|name| PartitionStatus::parse(name))
                .collect::<rivers_core::Result<_>>()?;
            self.with_layer(layer, |plan, grid, recorded| {
                cells::partitions_in(plan, grid, recorded, &bounds, &states)
            })
        })?;
        Ok(selection.into())
    }
}
