//! The embedded storage: one SQLite file (WAL, `synchronous=FULL`), or the same in memory.
//!
//! One connection writes and one reads, so that a status never waits for a commit. A file is written
//! by several processes; each waits its turn.

mod attempt;
mod backfill;
mod check;
mod digest;
mod dynamic;
mod failure;
mod inspect;
mod migrate;
mod overlap;
mod owner;
mod run;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use owner::WorkerSign;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::failpoint::{Moment, Work, hit};
use super::overlap::Overlap;
use super::{BackfillRow, Commit, Committed, Key, Lease, OneFailure, Store, Wish};
use crate::backfill::{AttemptRow, Cause, Change, FailureRow, Request, RunRow};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::space::labels::Labels;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long opening waits before it tries again, and how often it does.
const RETRY_AFTER: Duration = Duration::from_millis(5);
const RETRIES: u32 = 2_000;
/// Marks a file as ours: "rivr".
const APPLICATION_ID: i64 = 0x7269_7672;
/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// A SQLite database.
pub struct SqliteStore {
    place: Place,
    writer: Mutex<Connection>,
    /// Who wants to write waits here for its turn: a mutex alone lets the thread that commits one batch
    /// after the other have the connection again and again, before anyone who waits wakes up.
    turn: Mutex<()>,
    /// A file has a second connection to read with; memory is one connection.
    reader: Option<Mutex<Connection>>,
}

/// Where the database is.
enum Place {
    File(PathBuf),
    Memory,
}

impl Place {
    fn error(&self, error: &rusqlite::Error) -> Error {
        let path = self.to_string();
        let advice = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "; free some space, then resume",
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                "; another process holds it, try again"
            }
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                "; it is no sound SQLite file: name another path, or restore it from a backup"
            }
            Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
                "; is it a file in a directory that you may write to?"
            }
            _ => "",
        };
        Error::Storage {
            path,
            message: format!("{error}{advice}"),
        }
    }

    fn refused(&self, message: &str) -> Error {
        Error::Storage {
            path: self.to_string(),
            message: message.to_owned(),
        }
    }

    /// A file that SQLite keeps beside the database.
    fn beside(&self, suffix: &str) -> PathBuf {
        match self {
            Self::File(path) => {
                let mut path = path.as_os_str().to_owned();
                path.push(suffix);
                path.into()
            }
            Self::Memory => PathBuf::new(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl SqliteStore {
    /// Opens the file, making it and its directory if they are missing, and migrates it.
    ///
    /// # Errors
    /// `Storage`: it cannot be opened, is no database of rivers, or is of a newer rivers.
    pub fn open(path: &Path) -> Result<Self> {
        let place = Place::File(path.to_owned());
        inspect::check_path(path, &place)?;
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            std::fs::create_dir_all(parent).map_err(|error| {
                place.refused(&format!("its directory cannot be made: {error}"))
            })?;
        }
        let open = || -> Result<(Connection, Connection), rusqlite::Error> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let writer = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_CREATE)?;
            prepare(&writer)?;
            let reader = Connection::open_with_flags(path, flags)?;
            reader.busy_timeout(BUSY_TIMEOUT)?;
            reader.set_prepared_statement_cache_capacity(STATEMENTS);
            Ok((writer, reader))
        };
        let (mut writer, reader) = patiently(open).map_err(|error| place.error(&error))?;
        migrate::migrate(&mut writer, &place)?;
        Ok(Self {
            place,
            writer: Mutex::new(writer),
            turn: Mutex::new(()),
            reader: Some(Mutex::new(reader)),
        })
    }

    /// The version of the schema of a file, and the newest one that this rivers knows. Looking at it
    /// changes nothing; 0: the file is not there, or empty.
    ///
    /// # Errors
    /// `Storage`: it cannot be opened, is no database of rivers, or is of a newer rivers.
    pub fn schema(path: &Path) -> Result<(i64, i64)> {
        let place = Place::File(path.to_owned());
        Ok((inspect::check_path(path, &place)?, migrate::NEWEST))
    }

    /// A storage that lives as long as this value.
    ///
    /// # Errors
    /// `Storage` when there is no memory for it.
    pub fn memory() -> Result<Self> {
        let place = Place::Memory;
        let open = || -> Result<Connection, rusqlite::Error> {
            let writer = Connection::open_in_memory()?;
            prepare(&writer)?;
            Ok(writer)
        };
        let mut writer = open().map_err(|error| place.error(&error))?;
        migrate::migrate(&mut writer, &place)?;
        Ok(Self {
            place,
            writer: Mutex::new(writer),
            turn: Mutex::new(()),
            reader: None,
        })
    }

    /// Runs a transaction that writes.
    fn write<T>(
        &self,
        what: Work,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T> {
        let turn = lock(&self.turn);
        let mut connection = lock(&self.writer);
        drop(turn);
        hit(what, Moment::Before);
        let result = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let value = work(&transaction)?;
                hit(what, Moment::Within);
                transaction.commit()?;
                hit(what, Moment::After);
                Ok(value)
            });
        result.map_err(|error| self.place.error(&error))
    }

    /// Runs statements that only read.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T> {
        let connection = lock(self.reader.as_ref().unwrap_or(&self.writer));
        work(&connection).map_err(|error| self.place.error(&error))
    }
}

