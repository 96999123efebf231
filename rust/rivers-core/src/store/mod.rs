//! What is true after a crash?
//!
//! The trait has one method per transaction that the engine or a reader needs. It is implemented
//! over SQLite; nothing outside this folder writes SQL.

pub mod causes;
pub mod failpoint;
pub mod overlap;
pub mod pace;
pub mod sqlite;
pub mod view;

use std::path::PathBuf;
use std::sync::Arc;

use crate::backfill::{
    AttemptRow, Cause, Change, Counts, FailureRow, Request, RunEnd, RunRow, Status, Stop,
};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan::Plan;
use crate::space::labels::Labels;
use overlap::Overlap;

/// A backfill's number in the storage; its id is text.
pub type Key = i64;

/// The right to run a backfill: whose it is, and until when if it is not renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The engine that holds it.
    pub owner: String,
    /// When it may be taken over.
    pub expires_at: Micros,
}

/// A backfill as stored, without its plan: reading it costs the same at any size.
#[derive(Debug, Clone)]
pub struct BackfillRow {
    /// Its number in the storage.
    pub key: Key,
    /// As asked for.
    pub request: Request,
    /// The strategy's name.
    pub strategy: String,
    /// How many partitions.
    pub num_partitions: u64,
    /// How many runs are planned.
    pub num_runs: u64,
    /// How it stands.
    pub status: Status,
    /// What has ended.
    pub counts: Counts,
    /// Runs that have begun and not ended, as of the last commit: number and start.
    pub in_flight: Vec<(u64, Micros)>,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// Whether another process asked for it to stop.
    pub cancel_requested: bool,
    /// Whether nothing new is to start until it is unpaused.
    pub paused: bool,
    /// Why it starts nothing more; `None`: it goes on, or nothing was left.
    pub stop: Option<Stop>,
    /// How often its request was changed.
    pub revision: u64,
    /// Who runs it.
    pub lease: Option<Lease>,
}

/// What somebody, perhaps in another process, wants of a backfill that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub key: Key,
    /// It is to stop for good.
    pub stop: bool,
    /// It is to start nothing new for now.
    pub pause: bool,
    /// How often its request was changed: with another number than is known it is to be read again.
    pub revision: u64,
}

/// One failure of a backfill, such as its first.
#[derive(Debug, Clone)]
pub struct OneFailure {
    /// The run's number.
    pub run: u64,
    /// Place of the asset in the request.
    pub asset: u32,
    /// The partition, if a single one failed.
    pub partition: Option<u64>,
    /// Why.
    pub cause: Cause,
}

/// What a commit says of one backfill.
#[derive(Debug)]
pub struct Commit {
    /// Which.
    pub key: Key,
    /// Runs that have ended since the last commit, or attempts of them.
    pub ended: Vec<RunEnd>,
    /// What has ended in all, these runs included.
    pub counts: Counts,
    /// What is in flight now.
    pub in_flight: Vec<(u64, Micros)>,
    /// Why it starts nothing more.
    pub stop: Option<Stop>,
    /// How and when the backfill ended, if it did; its lease ends with it.
    pub finished: Option<(Status, Micros)>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is on disk.
    Kept,
    /// The lease is another's now: nothing of it was written.
    LeaseLost,
}

/// Where everything is recorded.
pub trait Store: Send + Sync {
    /// The file, or `memory`.
    fn path(&self) -> String;

    /// Records a new backfill; without a lease it has ended already (it has no runs).
    ///
    /// # Errors
    /// `Execution` where it refuses to overlap with another and does; `Storage`.
    fn create(&self, request: &Request, plan: &Plan, lease: Option<&Lease>) -> Result<Key>;

    /// A backfill that has not ended and holds partitions of one of these assets, in the plan's order, that
    /// the plan has too.
    ///
    /// # Errors
    /// `Storage`.
    fn overlap(&self, assets: &[&str], plan: &Plan) -> Result<Option<Overlap>>;

    /// Writes outcomes and counts of any number of backfills in one transaction, and renews their
    /// leases until `lease.expires_at`.
    ///
    /// # Errors
    /// `Storage`; nothing of it was written then.
    fn commit(&self, lease: &Lease, commits: &[Commit]) -> Result<Vec<Committed>>;

    /// Renews the leases of these backfills and tells which of them are still the owner's. What the
    /// owner has left is not among them: its lease runs out.
    ///
    /// # Errors
    /// `Storage`.
    fn renew(&self, lease: &Lease, keys: &[Key]) -> Result<Vec<Key>>;

    /// What is wanted of each of the owner's backfills, by whichever process.
    ///
    /// # Errors
    /// `Storage`.
    fn wishes(&self, owner: &str) -> Result<Vec<Wish>>;

