//! The embedded storage: one SQLite file (WAL, `synchronous=FULL`), or the same in memory.
//!
//! One connection writes and another reads, so that a status never waits for a commit. Several processes may
//! write a file; each waits for its turn.

mod attempt;
mod backfill;
mod check;
mod columns;
mod connection;
mod dynamic;
mod failure;
mod files;
mod inspect;
mod metadata;
mod migrate;
mod pool;
mod private;
mod prune;
mod report;
mod schema;
mod scope;
mod segment;
mod segments_from_runs;
mod skip;
mod system_calls;
pub(crate) mod values;

use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::encoding::{EncodedBackfill, EncodedReport, decode_left};
use super::failpoint::{Step, Work, hit};
use super::fork::{self, PerProcess};
use super::liveness::lock_file::{self, Registration, Unlocked};
use super::maintenance::{MAX_TEXTS, Maintenance};
use super::pools::{PoolNeed, PoolShare, Pools, StoredPool};
use super::queries::overlap;
use super::records::{
    BackfillRow, Commit, Committed, ControlRequest, Extent, Key, Lease, LeaseTerms, OneFailure,
    Overlap, SegmentsBefore, StorageTime,
};
use super::segment::{Segment, is_merge_due};
use super::{DynamicKeys, Ledger, Liveness, Records, ValueStore, Values, open_files};
use crate::backfill::{
    AttemptRow, Cause, Change, FailureRow, Left, MetadataRow, Report, Request, SkipRow,
};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::space::labels::{Labels, check_key};
use connection::Location;
use files::Files;

/// A SQLite database.
pub struct SqliteStore {
    location: Location,
    access: Access,
    /// The owners that this process has registered. In memory no other owner is alive: a forked child has a copy
    /// of the records and none of the parent's threads.
    owners: PerProcess<Mutex<HashSet<String>>>,
    values: Option<Arc<ValueStore>>,
}

/// The connections of a database. Those to a file are opened again in a forked child.
#[expect(clippy::large_enum_variant, reason = "there is one for each storage")]
enum Access {
    File(PerProcess<FileAccess>),
    /// A database in memory is one connection.
    Memory(Writer),
    /// A file that is only read, while other processes may write it.
    ReadOnly(PerProcess<Mutex<Connection>>),
    /// A file that is only read, in a folder where nothing can be written: it is opened for each query, since
    /// SQLite does not notice there when another process begins to write.
    Immutable(PathBuf),
}

/// The connections to a file: one writes and another reads.
struct FileAccess {
    connections: ManuallyDrop<(Writer, Mutex<Connection>)>,
    files: Files,
}

impl FileAccess {
    /// Opens a file, with additional flags, and migrates it.
    fn open(path: &Path, location: &Location, flags: OpenFlags) -> Result<Self> {
        let open = || -> rusqlite::Result<(Connection, Connection)> {
            let write = OpenFlags::SQLITE_OPEN_READ_WRITE;
            let writer = connection::open(path, write | flags)?;
            connection::prepare_writer(&writer)?;
            Ok((writer, connection::open(path, write)?))
        };
        let opened = connection::retry_while_busy(open);
        let (mut writer, reader) = opened.map_err(|error| location.error(&error))?;
        migrate::migrate(&mut writer, location)?;
        let files = Files::opened(path, &writer);
        Ok(Self {
            connections: ManuallyDrop::new((Writer::new(writer), Mutex::new(reader))),
            files,
        })
    }
}

impl Drop for FileAccess {
    fn drop(&mut self) {
        // Closing the connections would write their log into a file that is no longer theirs.
        if self.files.moved().is_none() {
            let _operation = fork::operation();
            // SAFETY: they are dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.connections) };
        }
    }
}

/// The connection that writes.
struct Writer {
    connection: Mutex<Connection>,
    /// Threads that want to write queue here. With one mutex alone, a thread that commits one batch after the
    /// other would acquire the connection again and again before a waiting thread wakes up.
    turn: Mutex<()>,
}

impl Writer {
    fn new(connection: Connection) -> Self {
        Self {
            connection: Mutex::new(connection),
            turn: Mutex::new(()),
        }
    }
}

