//! Questions answered from the records, in each database alike.

pub mod asset_state;
pub mod backfills;
pub mod consistency;
pub mod copy;
pub mod coverage;
pub mod ended_runs;
pub mod error_groups;
pub mod events;
pub(super) mod overlap;
pub mod prune;
pub mod rates;
pub mod run_errors;
mod run_records;
pub mod runs;
pub(super) mod scope;
