//! Counts the states of an asset's partitions, which are one byte each.

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::backfill::partitions_in;
use super::grid::Grid;
use super::recorded::{Recorded, spans};
use super::window::{Cells, Side, Tiling, Window, for_cells};
use crate::backfill::session::left_out;
use crate::error::{Error, Result};
use crate::space::{Members, PositionSet, Selection, Space};
use crate::store::queries::asset_state::{self, AssetState};
use crate::store::{BackfillRow, Store};
use crate::table::batch::check_rows;
use crate::table::states::{AssetStatus, PartitionStatus};

/// The states of all partitions of a space, if there is one for each.
///
/// # Errors
/// `Configuration` for another number of states, or a number that is no state.
pub fn checked_states(space: &Space, states: Vec<u8>) -> Result<Vec<u8>> {
    let known = |&state: &u8| usize::from(state) < AssetStatus::ALL.len();
    if states.len() as u64 == space.len() && states.iter().all(known) {
        return Ok(states);
    }
    let (given, wanted) = (states.len(), space.len());
    Err(Error::Configuration(format!(
        "{given} states for {wanted} partitions"
    )))
}

/// The states of all partitions of a space: that of the last set that contains the partition, and `Missing`
/// where none does.
///
/// # Errors
/// `Execution` for too many partitions; `Configuration` for a set of another space, or for a number that is
/// no state.
pub fn states_of(space: &Arc<Space>, sets: &[(Arc<Selection>, u8)]) -> Result<Vec<u8>> {
    let mut states = vec![AssetStatus::Missing as u8; check_rows(space.len(), "")?];
    for (set, state) in sets {
        if **set.space() != **space || usize::from(*state) >= AssetStatus::ALL.len() {
            return Err(Error::Configuration(
                "a set of another space, or an unknown state".into(),
            ));
        }
        for span in spans(&set.to_treemap(), 0..space.len()) {
            states[span.start as usize..span.end as usize].fill(*state);
        }
    }
    Ok(states)
}

/// The states of all partitions of an asset, as sets: a byte for each partition is all that is kept.
///
/// # Errors
/// `Storage`; `Execution` for too many partitions.
pub fn states_of_asset(
    store: &dyn Store,
    asset: &str,
    state: &AssetState,
    stale: &Selection,
) -> Result<Vec<u8>> {
    let space = state.space();
    let materialized = state.materialized();
    let out_of_date = materialized.common(stale);
    let mut sets = vec![
        (materialized, AssetStatus::Materialized),
        (out_of_date, AssetStatus::Stale),
        (state.skipped(), AssetStatus::Skipped),
        (
            asset_state::failed(store, asset, state)?,
            AssetStatus::Failed,
        ),
    ];
    for row in store.unfinished()? {
        let index = row.request.asset_index(asset, !space.dims().is_empty());
        if let Some(index) = index {
            let held = held(store, &row, index)?.same_in(space);
            sets.push((held, AssetStatus::InProgress));
        }
    }
    let sets: Vec<(Arc<Selection>, u8)> = sets
        .into_iter()
        .map(|(set, state)| (Arc::new(set), state as u8))
        .collect();
    states_of(space, &sets)
}

/// The partitions of an asset that a backfill in progress executes, and whose runs have not ended.
fn held(store: &dyn Store, row: &BackfillRow, asset: u32) -> Result<Selection> {
    let plan = store.plan(row.key)?;
    let grid = Grid::of_layer(&plan, plan.layer_with(asset))?;
    let mut recorded = Recorded::default();
    recorded.refresh(store, row, &plan)?;
    let bounds: Vec<Range<u32>> = grid.lens().into_iter().map(|len| 0..len).collect();
    let open = [PartitionStatus::Pending, PartitionStatus::Running];
    let held = partitions_in(&plan, &grid, &recorded, &bounds, &open)?;
    let before = left_out(&plan, asset, row.request.sessions.last());
    Ok(match before {
        Some(before) => held.minus(&before),
        None => held,
    })
}

