//! What does an outcome change?
//!
//! Pure: events go in, the new state comes out. The engine applies it and the store records it.

pub mod canary;
pub mod dependencies;
pub mod error_fingerprint;
pub mod outcome;
pub mod progress;
pub mod report;
pub mod request;
mod requested_asset;
pub mod retries;
pub mod run_end;
pub mod run_set;
pub mod session;
pub mod skips;
pub mod state;
pub mod stop_rules;

pub use canary::Canary;
pub use dependencies::PendingRuns;
pub use outcome::{FailureRow, Failures, MetadataRow, RunRow};
pub use progress::{Counts, Status};
pub use report::{Report, ReportKind};
pub use request::{Change, FailurePolicy, Kind, NOTIFICATIONS, Request};
pub use requested_asset::{Kept, RequestedAsset};
pub use retries::{AttemptRow, PriorAttempts, RetryQueue};
pub use run_end::{Cause, Failure, Left, OutputMetadata, Retry, RunEnd, Skip};
pub use run_set::RunSet;
pub use session::Session;
pub use skips::{SkipRow, SkippedPartitions, Skips};
pub use state::{ClaimedRuns, Event, Phase, State};
pub use stop_rules::{Control, MaxFailures, Stop};
