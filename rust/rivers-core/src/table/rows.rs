//! The columns of the partitions of a backfill, while their rows are added.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array, UInt64Array};

use super::batch;
use super::dimensions::Columns;
use super::schema;
use super::states::{self, PartitionStatus};
use super::text::{MomentColumn, TextColumn, Texts, View};
use crate::backfill::request::run_id;
use crate::clock::Micros;
use crate::error::Result;

/// What rows next to each other have in common.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) status: PartitionStatus,
    pub(super) attempts: u32,
    pub(super) started_at: Option<Micros>,
    pub(super) ended_at: Option<Micros>,
    pub(super) error: Option<View>,
}

/// The columns under construction.
pub(super) struct PartitionRows<'a> {
    /// The rows of the layout that are kept.
    pub(super) ranges: Vec<Range<u64>>,
    status: Vec<u8>,
    run: Vec<u64>,
    run_id: Option<(&'a str, TextColumn)>,
    attempts: Vec<u32>,
    started_at: MomentColumn,
    ended_at: MomentColumn,
    error: TextColumn,
}

impl<'a> PartitionRows<'a> {
    /// For so many rows; with the ids of the runs, if the backfill's is given.
    pub(super) fn new(expected: usize, backfill: Option<&'a str>) -> Self {
        Self {
            ranges: Vec::new(),
            status: Vec::with_capacity(expected),
            run: Vec::with_capacity(expected),
            run_id: backfill.map(|id| (id, TextColumn::new(expected))),
            attempts: Vec::with_capacity(expected),
            started_at: MomentColumn::new(expected),
            ended_at: MomentColumn::new(expected),
            error: TextColumn::new(expected),
        }
    }

    /// Where the messages of `Shown::error` are written.
    pub(super) fn errors(&mut self) -> &mut Texts {
        &mut self.error.texts
    }

    /// The next rows are of this run.
    pub(super) fn add_run(&mut self, run: u64, rows: usize) {
        self.run.resize(self.run.len() + rows, run);
        if let Some((backfill, ids)) = &mut self.run_id {
            let id = ids.texts.write(&run_id(backfill, run));
            ids.push(Some(id), rows);
        }
    }

    /// The next rows are these of the layout.
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

    /// The table: these columns after those that are there.
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
