//! What is true after a crash?
//!
//! Seven traits, one for each concern: [`Ledger`] (what the engine writes), [`Records`] (what readers
//! read), [`DynamicKeys`], [`Liveness`], [`Pools`], [`Maintenance`] and [`Values`]; [`Store`] is their sum. Each method of `Ledger` is one
//! transaction. Only the folder of a database (`sqlite/`) contains SQL; rules that hold for each
//! database are in `queries/` and `encoding`.
//!
//! # Commit before it is reported
//!
//! The engine reports an outcome (to a waiting caller, to the queue, to dependent runs) only after
//! [`Ledger::commit`] has returned [`Committed::Kept`] for it. Therefore
//!
//! 1. what a user has seen is there after a crash;
//! 2. a crash can lose outcomes that no reader has seen: those runs are executed again;
//! 3. a commit is all or nothing for each backfill, and equal counts and records are written together.
//!
//! # Lease before start
//!
//! A run starts only while its engine holds the backfill's lease, and [`Ledger::commit`] writes only for
//! the owner of the lease. Therefore
//!
//! 1. after a takeover the former owner records nothing, whenever its commit arrives;
//! 2. the storage computes and compares the expiry of leases with its own clock ([`Ledger::now`]); the
//!    clock of another machine is never compared with it, which [`StorageTime`] enforces;
//! 3. an engine reckons how long its lease lasts from *before* it asked for it, so that it stops starting
//!    runs before the storage regards the lease as expired.

mod digest;
mod encoding;
pub mod failpoint;
pub mod fork;
pub mod liveness;
mod maintenance;
#[cfg(target_os = "linux")]
mod mapped_files;
pub(crate) mod open_files;
mod pools;
pub mod postgres;
pub(crate) mod process;
pub mod queries;
mod records;
pub mod segment;
pub mod sqlite;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::backfill::{
    AttemptRow, Cause, Change, FailureRow, Kind, Left, MetadataRow, Report, Request, RunRow,
    SkipRow,
};
use crate::error::Result;
use crate::plan::Plan;
use crate::space::labels::Labels;

pub use liveness::Liveness;
pub use maintenance::Maintenance;
pub use pools::{PoolNeed, PoolShare, Pools, StoredPool};
pub use process::process_id;
use queries::ended_runs::{self, EndedRuns};
pub use records::{
    BackfillRow, Commit, Committed, ControlRequest, Extent, Key, Lease, LeaseTerms, OneFailure,
    Overlap, SegmentsBefore, StorageTime,
};
use segment::Segment;
pub use sqlite::values::{Loaded, ValueStore};

/// Where everything is recorded.
pub trait Store: Ledger + Records + DynamicKeys + Liveness + Pools + Maintenance + Values {}

impl<T: Ledger + Records + DynamicKeys + Liveness + Pools + Maintenance + Values> Store for T {}

/// Where the default handler keeps values.
pub trait Values: Send + Sync {
    /// The values beside the storage; `None` if it keeps none.
    fn values(&self) -> Option<&Arc<ValueStore>> {
        None
    }
}

/// What the engine writes. Each method is one transaction: after an error nothing of it is written.
pub trait Ledger: Send + Sync {
    /// The present time by the storage's clock, the only one that a lease is compared with.
    ///
    /// # Errors
    /// `Storage`.
    fn now(&self) -> Result<StorageTime>;

    /// Records a new backfill, and with it who is to be notified of its end. Without a lease it has ended
    /// already, because it has no runs.
    ///
    /// # Errors
    /// `Refused` if the request refuses to overlap with another backfill and does; `Storage`.
    fn create(&self, request: &Request, plan: &Plan, lease: Option<&LeaseTerms>) -> Result<Key>;

