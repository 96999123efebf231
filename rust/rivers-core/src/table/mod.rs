//! How does a person look at millions of rows?
//!
//! Records and plans become Arrow columns by arithmetic: keys are places in a dictionary, so a text
//! is written once however many rows show it. Pure: no clock, no thread, no file.

#![warn(clippy::wildcard_enum_match_arm)]

mod attempts;
pub mod backfills;
mod batch;
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
pub use status::{AssetHistory, partition_status};
