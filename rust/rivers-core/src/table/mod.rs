//! How does a person look at millions of rows?
//!
//! Records and plans become Arrow columns by arithmetic: keys are places in a dictionary, so a text
//! is written once however many rows show it. Pure: no clock, no thread, no file.

#![warn(clippy::wildcard_enum_match_arm)]

mod attempts;
pub mod backfills;
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
pub use dimensions::selection;
pub use partitions::{BackfillView, PartitionFilter, partitions};
pub use runs::runs;
pub use states::{MaterializationStatus, PartitionStatus, RunStatus};
pub use status::{AssetHistory, partition_status};

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, Schema};

use crate::error::{Error, Result};

/// Most rows of a table: more would not fit into memory.
pub const MAX_ROWS: u64 = 1 << 28;

/// Puts columns together; `rows` counts where there is no column.
fn batch(fields: Vec<Field>, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(unreadable)
}

/// Checks how many rows a table will have, before any is built.
fn check_rows(rows: u64, hint: &str) -> Result<usize> {
    if rows > MAX_ROWS {
        return Err(Error::Execution(format!(
            "the table would have {rows} rows; at most {MAX_ROWS} are built at once{hint}"
        )));
    }
    Ok(rows as usize)
}

/// An error of Arrow: the columns do not go together.
fn unreadable(error: ArrowError) -> Error {
    Error::Execution(format!("the table cannot be built: {error}"))
}