    /// Records outcomes and counts of any number of backfills in one transaction: a segment for each. What
    /// the owner does not hold is refused alone: [`Committed::LeaseLost`].
    ///
    /// Nothing that others read is changed by it, unless the backfill ends; its lease stays as it is.
    ///
    /// # Errors
    /// `Storage`.
    fn commit(&self, lease: &LeaseTerms, commits: &[Commit]) -> Result<Vec<Committed>>;

    /// Renews the leases of these backfills and returns those that the owner still holds.
    ///
    /// # Errors
    /// `Storage`.
    fn renew(&self, lease: &LeaseTerms, keys: &[Key]) -> Result<Vec<Key>>;

    /// What any process asks of each backfill that the owner holds.
    ///
    /// # Errors
    /// `Storage`.
    fn control_requests(&self, owner: &str) -> Result<Vec<ControlRequest>>;

    /// Calls `wake` when another process may have asked something of a backfill of this owner, until what is returned
    /// is dropped: then `control_requests` says what. `None` if the storage cannot, and must be polled.
    fn watch_control_requests(
        &self,
        _owner: &str,
        _wake: Box<dyn Fn() + Send>,
    ) -> Option<Box<dyn Send + Sync>> {
        None
    }

    /// Gives the lease of a backfill back, so that it can be resumed at once.
    ///
    /// # Errors
    /// `Storage`.
    fn release(&self, key: Key, owner: &str) -> Result<()>;

    /// Takes the lease of a backfill in progress over, if it is still `previous`. Returns whether it was.
    ///
    /// # Errors
    /// `Storage`.
    fn take_over(&self, key: Key, previous: Option<&Lease>, lease: &LeaseTerms) -> Result<bool>;

    /// Records what the executor of a backfill says of its workers: JSON, for readers. Has no effect on a
    /// backfill that the owner does not hold; a takeover clears it.
    ///
    /// # Errors
    /// `Storage`.
    fn set_workers(&self, key: Key, owner: &str, workers: Option<&str>) -> Result<()>;

    /// Asks the owner of a backfill to cancel it. Has no effect on one that has ended.
    ///
    /// # Errors
    /// `Storage`.
    fn request_cancel(&self, key: Key) -> Result<()>;

    /// Like `request_cancel`, and runs that are still in flight `after` the owner reads it end by force.
    /// A later request replaces the time of an earlier one.
    ///
    /// # Errors
    /// `Storage`.
    fn request_forced_cancel(&self, key: Key, after: Duration) -> Result<()>;

    /// Pauses or unpauses a backfill. Returns `false`, and changes nothing, if it has ended.
    ///
    /// # Errors
    /// `Storage`.
    fn set_paused(&self, key: Key, paused: bool) -> Result<bool>;

    /// Changes the request of a backfill. Returns `false`, and changes nothing, if it has ended.
    ///
    /// # Errors
    /// `Storage`.
    fn change(&self, key: Key, change: &Change) -> Result<bool>;

    /// Records what a user says about partitions of an asset. The cost is that of describing the partitions.
    ///
    /// # Errors
    /// `Storage`.
    fn report(&self, report: &Report) -> Result<()>;
}

/// What readers read.
pub trait Records: Send + Sync {
    /// The storage's name for people: its file, or `memory`.
    fn display_name(&self) -> String;

    /// A backfill by its id.
    ///
    /// # Errors
    /// `Storage`.
    fn find(&self, id: &str) -> Result<Option<BackfillRow>>;

    /// A backfill by its number.
    ///
    /// # Errors
    /// `Storage`.
    fn get(&self, key: Key) -> Result<Option<BackfillRow>>;

    /// The latest backfills and manual runs, newest first; only those of `asset`, if given.
    ///
    /// # Errors
    /// `Storage`.
    fn list(&self, asset: Option<&str>, limit: Option<u64>) -> Result<Vec<BackfillRow>>;

    /// The backfills and manual runs that determine the state of an asset, newest first. Those of a single run are
    /// left out if another one of the same partitions that ended alike has ended later: their number does not count.
    ///
    /// # Errors
    /// `Storage`.
    fn determining(&self, asset: &str) -> Result<Vec<BackfillRow>> {
        self.list(Some(asset), None)
    }

