//! The order of partitions in a table: which partition is in which row, by arithmetic where possible.

use std::ops::Range;

use crate::error::Result;
use crate::plan::{Layer, Strategy};
use crate::space::{IndexSet, Level, Members, Nesting, Selection, Space};

/// Partitions in the order of a table's rows.
pub(super) struct Layout {
    pub(super) rows: Rows,
    runs: RunRows,
}

/// The rows.
pub(super) enum Rows {
    /// A product: one entry per dimension of the space.
    Grid {
        dims: Vec<GridDim>,
        /// The dimensions, the slowest first.
        nesting: Vec<usize>,
        len: u64,
    },
    /// Single partitions.
    Listed(Vec<u64>),
}

/// A dimension of a grid.
pub(super) struct GridDim {
    /// The positions, in order of occurrence.
    pub(super) positions: Vec<u32>,
    /// Number of consecutive rows with the same position.
    pub(super) repeat: u64,
}

/// The rows of the runs.
enum RunRows {
    /// All runs have the same number of rows; the last can have fewer.
    Even(u64),
    /// The first row of each run, followed by the end of the last.
    Starts(Vec<u64>),
}

impl Layout {
    /// The rows of a selection, in its order.
    pub(super) fn of_selection(selection: &Selection) -> Self {
        let rows = match selection.members() {
            Members::Product(sets) => grid(sets, selection.nesting().levels()),
            Members::Explicit(_) | Members::One(_) => Rows::Listed(selection.iter().collect()),
        };
        Self {
            rows,
            runs: RunRows::Even(1),
        }
    }

    /// The rows of a layer: by run, then in the order within the run.
    pub(super) fn of_layer(layer: &Layer) -> Result<Self> {
        let selection = layer.selection();
        if let (Members::Product(sets), Some((levels, per_run))) =
            (selection.members(), nesting_of(layer)?)
        {
            return Ok(Self {
                rows: grid(sets, &levels),
                runs: RunRows::Even(per_run),
            });
        }
        Ok(match layer.strategy() {
            Strategy::MultiRun => Self::of_selection(selection),
            Strategy::SingleRun => Self {
                rows: Self::of_selection(&selection.sorted()).rows,
                runs: RunRows::Even(selection.len()),
            },
            Strategy::PerDimension { .. } | Strategy::Chunked { .. } => {
                let mut listed = Vec::with_capacity(selection.len() as usize);
                let mut starts = Vec::with_capacity(layer.num_runs() as usize + 1);
                starts.push(0);
                for run in 0..layer.num_runs() {
                    listed.extend(layer.run(run).iter());
                    starts.push(listed.len() as u64);
                }
                Self {
                    rows: Rows::Listed(listed),
                    runs: RunRows::Starts(starts),
                }
            }
        })
    }

    /// Number of rows.
    pub(super) fn len(&self) -> u64 {
        match &self.rows {
            Rows::Grid { len, .. } => *len,
            Rows::Listed(partitions) => partitions.len() as u64,
        }
    }

    /// The rows of these runs, whose numbers count from the layer's first run.
    pub(super) fn rows_of(&self, runs: Range<u64>) -> Range<u64> {
        match &self.runs {
            RunRows::Even(per_run) => {
                let end = runs.end.saturating_mul(*per_run).min(self.len());
                runs.start * per_run..end
            }
            RunRows::Starts(starts) => starts[runs.start as usize]..starts[runs.end as usize],
        }
    }

    /// The positions of the rows within one dimension.
    pub(super) fn indices(&self, space: &Space, dim: usize) -> Indices<'_> {
        match &self.rows {
            Rows::Grid { dims, .. } => Indices::Grid(&dims[dim]),
            Rows::Listed(partitions) => {
                let own = partitions
                    .iter()
                    .map(|&partition| space.index(partition, dim));
                let mut indices: Vec<u32> = own.collect();
                let positions = rank(&mut indices);
                Indices::Listed { positions, indices }
            }
        }
    }
}