impl SqliteStore {
    fn new(location: Location, access: Access) -> Self {
        let values = match &location {
            Location::File { path, .. } => Some(Arc::new(ValueStore::beside(path))),
            Location::Memory => None,
        };
        Self {
            values,
            location,
            access,
            owners: PerProcess::new(Mutex::default()),
        }
    }

    /// Opens a file, which is created with its folder if it is missing, and migrates it.
    ///
    /// # Errors
    /// `Storage` if it cannot be opened, is no database of rivers, or was written by a newer rivers.
    pub fn open(path: &Path) -> Result<Self> {
        let location = Location::file(path);
        let path = &connection::real_path(path);
        let _operation = fork::operation();
        inspect::check_path(path, &location)?;
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            private::create(parent, path).map_err(|error| {
                location.refused(&format!("its directory cannot be made: {error}"))
            })?;
        }
        let access = FileAccess::open(path, &location, OpenFlags::SQLITE_OPEN_CREATE)?;
        Ok(Self::new(location, Access::File(PerProcess::new(access))))
    }

    /// Opens a file that exists, to read it only: it is not migrated, and every write is refused.
    ///
    /// In a folder where nothing can be written the file is readable while no other process writes it.
    ///
    /// # Errors
    /// `OutdatedSchema` if an older rivers wrote it; `Storage` if it is missing, cannot be opened, is no
    /// database of rivers, or was written by a newer rivers.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        let location = Location::file(path);
        let path = &connection::real_path(path);
        if !path.exists() {
            return Err(location.refused("there is no such file"));
        }
        if !inspect::check_header(path, &location)? {
            return Err(location.refused("it is empty: nothing was recorded in it"));
        }
        let _operation = fork::operation();
        let open = || {
            let reader = connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            inspect::Identity::read(&reader).map(|identity| (reader, identity))
        };
        let (access, identity) = match connection::retry_while_busy(open) {
            Ok((reader, identity)) => (
                Access::ReadOnly(PerProcess::new(Mutex::new(reader))),
                identity,
            ),
            Err(error) if connection::needs_immutable(path, &error) => {
                let opened = connection::open_immutable(path);
                let read = opened.and_then(|reader| inspect::Identity::read(&reader));
                let identity = read.map_err(|error| location.error(&error))?;
                (Access::Immutable(path.to_owned()), identity)
            }
            Err(error) => return Err(location.error(&error)),
        };
        identity.check(&location)?;
        if identity.version < schema::NEWEST {
            return Err(Error::OutdatedSchema {
                path: location.to_string(),
                found: identity.version,
                newest: schema::NEWEST,
            });
        }
        Ok(Self::new(location, access))
    }

    /// The version of a file's schema, and the newest one that this code knows. The file is not changed; the
    /// version of a file that is missing or empty is 0.
    ///
    /// # Errors
    /// `Storage` if it cannot be opened, is no database of rivers, or was written by a newer rivers.
    pub fn schema(path: &Path) -> Result<(i64, i64)> {
        let location = Location::file(path);
        let path = &connection::real_path(path);
        let _operation = fork::operation();
        Ok((inspect::check_path(path, &location)?, schema::NEWEST))
    }

    /// A storage that lives as long as this value.
    ///
    /// # Errors
    /// `Storage` if there is not enough memory.
    pub fn memory() -> Result<Self> {
        let location = Location::Memory;
        let open = || -> rusqlite::Result<Connection> {
            let writer = connection::open_memory()?;
            connection::prepare_writer(&writer)?;
            Ok(writer)
        };
        let mut writer = open().map_err(|error| location.error(&error))?;
        migrate::migrate(&mut writer, &location)?;
        Ok(Self::new(location, Access::Memory(Writer::new(writer))))
    }

    fn owners(&self) -> &Mutex<HashSet<String>> {
        let made = self.owners.get_or(|| Ok(Mutex::default()));
        made.unwrap_or_else(|never: std::convert::Infallible| match never {})
    }

    /// The connections of this process to a file.
    fn file<'a>(&self, access: &'a PerProcess<FileAccess>) -> Result<&'a FileAccess> {
        let file = access.get_or(|| match &self.location {
            Location::File { path, .. } => {
                FileAccess::open(path, &self.location, OpenFlags::empty())
            }
            Location::Memory => unreachable!("a database in memory has no file"),
        })?;
        // Before they are used: SQLite would try for a long time to lock a file that is closed, and a page that is
        // behind the end of a file cannot be touched.
        match file.files.broken() {
            Some(broken) => Err(self.location.refused(broken)),
            None => Ok(file),
        }
    }

    /// The connection of this process to a file that it only reads.
    fn reader<'a>(
        &self,
        access: &'a PerProcess<Mutex<Connection>>,
    ) -> Result<&'a Mutex<Connection>> {
        let Location::File { path, .. } = &self.location else {
            unreachable!("a database in memory has no file")
        };
        if let Some(broken) = open_files::damage(path) {
            return Err(self.location.refused(broken));
        }
        access.get_or(|| {
            connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                .map(Mutex::new)
                .map_err(|error| self.location.error(&error))
        })
    }

    /// Runs a transaction that writes. When it returns, the transaction is on disk and will be found there.
    fn write<T>(
        &self,
        what: Work,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let _operation = fork::operation();
        match &self.access {
            Access::Memory(writer) => self.write_through(writer, |_| None, what, work),
            Access::File(access) => {
                let file = self.file(access)?;
                let damage = |connection: &Connection| file.files.damage(connection);
                let result = self.write_through(&file.connections.0, damage, what, work);
                if result.is_err() && file.files.moved().is_some() {
                    access.retire();
                }
                self.check_index()?;
                result
            }
            Access::ReadOnly(_) | Access::Immutable(_) => {
                Err(self.location.refused("it is open for reading only"))
            }
        }
    }

    fn write_through<T>(
        &self,
        writer: &Writer,
        damage: impl Fn(&Connection) -> Option<&'static str>,
        what: Work,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let turn = lock(&writer.turn);
        let mut connection = lock(&writer.connection);
        drop(turn);
        hit(what, Step::Before);
        let intact = |connection: &Connection| match damage(connection) {
            None => Ok(()),
            Some(damage) => Err(self.location.refused(&format!(
                "{damage}; what was reported before is on record in the file as it was then"
            ))),
        };
        let result = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                intact(&transaction)?;
                let value = work(&transaction)?;
                hit(what, Step::Within);
                transaction.commit()?;
                hit(what, Step::After);
                Ok(value)
            });
        let value = result.map_err(|error| self.location.error(&error))?;
        if intact(&connection).is_err() {
            // Only while no other process can write the log the answer is certain.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
            intact(&*transaction.map_err(|error| self.location.error(&error))?)?;
        }
        Ok(value)
    }

    /// Runs statements that only read.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let _operation = fork::operation();
        let result = match &self.access {
            Access::File(access) => work(&lock(&self.file(access)?.connections.1)),
            Access::ReadOnly(access) => work(&lock(self.reader(access)?)),
            Access::Memory(writer) => work(&lock(&writer.connection)),
            Access::Immutable(path) if connection::log_size(path) > 0 => {
                return Err(self.location.refused(
                    "another process is writing it, and in a read-only directory it cannot be read meanwhile",
                ));
            }
            Access::Immutable(path) => {
                connection::open_immutable(path).and_then(|reader| work(&reader))
            }
        };
        self.check_index()?;
        result.map_err(|error| self.location.error(&error))
    }

    /// Whether what was just read can be relied upon, and why a write failed.
    fn check_index(&self) -> Result<()> {
        if let Location::File { path, .. } = &self.location
            && open_files::is_any_lost()
            && let Some(damage) = open_files::damage(path)
        {
            return Err(self.location.refused(damage));
        }
        Ok(())
    }

    /// The lease that these terms give at the present time.
    fn lease(&self, terms: &LeaseTerms) -> Result<Lease> {
        Ok(Lease {
            owner: terms.owner.clone(),
            expires_at: self.now()?.after(terms.duration),
        })
    }

    /// Merges the small segments of a backfill, each group in a transaction of its own. They hold what they held
    /// if that fails: it is tried again after more commits.
    fn merge_segments(&self, key: Key) {
        while let Ok(true) = self.write(Work::Merge, |transaction| segment::merge(transaction, key))
        {
        }
    }

    /// Where owners of this database lock files, and what a look does with files that are not locked.
    fn lock_files(&self) -> Option<(&Path, Unlocked)> {
        match (&self.location, &self.access) {
            (Location::Memory, _) => None,
            (Location::File { path, .. }, Access::File(_) | Access::Memory(_)) => {
                Some((path, Unlocked::Remove))
            }
            (Location::File { path, .. }, Access::ReadOnly(_) | Access::Immutable(_)) => {
                Some((path, Unlocked::Leave))
            }
        }
    }
}

