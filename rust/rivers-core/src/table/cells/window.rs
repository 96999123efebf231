//! What of a grid is counted, and the cells that it is counted into.

use std::ops::Range;

use crate::error::{Error, Result};

/// Maximum number of cells of a window.
pub const MAX_CELLS: u64 = 1 << 20;

/// What of a grid is counted, and into which cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The dimension from top to bottom; without one, the cells continue row by row.
    pub rows: Option<usize>,
    /// The dimension from left to right; without one there is one column.
    pub columns: Option<usize>,
    /// The coordinates that are counted, for each dimension.
    pub bounds: Vec<Range<u32>>,
    /// Maximum number of columns.
    pub width: u32,
    /// Maximum number of rows.
    pub height: u32,
}

impl Window {
    /// One cell for all that lies within these bounds.
    pub fn of_bounds(bounds: &[Range<u32>]) -> Self {
        Self {
            rows: None,
            columns: None,
            bounds: bounds.to_vec(),
            width: 1,
            height: 1,
        }
    }
}

/// The counts of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells {
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
    /// Coordinates of each column; the last column can have fewer.
    pub per_column: u32,
    /// Coordinates of each row; 0 where the cells continue row by row.
    pub per_row: u32,
    /// Number of states.
    pub num_states: usize,
    /// For each cell, row by row, the number of partitions in each state.
    pub counts: Vec<u64>,
}

impl Cells {
    /// The number of partitions in each state.
    pub fn totals(&self) -> Vec<u64> {
        let mut totals = vec![0; self.num_states];
        for cell in self.counts.chunks_exact(self.num_states) {
            for (total, count) in totals.iter_mut().zip(cell) {
                *total += count;
            }
        }
        totals
    }

    /// Three bytes for each cell: the first state of `order` that occurs, its share of the cell's
    /// partitions, and the share of those in the states of `done`. A share is 0 to 255, and at least 1
    /// where anything is in the state. A cell without partitions has the state 255.
    pub fn to_bytes(&self, order: &[usize], done: &[usize]) -> Vec<u8> {
        let share = |count: u64, total: u64| match count {
            0 => 0,
            _ => (u128::from(count) * 255 / u128::from(total)).max(1) as u8,
        };
        let mut bytes = Vec::with_capacity(self.counts.len() / self.num_states * 3);
        for cell in self.counts.chunks_exact(self.num_states) {
            let total = cell.iter().sum();
            let shown = order.iter().copied().find(|&state| cell[state] > 0);
            bytes.extend(match shown {
                None => [u8::MAX, 0, 0],
                Some(state) => {
                    let ended = done.iter().map(|&state| cell[state]).sum();
                    [state as u8, share(cell[state], total), share(ended, total)]
                }
            });
        }
        bytes
    }
}

/// The cells of a window: which cell a coordinate belongs to.
pub(super) struct Tiling<'a> {
    pub(super) window: &'a Window,
    pub(super) columns: Side,
    pub(super) rows: Side,
    /// Number of columns of the map; where cells continue row by row, `columns` counts all cells.
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The cells along one side.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) start: u32,
    pub(super) per_cell: u32,
    pub(super) cells: u32,
}

impl Side {
    fn new(bounds: &Range<u32>, max_cells: u32) -> Self {
        let len = bounds.end - bounds.start;
        let per_cell = len.div_ceil(max_cells).max(1);
        Self {
            start: bounds.start,
            per_cell,
            cells: len.div_ceil(per_cell).max(1),
        }
    }
}

impl<'a> Tiling<'a> {
    /// Checks a window against the numbers of coordinates.
    ///
    /// # Errors
    /// `Configuration` for bounds outside of the grid, an unknown dimension, or too many cells.
    pub(super) fn new(window: &'a Window, lens: &[u32]) -> Result<Self> {
        let refused = |message: String| Err(Error::Configuration(message));
        let (width, height) = (window.width, window.height);
        if width == 0 || height == 0 || u64::from(width) * u64::from(height) > MAX_CELLS {
            return refused(format!(
                "a map of {width} x {height} cells; it has 1 to {MAX_CELLS} cells"
            ));
        }
        if window.bounds.len() != lens.len() {
            let (given, dims) = (window.bounds.len(), lens.len());
            return refused(format!("{given} bounds for a grid of {dims} dimensions"));
        }
        for (bounds, &len) in window.bounds.iter().zip(lens) {
            if bounds.start > bounds.end || bounds.end > len {
                let Range { start, end } = bounds;
                return refused(format!(
                    "the bounds {start}..{end} are outside of a dimension of {len} keys"
                ));
            }
        }
        let shown = [window.rows, window.columns];
        if shown.iter().flatten().any(|&dim| dim >= lens.len())
            || (window.rows.is_some() && window.rows == window.columns)
        {
            return refused(format!(
                "rows and columns are two of the {} dimensions",
                lens.len()
            ));
        }
        let bounds = |dim: Option<usize>| dim.map_or(0..1, |dim| window.bounds[dim].clone());
        let wraps = window.rows.is_none() && window.columns.is_some();
        let max_columns = if wraps { width * height } else { width };
        let (columns, rows) = (
            Side::new(&bounds(window.columns), max_columns),
            Side::new(&bounds(window.rows), height),
        );
        Ok(Self {
            window,
            columns,
            rows,
            width: columns.cells.min(width),
            height: if wraps {
                columns.cells.div_ceil(width)
            } else {
                rows.cells
            },
        })
    }

    /// Coordinates of each row; 0 where the cells continue row by row.
    pub(super) fn per_row(&self) -> u32 {
        match (self.window.rows, self.window.columns) {
            (None, Some(_)) => 0,
            _ => self.rows.per_cell,
        }
    }

    pub(super) fn num_cells(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Adds `weight` partitions for each pair of a row and a column; both lie within the bounds.
    pub(super) fn add(
        &self,
        plane: &mut [u64],
        rows: &Range<u32>,
        columns: &Range<u32>,
        weight: u64,
    ) {
        for_cells(self.rows, rows, |row, rows| {
            // Where cells continue row by row, there is one row of all cells.
            let first = row as usize * self.columns.cells as usize;
            for_cells(self.columns, columns, |column, columns| {
                plane[first + column as usize] += u64::from(rows) * u64::from(columns) * weight;
            });
        });
    }
}

/// Calls `visit` with each cell that has some of these coordinates, and their number.
pub(super) fn for_cells(side: Side, part: &Range<u32>, mut visit: impl FnMut(u32, u32)) {
    let (mut at, end) = (part.start - side.start, part.end - side.start);
    while at < end {
        let cell = at / side.per_cell;
        let stop = end.min((cell + 1).saturating_mul(side.per_cell));
        visit(cell, stop - at);
        at = stop;
    }
}
