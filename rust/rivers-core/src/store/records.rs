//! What the storage keeps, as the rest of the core sees it: no database's types, no SQL.

use std::time::Duration;

use crate::backfill::{Cause, Counts, Request, RunEnd, Status, Stop};
use crate::clock::Micros;
use crate::error::{Error, Remedy};
use crate::store::segment::Segment;

/// A backfill's number in the storage; its id is text.
pub type Key = i64;

/// A time by the storage's clock, in microseconds since the Unix epoch.
///
/// It is a type of its own so that it cannot be compared with the clock of this machine: the two may
/// differ, and a lease would look expired while it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorageTime(pub Micros);

impl StorageTime {
    /// The time this many microseconds later.
    #[must_use]
    pub fn after(self, duration: Micros) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// The right to run a backfill, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The engine that holds it.
    pub owner: String,
    /// When another engine may take the backfill over.
    pub expires_at: StorageTime,
}

/// A lease as an engine asks for it: the storage computes when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The engine that asks.
    pub owner: String,
    /// How long the lease lasts from the storage's present time on.
    pub duration: Micros,
}

/// A backfill as stored, without its plan: reading it costs the same at any size.
#[derive(Debug, Clone)]
pub struct BackfillRow {
    /// The backfill's number in the storage.
    pub key: Key,
    /// The request, with the changes made since.
    pub request: Request,
    /// The strategy's name.
    pub strategy: String,
    /// Number of partitions.
    pub num_partitions: u64,
    /// Number of planned runs.
    pub num_runs: u64,
    /// Status of the whole backfill.
    pub status: Status,
    /// Counts of what has ended.
    pub counts: Counts,
    /// Runs that had started and not ended at the last commit: number and start.
    pub in_flight: Vec<(u64, Micros)>,
    /// When the backfill ended.
    pub ended_at: Option<Micros>,
    /// Whether a process asked for the backfill to stop.
    pub cancel_requested: bool,
    /// Whether no run starts until the backfill is unpaused.
    pub paused: bool,
    /// Why the backfill starts no more runs; `None` if it does, or if none were left.
    pub stop: Option<Stop>,
    /// How often the request was changed.
    pub revision: u64,
    /// Which engine runs the backfill.
    pub lease: Option<Lease>,
    /// What the executor of the present or last owner said of its workers, as JSON.
    pub workers: Option<String>,
}

impl BackfillRow {
    /// Whether the backfill is paused. One that has ended is not, even if it was paused when it ended.
    pub fn is_paused(&self) -> bool {
        self.paused && self.status == Status::InProgress
    }
}

/// What processes ask of a backfill in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlRequest {
    /// The backfill.
    pub key: Key,
    /// Whether it is to be canceled.
    pub cancel: bool,
    /// If it is to be canceled by force: how long its runs in flight may still take.
    pub force_after: Option<Duration>,
    /// Whether it is to start no runs for now.
    pub pause: bool,
    /// How often its request was changed: a number that the owner does not know means "read it again".
    pub revision: u64,
}

/// One failure of a backfill with its error, such as the first.
#[derive(Debug, Clone)]
pub struct OneFailure {
    /// The run's number.
    pub run: u64,
    /// Index of the asset in the request.
    pub asset: u32,
    /// The partition, if a single one failed.
    pub partition: Option<u64>,
    /// The error.
    pub cause: Cause,
}

/// What a commit records of one backfill.
#[derive(Debug)]
pub struct Commit {
    /// The backfill.
    pub key: Key,
    /// Runs, or attempts of runs, that have ended since the last commit.
    pub ended: Vec<RunEnd>,
    /// Counts of all that has ended, these runs included.
    pub counts: Counts,
    /// Runs in flight: number and start.
    pub in_flight: Vec<(u64, Micros)>,
    /// Why the backfill starts no more runs.
    pub stop: Option<Stop>,
    /// Final status and time of the end, if the backfill has ended; its lease ends with it.
    pub finished: Option<(Status, Micros)>,
}

/// The outcome of a commit for one backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is durable.
    Kept,
    /// Another engine holds the lease: nothing was written.
    LeaseLost,
}

/// The segments among which the last run below a number is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentsBefore {
    /// Those that have runs below the number, and one that is not.
    pub around: Vec<Segment>,
    /// Of those whose runs are all below the number: the one with the highest.
    pub below: Option<Segment>,
}

/// A backfill that has not ended, and the partitions that it shares with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The backfill's id.
    pub id: String,
    /// The asset.
    pub asset: String,
    /// Number of partitions of the asset that both contain.
    pub partitions: u64,
}

impl Overlap {
    /// The error that refuses the other backfill.
    pub fn refusal(&self) -> Error {
        let Self {
            id,
            asset,
            partitions,
        } = self;
        Error::Refused {
            message: format!(
                "the backfill {id:?} has not ended and holds {partitions} of these partitions of the asset \
                 {asset:?}"
            ),
            remedy: Remedy::Overlap(id.clone()),
        }
    }
}