/// A panic while a connection was held leaves no transaction open: the connection is good.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens again while another process is opening the same new file: there SQLite does not wait of
/// itself.
fn patiently<T>(open: impl Fn() -> Result<T, rusqlite::Error>) -> Result<T, rusqlite::Error> {
    for _ in 0..RETRIES {
        match open() {
            Err(error) if is_busy(&error) => std::thread::sleep(RETRY_AFTER),
            done => return done,
        }
    }
    open()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseBusy | DatabaseLocked)
    )
}

fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)
}

impl Store for SqliteStore {
    fn path(&self) -> String {
        self.place.to_string()
    }

    fn create(&self, request: &Request, plan: &Plan, lease: Option<&Lease>) -> Result<Key> {
        let encoded = backfill::Encoded::new(request, plan)?;
        let assets: Vec<&str> = request
            .assets
            .iter()
            .map(|asset| asset.name.as_str())
            .collect();
        let created = self.write(Work::Create, |transaction| {
            // In the transaction that writes it: of two that overlap, one finds the other.
            if request.control.refuse_overlap
                && let Some(found) = overlap::find(transaction, &assets, plan)?
            {
                return Ok(Err(found));
            }
            backfill::create(transaction, request, plan, &encoded, lease).map(Ok)
        })?;
        created.map_err(|found| found.refusal())
    }

    fn overlap(&self, assets: &[&str], plan: &Plan) -> Result<Option<Overlap>> {
        self.read(|connection| overlap::find(connection, assets, plan))
    }

    fn commit(&self, lease: &Lease, commits: &[Commit]) -> Result<Vec<Committed>> {
        self.write(Work::Commit, |transaction| {
            commits
                .iter()
                .map(|commit| {
                    if !backfill::update(transaction, lease, commit)? {
                        return Ok(Committed::LeaseLost);
                    }
                    hit(Work::Commit, Moment::Between);
                    run::insert(transaction, commit.key, &commit.ended)?;
                    failure::insert(transaction, commit.key, &commit.ended)?;
                    attempt::insert(transaction, commit.key, &commit.ended)?;
                    Ok(Committed::Kept)
                })
                .collect()
        })
    }

    fn renew(&self, lease: &Lease, keys: &[Key]) -> Result<Vec<Key>> {
        self.write(Work::Renew, |transaction| {
            backfill::renew(transaction, lease, keys)
        })
    }

    fn wishes(&self, owner: &str) -> Result<Vec<Wish>> {
        self.read(|connection| backfill::wishes(connection, owner))
    }

    fn release(&self, key: Key, owner: &str) -> Result<()> {
        self.write(Work::Release, |transaction| {
            backfill::release(transaction, key, owner)
        })
    }

    fn take_over(&self, key: Key, previous: Option<&Lease>, lease: &Lease) -> Result<bool> {
        self.write(Work::TakeOver, |transaction| {
            backfill::take_over(transaction, key, previous, lease)
        })
    }

    fn is_alive(&self, owner: &str) -> bool {
        match &self.place {
            Place::File(path) => owner::is_alive(path, owner),
            Place::Memory => true,
        }
    }

    fn has_workers(&self, owner: &str) -> bool {
        match &self.place {
            Place::File(path) => owner::has_workers(path, owner),
            Place::Memory => false,
        }
    }

    fn workers_file(&self, owner: &str) -> Option<PathBuf> {
        match &self.place {
            Place::File(path) => Some(owner::workers_path(path, owner)),
            Place::Memory => None,
        }
    }