    /// The backfills and manual runs of an asset, newest first. Of those of a single run that have ended, only the
    /// `limit` that ended last are needed.
    ///
    /// # Errors
    /// `Storage`.
    fn latest_of(&self, asset: &str, _limit: u64) -> Result<Vec<BackfillRow>> {
        self.list(Some(asset), None)
    }

    /// The latest backfills, newest first, without manual runs: their number does not count.
    ///
    /// # Errors
    /// `Storage`.
    fn list_backfills(&self, limit: Option<u64>) -> Result<Vec<BackfillRow>> {
        let mut rows = self.list(None, None)?;
        rows.retain(|row| row.request.kind == Kind::Backfill);
        rows.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(rows)
    }

    /// Number of backfills and manual runs.
    ///
    /// # Errors
    /// `Storage`.
    fn num_backfills(&self) -> Result<u64> {
        Ok(self.list(None, None)?.len() as u64)
    }

    /// The backfills that have not ended, newest first.
    ///
    /// # Errors
    /// `Storage`.
    fn unfinished(&self) -> Result<Vec<BackfillRow>>;

    /// The newest backfill in progress that shares partitions of one of these assets, in the plan's order,
    /// with the plan.
    ///
    /// # Errors
    /// `Storage`.
    fn overlap(&self, assets: &[&str], plan: &Plan) -> Result<Option<Overlap>>;

    /// The plan of a backfill.
    ///
    /// # Errors
    /// `Storage`; `Execution` if it is damaged.
    fn plan(&self, key: Key) -> Result<Plan>;

    /// The segments of a backfill that may have runs in the range, in any order.
    ///
    /// # Errors
    /// `Storage`.
    fn segments(&self, key: Key, numbers: &Range<u64>) -> Result<Vec<Segment>>;

    /// The segments of a backfill without their runs, in any order: cheap at any number of runs.
    ///
    /// # Errors
    /// `Storage`.
    fn extents(&self, key: Key) -> Result<Vec<Extent>> {
        let segments = self.segments(key, &(0..u64::MAX))?;
        Ok(segments.iter().map(Extent::from).collect())
    }

    /// The segments of a backfill among which the last run below `number` is.
    ///
    /// # Errors
    /// `Storage`.
    fn segments_before(&self, key: Key, number: u64) -> Result<SegmentsBefore>;

    /// Calls `visit` with the segments of the newest backfill first, and those of one backfill by their last
    /// number, descending, until it returns `false`. With `failed`, segments without a run that failed
    /// (`true`) or completed (`false`) may be left out.
    ///
    /// # Errors
    /// `Storage`, and the errors of `visit`.
    fn latest_segments(
        &self,
        failed: Option<bool>,
        visit: &mut dyn FnMut(Key, Segment) -> Result<bool>,
    ) -> Result<()>;

    /// Ended runs whose number is in the range: the cheapest form to go through many of them.
    ///
    /// # Errors
    /// `Storage`.
    fn ended_runs(&self, key: Key, numbers: Range<u64>) -> Result<EndedRuns> {
        Ok(EndedRuns::new(self.segments(key, &numbers)?, numbers))
    }

    /// Ended runs whose number is in the range, in ascending order.
    ///
    /// # Errors
    /// `Storage`; `Execution` if the records are damaged.
    fn runs(&self, key: Key, numbers: Range<u64>) -> Result<Vec<RunRow>> {
        self.ended_runs(key, numbers)?.to_vec()
    }

    /// The ended run with the highest number below `number`.
    ///
    /// # Errors
    /// `Storage`; `Execution` if the records are damaged.
    fn run_before(&self, key: Key, number: u64) -> Result<Option<RunRow>> {
        ended_runs::before(&self.segments_before(key, number)?, number)
    }

