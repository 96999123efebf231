//! The coordinates of a layer's rows: for a product by arithmetic, for single keys from a list.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::window::{Side, Tiling, Window};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::space::time::Nanos;
use crate::space::{IndexSet, Members, RangeSpec, Selection, Space};
use crate::table::layout::{Indices, Layout, nesting_of};

/// The partitions of a layer of a plan, or of a space, as a grid of coordinates.
pub struct Grid {
    selection: Arc<Selection>,
    /// The positions that occur in each dimension; a coordinate is the rank among them.
    dims: Vec<IndexSet>,
    rows: Rows,
    /// The numbers of the layer's runs in the plan.
    runs: Range<u64>,
}

enum Rows {
    /// Rows are numbered in mixed radix, the slowest level first; each run has as many.
    Nested { levels: Vec<Nested>, per_run: u64 },
    /// The coordinates of each row, by dimension.
    Listed {
        layout: Layout,
        coordinates: Vec<Vec<u32>>,
    },
}

#[derive(Debug, Clone, Copy)]
struct Nested {
    dim: usize,
    descending: bool,
    len: u64,
    /// Number of consecutive rows with the same position.
    repeat: u64,
}

/// The part of the window that a span of rows covers.
#[derive(Clone)]
struct Block {
    rows: Range<u32>,
    columns: Range<u32>,
    weight: u64,
}

impl Grid {
    /// The grid of a layer.
    ///
    /// # Errors
    /// `Configuration` when the plan's strategy does not fit its space, or there is no such layer.
    pub fn of_layer(plan: &Plan, layer: usize) -> Result<Self> {
        let num_layers = plan.layers().len();
        let own = plan.layers().get(layer).ok_or_else(|| {
            Error::Configuration(format!("there is no layer {layer}; there are {num_layers}"))
        })?;
        let selection = Arc::clone(own.selection());
        let (dims, rows) = match (selection.members(), nesting_of(own)?) {
            (Members::Product(sets), Some((levels, per_run))) => {
                let mut nested: Vec<Nested> = Vec::with_capacity(levels.len());
                let mut repeat = 1_u64;
                for level in levels.iter().rev() {
                    let len = sets[level.dim].len();
                    nested.push(Nested {
                        dim: level.dim,
                        descending: level.descending,
                        len,
                        repeat,
                    });
                    repeat = repeat.saturating_mul(len);
                }
                nested.reverse();
                let levels = nested;
                (sets.clone(), Rows::Nested { levels, per_run })
            }
            _ => {
                let layout = Layout::of_layer(own)?;
                let (mut dims, mut coordinates) = (Vec::new(), Vec::new());
                for dim in 0..selection.space().dims().len() {
                    let indices = layout.indices(selection.space(), dim);
                    let (set, own) = ascending(&indices, 0..layout.len());
                    dims.push(set);
                    coordinates.push(own);
                }
                let rows = Rows::Listed {
                    layout,
                    coordinates,
                };
                (dims, rows)
            }
        };
        Ok(Self {
            selection,
            dims,
            rows,
            runs: plan.runs_of(layer),
        })
    }

    /// The space that contains the partitions.
    pub fn space(&self) -> &Arc<Space> {
        self.selection.space()
    }

    /// The numbers of the layer's runs in the plan.
    pub fn runs(&self) -> Range<u64> {
        self.runs.clone()
    }

    /// Number of coordinates of each dimension.
    pub fn lens(&self) -> Vec<u32> {
        self.dims.iter().map(|set| set.len() as u32).collect()
    }

