//! Questions answered from the records, in each database alike.

pub mod backfills;
pub mod consistency;
pub mod error_groups;
pub(super) mod overlap;
pub mod rates;
pub mod runs;