    /// The latest ended runs, those of the newest backfill first; only those with or without a failure, if
    /// `failed` is given.
    ///
    /// # Errors
    /// `Storage`.
    fn latest_runs(&self, failed: Option<bool>, limit: Option<u64>) -> Result<Vec<(Key, RunRow)>> {
        ended_runs::latest(failed, limit, |visit| self.latest_segments(failed, visit))
    }

    /// The failures of a backfill, in the order in which they were recorded; only those of `run`, if given.
    ///
    /// # Errors
    /// `Storage`.
    fn failures(&self, key: Key, run: Option<u64>) -> Result<Vec<FailureRow>>;

    /// What the runs of a backfill skipped; only that of `run`, if given.
    ///
    /// # Errors
    /// `Storage`.
    fn skips(&self, key: Key, run: Option<u64>) -> Result<Vec<SkipRow>>;

    /// Whether any backfill or manual run of an asset skipped something.
    ///
    /// # Errors
    /// `Storage`.
    fn has_skipped(&self, asset: &str) -> Result<bool>;

    /// What users recorded about an asset without running anything, the newest first.
    ///
    /// # Errors
    /// `Storage`; `Execution` if it is damaged.
    fn reports(&self, asset: &str) -> Result<Vec<Report>>;

    /// The failed attempts of a backfill that were followed by another, by run and attempt.
    ///
    /// # Errors
    /// `Storage`.
    fn attempts(&self, key: Key) -> Result<Vec<AttemptRow>>;

    /// What the last attempts of a backfill's runs left to the next, by run, where that is something.
    ///
    /// # Errors
    /// `Storage`; `Execution` if it is damaged.
    fn left(&self, key: Key) -> Result<Vec<(u64, Left)>>;

    /// The facts about what a backfill materialized, by run; only of `run`, if given.
    ///
    /// # Errors
    /// `Storage`.
    fn metadata(&self, key: Key, run: Option<u64>) -> Result<Vec<MetadataRow>>;

    /// The facts with these numbers, JSON objects as text.
    ///
    /// # Errors
    /// `Storage`.
    fn metadata_bodies(&self, ids: &[i64]) -> Result<Vec<(i64, String)>>;

    /// The failure of a backfill that was recorded first.
    ///
    /// # Errors
    /// `Storage`.
    fn first_failure(&self, key: Key) -> Result<Option<OneFailure>>;

    /// The failure of a backfill that was recorded last.
    ///
    /// # Errors
    /// `Storage`.
    fn last_failure(&self, key: Key) -> Result<Option<OneFailure>>;

    /// The errors with these numbers.
    ///
    /// # Errors
    /// `Storage`.
    fn errors(&self, ids: &[i64]) -> Result<Vec<(i64, Cause)>>;

    /// The fingerprints with these numbers: the error's type, and its message without what varies.
    ///
    /// # Errors
    /// `Storage`.
    fn fingerprints(&self, ids: &[i64]) -> Result<Vec<(String, String)>>;

    /// What is wrong with the records, a sentence each: damage that the database finds, and counts that do
    /// not equal what they count.
    ///
    /// # Errors
    /// `Storage`.
    fn check(&self) -> Result<Vec<String>>;
}

/// The keys of dynamic dimensions.
pub trait DynamicKeys: Send + Sync {
    /// Registers keys of a dynamic dimension in order; registered keys keep their position.
    ///
    /// # Errors
    /// `PartitionDefinition` if a key cannot be one, before any is registered; `Storage`.
    fn add_dynamic(&self, name: &str, keys: &[String]) -> Result<()>;

    /// Removes a key of a dynamic dimension. Returns whether it was registered.
    ///
    /// # Errors
    /// `Storage`.
    fn delete_dynamic(&self, name: &str, key: &str) -> Result<bool>;

    /// The keys of a dynamic dimension, in order of registration.
    ///
    /// # Errors
    /// `Storage`.
    fn dynamic(&self, name: &str) -> Result<Arc<Labels>>;
}