/// Counts the states of all partitions of a space, in definition order: one plane for each of
/// `AssetStatus::ALL`.
///
/// # Errors
/// `Configuration` for a window that does not fit the space.
pub fn asset_cells(space: &Space, states: &[u8], window: &Window) -> Result<Cells> {
    let lens: Vec<u32> = space.dims().iter().map(|dim| dim.axis.len()).collect();
    let tiling = Tiling::new(window, &lens)?;
    let num_states = AssetStatus::ALL.len();
    let cells = tiling.num_cells().max(tiling.columns.cells as usize);
    let mut counts = vec![0_u64; cells * num_states];
    let mut count = |row: u32, column: u32, states: &[u8]| {
        let at = row as usize * tiling.columns.cells as usize + column as usize;
        let cell = &mut counts[at * num_states..(at + 1) * num_states];
        for &state in states {
            cell[state as usize] += 1;
        }
    };
    for_lines(window, space, |indices, first| {
        let cell = |side: Side, dim: Option<usize>| {
            dim.map_or(0, |dim| (indices[dim] - side.start) / side.per_cell)
        };
        let Some(fastest) = indices.len().checked_sub(1) else {
            return count(0, 0, states);
        };
        let (row, column) = (
            cell(tiling.rows, window.rows),
            cell(tiling.columns, window.columns),
        );
        let bounds = &window.bounds[fastest];
        let line = &states[first as usize..first as usize + bounds.len()];
        let mut next = 0;
        let mut take = |number: u32| {
            next += number as usize;
            &line[next - number as usize..next]
        };
        if window.columns == Some(fastest) {
            for_cells(tiling.columns, bounds, |column, number| {
                count(row, column, take(number));
            });
        } else if window.rows == Some(fastest) {
            for_cells(tiling.rows, bounds, |row, number| {
                count(row, column, take(number));
            });
        } else {
            count(row, column, line);
        }
    });
    counts.truncate(tiling.num_cells() * num_states);
    Ok(Cells {
        width: tiling.width,
        height: tiling.height,
        per_column: tiling.columns.per_cell,
        per_row: tiling.per_row(),
        num_states,
        counts,
    })
}

/// The partitions within these bounds that are in one of these states, ascending.
///
/// # Errors
/// `Configuration` for bounds that do not fit the space.
pub fn asset_partitions_in(
    space: &Arc<Space>,
    states: &[u8],
    bounds: &[Range<u32>],
    wanted: &[u8],
) -> Result<Selection> {
    let window = Window::of_bounds(bounds);
    let lens: Vec<u32> = space.dims().iter().map(|dim| dim.axis.len()).collect();
    Tiling::new(&window, &lens)?;
    let mut found = RoaringTreemap::new();
    for_lines(&window, space, |_, first| {
        let len = bounds.last().map_or(1, Range::len) as u64;
        let members = (first..first + len).filter(|&at| wanted.contains(&states[at as usize]));
        // The lines ascend, and so do the members of each.
        found.extend(members);
    });
    let members = Members::Explicit(PositionSet::ascending(found));
    Ok(Selection::new(Arc::clone(space), members))
}

/// Calls `visit` with each line of partitions along the fastest dimension within the bounds: the
/// positions of its first partition, and its number.
fn for_lines(window: &Window, space: &Space, mut visit: impl FnMut(&[u32], u64)) {
    let bounds = &window.bounds;
    if bounds.iter().any(Range::is_empty) {
        return;
    }
    let mut indices: Vec<u32> = bounds.iter().map(|bounds| bounds.start).collect();
    loop {
        visit(&indices, space.partition(&indices));
        let slower = indices.len().saturating_sub(1);
        let Some(dim) = (0..slower)
            .rev()
            .find(|&dim| indices[dim] + 1 < bounds[dim].end)
        else {
            return;
        };
        indices[dim] += 1;
        for (index, bounds) in indices.iter_mut().zip(bounds).skip(dim + 1) {
            *index = bounds.start;
        }
    }
}
