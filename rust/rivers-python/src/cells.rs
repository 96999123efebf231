//! Maps of partitions: the counts of states in the cells of a window.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rivers_core::Error;
use rivers_core::plan::Plan;
use rivers_core::space::RangeSpec;
use rivers_core::store;
use rivers_core::table::PartitionStatus;
use rivers_core::table::cells::{self, AssetStatus, Grid, Recorded, Window};

use crate::error::Result;
use crate::range::KeyRange;
use crate::selection::{Selection, Space};
use crate::store::Store;

/// A dimension of a map: its name, its number of keys, and whether they are time windows.
type DimensionOf = (String, u32, bool);

/// Rows, columns, bounds, width and height of a window.
type WindowOf = (Option<usize>, Option<usize>, Vec<(u32, u32)>, u32, u32);

fn window_of((rows, columns, bounds, width, height): WindowOf) -> Window {
    Window {
        rows,
        columns,
        bounds: bounds.into_iter().map(|(start, end)| start..end).collect(),
        width,
        height,
    }
}

/// The counts of a map.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct CellCounts {
    cells: cells::Cells,
}

#[pymethods]
impl CellCounts {
    #[getter]
    fn width(&self) -> u32 {
        self.cells.width
    }

    #[getter]
    fn height(&self) -> u32 {
        self.cells.height
    }

    #[getter]
    fn per_column(&self) -> u32 {
        self.cells.per_column
    }

    #[getter]
    fn per_row(&self) -> u32 {
        self.cells.per_row
    }

    fn totals(&self) -> Vec<u64> {
        self.cells.totals()
    }

    /// The counts of one cell.
    fn cell(&self, row: usize, column: usize) -> PyResult<Vec<u64>> {
        let num_states = self.cells.num_states;
        let first = (row * self.cells.width as usize + column) * num_states;
        let inside = column < self.cells.width as usize && row < self.cells.height as usize;
        let cell = || self.cells.counts[first..first + num_states].to_vec();
        inside
            .then(cell)
            .ok_or_else(|| pyo3::exceptions::PyIndexError::new_err((row, column)))
    }

    /// Three bytes for each cell: state, its share, and the share of `done`.
    fn to_bytes<'py>(
        &self,
        py: Python<'py>,
        order: Vec<usize>,
        done: Vec<usize>,
    ) -> Bound<'py, PyBytes> {
        let bytes = py.detach(|| self.cells.to_bytes(&order, &done));
        PyBytes::new(py, &bytes)
    }
}

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
            let bounds = grid.bounds_of(&range)?.into_iter();
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
