//! What does an outcome change?
//!
//! Pure: events go in, the new state comes out. The engine applies it and the store records it.

pub mod canary;
pub mod control;
pub mod fold;
pub mod frontier;
pub mod outcome;
pub mod progress;
pub mod record;
pub mod retries;
pub mod run_set;
pub mod state;

pub use canary::Canary;
pub use control::{Control, MaxFailures, Stop};
pub use frontier::Todo;
pub use outcome::{FailureRow, Failures, RunRow};
pub use progress::{Counts, Status};
pub use record::{Cause, Change, Failure, FailurePolicy, Kind, Request, Retry, RunEnd};
pub use retries::{AttemptRow, Earlier, Retries};
pub use run_set::RunSet;
pub use state::{Event, Phase, State, Taken};
