//! The columns of each table, declared once.
//!
//! Dimension columns come first in the tables of partitions (see `dimensions`). A column of states is
//! a dictionary whose field metadata declares a `pl.Enum`; other libraries read a plain dictionary.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::states::{
    BACKFILL_STATUS, MaterializationStatus, PartitionStatus, RunStatus, STALE_REASONS,
};

/// The metadata key of an Enum in Polars (1.20 and later): the length of each value in bytes, `;`,
/// the value.
const ENUM_VALUES: &str = "_PL_ENUM_VALUES";

/// The columns of `partitions`, after those of the dimensions.
pub fn partitions(run_id: bool) -> Vec<Field> {
    let mut fields = vec![
        // Enum of `PartitionStatus`: the partition's state.
        states("status", PartitionStatus::NAMES),
        // UInt64: the number of its run.
        Field::new("run", DataType::UInt64, false),
    ];
    if run_id {
        // String: the id of its run; only on request.
        fields.push(Field::new("run_id", DataType::Utf8View, false));
    }
    // UInt32: number of attempts of its run that have begun.
    fields.push(Field::new("attempts", DataType::UInt32, false));
    // Datetime(us, UTC): when its run began; null where it has not.
    fields.push(timestamp("started_at"));
    // Datetime(us, UTC): when its run ended; null where it has not.
    fields.push(timestamp("ended_at"));
    // String: the message of its first failure; null where nothing failed.
    fields.push(Field::new("error", DataType::Utf8View, true));
    fields
}

/// The columns of `runs`.
pub fn runs() -> Vec<Field> {
    vec![
        // UInt64: its number, from 0.
        Field::new("run", DataType::UInt64, false),
        // String: its id.
        Field::new("run_id", DataType::Utf8View, false),
        // Enum of `RunStatus`: the run's state.
        states("status", RunStatus::NAMES),
        // UInt64: number of its partitions.
        Field::new("num_partitions", DataType::UInt64, false),
        // UInt32: number of its attempts that have begun.
        Field::new("attempts", DataType::UInt32, false),
        // Datetime(us, UTC): when its last attempt began.
        Field::new("started_at", utc(), false),
        // Datetime(us, UTC): when it ended; null where it has not.
        timestamp("ended_at"),
        // Duration(us): from its start to its end; null where it has not ended.
        Field::new("duration", DataType::Duration(TimeUnit::Microsecond), true),
        // String: the message of its first failure, of the last attempt while it waits for the next;
        // null where nothing failed.
        Field::new("error", DataType::Utf8View, true),
    ]
}

/// The columns of `backfills`.
pub fn backfills() -> Vec<Field> {
    let count = |name| Field::new(name, DataType::UInt64, false);
    vec![
        // String: its id.
        Field::new("backfill_id", DataType::Utf8View, false),
        // Enum of `BACKFILL_STATUS`: the backfill's status.
        states("status", BACKFILL_STATUS),
        // UInt64: numbers of partitions and runs planned, and of partitions by state.
        count("num_partitions"),
        count("num_runs"),
        count("completed"),
        count("failed"),
        count("canceled"),
        count("pending"),
        // String: how partitions are grouped into runs, as the API writes it.
        Field::new("strategy", DataType::Utf8View, false),
        // List(String): the assets, in the order in which a run executes them.
        Field::new("assets", DataType::List(Arc::new(asset_item())), false),
        // List(Struct{key: String, value: String}): attached to each run.
        Field::new("tags", DataType::List(Arc::new(tag_item())), false),
        // Datetime(us, UTC): when it was submitted.
        Field::new("created_at", utc(), false),
        // Datetime(us, UTC): when it ended; null where it has not.
        timestamp("ended_at"),
        // Float64: partitions completed or failed per second since submission; null if there are
        // none.
        Field::new("rate", DataType::Float64, true),
        // Boolean: whether the process that executes it is alive; null once it has ended.
        Field::new("owner_alive", DataType::Boolean, true),
        // Boolean: whether it is paused; null once it has ended.
        Field::new("paused", DataType::Boolean, true),
        // String: the message of its first failure; null where nothing failed.
        Field::new("error", DataType::Utf8View, true),
    ]
}

/// The columns of `partition_status`, after those of the dimensions. All but the first and the last describe
/// the last materialization, even if a later attempt failed; null if there was none.
pub fn partition_status() -> Vec<Field> {
    vec![
        // Enum of `MaterializationStatus`: the partition's state.
        states("status", MaterializationStatus::NAMES),
        // Datetime(us, UTC): when the run that materialized it ended.
        timestamp("last_materialized_at"),
        // String: the backfill of that run.
        Field::new("backfill_id", DataType::Utf8View, true),
        // UInt64: the number of that run.
        Field::new("run", DataType::UInt64, true),
        // String: the version of the asset's code then; null also where it declared none.
        Field::new("code_version", DataType::Utf8View, true),
        // String: why it was skipped; null where the state is another one.
        Field::new("skip_reason", DataType::Utf8View, true),
        // Boolean: whether it is materialized or skipped, and out of date.
        Field::new("stale", DataType::Boolean, false),
        // Enum of `STALE_REASONS`: why it is out of date; null where it is not.
        states("stale_reason", STALE_REASONS).with_nullable(true),
    ]
}

/// The last column of `partition_status`, if it is requested: String, a JSON object with the metadata of the
/// last materialization; null if it has none.
pub(super) fn metadata() -> Field {
    Field::new("metadata", DataType::Utf8View, true)
}

/// Names of the columns in the tables of partitions, which dimension columns cannot have.
pub const RESERVED: &[&str] = &[
    "status",
    "run",
    "run_id",
    "attempts",
    "started_at",
    "ended_at",
    "error",
    "last_materialized_at",
    "backfill_id",
    "code_version",
    "metadata",
    "skip_reason",
    "stale",
    "stale_reason",
];

/// An asset's name in a list.
pub(super) fn asset_item() -> Field {
    Field::new("item", DataType::Utf8View, false)
}

/// The parts of a tag.
pub(super) fn tag_fields() -> Fields {
    ["key", "value"]
        .map(|name| Field::new(name, DataType::Utf8View, false))
        .to_vec()
        .into()
}

/// A tag in a list.
pub(super) fn tag_item() -> Field {
    Field::new("item", DataType::Struct(tag_fields()), false)
}

/// The type of a dictionary of texts with such keys.
pub(super) fn dictionary(key: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(DataType::LargeUtf8))
}

/// A dictionary field that Polars reads as an Enum of these values.
pub(super) fn as_enum<'a>(field: Field, values: impl Iterator<Item = &'a str>) -> Field {
    let mut text = String::new();
    for value in values {
        text.push_str(&format!("{};{value}", value.len()));
    }
    field.with_metadata(HashMap::from([(ENUM_VALUES.to_owned(), text)]))
}

fn states(name: &str, names: &[&str]) -> Field {
    as_enum(
        Field::new(name, dictionary(DataType::UInt8), false),
        names.iter().copied(),
    )
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn timestamp(name: &str) -> Field {
    Field::new(name, utc(), true)
}