    fn register_owner(&self, owner: &str) -> Result<Box<dyn Send + Sync>> {
        match &self.place {
            Place::File(path) => Ok(Box::new(owner::Registration::new(path, owner)?)),
            Place::Memory => Ok(Box::new(())),
        }
    }

    fn request_cancel(&self, key: Key) -> Result<()> {
        self.write(Work::RequestCancel, |transaction| {
            backfill::request_cancel(transaction, key)
        })
    }

    fn set_paused(&self, key: Key, paused: bool) -> Result<bool> {
        self.write(Work::SetPaused, |transaction| {
            backfill::set_paused(transaction, key, paused)
        })
    }

    fn change(&self, key: Key, change: &Change) -> Result<bool> {
        self.write(Work::Change, |transaction| {
            backfill::change(transaction, key, change)
        })
    }

    fn find(&self, id: &str) -> Result<Option<BackfillRow>> {
        self.read(|connection| backfill::find(connection, id))
    }

    fn get(&self, key: Key) -> Result<Option<BackfillRow>> {
        self.read(|connection| backfill::get(connection, key))
    }

    fn list(&self, asset: Option<&str>, limit: Option<u64>) -> Result<Vec<BackfillRow>> {
        self.read(|connection| backfill::list(connection, asset, limit))
    }

    fn unfinished(&self) -> Result<Vec<BackfillRow>> {
        self.read(backfill::unfinished)
    }

    fn plan(&self, key: Key) -> Result<Plan> {
        let (space, plan) = self.read(|connection| backfill::plan(connection, key))?;
        crate::plan::codec::decode_plan(crate::plan::codec::decode_space(&space)?, &plan)
    }

    fn runs(&self, key: Key, numbers: std::ops::Range<u64>) -> Result<Vec<RunRow>> {
        self.read(|connection| run::select(connection, key, &numbers))
    }

    fn run_before(&self, key: Key, number: u64) -> Result<Option<RunRow>> {
        self.read(|connection| run::before(connection, key, number))
    }

    fn latest_runs(&self, failed: Option<bool>, limit: Option<u64>) -> Result<Vec<(Key, RunRow)>> {
        self.read(|connection| run::latest(connection, failed, limit))
    }

    fn failures(&self, key: Key, run: Option<u64>) -> Result<Vec<FailureRow>> {
        self.read(|connection| failure::select(connection, key, run))
    }

    fn attempts(&self, key: Key) -> Result<Vec<AttemptRow>> {
        self.read(|connection| attempt::select(connection, key))
    }

    fn first_failure(&self, key: Key) -> Result<Option<OneFailure>> {
        self.read(|connection| failure::outermost(connection, key, false))
    }

    fn last_failure(&self, key: Key) -> Result<Option<OneFailure>> {
        self.read(|connection| failure::outermost(connection, key, true))
    }

    fn causes(&self, ids: &[i64]) -> Result<Vec<(i64, Cause)>> {
        self.read(|connection| failure::causes(connection, ids))
    }

    fn families(&self, ids: &[i64]) -> Result<Vec<(String, String)>> {
        self.read(|connection| failure::families(connection, ids))
    }

    fn check(&self) -> Result<Vec<String>> {
        self.read(check::check)
    }

    fn add_dynamic(&self, name: &str, keys: &[String]) -> Result<()> {
        self.write(Work::Dynamic, |transaction| {
            dynamic::add(transaction, name, keys)
        })
    }

    fn delete_dynamic(&self, name: &str, key: &str) -> Result<bool> {
        self.write(Work::Dynamic, |transaction| {
            dynamic::delete(transaction, name, key)
        })
    }

    fn dynamic(&self, name: &str) -> Result<Arc<Labels>> {
        let keys = self.read(|connection| dynamic::select(connection, name))?;
        Labels::new(keys).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn who_waits_to_write_is_let_in_between_two_commits() {
        let store = SqliteStore::memory().expect("memory");
        let (begun, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let mut waited = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let slow = |_: &Transaction<'_>| {
                        begun.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(2));
                        Ok(())
                    };
                    store.write(Work::Commit, slow).expect("a commit");
                }
            });
            for _ in 0..30 {
                let seen = begun.load(Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) == seen {
                    std::thread::yield_now();
                }
                // The other is in the midst of a commit.
                let before = begun.load(Ordering::Relaxed);
                let now = |_: &Transaction<'_>| Ok(begun.load(Ordering::Relaxed) - before);
                waited += store.write(Work::Create, now).expect("a request");
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(
            waited <= 5,
            "thirty requests waited for {waited} more commits than they had to"
        );
    }
}
