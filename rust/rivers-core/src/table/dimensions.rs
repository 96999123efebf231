//! The columns that identify the partition of a row.
//!
//! A dimension of names is an Enum of its names in definition order, or a Categorical if there are
//! more than `MAX_ENUM_VALUES`. A dimension of time windows is a Categorical of its keys, followed by
//! the start of the window as `<dimension>_start`, Datetime(us) with the definition's zone. The column of a
//! single dimension is `partition`. An underscore is appended to a name that is already in use.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{ArrowDictionaryKeyType, UInt8Type, UInt16Type, UInt32Type};
use arrow_array::{
    ArrayRef, DictionaryArray, LargeStringArray, PrimitiveArray, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Field, TimeUnit};

use super::batch::{batch, check_rows, unreadable};
use super::layout::{Indices, Layout};
use super::schema;
use crate::error::Result;
use crate::space::time::micros;
use crate::space::{Axis, Selection, Space};

/// Maximum number of names of an Enum, whose values are one text in the table's schema.
pub const MAX_ENUM_VALUES: u32 = 1 << 16;

/// One row per partition of a selection, in its order: the dimension columns.
///
/// # Errors
/// `Execution` for more than `MAX_ROWS` rows.
pub fn selection(selection: &Selection) -> Result<RecordBatch> {
    let rows = check_rows(selection.len(), "; select fewer partitions")?;
    let layout = Layout::of_selection(selection);
    let mut table = Columns::default();
    table.add_dimensions(
        selection.space(),
        &layout,
        std::slice::from_ref(&(0..layout.len())),
    )?;
    batch(table.fields, table.columns, rows)
}

/// Columns of a table, with their fields.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) fields: Vec<Field>,
    pub(super) columns: Vec<ArrayRef>,
}

impl Columns {
    /// Builds the dimension columns of these rows.
    pub(super) fn add_dimensions(
        &mut self,
        space: &Space,
        layout: &Layout,
        ranges: &[Range<u64>],
    ) -> Result<()> {
        let mut names = Names::new(space);
        for (at, dim) in space.dims().iter().enumerate() {
            let indices = layout.indices(space, at);
            let (field, keys) = keys(&names.dims[at], &dim.axis, &indices, ranges)?;
            self.fields.push(field);
            self.columns.push(keys);
            if let Axis::Time(time) = &dim.axis {
                let starts = indices
                    .positions()
                    .iter()
                    .map(|&index| micros(time.start_of(index)));
                let starts: Vec<i64> = starts.collect();
                let zone = time.zone_name().map(Arc::from);
                let column = TimestampMicrosecondArray::from(indices.column(&starts, ranges))
                    .with_timezone_opt(zone.clone());
                let name = names.start_of(at);
                let kind = DataType::Timestamp(TimeUnit::Microsecond, zone);
                self.fields.push(Field::new(name, kind, false));
                self.columns.push(Arc::new(column));
            }
        }
        Ok(())
    }
}

/// The names of the dimension columns; the dimensions' own names take precedence over those of the
/// starts.
struct Names {
    dims: Vec<String>,
    taken: Vec<String>,
}

impl Names {
    fn new(space: &Space) -> Self {
        let taken = schema::RESERVED
            .iter()
            .map(|&name| name.to_owned())
            .collect();
        let mut names = Self {
            dims: Vec::new(),
            taken,
        };
        for dim in space.dims() {
            let name = if dim.name.is_empty() {
                "partition"
            } else {
                &dim.name
            };
            let free = names.free(name.to_owned());
            names.dims.push(free);
        }
        names
    }

    fn free(&mut self, mut name: String) -> String {
        while self.taken.contains(&name) {
            name.push('_');
        }
        self.taken.push(name.clone());
        name
    }

    fn start_of(&mut self, dim: usize) -> String {
        self.free(format!("{}_start", self.dims[dim]))
    }
}

/// Builds the column of a dimension's keys.
fn keys(
    name: &str,
    axis: &Axis,
    indices: &Indices<'_>,
    ranges: &[Range<u64>],
) -> Result<(Field, ArrayRef)> {
    let positions = indices.positions();
    if let Axis::Labels(labels) = axis
        && labels.len() <= MAX_ENUM_VALUES
    {
        let values = Arc::new(LargeStringArray::from_iter_values(labels.iter()));
        let key = |of: DataType| {
            schema::as_enum(
                Field::new(name, schema::dictionary(of), false),
                labels.iter(),
            )
        };
        return Ok(match labels.len() {
            0..=0x100 => {
                let column = dictionary::<UInt8Type>(indices, positions, ranges, values)?;
                (key(DataType::UInt8), column)
            }
            0x101..=0x1_0000 => {
                let column = dictionary::<UInt16Type>(indices, positions, ranges, values)?;
                (key(DataType::UInt16), column)
            }
            _ => {
                let column = dictionary::<UInt32Type>(indices, positions, ranges, values)?;
                (key(DataType::UInt32), column)
            }
        });
    }
    let labels = positions.iter().map(|&position| axis.label(position));
    let values = Arc::new(LargeStringArray::from_iter_values(labels));
    let own: Vec<u32> = (0..positions.len() as u32).collect();
    let column = dictionary::<UInt32Type>(indices, &own, ranges, values)?;
    Ok((
        Field::new(name, schema::dictionary(DataType::UInt32), false),
        column,
    ))
}

/// Builds a dictionary column from the index of each row's key.
fn dictionary<K: ArrowDictionaryKeyType>(
    indices: &Indices<'_>,
    keys: &[u32],
    ranges: &[Range<u64>],
    values: ArrayRef,
) -> Result<ArrayRef> {
    let table: Vec<K::Native> = keys
        .iter()
        .map(|&key| K::Native::usize_as(key as usize))
        .collect();
    let keys = PrimitiveArray::<K>::new(indices.column(&table, ranges).into(), None);
    Ok(Arc::new(
        DictionaryArray::<K>::try_new(keys, values).map_err(unreadable)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Dim, labels::Labels};

    #[test]
    fn a_taken_name_gets_an_underscore() {
        let axis = Axis::Labels(Arc::new(Labels::new(["a"]).expect("distinct names")));
        let dim = |name: &str| Dim {
            name: name.into(),
            axis: axis.clone(),
        };
        let space = Space::try_from(vec![dim("status"), dim("date"), dim("date_start")]);
        let mut names = Names::new(&space.expect("a small space"));
        assert_eq!(names.dims, ["status_", "date", "date_start"]);
        assert_eq!(names.start_of(1), "date_start_");
    }
}
