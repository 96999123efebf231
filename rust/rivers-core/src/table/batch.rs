//! From columns to an Arrow record batch, with the limit on rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, Schema};

use crate::error::{Error, Result};

/// Maximum number of rows of a table, which is built in memory.
pub const MAX_ROWS: u64 = 1 << 28;

/// Combines columns into a batch; `rows` is needed where there is no column.
pub(super) fn batch(
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(unreadable)
}

/// Refuses a table of more than `MAX_ROWS` rows before any is built; `hint` ends the message.
pub(super) fn check_rows(rows: u64, hint: &str) -> Result<usize> {
    if rows > MAX_ROWS {
        return Err(Error::Execution(format!(
            "the table would have {rows} rows; at most {MAX_ROWS} are built at once{hint}"
        )));
    }
    Ok(rows as usize)
}

/// Converts an error of Arrow, which refuses columns that do not fit each other.
pub(super) fn unreadable(error: ArrowError) -> Error {
    Error::Execution(format!("the table cannot be built: {error}"))
}
