//! The core of rivers, without Python: planning, queueing, running and recording backfills of
//! partitioned data. Data flows through the modules in the order below; each uses only those before
//! it.

pub mod clock;
pub mod error;

// The empty lines keep rustfmt from sorting the modules.

pub mod space;

pub mod plan;

pub mod queue;

pub mod backfill;

pub mod store;

pub mod table;

pub mod engine;

pub use error::{Error, Result};
