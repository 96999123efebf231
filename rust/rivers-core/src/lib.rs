//! The core of rivers: planning, queueing, running and recording backfills of partitioned data,
//! without Python. The modules stand in the order in which data flows; each uses only those before it.

pub mod clock;
pub mod error;

// Empty lines keep their order.

pub mod space;

pub mod plan;

pub mod queue;

pub mod backfill;

pub mod store;

pub mod table;

pub mod engine;

pub use error::{Error, Result};
