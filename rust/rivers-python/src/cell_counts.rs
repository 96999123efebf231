//! The counts of states in the cells of a map, and the window that is asked for.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rivers_core::table::cells::{Cells, Window};

/// A dimension of a map: its name, its number of keys, and whether they are time windows.
pub(crate) type DimensionOf = (String, u32, bool);

/// Rows, columns, bounds, width and height of a window.
pub(crate) type WindowOf = (Option<usize>, Option<usize>, Vec<(u32, u32)>, u32, u32);

pub(crate) fn window_of((rows, columns, bounds, width, height): WindowOf) -> Window {
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
    pub(crate) cells: Cells,
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
