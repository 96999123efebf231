//! The table of a storage's backfills, with their progress.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, ListArray, RecordBatch, StructArray, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Field;

use super::batch::{batch, check_rows, unreadable};
use super::text::{TextColumn, TimestampColumn};
use super::{schema, states};
use crate::backfill::Status;
use crate::clock::{Micros, SECOND};
use crate::error::Result;
use crate::store::{BackfillRow, OneFailure};

/// A backfill's record, with details that other records hold.
#[derive(Debug, Clone, Copy)]
pub struct BackfillEntry<'a> {
    /// The record.
    pub row: &'a BackfillRow,
    /// Whether the process that executes it is alive; meaningless once the backfill has ended.
    pub owner_alive: bool,
    /// The first failure of the backfill, if it has one.
    pub first_failure: Option<&'a OneFailure>,
}

/// One row per backfill, in the order given (columns: `schema::backfills`). The rate of an unfinished
/// backfill is computed up to `now`.
///
/// # Errors
/// `Execution` for more than `MAX_ROWS` rows.
pub fn backfills(entries: &[BackfillEntry<'_>], now: Micros) -> Result<RecordBatch> {
    let rows = check_rows(entries.len() as u64, "; list fewer")?;
    let records = || entries.iter().map(|entry| entry.row);
    let in_progress = |row: &BackfillRow| row.status == Status::InProgress;
    let count = |of: fn(&BackfillRow) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(records().map(of)))
    };
    let texts = |of: &dyn Fn(&BackfillEntry<'_>) -> Option<String>| {
        let mut column = TextColumn::new(rows);
        entries
            .iter()
            .for_each(|entry| column.push_text(of(entry).as_deref()));
        column.finish()
    };
    let timestamps = |of: fn(&BackfillRow) -> Option<Micros>| {
        let mut column = TimestampColumn::new(rows);
        records().for_each(|row| column.push(of(row), 1));
        column.finish()
    };
    let rates: Float64Array = records().map(|row| rate(row, now)).collect();
    let alive = entries
        .iter()
        .map(|entry| in_progress(entry.row).then_some(entry.owner_alive));
    let alive: BooleanArray = alive.collect();
    let paused: BooleanArray = records()
        .map(|row| in_progress(row).then_some(row.paused))
        .collect();
    let columns = vec![
        texts(&|entry| Some(entry.row.request.id.clone()))?,
        states::state_column(
            records().map(|row| status_index(row.status)).collect(),
            states::BACKFILL_STATUS,
        )?,
        count(|row| row.num_partitions),
        count(|row| row.num_runs),
        count(|row| row.counts.completed),
        count(|row| row.counts.failed),
        count(|row| row.counts.canceled),
        count(|row| row.num_partitions.saturating_sub(row.counts.ended())),
        texts(&|entry| Some(entry.row.strategy.clone()))?,
        assets(entries)?,
        tags(entries)?,
        timestamps(|row| Some(row.request.created_at)),
        timestamps(|row| row.ended_at),
        Arc::new(rates),
        Arc::new(alive),
        Arc::new(paused),
        texts(&|entry| {
            entry
                .first_failure
                .map(|failure| failure.cause.message.clone())
        })?,
    ];
    batch(schema::backfills(), columns, rows)
}

/// The index of a status in the dictionary of names.
fn status_index(status: Status) -> u8 {
    match status {
        Status::InProgress => 0,
        Status::Completed => 1,
        Status::Failed => 2,
        Status::Canceled => 3,
    }
}

/// Partitions executed per second, without canceled ones.
fn rate(row: &BackfillRow, now: Micros) -> Option<f64> {
    let ran = row.counts.completed + row.counts.failed;
    let took = row
        .ended_at
        .unwrap_or(now)
        .saturating_sub(row.request.created_at);
    (ran > 0 && took > 0).then(|| ran as f64 / (took as f64 / SECOND as f64))
}

fn assets(entries: &[BackfillEntry<'_>]) -> Result<ArrayRef> {
    let names = |entry: &BackfillEntry<'_>| entry.row.request.assets.len();
    let mut column = TextColumn::new(0);
    for asset in entries.iter().flat_map(|entry| &entry.row.request.assets) {
        column.push_text(Some(&asset.name));
    }
    list(
        schema::asset_item(),
        entries.iter().map(names),
        column.finish()?,
    )
}

fn tags(entries: &[BackfillEntry<'_>]) -> Result<ArrayRef> {
    let (mut keys, mut values) = (TextColumn::new(0), TextColumn::new(0));
    for (key, value) in entries.iter().flat_map(|entry| &entry.row.request.tags) {
        keys.push_text(Some(key));
        values.push_text(Some(value));
    }
    let parts = vec![keys.finish()?, values.finish()?];
    let items = StructArray::try_new(schema::tag_fields(), parts, None).map_err(unreadable)?;
    let len = |entry: &BackfillEntry<'_>| entry.row.request.tags.len();
    list(schema::tag_item(), entries.iter().map(len), Arc::new(items))
}

fn list(item: Field, lens: impl Iterator<Item = usize>, items: ArrayRef) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(lens);
    let column = ListArray::try_new(Arc::new(item), offsets, items, None);
    Ok(Arc::new(column.map_err(unreadable)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_status() {
        use Status::{Canceled, Completed, Failed, InProgress};
        for status in [InProgress, Completed, Failed, Canceled] {
            assert_eq!(
                states::BACKFILL_STATUS[usize::from(status_index(status))],
                status.name()
            );
        }
    }
}
