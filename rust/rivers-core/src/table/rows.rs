//! The columns of the table of partitions, while rows are added.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array, UInt64Array};

use super::batch::batch;
use super::dimensions::Columns;
use super::schema;
use super::states::{self, PartitionStatus};
use super::text::{TextColumn, Texts, TimestampColumn, View};
use crate::backfill::request::run_id;
use crate::clock::Micros;
use crate::error::Result;

/// The values that consecutive rows share.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) status: PartitionStatus,
    pub(super) attempts: u32,
    pub(super) started_at: Option<Micros>,
    pub(super) ended_at: Option<Micros>,
    pub(super) error: Option<View>,
}

/// A table of partitions under construction.
pub(super) struct PartitionRows<'a> {
    /// The rows of the layout that are included.
    pub(super) ranges: Vec<Range<u64>>,
    status: Vec<u8>,
    run: Vec<u64>,
    run_id: Option<(&'a str, TextColumn)>,
    attempts: Vec<u32>,
    started_at: TimestampColumn,
    ended_at: TimestampColumn,
    error: TextColumn,
}

impl<'a> PartitionRows<'a> {
    /// Allocates `rows` rows, with a column of run ids if `backfill_id` is given.
    pub(super) fn new(expected: usize, backfill: Option<&'a str>) -> Self {
        Self {
            ranges: Vec::new(),
            status: Vec::with_capacity(expected),
            run: Vec::with_capacity(expected),
            run_id: backfill.map(|id| (id, TextColumn::new(expected))),
            attempts: Vec::with_capacity(expected),
            started_at: TimestampColumn::new(expected),
            ended_at: TimestampColumn::new(expected),
            error: TextColumn::new(expected),
        }
    }

    /// The texts to which the messages of `Shown::error` belong.
    pub(super) fn errors(&mut self) -> &mut Texts {
        &mut self.error.texts
    }

    /// Sets the run of the next rows.
    pub(super) fn add_run(&mut self, run: u64, rows: usize) {
        self.run.resize(self.run.len() + rows, run);
        if let Some((backfill, ids)) = &mut self.run_id {
            let id = ids.texts.write(&run_id(backfill, run));
            ids.push(Some(id), rows);
        }
    }

    /// Adds these rows of the layout.
    pub(super) fn add_rows(&mut self, rows: Range<u64>, shown: Shown) {
        let len = (rows.end - rows.start) as usize;
        self.status
            .resize(self.status.len() + len, shown.status as u8);
        self.attempts
            .resize(self.attempts.len() + len, shown.attempts);
        self.started_at.push(shown.started_at, len);
        self.ended_at.push(shown.ended_at, len);
        self.error.push(shown.error, len);
        match self.ranges.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => self.ranges.push(rows),
        }
    }

    /// Builds the table: the dimension columns, followed by these.
    pub(super) fn finish(self, mut table: Columns) -> Result<RecordBatch> {
        let rows = self.status.len();
        table
            .fields
            .extend(schema::partitions(self.run_id.is_some()));
        table
            .columns
            .push(states::state_column(self.status, PartitionStatus::NAMES)?);
        table.columns.push(Arc::new(UInt64Array::from(self.run)));
        if let Some((_, ids)) = self.run_id {
            table.columns.push(ids.finish()?);
        }
        table
            .columns
            .push(Arc::new(UInt32Array::from(self.attempts)));
        table.columns.push(self.started_at.finish());
        table.columns.push(self.ended_at.finish());
        table.columns.push(self.error.finish()?);
        batch(table.fields, table.columns, rows)
    }
}