/// The order of a product's rows, and the number of rows of each run; `None`: the rows are listed.
pub(super) fn nesting_of(layer: &Layer) -> Result<Option<(Vec<Level>, u64)>> {
    let selection = layer.selection();
    let Members::Product(sets) = selection.members() else {
        return Ok(None);
    };
    let definition = || Nesting::definition(sets.len()).levels().to_vec();
    Ok(match layer.strategy() {
        Strategy::MultiRun => Some((selection.nesting().levels().to_vec(), 1)),
        Strategy::SingleRun => Some((definition(), selection.len())),
        // An order that differs from the definition's applies between runs, not within them.
        Strategy::Chunked { .. } if selection.is_arranged() => None,
        Strategy::Chunked { n } => Some((definition(), n.get())),
        Strategy::PerDimension { .. } => {
            let across = layer.strategy().run_dimensions(selection.space())?;
            let mut levels = selection.nesting().levels().to_vec();
            levels.retain(|level| across.contains(&level.dim));
            let mut batched = definition();
            batched.retain(|level| !across.contains(&level.dim));
            let per_run = batched.iter().map(|level| sets[level.dim].len()).product();
            levels.extend(batched);
            Some((levels, per_run))
        }
    })
}

fn grid(sets: &[IndexSet], levels: &[Level]) -> Rows {
    let own = |set: &IndexSet| GridDim {
        positions: set.iter().collect(),
        repeat: 1,
    };
    let mut dims: Vec<GridDim> = sets.iter().map(own).collect();
    let mut len = 1;
    for level in levels.iter().rev() {
        dims[level.dim].repeat = len;
        if level.descending {
            dims[level.dim].positions.reverse();
        }
        len = sets[level.dim].len().saturating_mul(len);
    }
    let nesting = levels.iter().map(|level| level.dim).collect();
    Rows::Grid { dims, nesting, len }
}

/// Replaces each position by its rank among those that occur, and returns the latter, ascending.
fn rank(indices: &mut [u32]) -> Vec<u32> {
    let (min, max) = (indices.iter().min(), indices.iter().max());
    let (Some(&min), Some(&max)) = (min, max) else {
        return Vec::new();
    };
    let span = (max - min) as usize + 1;
    const DENSE: usize = 4;
    if span / DENSE > indices.len() {
        let mut positions = indices.to_vec();
        positions.sort_unstable();
        positions.dedup();
        for index in indices {
            *index = positions.partition_point(|position| position < index) as u32;
        }
        return positions;
    }
    let mut ranks = vec![0_u32; span];
    for &index in &*indices {
        ranks[(index - min) as usize] = 1;
    }
    let mut positions = Vec::new();
    for (at, rank) in ranks.iter_mut().enumerate() {
        if *rank == 1 {
            *rank = positions.len() as u32;
            positions.push(min + at as u32);
        }
    }
    for index in indices {
        *index = ranks[(*index - min) as usize];
    }
    positions
}

/// The positions of rows within one dimension, as indices into the distinct positions that occur.
pub(super) enum Indices<'a> {
    Grid(&'a GridDim),
    Listed {
        positions: Vec<u32>,
        indices: Vec<u32>,
    },
}

impl Indices<'_> {
    /// The distinct positions that occur.
    pub(super) fn positions(&self) -> &[u32] {
        match self {
            Self::Grid(dim) => &dim.positions,
            Self::Listed { positions, .. } => positions,
        }
    }

    /// Builds a column by looking up each row's index in `table`.
    pub(super) fn column<T: Copy>(&self, table: &[T], ranges: &[Range<u64>]) -> Vec<T> {
        let rows = ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum::<u64>();
        let mut column = Vec::with_capacity(rows as usize);
        for range in ranges {
            match self {
                Self::Grid(dim) => fill(&mut column, table, dim.repeat, range.clone()),
                Self::Listed { indices, .. } => {
                    let indices = &indices[range.start as usize..range.end as usize];
                    column.extend(indices.iter().map(|&index| table[index as usize]));
                }
            }
        }
        column
    }
}

/// Appends rows that cycle through the values, each repeated `repeat` times.
fn fill<T: Copy>(column: &mut Vec<T>, table: &[T], repeat: u64, rows: Range<u64>) {
    let len = table.len() as u64;
    let begin = column.len();
    let once = rows
        .end
        .min(rows.start.saturating_add(len.saturating_mul(repeat)));
    let mut row = rows.start;
    while row < once {
        let step = row / repeat;
        let index = (step % len) as usize;
        if repeat == 1 {
            let span = (table.len() - index).min((once - row) as usize);
            column.extend_from_slice(&table[index..index + span]);
            row += span as u64;
        } else {
            let stop = once.min((step + 1) * repeat);
            column.resize(column.len() + (stop - row) as usize, table[index]);
            row = stop;
        }
    }
    // Whole cycles have been written, so the rest is copied from them.
    while row < rows.end {
        let span = ((rows.end - row) as usize).min(column.len() - begin);
        column.extend_from_within(begin..begin + span);
        row += span as u64;
    }
}