    /// The key at a coordinate, which must exist.
    pub fn label(&self, dim: usize, coordinate: u32) -> Cow<'_, str> {
        let position = self.dims[dim].nth(u64::from(coordinate));
        self.space().dims()[dim].axis.label(position)
    }

    /// The coordinates of a range of keys, for each dimension. What it names relative to the present, such as
    /// `today`, is relative to `now`.
    ///
    /// # Errors
    /// `PartitionValidation` for keys that do not exist; `Configuration` for a range that leaves out keys
    /// in between.
    pub fn bounds_of(&self, range: &RangeSpec, now: Micros) -> Result<Vec<Range<u32>>> {
        let wanted = range.select(&self.space().seen_at(Nanos::from(now) * 1000))?;
        let Members::Product(sets) = wanted.members() else {
            return Err(Error::Configuration("a map shows a product of keys".into()));
        };
        let dims = self.dims.iter().zip(sets).enumerate();
        dims.map(|(at, (own, wanted))| {
            let both = own.intersection(wanted);
            let (Some(first), Some(last)) = (both.iter().next(), both.len().checked_sub(1)) else {
                return Ok(0..0);
            };
            let start = own.rank(first) as u32;
            let end = own.rank(both.nth(last)) as u32 + 1;
            if u64::from(end - start) != both.len() {
                let name = &self.space().dims()[at].name;
                return Err(Error::Configuration(format!(
                    "a map shows consecutive keys; the range of {name:?} leaves out keys in between"
                )));
            }
            Ok(start..end)
        })
        .collect()
    }

    /// The partitions within these bounds.
    pub fn within(&self, bounds: &[Range<u32>]) -> Selection {
        let part = |(set, bounds): (&IndexSet, &Range<u32>)| slice(set, bounds);
        let sets = self.dims.iter().zip(bounds).map(part).collect();
        let product = Selection::new(Arc::clone(self.space()), Members::Product(sets));
        match self.selection.members() {
            Members::Product(_) => product,
            Members::Explicit(_) | Members::One(_) => self.selection.intersection(&product),
        }
    }

    /// Those of `within` that belong to these runs.
    pub(super) fn partitions_of(
        &self,
        plan: &Plan,
        runs: impl Iterator<Item = Range<u64>>,
        within: &Selection,
    ) -> RoaringTreemap {
        let mut found = RoaringTreemap::new();
        for runs in runs {
            if runs == self.runs {
                return within.to_treemap();
            }
            for run in runs {
                match plan.run_len(run) {
                    1 => {
                        let partition = plan.run(run).nth(0);
                        if within.contains(partition) {
                            found.insert(partition);
                        }
                    }
                    _ => found |= plan.run(run).intersection(within).to_treemap(),
                }
            }
        }
        found
    }

    /// Adds the partitions of consecutive runs to their cells.
    pub(super) fn add_runs(&self, tiling: &Tiling<'_>, plane: &mut [u64], runs: Range<u64>) {
        let own = runs.start - self.runs.start..runs.end - self.runs.start;
        if own.is_empty() {
            return;
        }
        match &self.rows {
            Rows::Nested { levels, per_run } => {
                let len = self.selection.len();
                let end = own.end.saturating_mul(*per_run).min(len);
                let rows = own.start * per_run..end;
                let block = Block {
                    rows: 0..1,
                    columns: 0..1,
                    weight: 1,
                };
                add_nested(tiling, plane, levels, rows, block);
            }
            Rows::Listed {
                layout,
                coordinates,
            } => {
                for row in layout.rows_of(own) {
                    let at = |dim: usize| coordinates[dim][row as usize];
                    if let Some(cell) = cell_at(tiling, at) {
                        plane[cell] += 1;
                    }
                }
            }
        }
    }

    /// The cell of a partition, if it is within the window.
    pub(super) fn cell_of(&self, tiling: &Tiling<'_>, partition: u64) -> Option<usize> {
        let at = |dim: usize| {
            let position = self.space().index(partition, dim);
            self.dims[dim].rank(position) as u32
        };
        cell_at(tiling, at)
    }
}

/// The positions of a list's rows as a set, and the coordinate of each row.
fn ascending(indices: &Indices<'_>, rows: Range<u64>) -> (IndexSet, Vec<u32>) {
    let positions = indices.positions();
    let set = IndexSet::from_positions(positions.iter().copied());
    let ranks: Vec<u32> = positions.iter().map(|&at| set.rank(at) as u32).collect();
    let coordinates = indices.column(&ranks, std::slice::from_ref(&rows));
    (set, coordinates)
}

