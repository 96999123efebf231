//! How can a person view millions of rows?
//!
//! Converts records and plans to Arrow columns by arithmetic. Keys are dictionary indices, so that
//! each text is written once, regardless of the number of rows that show it. Pure: no clock, no
//! thread, no file.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod activity;
mod attempts;
pub mod backfills;
mod batch;
pub mod cells;
pub mod dimensions;
mod layout;
mod locator;
pub mod partitions;
mod reasons;
mod rows;
pub mod runs;
pub mod schema;
pub mod states;
pub mod status;
mod text;
mod walk;

pub use backfills::{BackfillEntry, backfills};
pub use batch::MAX_ROWS;
pub use dimensions::selection;
pub use partitions::{BackfillView, PartitionFilter, partitions};
pub use runs::runs;
pub use states::{MaterializationStatus, PartitionStatus, RunStatus};
pub use status::{AssetHistory, Verdict, partition_status};
