//! Partitions as rows: which partition stands in which row, without a list where it is arithmetic.

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
    /// Its positions, in the order in which they come.
    pub(super) positions: Vec<u32>,
    /// For how many rows each stands before the next comes.
    pub(super) repeat: u64,
}

/// Where the runs stand.
enum RunRows {
    /// All have as many rows, but the last, which may have fewer.
    Even(u64),
    /// Where each begins, and where the last ends.
    Starts(Vec<u64>),
}

impl Layout {
    /// A selection, in its order.
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

    /// A layer: in the order of its runs, then the order inside the run.
    pub(super) fn of_layer(layer: &Layer) -> Result<Self> {
        let selection = layer.selection();
        Ok(match (layer.strategy(), selection.members()) {
            (Strategy::MultiRun, _) => Self::of_selection(selection),
            (Strategy::SingleRun, _) => {
                let rows = Self::of_selection(&selection.sorted()).rows;
                Self {
                    rows,
                    runs: RunRows::Even(selection.len()),
                }
            }
            // Another order than the definition's ends at the bounds of a run.
            (Strategy::Chunked { n }, Members::Product(_)) if !selection.is_arranged() => Self {
                rows: Self::of_selection(selection).rows,
                runs: RunRows::Even(n.get()),
            },
            (Strategy::PerDimension { .. }, Members::Product(sets)) => {
                let across = layer.strategy().run_dimensions(selection.space())?;
                let mut levels = selection.nesting().levels().to_vec();
                levels.retain(|level| across.contains(&level.dim));
                let mut batched = Nesting::definition(sets.len()).levels().to_vec();
                batched.retain(|level| !across.contains(&level.dim));
                let per_run = batched.iter().map(|level| sets[level.dim].len()).product();
                levels.extend(batched);
                Self {
                    rows: grid(sets, &levels),
                    runs: RunRows::Even(per_run),
                }
            }
            (Strategy::PerDimension { .. } | Strategy::Chunked { .. }, _) => {
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

    /// How many rows.
    pub(super) fn len(&self) -> u64 {
        match &self.rows {
            Rows::Grid { len, .. } => *len,
            Rows::Listed(partitions) => partitions.len() as u64,
        }
    }

    /// The rows of these runs, counted from the layer's first.
    pub(super) fn rows_of(&self, runs: Range<u64>) -> Range<u64> {
        match &self.runs {
            RunRows::Even(per_run) => {
                let end = runs.end.saturating_mul(*per_run).min(self.len());
                runs.start * per_run..end
            }
            RunRows::Starts(starts) => starts[runs.start as usize]..starts[runs.end as usize],
        }
    }

    /// Where the rows stand within one dimension.
    pub(super) fn places(&self, space: &Space, dim: usize) -> Places<'_> {
        match &self.rows {
            Rows::Grid { dims, .. } => Places::Grid(&dims[dim]),
            Rows::Listed(partitions) => {
                let own = partitions
                    .iter()
                    .map(|&partition| space.index(partition, dim));
                let mut places: Vec<u32> = own.collect();
                let positions = rank(&mut places);
                Places::Listed { positions, places }
            }
        }
    }
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

/// Puts in place of each position its rank among those that occur, and gives those, ascending.
fn rank(places: &mut [u32]) -> Vec<u32> {
    let (min, max) = (places.iter().min(), places.iter().max());
    let (Some(&min), Some(&max)) = (min, max) else {
        return Vec::new();
    };
    let span = (max - min) as usize + 1;
    const DENSE: usize = 4;
    if span / DENSE > places.len() {
        let mut positions = places.to_vec();
        positions.sort_unstable();
        positions.dedup();
        for place in places {
            *place = positions.partition_point(|position| position < place) as u32;
        }
        return positions;
    }
    let mut ranks = vec![0_u32; span];
    for &place in &*places {
        ranks[(place - min) as usize] = 1;
    }
    let mut positions = Vec::new();
    for (at, rank) in ranks.iter_mut().enumerate() {
        if *rank == 1 {
            *rank = positions.len() as u32;
            positions.push(min + at as u32);
        }
    }
    for place in places {
        *place = ranks[(*place - min) as usize];
    }
    positions
}

/// Where rows stand within one dimension: each at a place among the positions that occur.
pub(super) enum Places<'a> {
    Grid(&'a GridDim),
    Listed {
        positions: Vec<u32>,
        places: Vec<u32>,
    },
}

impl Places<'_> {
    /// The positions that occur, each once.
    pub(super) fn positions(&self) -> &[u32] {
        match self {
            Self::Grid(dim) => &dim.positions,
            Self::Listed { positions, .. } => positions,
        }
    }

    /// A column of these rows: each shows what `table` has for its place.
    pub(super) fn column<T: Copy>(&self, table: &[T], ranges: &[Range<u64>]) -> Vec<T> {
        let rows = ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum::<u64>();
        let mut column = Vec::with_capacity(rows as usize);
        for range in ranges {
            match self {
                Self::Grid(dim) => fill(&mut column, table, dim.repeat, range.clone()),
                Self::Listed { places, .. } => {
                    let places = &places[range.start as usize..range.end as usize];
                    column.extend(places.iter().map(|&place| table[place as usize]));
                }
            }
        }
        column
    }
}

/// Appends rows of the pattern in which each value stands `repeat` times, then the next, round and round.
fn fill<T: Copy>(column: &mut Vec<T>, table: &[T], repeat: u64, rows: Range<u64>) {
    let len = table.len() as u64;
    let begin = column.len();
    let once = rows
        .end
        .min(rows.start.saturating_add(len.saturating_mul(repeat)));
    let mut row = rows.start;
    while row < once {
        let step = row / repeat;
        let place = (step % len) as usize;
        if repeat == 1 {
            let stretch = (table.len() - place).min((once - row) as usize);
            column.extend_from_slice(&table[place..place + stretch]);
            row += stretch as u64;
        } else {
            let stop = once.min((step + 1) * repeat);
            column.resize(column.len() + (stop - row) as usize, table[place]);
            row = stop;
        }
    }
    // What was written is whole rounds: the rest repeats it.
    while row < rows.end {
        let stretch = ((rows.end - row) as usize).min(column.len() - begin);
        column.extend_from_within(begin..begin + stretch);
        row += stretch as u64;
    }
}
