//! The values that the default handler keeps beside a file storage: a second SQLite file in a folder of its own.
//!
//! # Values before outcomes
//!
//! [`ValueStore::put`] only gathers values. The engine calls [`ValueStore::flush`] before it applies the
//! outcomes of the runs that put them, and [`ValueStore::sync`] before it commits those outcomes. Therefore
//!
//! 1. a run finds the values of all runs that it needs in the database;
//! 2. after a crash, the value of each recorded outcome is there;
//! 3. a worker thread does not wait for the disk: the log is synced by the thread that commits outcomes.
//!
//! A value that was put by a run whose outcome was never recorded may be there, too. That run is executed again.

mod database;
mod identity;
mod large;
mod pending;

use std::collections::HashMap;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use self::database::{KnownSpace, SharedBody, Stored};
use self::large::LargeFiles;
use self::pending::{Body, Entry, Partitions, Pending, Source};
use super::connection::{self, Location};
use super::files::Files;
use crate::backfill::Request;
use crate::clock::{Clock, Micros, SteadyClock};
use crate::error::Result;
use crate::plan::Plan;
use crate::space::{Members, PositionSet, Selection, Space};
use crate::store::fork::{self, PerProcess};
use crate::store::open_files;

/// Marks a file as values of rivers: "rivv".
const APPLICATION_ID: i64 = 0x7269_7676;
/// The version of the schema.
const VERSION: i64 = 1;
/// Size of values that may wait for a flush, in bytes.
const MAX_PENDING_BYTES: usize = 32 << 20;
/// Maximum number of connections kept for reading.
const MAX_READERS: usize = 8;
/// How often reading checks that the files are still there.
const CHECK_INTERVAL: Micros = 100_000;
/// How often loading one value after the other checks that the files were not closed.
const USE_INTERVAL: Micros = 1_000;
/// Maximum number of partitions of which it is looked up whether each has a value.
const MAX_LOOKED_UP: u64 = 100_000;
/// How often a value is looked up again that was replaced while it was being read.
const MAX_LOOKUPS: u32 = 5;
/// A file of a large value that nothing refers to and that is older than this was left by a process that died.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A value as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// The bytes that were put; values of several partitions that were put together share them.
    Value(Arc<[u8]>),
    /// The value is `None`.
    None,
    /// The latest value could not be stored.
    Lost,
    /// No value was stored.
    Missing,
}

/// The values beside a storage.
pub struct ValueStore {
    folder: PathBuf,
    storage: PathBuf,
    path: PathBuf,
    location: Location,
    state: PerProcess<State>,
}

#[derive(Default)]
struct State {
    pending: Mutex<Pending>,
    /// Held by the thread that writes what is pending.
    flushing: Mutex<KnownSpace>,
    opened: Mutex<Option<Arc<Opened>>>,
    /// Whether the log has what was not synced, and the folder of large values a new file.
    has_unsynced: AtomicBool,
    has_new_file: AtomicBool,
    /// Whether the file was deleted, moved or replaced while it was open.
    was_lost: AtomicBool,
}

struct Connections {
    writer: Mutex<Connection>,
    /// Those that are not in use.
    readers: Mutex<Vec<Connection>>,
    counts: Mutex<Counts>,
}

/// The connections of this process.
struct Opened {
    connections: ManuallyDrop<Connections>,
    files: Files,
    checked_at: Mutex<Micros>,
    /// When it was last seen that nothing else has closed the files.
    used_at: Mutex<Micros>,
}

impl Opened {
    /// Whether its files were looked at so shortly ago that to look again would tell no more: they can be closed
    /// or deleted between a look and what follows it, too.
    fn is_checked(&self) -> bool {
        SteadyClock.now() - *lock(&self.used_at) < USE_INTERVAL
    }
}