/// The positions at these coordinates of a set.
fn slice(set: &IndexSet, bounds: &Range<u32>) -> IndexSet {
    if bounds.is_empty() {
        return IndexSet::Range(0..0);
    }
    let (first, last) = (
        set.nth(u64::from(bounds.start)),
        set.nth(u64::from(bounds.end - 1)),
    );
    set.intersection(&IndexSet::Range(first..last + 1))
}

/// The cell with these coordinates; `None` if they are outside of the window.
fn cell_at(tiling: &Tiling<'_>, coordinate: impl Fn(usize) -> u32) -> Option<usize> {
    let Window {
        rows,
        columns,
        bounds,
        ..
    } = tiling.window;
    let inside = |(dim, bounds): (usize, &Range<u32>)| bounds.contains(&coordinate(dim));
    if !bounds.iter().enumerate().all(inside) {
        return None;
    }
    let cell = |side: Side, dim: Option<usize>| {
        dim.map_or(0, |dim| (coordinate(dim) - side.start) / side.per_cell)
    };
    let (row, column) = (cell(tiling.rows, *rows), cell(tiling.columns, *columns));
    Some(row as usize * tiling.columns.cells as usize + column as usize)
}

/// Adds consecutive rows, numbered in mixed radix by `levels`, to their cells.
fn add_nested(
    tiling: &Tiling<'_>,
    plane: &mut [u64],
    levels: &[Nested],
    rows: Range<u64>,
    block: Block,
) {
    if rows.is_empty() {
        return;
    }
    let Some((level, below)) = levels.split_first() else {
        return tiling.add(plane, &block.rows, &block.columns, block.weight);
    };
    let (start, end) = (rows.start, rows.end);
    let (first, last) = (start / level.repeat, (end - 1) / level.repeat);
    let starts_whole = start == first * level.repeat;
    let ends_whole = end == (last + 1) * level.repeat;
    if first == last && !(starts_whole && ends_whole) {
        let part = start - first * level.repeat..end - first * level.repeat;
        if let Some(block) = narrowed(tiling, level, first..first + 1, block) {
            add_nested(tiling, plane, below, part, block);
        }
        return;
    }
    if !starts_whole {
        let part = start - first * level.repeat..level.repeat;
        if let Some(block) = narrowed(tiling, level, first..first + 1, block.clone()) {
            add_nested(tiling, plane, below, part, block);
        }
    }
    if !ends_whole {
        let part = 0..end - last * level.repeat;
        if let Some(block) = narrowed(tiling, level, last..last + 1, block.clone()) {
            add_nested(tiling, plane, below, part, block);
        }
    }
    let whole = first + u64::from(!starts_whole)..last + u64::from(ends_whole);
    if whole.is_empty() {
        return;
    }
    let mut product = narrowed(tiling, level, whole, block);
    for level in below {
        product = product.and_then(|block| narrowed(tiling, level, 0..level.len, block));
    }
    if let Some(Block {
        rows,
        columns,
        weight,
    }) = product
    {
        tiling.add(plane, &rows, &columns, weight);
    }
}

/// The block with one more dimension restricted to these indices; `None` if nothing of it is inside.
fn narrowed(
    tiling: &Tiling<'_>,
    level: &Nested,
    indices: Range<u64>,
    block: Block,
) -> Option<Block> {
    let coordinates = if level.descending {
        level.len - indices.end..level.len - indices.start
    } else {
        indices
    };
    let bounds = &tiling.window.bounds[level.dim];
    let start = (coordinates.start as u32).max(bounds.start);
    let end = (coordinates.end as u32).min(bounds.end);
    if start >= end {
        return None;
    }
    let part = start..end;
    Some(if tiling.window.rows == Some(level.dim) {
        Block {
            rows: part,
            ..block
        }
    } else if tiling.window.columns == Some(level.dim) {
        Block {
            columns: part,
            ..block
        }
    } else {
        Block {
            weight: block.weight * u64::from(end - start),
            ..block
        }
    })
}
