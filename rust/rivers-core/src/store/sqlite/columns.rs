//! Columns that several tables have.

use rusqlite::{Result, Row};

use crate::backfill::Stop;
use crate::clock::Micros;
use crate::store::encoding::decode_in_flight;

pub(super) fn in_flight(row: &Row<'_>, at: usize) -> Result<Vec<(u64, Micros)>> {
    decode_in_flight(row.get_ref(at)?.as_blob()?).map_err(|error| damaged(at, error))
}

pub(super) fn stop(row: &Row<'_>, at: usize) -> Result<Option<Stop>> {
    Ok(row.get::<_, Option<u8>>(at)?.and_then(Stop::from_number))
}

pub(super) fn damaged(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
}