/// How many values of assets there are, as long as nothing is written: counting a million takes 60 ms.
#[derive(Default)]
struct Counts {
    /// A connection of their own: SQLite tells each one whether any other has written.
    reader: Option<Connection>,
    version: i64,
    of: HashMap<String, u64>,
}

impl Counts {
    fn count(
        &mut self,
        asset: &str,
        open: impl FnOnce() -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<u64> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => open()?,
        };
        let reader = self.reader.insert(reader);
        let version = reader.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if version != self.version {
            self.of.clear();
            self.version = version;
        }
        if let Some(&known) = self.of.get(asset) {
            return Ok(known);
        }
        let count = match database::asset_id(reader, asset)? {
            None => 0,
            Some(id) => database::count(reader, id)?,
        };
        self.of.insert(asset.to_owned(), count);
        Ok(count)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Closing the connections would write their log into a file that is no longer theirs.
        if self.files.moved().is_none() {
            let _operation = fork::operation();
            // SAFETY: they are dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.connections) };
        }
    }
}

/// A panic while something was locked leaves it usable: what was put is complete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ValueStore {
    /// The values beside the storage at this path. Nothing is opened or created before it is needed.
    pub fn beside(storage: &Path) -> Self {
        let storage = connection::real_path(storage);
        let mut folder = storage.clone().into_os_string();
        folder.push("-values");
        let folder = PathBuf::from(folder);
        let path = folder.join("values.db");
        Self {
            folder,
            storage,
            location: Location::file(&path),
            path,
            state: PerProcess::new(State::default()),
        }
    }

    /// The folder that has the values.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The storage that they belong to.
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    fn state(&self) -> &State {
        let made = self.state.get_or(|| Ok(State::default()));
        made.unwrap_or_else(|never: std::convert::Infallible| match never {})
    }

    fn large(&self) -> LargeFiles {
        LargeFiles::new(self.folder.join("large"), self.is_private())
    }

    /// Whether only this user may read the storage.
    fn is_private(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(&self.storage).map_or(true, |found| found.mode() & 0o077 == 0)
        }
        #[cfg(not(unix))]
        false
    }

    // -- writing -----------------------------------------------------------------------------------

    /// Gathers the pickled value that a run returned for an asset, for these partitions (`None`: all of the
    /// run). Without a value, an earlier one exists no longer and none can be loaded.
    ///
    /// # Errors
    /// `Storage` if it is large and its file cannot be written.
    pub fn put(
        &self,
        asset: &Arc<str>,
        run_id: &str,
        partitions: Selection,
        value: Option<&[u8]>,
    ) -> Result<()> {
        let body = match value {
            None => Body::Lost,
            Some(bytes) if bytes.len() < large::MIN_SIZE => Body::Inline(bytes.into()),
            Some(bytes) => Body::File(self.write_large(bytes)?),
        };
        self.gather(Entry {
            asset: Arc::clone(asset),
            source: Source::Run(run_id.to_owned()),
            partitions: Partitions::Several(partitions),
            body,
        })
    }

    /// Gathers the pickled value of one partition that a run of a request returned; it must not be large.
    ///
    /// # Errors
    /// `Storage` if much is pending and cannot be written.
    pub fn put_one(
        &self,
        asset: &Arc<str>,
        request: &Arc<Request>,
        space: &Arc<Space>,
        partition: u64,
        value: &[u8],
    ) -> Result<()> {
        self.gather(Entry {
            asset: Arc::clone(asset),
            source: Source::Request(Arc::clone(request)),
            partitions: Partitions::One(Arc::clone(space), partition),
            body: Body::Inline(value.into()),
        })
    }

    /// Notes that an asset returned `None` for all partitions of a run of a plan.
    pub fn note_none(&self, asset: &Arc<str>, plan: &Arc<Plan>, run: u64) {
        lock(&self.state().pending).note_none(asset, plan, run);
    }

    /// Size below which `put_one` takes a value, in bytes.
    pub const fn min_large_size() -> usize {
        large::MIN_SIZE
    }

    fn gather(&self, entry: Entry) -> Result<()> {
        let bytes = {
            let mut pending = lock(&self.state().pending);
            pending.push(entry);
            pending.bytes
        };
        if bytes > MAX_PENDING_BYTES {
            return self.flush();
        }
        Ok(())
    }

    fn write_large(&self, bytes: &[u8]) -> Result<String> {
        let name = self.large().write(bytes).map_err(|error| {
            let message = format!("a large value cannot be written: {error}");
            self.location.refused(&message)
        })?;
        self.state().has_new_file.store(true, Ordering::Release);
        Ok(name)
    }

    /// Writes what was put before the call, so that each process finds it.
    ///
    /// # Errors
    /// `Storage`; then the values are still pending, and the next call tries again.
    pub fn flush(&self) -> Result<()> {
        let state = self.state();
        if lock(&state.pending).is_empty() && state.flushing.try_lock().is_ok() {
            return Ok(());
        }
        let mut known_space = lock(&state.flushing);
        let pending = std::mem::take(&mut *lock(&state.pending));
        if pending.is_empty() {
            return Ok(());
        }
        let written =
            self.write(|transaction| database::write(transaction, &pending, &mut known_space));
        match written {
            Ok(files) => {
                state.has_unsynced.store(true, Ordering::Release);
                self.large().remove(&files);
                Ok(())
            }
            Err(error) => {
                lock(&state.pending).put_back(pending);
                Err(error)
            }
        }
    }

    /// Whether `flush` has something to write, or waits for another thread that does.
    pub fn has_pending(&self) -> bool {
        let state = self.state();
        !lock(&state.pending).is_empty() || state.flushing.try_lock().is_err()
    }

    /// Has what was flushed survive a loss of power.
    ///
    /// # Errors
    /// `Storage`.
    pub fn sync(&self) -> Result<()> {
        let state = self.state();
        let failed = |error: std::io::Error| {
            self.location
                .refused(&format!("it cannot be synced: {error}"))
        };
        if state.has_new_file.swap(false, Ordering::AcqRel) {
            let synced = self.large().sync();
            synced
                .inspect_err(|_| state.has_new_file.store(true, Ordering::Release))
                .map_err(failed)?;
        }
        if state.has_unsynced.swap(false, Ordering::AcqRel) {
            let log = connection::log_path(&self.path);
            let synced = File::open(log).and_then(|log| log.sync_data());
            synced
                .inspect_err(|_| state.has_unsynced.store(true, Ordering::Release))
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Deletes the values that these backfills stored last: in one go through all, in short transactions.
    ///
    /// # Errors
    /// `Storage`.
    pub fn prune(&self, backfills: &[String]) -> Result<()> {
        let Some(opened) = self.open_existing()? else {
            return Ok(());
        };
        let sources = self.read(&opened, |connection| {
            database::sources(connection, backfills)
        })?;
        if sources.is_empty() {
            return Ok(());
        }
        let mut after = Some((i64::MIN, Vec::new()));
        while let Some(from) = after.take() {
            let (found, next) = self.read(&opened, |connection| {
                database::values_of(connection, &sources, &from)
            })?;
            after = next;
            if found.is_empty() {
                continue;
            }
            let files =
                self.write(|transaction| database::delete(transaction, &sources, &found))?;
            self.state().has_unsynced.store(true, Ordering::Release);
            self.large().remove(&files);
        }
        self.write(|transaction| database::delete_sources(transaction, &sources))
    }

    /// The ids of the backfills that have stored values.
    ///
    /// # Errors
    /// `Storage`.
    pub fn backfills(&self) -> Result<Vec<String>> {
        let Some(opened) = self.open_existing()? else {
            return Ok(Vec::new());
        };
        self.read(&opened, database::backfills)
    }

    /// Removes files of large values that a process wrote and did not live to refer to.
    ///
    /// # Errors
    /// `Storage`.
    pub fn prune_files(&self) -> Result<()> {
        let old = self.large().older_than(ORPHAN_AGE);
        if old.is_empty() {
            return Ok(());
        }
        let Some(opened) = self.open_existing()? else {
            return Ok(());
        };
        let known = self.read(&opened, database::files)?;
        let orphans: Vec<String> = old
            .into_iter()
            .filter(|name| !known.contains(name))
            .collect();
        self.large().remove(&orphans);
        Ok(())
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let location = &self.location;
        let opened = self.open()?;
        let _operation = fork::operation();
        let mut connection = lock(&opened.connections.writer);
        let result = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            });
        let done = result.map_err(|error| location.error(&error));
        let damage = opened.files.moved();
        drop(connection);
        drop(_operation);
        match (damage, done) {
            (None, done) => done,
            (Some(damage), _) => {
                *lock(&self.state().opened) = None;
                self.state().was_lost.store(true, Ordering::Release);
                Err(location.refused(&format!("{damage}; the values in it are lost")))
            }
        }
    }

    /// The connections to the file, which is created if it is missing.
    fn open(&self) -> Result<Arc<Opened>> {
        let mut opened = lock(&self.state().opened);
        if let Some(opened) = &*opened {
            self.check_usable(opened)?;
            return Ok(Arc::clone(opened));
        }
        let location = &self.location;
        if self.state().was_lost.load(Ordering::Acquire) && !self.storage.exists() {
            // Such as below a mount point: nobody would look for a new file there.
            return Err(location.refused("the storage that the values belong to is gone as well"));
        }
        let failed = |error: std::io::Error| {
            location.refused(&format!("its directory cannot be made: {error}"))
        };
        large::create_folder(&self.folder, self.is_private()).map_err(failed)?;
        super::private::create(&self.folder, &self.path).map_err(failed)?;
        let made = Arc::new(self.connect(OpenFlags::SQLITE_OPEN_CREATE)?);
        *opened = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The connections to the file; `None` if it does not exist.
    fn open_existing(&self) -> Result<Option<Arc<Opened>>> {
        let mut opened = lock(&self.state().opened);
        if let Some(found) = &*opened {
            self.check_usable(found)?;
            let now = SteadyClock.now();
            let mut checked_at = lock(&found.checked_at);
            if now - *checked_at < CHECK_INTERVAL {
                drop(checked_at);
                return Ok(Some(Arc::clone(found)));
            }
            *checked_at = now;
            drop(checked_at);
            if found.files.moved().is_none() {
                return Ok(Some(Arc::clone(found)));
            }
            // The values in it are missing from now on; there may be a new file.
            *opened = None;
            self.state().was_lost.store(true, Ordering::Release);
        }
        if !self.path.exists() {
            return Ok(None);
        }
        let made = Arc::new(self.connect(OpenFlags::empty())?);
        *opened = Some(Arc::clone(&made));
        Ok(Some(made))
    }

    fn check_usable(&self, opened: &Opened) -> Result<()> {
        match opened.files.broken() {
            Some(broken) => Err(self.location.refused(broken)),
            None => {
                *lock(&opened.used_at) = SteadyClock.now();
                Ok(())
            }
        }
    }

    fn connect(&self, flags: OpenFlags) -> Result<Opened> {
        let (location, path) = (&self.location, &self.path);
        let _operation = fork::operation();
        let open = || -> rusqlite::Result<Connection> {
            let mut writer = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | flags)?;
            connection::prepare_writer(&writer)?;
            // `sync` syncs the log; SQLite does before it moves the log into the file.
            writer.pragma_update(None, "synchronous", "NORMAL")?;
            create_tables(&mut writer, location)?;
            Ok(writer)
        };
        let writer = match connection::retry_while_busy(open) {
            Ok(writer) => writer,
            // In a place that cannot be written, values can be read.
            Err(_) if flags.is_empty() => {
                let read = connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                    .and_then(|reader| check_version(&reader, location).map(|_| reader));
                let read = match read {
                    Err(error) if connection::needs_immutable(path, &error) => {
                        connection::open_immutable(path)
                    }
                    read => read,
                };
                read.map_err(|error| location.error(&error))?
            }
            Err(error) => return Err(location.error(&error)),
        };
        let files = Files::opened(path, &writer);
        Ok(Opened {
            connections: ManuallyDrop::new(Connections {
                writer: Mutex::new(writer),
                readers: Mutex::default(),
                counts: Mutex::default(),
            }),
            files,
            checked_at: Mutex::new(SteadyClock.now()),
            used_at: Mutex::new(SteadyClock.now()),
        })
    }

    // -- reading -----------------------------------------------------------------------------------

    /// What is stored of an asset for each of these partitions, in their order.
    ///
    /// # Errors
    /// `Storage`.
    pub fn load(&self, asset: &str, partitions: &Selection) -> Result<Vec<Loaded>> {
        let Some(opened) = self.open_existing()? else {
            return Ok(vec![Loaded::Missing; partitions.len() as usize]);
        };
        for _ in 0..MAX_LOOKUPS {
            if let Some(found) = self.look_up(&opened, asset, partitions)? {
                return Ok(found);
            }
        }
        Err(self.location.refused(&format!(
            "the file of a large value of the asset {asset:?} is missing"
        )))
    }

    /// The pickled value of one partition; `None` if it is stored in another way, or if there is none: `load`
    /// tells these apart.
    ///
    /// # Errors
    /// `Storage`.
    pub fn load_one(&self, asset: &str, space: &Space, partition: u64) -> Result<Option<Vec<u8>>> {
        let opened = match &*lock(&self.state().opened) {
            Some(opened) if opened.is_checked() => Some(Arc::clone(opened)),
            _ => None,
        };
        let opened = match opened {
            None => self.open_existing()?,
            opened => opened,
        };
        let Some(opened) = opened else {
            return Ok(None);
        };
        self.with_reader(&opened, |connection| {
            database::load_inline(connection, asset, space, partition)
        })
    }

    /// `None` if a large value was replaced while it was being read.
    fn look_up(
        &self,
        opened: &Opened,
        asset: &str,
        partitions: &Selection,
    ) -> Result<Option<Vec<Loaded>>> {
        let (stored, bodies) = self.read(opened, |connection| {
            let Some(id) = database::asset_id(connection, asset)? else {
                return Ok((Vec::new(), HashMap::new()));
            };
            let numbers = partitions.iter();
            let stored = database::load(connection, id, partitions.space(), numbers)?;
            let mut bodies = HashMap::new();
            for each in &stored {
                if let Stored::Shared(id) = each
                    && !bodies.contains_key(id)
                    && let Some(body) = database::shared(connection, *id)?
                {
                    bodies.insert(*id, body);
                }
            }
            Ok((stored, bodies))
        })?;
        if stored.is_empty() {
            return Ok(Some(vec![Loaded::Missing; partitions.len() as usize]));
        }
        let mut shared: HashMap<i64, Arc<[u8]>> = HashMap::new();
        for (id, body) in bodies {
            let bytes = match body {
                SharedBody::Bytes(bytes) => Some(bytes),
                SharedBody::File(name) => self.large().read(&name).map_err(|error| {
                    let message = format!("a large value of {asset:?} cannot be read: {error}");
                    self.location.refused(&message)
                })?,
            };
            let Some(bytes) = bytes else {
                return Ok(None);
            };
            shared.insert(id, bytes.into());
        }
        let loaded = stored.into_iter().map(|each| match each {
            Stored::Inline(bytes) => Loaded::Value(bytes.into()),
            Stored::Shared(id) => shared
                .get(&id)
                .map_or(Loaded::Missing, |bytes| Loaded::Value(Arc::clone(bytes))),
            Stored::None => Loaded::None,
            Stored::Lost => Loaded::Lost,
            Stored::Missing => Loaded::Missing,
        });
        Ok(Some(loaded.collect()))
    }

    /// Those of the partitions of an asset that have a value which can be loaded.
    ///
    /// # Errors
    /// `Storage`.
    pub fn available(&self, asset: &str, partitions: &Selection) -> Result<Selection> {
        self.select(asset, partitions, database::available)
    }

    /// Those of the partitions of an asset that have no value: the latest could not be stored, or the file with
    /// the values was removed.
    ///
    /// Above `MAX_LOOKED_UP` partitions, values are only counted, unless there are too few of them.
    ///
    /// # Errors
    /// `Storage`.
    pub fn lost(&self, asset: &str, partitions: &Selection) -> Result<Selection> {
        if partitions.len() > MAX_LOOKED_UP {
            let Some(opened) = self.open_existing()? else {
                return Ok(partitions.clone());
            };
            let _operation = fork::operation();
            let count = lock(&opened.connections.counts).count(asset, || self.open_reader());
            let count = count.map_err(|error| self.location.error(&error))?;
            drop(_operation);
            if count >= partitions.len() {
                return self.select(asset, partitions, database::lost);
            }
        }
        Ok(partitions.minus(&self.available(asset, partitions)?))
    }

    fn select(
        &self,
        asset: &str,
        partitions: &Selection,
        query: impl FnOnce(&Connection, i64, &Selection) -> rusqlite::Result<Vec<u64>>,
    ) -> Result<Selection> {
        let Some(opened) = self.open_existing()? else {
            return Ok(Selection::empty(partitions.space()));
        };
        let found = self.read(&opened, |connection| {
            match database::asset_id(connection, asset)? {
                None => Ok(Vec::new()),
                Some(id) => query(connection, id, partitions),
            }
        })?;
        if found.len() as u64 == partitions.len() {
            return Ok(partitions.clone());
        }
        let members = Members::Explicit(PositionSet::in_order(found));
        Ok(Selection::new(Arc::clone(partitions.space()), members))
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let path = &self.path;
        match connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(error) if connection::needs_immutable(path, &error) => {
                connection::open_immutable(path)
            }
            opened => opened,
        }
    }

    /// Reads in a transaction.
    fn read<T>(
        &self,
        opened: &Opened,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.with_reader(opened, |reader| {
            let transaction = reader.unchecked_transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    fn with_reader<T>(
        &self,
        opened: &Opened,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let location = &self.location;
        let _operation = fork::operation();
        let kept = lock(&opened.connections.readers).pop();
        let reader = match kept {
            Some(reader) => reader,
            None => self.open_reader().map_err(|error| location.error(&error))?,
        };
        let done = work(&reader).map_err(|error| location.error(&error));
        if open_files::is_any_lost() {
            self.check_usable(opened)?;
        }
        let done = done?;
        let mut readers = lock(&opened.connections.readers);
        if readers.len() < MAX_READERS {
            readers.push(reader);
        }
        Ok(done)
    }
}

/// Creates the tables in a new file, and refuses a file of another kind or of a newer version.
fn create_tables(connection: &mut Connection, location: &Location) -> rusqlite::Result<()> {
    if check_version(connection, location)? == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if check_version(&transaction, location)? == 0 {
        transaction.execute_batch(include_str!("schema.sql"))?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()
}

fn check_version(connection: &Connection, location: &Location) -> rusqlite::Result<i64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if version > 0 && application != APPLICATION_ID {
        return Err(location
            .refused("it is a SQLite database of another program; move it away")
            .into());
    }
    if version > VERSION {
        return Err(location
            .refused("it was written by a newer rivers; upgrade rivers")
            .into());
    }
    Ok(version)
}
