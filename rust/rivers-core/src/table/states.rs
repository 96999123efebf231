//! The states of rows, and their names in the API.

use std::sync::Arc;

use arrow_array::types::UInt8Type;
use arrow_array::{ArrayRef, DictionaryArray, LargeStringArray, UInt8Array};

use super::batch::unreadable;
use crate::error::{Error, Result, some_of};

/// Declares the states of a column: the enum, its names in the API, and the conversions.
macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$state_doc:meta])* $state:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$state_doc])* $state,)+ }

        impl $name {
            /// All states, in order.
            pub const ALL: &[Self] = &[$(Self::$state,)+];
            /// The names in the API, in the order of `ALL`.
            pub const NAMES: &[&str] = &[$($text,)+];

            /// The name in the API.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// The state with this name.
            ///
            /// # Errors
            /// `Configuration` naming the states that exist.
            pub fn parse(name: &str) -> Result<Self> {
                let at = Self::NAMES.iter().position(|known| *known == name);
                at.map(|at| Self::ALL[at]).ok_or_else(|| unknown(name, Self::NAMES))
            }
        }
    };
}

states! {
    /// The state of a partition within a backfill.
    PartitionStatus {
        /// The run has not begun, or waits for its next attempt.
        Pending = "pending",
        /// The run is in flight.
        Running = "running",
        /// Every selected asset was materialized.
        Completed = "completed",
        /// An asset failed.
        Failed = "failed",
        /// The backfill ended before the partition was executed.
        Canceled = "canceled",
        /// Nothing failed, and an asset skipped the partition: there is nothing to produce.
        Skipped = "skipped",
    }
}

states! {
    /// The state of a run.
    RunStatus {
        /// The run is in flight.
        Running = "running",
        /// The run ended without a failure.
        Completed = "completed",
        /// The run ended, and some of its partitions failed.
        Failed = "failed",
        /// The backfill ended while the run was in flight, or waited for its next attempt.
        Canceled = "canceled",
        /// An attempt failed, and the run waits for the next one.
        Waiting = "waiting",
    }
}

states! {
    /// The state of an asset's partition, over all backfills.
    MaterializationStatus {
        /// The partition was never materialized.
        Missing = "missing",
        /// The last attempt materialized the partition.
        Materialized = "materialized",
        /// The last attempt failed; an earlier one may have materialized the partition.
        Failed = "failed",
        /// A running backfill includes the partition and has not finished it.
        InProgress = "in_progress",
        /// The last attempt skipped the partition: there is nothing to produce.
        Skipped = "skipped",
    }
}

/// Why a partition is out of date, in the order of precedence.
pub const STALE_REASONS: &[&str] = &["early", "code_version", "upstream"];

states! {
    /// The state of an asset's partition on a map: that of the table, or that it is out of date.
    AssetStatus {
        /// The partition was never materialized.
        Missing = "missing",
        /// The last attempt materialized the partition.
        Materialized = "materialized",
        /// The last attempt failed.
        Failed = "failed",
        /// A running backfill includes the partition and has not finished it.
        InProgress = "in_progress",
        /// The last attempt skipped the partition.
        Skipped = "skipped",
        /// The partition is materialized and out of date.
        Stale = "stale",
    }
}

/// The names of `backfill::Status`, in its order.
pub const BACKFILL_STATUS: &[&str] = &["in_progress", "completed", "failed", "canceled"];

fn unknown(name: &str, names: &[&str]) -> Error {
    Error::Configuration(format!(
        "there is no status {name:?}; there are {}",
        some_of(names.iter().copied())
    ))
}

/// Builds a column of states from their indices in the dictionary of names.
pub(super) fn state_column(codes: Vec<u8>, names: &[&str]) -> Result<ArrayRef> {
    let values = Arc::new(LargeStringArray::from_iter_values(names));
    let column = DictionaryArray::<UInt8Type>::try_new(UInt8Array::from(codes), values);
    Ok(Arc::new(column.map_err(unreadable)?))
}

/// Builds a column of reasons from their numbers, counted from 1; 0 is null.
pub(super) fn reason_column(codes: &[u8], names: &[&str]) -> Result<ArrayRef> {
    let values = Arc::new(LargeStringArray::from_iter_values(names));
    let keys = codes.iter().map(|code| code.checked_sub(1));
    let column = DictionaryArray::<UInt8Type>::try_new(keys.collect::<UInt8Array>(), values);
    Ok(Arc::new(column.map_err(unreadable)?))
}
