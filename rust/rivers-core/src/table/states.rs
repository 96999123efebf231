//! The states that rows are in, with their names in the API.

use std::sync::Arc;

use arrow_array::types::UInt8Type;
use arrow_array::{ArrayRef, DictionaryArray, LargeStringArray, UInt8Array};

use super::batch::unreadable;
use crate::error::{Error, Result, some_of};

/// Declares the states of a column: the enum, its names in the API, and both ways between.
macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$state_doc:meta])* $state:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$state_doc])* $state,)+ }

        impl $name {
            /// All, in order.
            pub const ALL: &[Self] = &[$(Self::$state,)+];
            /// Their names in the API, in the same order.
            pub const NAMES: &[&str] = &[$($text,)+];

            /// Its name in the API.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// The state with this name.
            ///
            /// # Errors
            /// `Configuration` naming it and those there are.
            pub fn parse(name: &str) -> Result<Self> {
                let at = Self::NAMES.iter().position(|known| *known == name);
                at.map(|at| Self::ALL[at]).ok_or_else(|| unknown(name, Self::NAMES))
            }
        }
    };
}

states! {
    /// How a partition of a backfill stands.
    PartitionStatus {
        /// Its run has not begun, or waits for its next attempt.
        Pending = "pending",
        /// Its run is in flight.
        Running = "running",
        /// Every selected asset was materialized.
        Completed = "completed",
        /// An asset failed.
        Failed = "failed",
        /// The backfill ended without it.
        Canceled = "canceled",
    }
}

states! {
    /// How a run stands.
    RunStatus {
        /// In flight.
        Running = "running",
        /// Ended, nothing failed.
        Completed = "completed",
        /// Ended, some of its partitions failed.
        Failed = "failed",
        /// The backfill ended while it was in flight, or waited for its next attempt.
        Canceled = "canceled",
        /// An attempt failed, and it waits for the next.
        Waiting = "waiting",
    }
}

states! {
    /// How a partition of an asset stands, over all backfills.
    MaterializationStatus {
        /// Nothing materialized it.
        Missing = "missing",
        /// The last attempt materialized it.
        Materialized = "materialized",
        /// The last attempt failed; an older one may have materialized it.
        Failed = "failed",
        /// A live backfill holds it and has not ended it.
        InProgress = "in_progress",
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

/// A column of states from their places among the names.
pub(super) fn state_column(codes: Vec<u8>, names: &[&str]) -> Result<ArrayRef> {
    let values = Arc::new(LargeStringArray::from_iter_values(names));
    let column = DictionaryArray::<UInt8Type>::try_new(UInt8Array::from(codes), values);
    Ok(Arc::new(column.map_err(unreadable)?))
}
