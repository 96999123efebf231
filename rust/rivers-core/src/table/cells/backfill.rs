//! Counts the partitions of a backfill, and selects some of them.

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::grid::Grid;
use super::recorded::Recorded;
use super::window::{Cells, Tiling, Window};
use crate::error::Result;
use crate::plan::Plan;
use crate::space::{Members, PositionSet, Selection};
use crate::table::states::PartitionStatus;

/// Counts a layer of a backfill: one plane for each of `PartitionStatus::ALL`.
///
/// # Errors
/// `Configuration` for a window that does not fit the grid.
pub fn backfill_cells(grid: &Grid, recorded: &Recorded, window: &Window) -> Result<Cells> {
    let tiling = Tiling::new(window, &grid.lens())?;
    let plane = || vec![0_u64; tiling.num_cells().max(tiling.columns.cells as usize)];
    let (mut all, mut ended, mut failed, mut skipped, mut running) =
        (plane(), plane(), plane(), plane(), plane());
    grid.add_runs(&tiling, &mut all, grid.runs());
    for runs in recorded.ended(grid.runs()) {
        grid.add_runs(&tiling, &mut ended, runs);
    }
    for runs in recorded.failed(grid.runs()) {
        grid.add_runs(&tiling, &mut failed, runs);
    }
    for runs in recorded.skipped(grid.runs()) {
        grid.add_runs(&tiling, &mut skipped, runs);
    }
    for run in recorded.running(grid.runs()) {
        grid.add_runs(&tiling, &mut running, run..run + 1);
    }
    recorded.for_each_single(grid.runs(), |partition, state, in_skipped_run| {
        let at = grid.cell_of(&tiling, partition);
        let Some(at) = at else { return };
        if state == PartitionStatus::Failed {
            failed[at] += 1;
            // The run's other partitions were skipped; this one was counted with them.
            skipped[at] -= u64::from(in_skipped_run);
        } else {
            skipped[at] += 1;
        }
    });
    let num_states = PartitionStatus::ALL.len();
    let mut counts = vec![0; tiling.num_cells() * num_states];
    for (at, cell) in counts.chunks_exact_mut(num_states).enumerate() {
        let open = all[at] - ended[at];
        if recorded.is_open() {
            cell[PartitionStatus::Running as usize] = running[at];
            cell[PartitionStatus::Pending as usize] = open - running[at];
        } else {
            cell[PartitionStatus::Canceled as usize] = open;
        }
        cell[PartitionStatus::Failed as usize] = failed[at];
        cell[PartitionStatus::Skipped as usize] = skipped[at];
        cell[PartitionStatus::Completed as usize] = ended[at] - failed[at] - skipped[at];
    }
    Ok(cells(&tiling, num_states, counts))
}

/// Counts a layer of a backfill, of which only `chosen` have failed: all others count as `Completed`, so that a
/// map shows what failed with one error.
///
/// # Errors
/// `Configuration` for a window that does not fit the grid.
pub fn chosen_cells(grid: &Grid, chosen: &Selection, window: &Window) -> Result<Cells> {
    let tiling = Tiling::new(window, &grid.lens())?;
    let plane = || vec![0_u64; tiling.num_cells().max(tiling.columns.cells as usize)];
    let (mut all, mut failed) = (plane(), plane());
    grid.add_runs(&tiling, &mut all, grid.runs());
    for partition in chosen.iter() {
        if let Some(at) = grid.cell_of(&tiling, partition) {
            failed[at] += 1;
        }
    }
    let num_states = PartitionStatus::ALL.len();
    let mut counts = vec![0; tiling.num_cells() * num_states];
    for (at, cell) in counts.chunks_exact_mut(num_states).enumerate() {
        cell[PartitionStatus::Failed as usize] = failed[at];
        cell[PartitionStatus::Completed as usize] = all[at] - failed[at];
    }
    Ok(cells(&tiling, num_states, counts))
}

fn cells(tiling: &Tiling<'_>, num_states: usize, counts: Vec<u64>) -> Cells {
    Cells {
        width: tiling.width,
        height: tiling.height,
        per_column: tiling.columns.per_cell,
        per_row: tiling.per_row(),
        num_states,
        counts,
    }
}

/// The partitions within these bounds that are in one of these states.
///
/// # Errors
/// `Configuration` for bounds that do not fit the grid.
pub fn partitions_in(
    plan: &Plan,
    grid: &Grid,
    recorded: &Recorded,
    bounds: &[Range<u32>],
    states: &[PartitionStatus],
) -> Result<Selection> {
    Tiling::new(&Window::of_bounds(bounds), &grid.lens())?;
    let within = grid.within(bounds);
    let has = |state: PartitionStatus| states.contains(&state);
    if PartitionStatus::ALL.iter().all(|&state| has(state)) {
        return Ok(within);
    }
    let runs = grid.runs();
    let mut failed = grid.partitions_of(plan, recorded.failed(runs.clone()), &within);
    let mut skipped = grid.partitions_of(plan, recorded.skipped(runs.clone()), &within);
    recorded.for_each_single(runs.clone(), |partition, state, _| {
        if within.contains(partition) {
            if state == PartitionStatus::Failed {
                failed.insert(partition);
            } else {
                skipped.insert(partition);
            }
        }
    });
    skipped -= &failed;
    let in_flight = recorded.running(runs.clone()).map(|run| run..run + 1);
    let mut running = grid.partitions_of(plan, in_flight, &within);
    let needs_ended = [
        PartitionStatus::Completed,
        PartitionStatus::Pending,
        PartitionStatus::Running,
        PartitionStatus::Canceled,
    ];
    let (mut completed, mut pending, mut canceled) = Default::default();
    if needs_ended.into_iter().any(has) {
        let ended = grid.partitions_of(plan, recorded.ended(runs), &within);
        let mut open = within.to_treemap() - &ended;
        completed = ended - &failed - &skipped;
        if recorded.is_open() {
            open -= &running;
            pending = open;
        } else {
            running.clear();
            canceled = open;
        }
    }
    let sets = [
        (PartitionStatus::Pending, pending),
        (PartitionStatus::Running, running),
        (PartitionStatus::Completed, completed),
        (PartitionStatus::Failed, failed),
        (PartitionStatus::Canceled, canceled),
        (PartitionStatus::Skipped, skipped),
    ];
    let chosen = sets.into_iter().filter(|(state, _)| has(*state));
    let found = chosen.fold(RoaringTreemap::new(), |all, (_, set)| all | set);
    // A whole rectangle is run again as one: its ends, not its partitions.
    if found.len() == within.len() {
        return Ok(within);
    }
    let members = Members::Explicit(PositionSet::ascending(found));
    Ok(Selection::new(Arc::clone(grid.space()), members))
}
