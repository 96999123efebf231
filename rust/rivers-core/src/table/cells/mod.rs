//! Counts the states of many partitions into the few cells of a map, from positions alone.
//!
//! A map shows two dimensions of a [`Grid`]; the others are aggregated. Each dimension has coordinates:
//! the ranks of its keys that occur, in the order of the definition. A [`Window`] bounds the coordinates
//! of each dimension and says how many cells it has, so that a map of any size costs what the window and
//! the spans of equal outcomes cost: consecutive rows are counted by arithmetic, never one by one.

mod asset;
mod backfill;
mod grid;
mod recorded;
mod window;

pub use super::states::AssetStatus;
pub use asset::{asset_cells, asset_partitions_in, checked_states, states_of, states_of_asset};
pub use backfill::{backfill_cells, chosen_cells, partitions_in};
pub use grid::Grid;
pub use recorded::Recorded;
pub use window::{Cells, MAX_CELLS, Window};
