//! Builders of columns of shared texts and of timestamps, filled by ranges of rows, with nulls.

use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{ArrayRef, StringViewArray, TimestampMicrosecondArray};
use arrow_buffer::{Buffer, NullBuffer, NullBufferBuilder, ScalarBuffer};

use super::batch::unreadable;
use crate::clock::Micros;
use crate::error::Result;

/// Approximate size of a block of texts, since the offset of a view has 32 bits.
const BLOCK: usize = 1 << 26;

/// A reference from a row to a text that was written.
pub(super) type View = u128;

/// Texts, each written once.
#[derive(Default)]
pub(super) struct Texts {
    full: Vec<Buffer>,
    block: Vec<u8>,
}

impl Texts {
    /// Writes a text, and returns the view by which rows refer to it.
    pub(super) fn write(&mut self, text: &str) -> View {
        if self.block.len() + text.len() > BLOCK && !self.block.is_empty() {
            self.full.push(std::mem::take(&mut self.block).into());
        }
        let view = make_view(
            text.as_bytes(),
            self.full.len() as u32,
            self.block.len() as u32,
        );
        const MAX_INLINE: usize = 12;
        if text.len() > MAX_INLINE {
            self.block.extend_from_slice(text.as_bytes());
        }
        view
    }

    /// Builds a column of views.
    pub(super) fn column(
        mut self,
        views: Vec<View>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        if !self.block.is_empty() {
            self.full.push(self.block.into());
        }
        let column = StringViewArray::try_new(ScalarBuffer::from(views), self.full, nulls);
        Ok(Arc::new(column.map_err(unreadable)?))
    }
}

/// A builder of a text column, which takes almost no memory while all values are null.
pub(super) struct TextColumn {
    pub(super) texts: Texts,
    views: Vec<View>,
    nulls: NullBufferBuilder,
    expected: usize,
}

impl TextColumn {
    /// Creates an empty column for `rows` rows.
    pub(super) fn new(expected: usize) -> Self {
        Self {
            texts: Texts::default(),
            views: Vec::new(),
            nulls: NullBufferBuilder::new(expected),
            expected,
        }
    }

    /// Appends a text to the next `rows` rows.
    pub(super) fn push(&mut self, view: Option<View>, rows: usize) {
        match view {
            Some(view) => {
                if self.views.is_empty() {
                    self.views = Vec::with_capacity(self.expected);
                }
                self.views.resize(self.nulls.len(), 0);
                self.views.resize(self.nulls.len() + rows, view);
                self.nulls.append_n_non_nulls(rows);
            }
            None => self.nulls.append_n_nulls(rows),
        }
    }

    /// Appends a new text to the next row.
    pub(super) fn push_text(&mut self, text: Option<&str>) {
        let view = text.map(|text| self.texts.write(text));
        self.push(view, 1);
    }

    /// Builds the column.
    pub(super) fn finish(mut self) -> Result<ArrayRef> {
        let rows = self.nulls.len();
        if self.views.is_empty() {
            return Ok(Arc::new(StringViewArray::new_null(rows)));
        }
        self.views.resize(rows, 0);
        self.texts.column(self.views, self.nulls.finish())
    }
}

/// A builder of a column of timestamps.
pub(super) struct TimestampColumn {
    values: Vec<Micros>,
    nulls: NullBufferBuilder,
}

impl TimestampColumn {
    /// Creates an empty column for `rows` rows.
    pub(super) fn new(expected: usize) -> Self {
        Self {
            values: Vec::with_capacity(expected),
            nulls: NullBufferBuilder::new(expected),
        }
    }

    /// Appends a timestamp to the next `rows` rows.
    pub(super) fn push(&mut self, timestamp: Option<Micros>, rows: usize) {
        self.values
            .resize(self.values.len() + rows, timestamp.unwrap_or_default());
        match timestamp {
            Some(_) => self.nulls.append_n_non_nulls(rows),
            None => self.nulls.append_n_nulls(rows),
        }
    }

    /// Builds the column.
    pub(super) fn finish(mut self) -> ArrayRef {
        timestamps(self.values, self.nulls.finish())
    }
}

/// Builds a column of timestamps, UTC.
pub(super) fn timestamps(values: Vec<Micros>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
}