/// A panic while a connection was locked leaves no transaction open: the connection is usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rule on overlaps, applied to what the connection sees.
fn find_overlap(
    connection: &Connection,
    assets: &[&str],
    plan: &Plan,
) -> rusqlite::Result<Option<Overlap>> {
    let unfinished = backfill::unfinished(connection)?;
    overlap::find(unfinished, assets, plan, |key| {
        backfill::plan(connection, key)
    })
}

impl Ledger for SqliteStore {
    fn now(&self) -> Result<StorageTime> {
        // All processes that share a file or memory run on this machine: its clock is the storage's.
        Ok(StorageTime(SystemClock.now()))
    }

    fn create(&self, request: &Request, plan: &Plan, lease: Option<&LeaseTerms>) -> Result<Key> {
        let encoded = EncodedBackfill::new(request, plan)?;
        let lease = lease.map(|terms| self.lease(terms)).transpose()?;
        let assets: Vec<&str> = request
            .assets
            .iter()
            .map(|asset| asset.name.as_str())
            .collect();
        let created = self.write(Work::Create, |transaction| {
            if request.control.refuse_overlap
                && let Some(found) = find_overlap(transaction, &assets, plan)?
            {
                return Ok(Err(found));
            }
            backfill::create(transaction, request, plan, &encoded, lease.as_ref()).map(Ok)
        })?;
        created.map_err(|found| found.refusal())
    }