    /// Gives the lease of a backfill back, so that it can be resumed at once.
    ///
    /// # Errors
    /// `Storage`.
    fn release(&self, key: Key, owner: &str) -> Result<()>;

    /// Takes the lease of a backfill that is in progress from `previous`. `false`: someone was
    /// faster.
    ///
    /// # Errors
    /// `Storage`.
    fn take_over(&self, key: Key, previous: Option<&Lease>, lease: &Lease) -> Result<bool>;

    /// Whether the owner's process still runs.
    fn is_alive(&self, owner: &str) -> bool;

    /// Whether worker processes of an owner that is not alive still run.
    fn has_workers(&self, owner: &str) -> bool;

    /// The file by which an owner's worker processes show that they run, with `WorkerSign`; `None`
    /// where no other process can look.
    fn workers_file(&self, owner: &str) -> Option<PathBuf>;

    /// Registers a new owner for the life of the returned guard.
    ///
    /// # Errors
    /// `Storage`.
    fn register_owner(&self, owner: &str) -> Result<Box<dyn Send + Sync>>;

    /// Asks the owner of a backfill, whoever that is, to stop it.
    ///
    /// # Errors
    /// `Storage`.
    fn request_cancel(&self, key: Key) -> Result<()>;

    /// Pauses a backfill or has it go on. `false`: it has ended, nothing changes.
    ///
    /// # Errors
    /// `Storage`.
    fn set_paused(&self, key: Key, paused: bool) -> Result<bool>;

    /// Changes the request of a backfill. `false`: it has ended, nothing changes.
    ///
    /// # Errors
    /// `Storage`.
    fn change(&self, key: Key, change: &Change) -> Result<bool>;

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

    /// The latest backfills and manual runs, newest first; of one asset, if named.
    ///
    /// # Errors
    /// `Storage`.
    fn list(&self, asset: Option<&str>, limit: Option<u64>) -> Result<Vec<BackfillRow>>;

    /// The backfills that have not ended, newest first.
    ///
    /// # Errors
    /// `Storage`.
    fn unfinished(&self) -> Result<Vec<BackfillRow>>;

    /// The plan of a backfill.
    ///
    /// # Errors
    /// `Storage`; `Execution` when it is damaged.
    fn plan(&self, key: Key) -> Result<Plan>;

    /// Runs that have ended, by number, from one number to before another.
    ///
    /// # Errors
    /// `Storage`.
    fn runs(&self, key: Key, numbers: std::ops::Range<u64>) -> Result<Vec<RunRow>>;

    /// The last run that has ended and whose number is below this one.
    ///
    /// # Errors
    /// `Storage`.
    fn run_before(&self, key: Key, number: u64) -> Result<Option<RunRow>>;

    /// The latest runs that have ended, of the latest backfill first, with a failure or without.
    ///
    /// # Errors
    /// `Storage`.
    fn latest_runs(&self, failed: Option<bool>, limit: Option<u64>) -> Result<Vec<(Key, RunRow)>>;

    /// The failures of a backfill, in the order in which they were recorded; of one run, if given.
    ///
    /// # Errors
    /// `Storage`.
    fn failures(&self, key: Key, run: Option<u64>) -> Result<Vec<FailureRow>>;

    /// The failures of a backfill that were tried again, in the order of the runs and attempts.
    ///
    /// # Errors
    /// `Storage`.
    fn attempts(&self, key: Key) -> Result<Vec<AttemptRow>>;

    /// The first failure of a backfill.
    ///
    /// # Errors
    /// `Storage`.
    fn first_failure(&self, key: Key) -> Result<Option<OneFailure>>;

    /// The failure of a backfill that was recorded last.
    ///
    /// # Errors
    /// `Storage`.
    fn last_failure(&self, key: Key) -> Result<Option<OneFailure>>;

    /// The reasons with these numbers.
    ///
    /// # Errors
    /// `Storage`.
    fn causes(&self, ids: &[i64]) -> Result<Vec<(i64, Cause)>>;

    /// What is wrong with the records, a sentence each: the file as SQLite sees it, and counts that
    /// do not equal what they count.
    ///
    /// # Errors
    /// `Storage`.
    fn check(&self) -> Result<Vec<String>>;

    /// What failures have in common: for each of these numbers the type of the error, and the message
    /// without what varies.
    ///
    /// # Errors
    /// `Storage`.
    fn families(&self, ids: &[i64]) -> Result<Vec<(String, String)>>;

    /// Adds keys to a dynamic dimension, in order; those that are there stay where they are.
    ///
    /// # Errors
    /// `Storage`.
    fn add_dynamic(&self, name: &str, keys: &[String]) -> Result<()>;

    /// Takes a key out of a dynamic dimension; `false`: it was not there.
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