    fn commit(&self, lease: &LeaseTerms, commits: &[Commit]) -> Result<Vec<Committed>> {
        let appended = self.write(Work::Commit, |transaction| {
            commits
                .iter()
                .map(|commit| {
                    let Some(seq) = segment::append(transaction, &lease.owner, commit)? else {
                        return Ok(None);
                    };
                    hit(Work::Commit, Step::Between);
                    failure::insert(transaction, commit.key, &commit.ended)?;
                    skip::insert(transaction, commit.key, &commit.ended)?;
                    attempt::insert(transaction, commit.key, &commit.ended)?;
                    metadata::insert(transaction, commit.key, &commit.ended)?;
                    backfill::end(transaction, commit)?;
                    scope::end(transaction, commit)?;
                    Ok(Some(seq))
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        for (commit, seq) in commits.iter().zip(&appended) {
            if seq.is_some_and(|seq| is_merge_due(seq, commit.finished.is_some())) {
                self.merge_segments(commit.key);
            }
        }
        let outcome = |seq: Option<i64>| match seq {
            Some(_) => Committed::Kept,
            None => Committed::LeaseLost,
        };
        Ok(appended.into_iter().map(outcome).collect())
    }

    fn renew(&self, lease: &LeaseTerms, keys: &[Key]) -> Result<Vec<Key>> {
        let lease = self.lease(lease)?;
        self.write(Work::Renew, |transaction| {
            backfill::renew(transaction, &lease, keys)
        })
    }

    fn control_requests(&self, owner: &str) -> Result<Vec<ControlRequest>> {
        self.read(|connection| backfill::control_requests(connection, owner))
    }

    fn release(&self, key: Key, owner: &str) -> Result<()> {
        self.write(Work::Release, |transaction| {
            backfill::release(transaction, key, owner)
        })
    }

    fn take_over(&self, key: Key, previous: Option<&Lease>, lease: &LeaseTerms) -> Result<bool> {
        let lease = self.lease(lease)?;
        self.write(Work::TakeOver, |transaction| {
            backfill::take_over(transaction, key, previous, &lease)
        })
    }

    fn set_workers(&self, key: Key, owner: &str, workers: Option<&str>) -> Result<()> {
        self.write(Work::SetWorkers, |transaction| {
            backfill::set_workers(transaction, key, owner, workers)
        })
    }

    fn request_cancel(&self, key: Key) -> Result<()> {
        self.write(Work::RequestCancel, |transaction| {
            backfill::request_cancel(transaction, key)
        })
    }

    fn request_forced_cancel(&self, key: Key, after: Duration) -> Result<()> {
        self.write(Work::RequestCancel, |transaction| {
            backfill::request_forced_cancel(transaction, key, after)
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

    fn report(&self, report: &Report) -> Result<()> {
        let encoded = EncodedReport::new(report)?;
        self.write(Work::Report, |transaction| {
            report::insert(transaction, report, &encoded)
        })
    }
}

impl Records for SqliteStore {
    fn display_name(&self) -> String {
        self.location.to_string()
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

    fn determining(&self, asset: &str) -> Result<Vec<BackfillRow>> {
        self.read(|connection| scope::determining(connection, asset))
    }

    fn latest_of(&self, asset: &str, limit: u64) -> Result<Vec<BackfillRow>> {
        self.read(|connection| scope::latest(connection, asset, limit))
    }

    fn list_backfills(&self, limit: Option<u64>) -> Result<Vec<BackfillRow>> {
        self.read(|connection| backfill::list_backfills(connection, limit))
    }

    fn num_backfills(&self) -> Result<u64> {
        self.read(backfill::count)
    }

    fn unfinished(&self) -> Result<Vec<BackfillRow>> {
        self.read(backfill::unfinished)
    }

    fn overlap(&self, assets: &[&str], plan: &Plan) -> Result<Option<Overlap>> {
        self.read(|connection| find_overlap(connection, assets, plan))
    }

    fn plan(&self, key: Key) -> Result<Plan> {
        let (space, plan) = self.read(|connection| backfill::encoded_plan(connection, key))?;
        super::encoding::decode_plan(&space, &plan)
    }

    fn segments(&self, key: Key, numbers: &Range<u64>) -> Result<Vec<Segment>> {
        self.read(|connection| segment::select(connection, key, numbers))
    }

    fn extents(&self, key: Key) -> Result<Vec<Extent>> {
        self.read(|connection| segment::extents(connection, key))
    }

    fn segments_before(&self, key: Key, number: u64) -> Result<SegmentsBefore> {
        self.read(|connection| segment::before(connection, key, number))
    }

    fn latest_segments(
        &self,
        failed: Option<bool>,
        visit: &mut dyn FnMut(Key, Segment) -> Result<bool>,
    ) -> Result<()> {
        self.read(|connection| segment::latest(connection, failed, visit))
    }

    fn failures(&self, key: Key, run: Option<u64>) -> Result<Vec<FailureRow>> {
        self.read(|connection| failure::select(connection, key, run))
    }

    fn skips(&self, key: Key, run: Option<u64>) -> Result<Vec<SkipRow>> {
        self.read(|connection| skip::select(connection, key, run))
    }

    fn has_skipped(&self, asset: &str) -> Result<bool> {
        self.read(|connection| scope::has_skipped(connection, asset))
    }

    fn reports(&self, asset: &str) -> Result<Vec<Report>> {
        self.read(|connection| report::select(connection, asset))
    }

    fn attempts(&self, key: Key) -> Result<Vec<AttemptRow>> {
        self.read(|connection| attempt::select(connection, key))
    }

    fn left(&self, key: Key) -> Result<Vec<(u64, Left)>> {
        let rows = self.read(|connection| attempt::select_left(connection, key))?;
        let decode = |(run, body): (u64, Vec<u8>)| Ok((run, decode_left(&body)?));
        rows.into_iter().map(decode).collect()
    }

    fn metadata(&self, key: Key, run: Option<u64>) -> Result<Vec<MetadataRow>> {
        self.read(|connection| metadata::select(connection, key, run))
    }

    fn metadata_bodies(&self, ids: &[i64]) -> Result<Vec<(i64, String)>> {
        self.read(|connection| metadata::bodies(connection, ids))
    }

    fn first_failure(&self, key: Key) -> Result<Option<OneFailure>> {
        self.read(|connection| failure::outermost(connection, key, false))
    }

    fn last_failure(&self, key: Key) -> Result<Option<OneFailure>> {
        self.read(|connection| failure::outermost(connection, key, true))
    }

    fn errors(&self, ids: &[i64]) -> Result<Vec<(i64, Cause)>> {
        self.read(|connection| failure::errors(connection, ids))
    }

    fn fingerprints(&self, ids: &[i64]) -> Result<Vec<(String, String)>> {
        self.read(|connection| failure::fingerprints(connection, ids))
    }

    fn check(&self) -> Result<Vec<String>> {
        self.read(check::check)
    }
}

impl DynamicKeys for SqliteStore {
    fn add_dynamic(&self, name: &str, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| check_key(key))?;
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

impl Pools for SqliteStore {
    fn pools(&self) -> Result<Vec<StoredPool>> {
        let now = self.now()?;
        self.read(|connection| pool::select(connection, now))
    }

    fn set_pool(&self, name: &str, slots: Option<u32>) -> Result<()> {
        self.write(Work::Pool, |transaction| {
            pool::set(transaction, name, slots)
        })
    }

    fn share_pools(
        &self,
        lease: &LeaseTerms,
        needs: &[PoolNeed],
    ) -> Result<Vec<Option<PoolShare>>> {
        let now = self.now()?;
        let lease = self.lease(lease)?;
        self.write(Work::Pool, |transaction| {
            let shares = needs
                .iter()
                .map(|need| pool::share_out(transaction, &lease, now, need));
            shares.collect()
        })
    }
}

impl Maintenance for SqliteStore {
    fn ended_before(
        &self,
        time: StorageTime,
        after: Key,
        limit: usize,
    ) -> Result<Vec<(Key, String)>> {
        self.read(|connection| prune::ended_before(connection, time, after, limit))
    }

    fn remove(&self, keys: &[Key]) -> Result<Vec<Key>> {
        self.write(Work::Prune, |transaction| prune::remove(transaction, keys))
    }

    fn half_removed(&self) -> Result<Vec<Key>> {
        self.read(prune::half_removed)
    }

    fn remove_unused(&self) -> Result<u64> {
        let unused = self.read(prune::unused)?;
        let mut removed = 0;
        for (at, ids) in &unused.rows {
            for some in ids.chunks(MAX_TEXTS) {
                removed += self.write(Work::Prune, |transaction| {
                    prune::remove_unused(transaction, &unused, *at, some)
                })?;
            }
        }
        Ok(removed)
    }

    fn reported_assets(&self) -> Result<Vec<String>> {
        self.read(report::assets)
    }

    fn dynamic_names(&self) -> Result<Vec<String>> {
        self.read(dynamic::names)
    }
}

impl Values for SqliteStore {
    fn values(&self) -> Option<&Arc<ValueStore>> {
        self.values.as_ref()
    }
}

impl Liveness for SqliteStore {
    fn is_alive(&self, owner: &str) -> bool {
        match self.lock_files() {
            Some((path, unlocked)) => lock_file::is_alive(path, owner, unlocked),
            None => lock(self.owners()).contains(owner),
        }
    }

    fn has_workers(&self, owner: &str) -> bool {
        self.lock_files()
            .is_some_and(|(path, unlocked)| lock_file::has_workers(path, owner, unlocked))
    }

    fn worker_lock_file(&self, owner: &str) -> Option<PathBuf> {
        let (path, _) = self.lock_files()?;
        Some(lock_file::workers_path(path, owner))
    }

    fn register_owner(&self, owner: &str) -> Result<Box<dyn Send + Sync>> {
        match self.lock_files() {
            None => {
                lock(self.owners()).insert(owner.to_owned());
                Ok(Box::new(()))
            }
            Some((path, Unlocked::Remove)) => Ok(Box::new(Registration::new(path, owner)?)),
            Some((_, Unlocked::Leave)) => Err(self.location.refused("it is open for reading only")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_waiting_writer_gets_its_turn_between_two_commits() {
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
                // The other thread is committing.
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
