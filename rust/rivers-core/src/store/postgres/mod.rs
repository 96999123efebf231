//! The storage in a server: a schema of PostgreSQL, which any number of processes on any number of machines share.
//!
//! A commit is one statement and one round trip ([`commit`]), durable whatever the role's settings say. Leases use
//! the server's clock. Whoever asks something of a backfill notifies its owner ([`listen`]). After a connection broke, the key of its segment tells whether a commit is there; it is
//! repeated until it is no longer certain that the lease is held. Statements have no names, so that they work
//! behind PgBouncer in transaction mode.

mod backfill;
mod check;
mod commit;
mod digest;
mod listen;
mod migrate;
mod pool;
mod prune;
mod records;
mod scope;
mod segment;
mod session;
mod tls;
mod url;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::encoding::{EncodedBackfill, EncodedReport, decode_left, status_code};
use super::liveness::lock_file::{self, Registration, Unlocked};
use super::maintenance::{MAX_TEXTS, Maintenance};
use super::pools::{PoolNeed, PoolShare, Pools, StoredPool};
use super::queries::{overlap, scope as scopes};
use super::records::{
    BackfillRow, Commit, Committed, ControlRequest, Extent, Key, Lease, LeaseTerms, OneFailure,
    Overlap, SegmentsBefore, StorageTime,
};
use super::segment::{MAX_MERGED, Segment, is_merge_due};
use super::{DynamicKeys, Ledger, Liveness, Records, Values};
use crate::backfill::{
    AttemptRow, Cause, Change, FailureRow, Left, MetadataRow, NOTIFICATIONS, Report, Request,
    RunEnd, SkipRow, Status,
};
use crate::error::Result;
use crate::plan::Plan;
use crate::space::labels::{Labels, check_key};
use backfill::{CANCEL, FORCED, NOW};
use listen::{Listener, notifying};
use session::{Answer, BRIEF, Connected, Failure, Server, Session, WRITING, params};
use url::Address;

/// Pause before a commit is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// A schema of a PostgreSQL server.
pub struct PostgresStore {
    server: Arc<Server>,
    writer: Session,
    reader: Session,
    is_read_only: bool,
    /// Of each backfill that this process runs.
    held: Mutex<HashMap<Key, Held>>,
    /// Where owners on this machine lock files.
    locks: PathBuf,
    /// The name of this machine, or of what shares its folder of locks.
    machine: String,
}

/// What this process knows of a backfill that it runs.
#[derive(Clone, Copy)]
struct Held {
    /// The number of the newest segment.
    seq: i64,
    /// Until when the lease is certain.
    until: Instant,
}

impl PostgresStore {
    /// Connects to a server and migrates the schema. Owners on this machine lock files in the folder `locks`.
    ///
    /// # Errors
    /// `Configuration` if the URL cannot be read; `Storage` if the server cannot be reached, or the schema was
    /// written by a newer rivers.
    pub fn open(url: &str, locks: &Path) -> Result<Self> {
        let store = Self::new(url, locks, false)?;
        migrate::migrate(&store.writer)?;
        Ok(store)
    }

    /// Connects to a server to read only: a role with `SELECT` suffices, and nothing is migrated.
    ///
    /// # Errors
    /// As of `open`; `OutdatedSchema` if an older rivers wrote the schema.
    pub fn open_read_only(url: &str, locks: &Path) -> Result<Self> {
        let store = Self::new(url, locks, true)?;
        migrate::require_newest(&store.reader)?;
        Ok(store)
    }

    fn new(url: &str, locks: &Path, is_read_only: bool) -> Result<Self> {
        let server = Arc::new(Server::new(Address::parse(url)?)?);
        let machine = machine_name(locks).map_err(|error| {
            server.error(format!(
                "the folder {} cannot be used: {error}",
                locks.display()
            ))
        })?;
        Ok(Self {
            writer: Session::new(Arc::clone(&server)),
            reader: Session::new(Arc::clone(&server)),
            server,
            is_read_only,
            held: Mutex::default(),
            locks: locks.join("locks"),
            machine,
        })
    }

    /// The version of the schema, and the newest one that this code knows; the version is 0 if it is not there.
    ///
    /// # Errors
    /// `Storage`.
    pub fn schema(url: &str) -> Result<(i64, i64)> {
        let session = Session::new(Arc::new(Server::new(Address::parse(url)?)?));
        let found = session.repeat(migrate::version)?;
        Ok((found.unwrap_or(0), migrate::NEWEST))
    }

    fn read<T>(&self, work: impl FnMut(&mut Connected<'_>) -> Answer<T>) -> Result<T> {
        self.reader.repeat(work)
    }

    /// Does work that can be repeated.
    fn write<T>(&self, work: impl FnMut(&mut Connected<'_>) -> Answer<T>) -> Result<T> {
        self.check_writable()?;
        self.writer.repeat(work)
    }

    /// The connection for what the thread that renews leases reads: the other may read a large table just now.
    fn periodic(&self) -> &Session {
        match self.is_read_only {
            true => &self.reader,
            false => &self.writer,
        }
    }

    fn check_writable(&self) -> Result<()> {
        match self.is_read_only {
            true => Err(self.server.error("it is open for reading only")),
            false => Ok(()),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, key: Key, seq: i64, asked_at: Instant, lease: &LeaseTerms) {
        let until = asked_at + lasting(lease);
        self.held().insert(key, Held { seq, until });
    }

    /// What this process knows of the backfills of commits; of those that it has not held, what is recorded.
    fn standing(&self, lease: &LeaseTerms, commits: &[Commit]) -> Result<Vec<Held>> {
        let mut all = Vec::with_capacity(commits.len());
        for commit in commits {
            let known = self.held().get(&commit.key).copied();
            let held = match known {
                Some(held) => held,
                None => Held {
                    seq: self.newest_segment(commit.key)?,
                    until: Instant::now() + lasting(lease),
                },
            };
            all.push(held);
        }
        Ok(all)
    }

    /// The ends of the runs of backfills that have one and end with these commits.
    fn only_ends(&self, commits: &[Commit]) -> Result<Vec<(Key, RunEnd)>> {
        let mut ends = Vec::new();
        for commit in commits.iter().filter(|own| scopes::is_end_of_one(own)) {
            if let Some(end) = scopes::run_end(commit) {
                ends.push((commit.key, end));
                continue;
            }
            // An earlier commit of this owner has recorded it.
            let key = commit.key;
            if let Some(&run) = self.runs(key, 0..1)?.first() {
                let (failures, skips) = (self.failures(key, None)?, self.skips(key, None)?);
                let end = scopes::recorded_end(run, commit.counts, &failures, &skips);
                ends.push((key, end));
            }
        }
        Ok(ends)
    }

    fn newest_segment(&self, key: Key) -> Result<i64> {
        let sql = "SELECT coalesce(max(seq), 0) FROM @segment WHERE backfill = $1";
        let row = self
            .writer
            .repeat(|connected| connected.first(sql, params![key => INT8]))?;
        Ok(row.map_or(0, |row| row.get(0)))
    }

    fn select(&self, rest: &str, of: &[session::Param<'_>]) -> Result<Vec<BackfillRow>> {
        self.read(|connected| backfill::select(connected, rest, of))
    }

    fn set_cancel_requested(&self, key: Key, value: i64) -> Result<()> {
        // A plain cancel leaves a forced one as it is.
        let sql = notifying(
            "UPDATE @backfill SET cancel_requested = $2
             WHERE key = $1 AND status = 0 AND ($2 > 1 OR cancel_requested = 0)",
        );
        let channel = listen::channel(&self.server.address.schema);
        self.write(|connected| {
            let params = params![key => INT8, value => INT8, channel => TEXT];
            connected.query(&sql, params).map(drop)
        })
    }

    /// Whether the owner runs on this machine, as far as is known.
    fn is_here(&self, owner: &str) -> bool {
        let sql = "SELECT machine FROM @owner WHERE owner = $1";
        let found = self.read(|connected| connected.first(sql, params![owner => TEXT]));
        found.is_ok_and(|row| row.is_some_and(|row| row.get::<_, String>(0) == self.machine))
    }
}

fn lasting(lease: &LeaseTerms) -> Duration {
    // An `Instant` cannot be arbitrarily far away.
    let longest = 30 * 86_400 * 1_000_000;
    Duration::from_micros(lease.duration.clamp(0, longest).cast_unsigned())
}

/// The name in a file of the folder, which the first process there makes up.
fn machine_name(folder: &Path) -> std::io::Result<String> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("machine");
    if let Ok(name) = std::fs::read_to_string(&path) {
        return Ok(name);
    }
    // A file appears with its content, whoever is first.
    let name = uuid::Uuid::now_v7().simple().to_string();
    let own = folder.join(format!("machine-{name}"));
    std::fs::write(&own, &name)?;
    let linked = std::fs::hard_link(&own, &path);
    std::fs::remove_file(&own)?;
    match linked {
        Ok(()) => Ok(name),
        Err(_) => std::fs::read_to_string(&path),
    }
}

impl Ledger for PostgresStore {
    fn now(&self) -> Result<StorageTime> {
        let sql = format!("SELECT {NOW}");
        let row = self
            .periodic()
            .briefly(|connected| connected.first(&sql, &[]))?;
        Ok(StorageTime(row.map_or(0, |row| row.get(0))))
    }

    fn create(&self, request: &Request, plan: &Plan, lease: Option<&LeaseTerms>) -> Result<Key> {
        self.check_writable()?;
        let encoded = EncodedBackfill::new(request, plan)?;
        let names: Vec<&str> = request.assets.iter().map(|asset| &*asset.name).collect();
        let asked_at = Instant::now();
        let mut is_repeated = false;
        let created = self.writer.repeat(|connected| {
            if std::mem::replace(&mut is_repeated, true) {
                // The connection broke: the backfill may be there.
                let sql = "SELECT key FROM @backfill WHERE id = $1";
                if let Some(row) = connected.first(sql, params![request.id => TEXT])? {
                    return Ok(Ok(row.get(0)));
                }
            }
            connected.transaction(WRITING, |connected| {
                if request.control.refuse_overlap {
                    // Of two requests at once, the second sees the first.
                    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('rivers overlap ' || $1, 0))";
                    let schema = &self.server.address.schema;
                    connected.query(lock, params![schema => TEXT])?;
                    if let Some(found) = find_overlap(connected, &names, plan)? {
                        return Ok(Err(found));
                    }
                }
                let key = backfill::create(connected, request, plan, &encoded, lease)?;
                if !request.notified.is_empty() {
                    records::add_dynamic(connected, NOTIFICATIONS, &request.notification_keys())?;
                }
                Ok(Ok(key))
            })
        })?;
        let key = created.map_err(|found: Overlap| found.refusal())?;
        if let Some(lease) = lease {
            self.hold(key, 0, asked_at, lease);
        }
        Ok(key)
    }

    fn commit(&self, lease: &LeaseTerms, commits: &[Commit]) -> Result<Vec<Committed>> {
        self.check_writable()?;
        let held = self.standing(lease, commits)?;
        let numbered: Vec<(&Commit, i64)> = commits
            .iter()
            .zip(&held)
            .map(|(commit, held)| (commit, held.seq + 1))
            .collect();
        let encoded = commit::Encoded::new(&numbered, &self.only_ends(commits)?)?;
        let until = held
            .iter()
            .map(|held| held.until)
            .min()
            .unwrap_or_else(Instant::now);
        // A connection that says nothing for so long is given up: another one may still do.
        let patience = (lasting(lease) / 3).max(BRIEF);
        let mut is_repeated = false;
        let kept = loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut connected = self.writer.within(left.min(patience));
            let mut attempt = || -> Answer<Vec<Key>> {
                if !is_repeated {
                    return encoded.execute(&mut connected, &lease.owner);
                }
                // Another connection may still be executing the statement: then this one waits for it, and changes
                // nothing.
                let mut kept = commit::recorded(&mut connected, &lease.owner, &numbered)?;
                if kept.is_empty() {
                    encoded.execute(&mut connected, &lease.owner)?;
                    kept = commit::recorded(&mut connected, &lease.owner, &numbered)?;
                }
                Ok(kept)
            };
            match attempt() {
                Ok(kept) => break kept,
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Lost(message)) => {
                    drop(connected);
                    is_repeated = true;
                    if Instant::now() + PAUSE >= until {
                        let text = "it could not be reached while the lease was certain to be held";
                        return Err(self.server.error(format!("{text}: {message}")));
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        };
        let mut outcomes = Vec::with_capacity(commits.len());
        for ((commit, seq), held) in numbered.into_iter().zip(held) {
            if !kept.contains(&commit.key) {
                self.held().remove(&commit.key);
                outcomes.push(Committed::LeaseLost);
                continue;
            }
            outcomes.push(Committed::Kept);
            let has_ended = commit.finished.is_some();
            if has_ended {
                self.held().remove(&commit.key);
            } else {
                self.held().insert(commit.key, Held { seq, ..held });
            }
            if is_merge_due(seq, has_ended) {
                // If it fails, the segments hold what they held; it is tried again after more commits.
                let merge = |connected: &mut Connected<'_>| {
                    segment::merge(connected, commit.key, MAX_MERGED)
                };
                while let Ok(true) = merge(&mut self.writer.within(patience)) {}
            }
        }
        Ok(outcomes)
    }

    fn renew(&self, lease: &LeaseTerms, keys: &[Key]) -> Result<Vec<Key>> {
        let asked_at = Instant::now();
        self.check_writable()?;
        let held = self
            .writer
            .briefly(|connected| commit::renew(connected, &lease.owner, lease.duration, keys))?;
        for key in &held {
            if let Some(known) = self.held().get_mut(key) {
                known.until = asked_at + lasting(lease);
            }
        }
        Ok(keys
            .iter()
            .copied()
            .filter(|key| held.contains(key))
            .collect())
    }

    fn control_requests(&self, owner: &str) -> Result<Vec<ControlRequest>> {
        let held: Vec<Key> = self.held().keys().copied().collect();
        self.periodic()
            .briefly(|connected| backfill::control_requests(connected, owner, &held))
    }

    fn watch_control_requests(
        &self,
        owner: &str,
        wake: Box<dyn Fn() + Send>,
    ) -> Option<Box<dyn Send + Sync>> {
        let listener = Listener::new(Arc::clone(&self.server), owner.to_owned(), wake)?;
        Some(Box::new(listener))
    }

    fn release(&self, key: Key, owner: &str) -> Result<()> {
        let sql = "UPDATE @backfill SET owner = NULL, lease_expires_at = NULL WHERE key = $1 AND owner = $2 RETURNING key";
        self.write(|connected| {
            connected
                .write(sql, params![key => INT8, owner => TEXT])
                .map(drop)
        })?;
        self.held().remove(&key);
        Ok(())
    }

    fn take_over(&self, key: Key, previous: Option<&Lease>, lease: &LeaseTerms) -> Result<bool> {
        let sql = format!(
            "UPDATE @backfill SET owner = $2, lease_expires_at = {NOW} + $3, workers = NULL
             WHERE key = $1 AND status = {} AND (owner = $2 AND $4 OR owner IS NOT DISTINCT FROM $5
                   AND lease_expires_at IS NOT DISTINCT FROM $6) RETURNING key",
            status_code(Status::InProgress)
        );
        let asked_at = Instant::now();
        let mut is_repeated = false;
        let taken = self.write(|connected| {
            let again = std::mem::replace(&mut is_repeated, true);
            let params = params![
                key => INT8,
                lease.owner => TEXT,
                lease.duration => INT8,
                again => BOOL,
                previous.map(|lease| lease.owner.as_str()) => TEXT,
                previous.map(|lease| lease.expires_at.0) => INT8,
            ];
            Ok(!connected.write(&sql, params)?.is_empty())
        })?;
        if taken {
            self.hold(key, self.newest_segment(key)?, asked_at, lease);
        }
        Ok(taken)
    }

    fn set_workers(&self, key: Key, owner: &str, workers: Option<&str>) -> Result<()> {
        let sql = "UPDATE @backfill SET workers = $3 WHERE key = $1 AND owner = $2 RETURNING key";
        self.write(|connected| {
            connected
                .write(sql, params![key => INT8, owner => TEXT, workers => TEXT])
                .map(drop)
        })
    }

    fn request_cancel(&self, key: Key) -> Result<()> {
        self.set_cancel_requested(key, CANCEL)
    }

    fn request_forced_cancel(&self, key: Key, after: Duration) -> Result<()> {
        let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self.set_cancel_requested(key, FORCED.saturating_add(millis))
    }

    fn set_paused(&self, key: Key, paused: bool) -> Result<bool> {
        let sql = notifying("UPDATE @backfill SET paused = $2 WHERE key = $1 AND status = 0");
        let channel = listen::channel(&self.server.address.schema);
        self.write(|connected| {
            let params = params![key => INT8, paused => BOOL, channel => TEXT];
            Ok(!connected.query(&sql, params)?.is_empty())
        })
    }

    fn change(&self, key: Key, change: &Change) -> Result<bool> {
        self.write(|connected| {
            connected.transaction(WRITING, |connected| {
                backfill::change(connected, key, change)
            })
        })
    }

    fn report(&self, report: &Report) -> Result<()> {
        self.check_writable()?;
        let encoded = EncodedReport::new(report)?;
        let mut is_repeated = false;
        self.writer.repeat(|connected| {
            let again = std::mem::replace(&mut is_repeated, true);
            connected.transaction(WRITING, |connected| {
                records::report(connected, report, &encoded, again)
            })
        })
    }
}

/// The rule on overlaps, applied to what the transaction sees.
fn find_overlap(
    connected: &mut Connected<'_>,
    assets: &[&str],
    plan: &Plan,
) -> Answer<Option<Overlap>> {
    let unfinished = backfill::select(connected, "WHERE status = 0 ORDER BY key DESC", &[])?;
    let mut plans = HashMap::new();
    for row in &unfinished {
        let shares = assets
            .iter()
            .any(|asset| row.request.partitioned_asset(asset).is_some());
        if shares {
            plans.insert(row.key, backfill::plan(connected, row.key)?);
        }
    }
    let load = |key: Key| match plans.get(&key) {
        Some(plan) => Ok(plan.clone()),
        None => Err(connected
            .server()
            .error(format!("there is no backfill {key}"))),
    };
    overlap::find(unfinished, assets, plan, load).map_err(Failure::Refused)
}

impl Records for PostgresStore {
    fn display_name(&self) -> String {
        self.server.address.shown.clone()
    }

    fn find(&self, id: &str) -> Result<Option<BackfillRow>> {
        Ok(self.select("WHERE id = $1", params![id => TEXT])?.pop())
    }

    fn get(&self, key: Key) -> Result<Option<BackfillRow>> {
        Ok(self.select("WHERE key = $1", params![key => INT8])?.pop())
    }

    fn list(&self, asset: Option<&str>, limit: Option<u64>) -> Result<Vec<BackfillRow>> {
        let limit = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        match asset {
            Some(asset) => self.select(
                "JOIN @backfill_asset AS own ON own.backfill = key WHERE asset = $1
                 ORDER BY own.backfill DESC LIMIT $2",
                params![asset => TEXT, limit => INT8],
            ),
            None => self.select("ORDER BY key DESC LIMIT $1", params![limit => INT8]),
        }
    }

    fn determining(&self, asset: &str) -> Result<Vec<BackfillRow>> {
        self.select(scope::DETERMINING, params![asset => TEXT])
    }

    fn latest_of(&self, asset: &str, limit: u64) -> Result<Vec<BackfillRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.select(scope::LATEST, params![asset => TEXT, limit => INT8])
    }

    fn list_backfills(&self, limit: Option<u64>) -> Result<Vec<BackfillRow>> {
        let limit = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        // The condition must equal that of a partial index.
        self.select(
            "WHERE position('\"kind\":\"Manual\"' IN request) = 0 ORDER BY key DESC LIMIT $1",
            params![limit => INT8],
        )
    }

    fn num_backfills(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM @backfill";
        let row = self.read(|connected| connected.first(sql, &[]))?;
        Ok(row.map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()))
    }

    fn unfinished(&self) -> Result<Vec<BackfillRow>> {
        self.select("WHERE status = 0 ORDER BY key DESC", &[])
    }

    fn overlap(&self, assets: &[&str], plan: &Plan) -> Result<Option<Overlap>> {
        self.read(|connected| find_overlap(connected, assets, plan))
    }

    fn plan(&self, key: Key) -> Result<Plan> {
        self.read(|connected| backfill::plan(connected, key))
    }

    fn segments(&self, key: Key, numbers: &Range<u64>) -> Result<Vec<Segment>> {
        self.read(|connected| segment::select(connected, key, numbers))
    }

    fn extents(&self, key: Key) -> Result<Vec<Extent>> {
        self.read(|connected| segment::extents(connected, key))
    }

    fn segments_before(&self, key: Key, number: u64) -> Result<SegmentsBefore> {
        self.read(|connected| segment::before(connected, key, number))
    }

    fn latest_segments(
        &self,
        failed: Option<bool>,
        visit: &mut dyn FnMut(Key, Segment) -> Result<bool>,
    ) -> Result<()> {
        self.reader
            .once(|connected| segment::latest(connected, failed, visit))
    }

    fn failures(&self, key: Key, run: Option<u64>) -> Result<Vec<FailureRow>> {
        self.read(|connected| records::failures(connected, key, run))
    }

    fn skips(&self, key: Key, run: Option<u64>) -> Result<Vec<SkipRow>> {
        self.read(|connected| records::skips(connected, key, run))
    }

    fn has_skipped(&self, asset: &str) -> Result<bool> {
        let row = self.read(|connected| {
            let params =
                params![asset => TEXT, scope::SKIPPED => BYTEA, scope::BEYOND_SKIPPED => BYTEA];
            connected.first(scope::HAS_SKIPPED, params)
        })?;
        Ok(row.is_some_and(|row| row.get(0)))
    }

    fn reports(&self, asset: &str) -> Result<Vec<Report>> {
        self.read(|connected| records::reports(connected, asset))
    }

    fn attempts(&self, key: Key) -> Result<Vec<AttemptRow>> {
        self.read(|connected| records::attempts(connected, key))
    }

    fn left(&self, key: Key) -> Result<Vec<(u64, Left)>> {
        let rows = self.read(|connected| records::left(connected, key))?;
        let decode = |(run, body): (u64, Vec<u8>)| Ok((run, decode_left(&body)?));
        rows.into_iter().map(decode).collect()
    }

    fn metadata(&self, key: Key, run: Option<u64>) -> Result<Vec<MetadataRow>> {
        self.read(|connected| records::metadata(connected, key, run))
    }

    fn metadata_bodies(&self, ids: &[i64]) -> Result<Vec<(i64, String)>> {
        self.read(|connected| records::bodies(connected, ids))
    }

    fn first_failure(&self, key: Key) -> Result<Option<OneFailure>> {
        self.read(|connected| records::outermost(connected, key, false))
    }

    fn last_failure(&self, key: Key) -> Result<Option<OneFailure>> {
        self.read(|connected| records::outermost(connected, key, true))
    }

    fn errors(&self, ids: &[i64]) -> Result<Vec<(i64, Cause)>> {
        self.read(|connected| records::errors(connected, ids))
    }

    fn fingerprints(&self, ids: &[i64]) -> Result<Vec<(String, String)>> {
        self.read(|connected| records::fingerprints(connected, ids))
    }

    fn check(&self) -> Result<Vec<String>> {
        self.read(check::check)
    }
}

impl DynamicKeys for PostgresStore {
    fn add_dynamic(&self, name: &str, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| check_key(key))?;
        self.write(|connected| {
            connected.transaction(WRITING, |connected| {
                records::add_dynamic(connected, name, keys)
            })
        })
    }

    fn delete_dynamic(&self, name: &str, key: &str) -> Result<bool> {
        self.write(|connected| records::delete_dynamic(connected, name, key))
    }

    fn dynamic(&self, name: &str) -> Result<Arc<Labels>> {
        let keys = self.read(|connected| records::dynamic(connected, name))?;
        Labels::new(keys).map(Arc::new)
    }
}

impl Pools for PostgresStore {
    fn pools(&self) -> Result<Vec<StoredPool>> {
        self.periodic().briefly(pool::select)
    }

    fn set_pool(&self, name: &str, slots: Option<u32>) -> Result<()> {
        self.write(|connected| pool::set(connected, name, slots))
    }

    fn share_pools(
        &self,
        lease: &LeaseTerms,
        needs: &[PoolNeed],
    ) -> Result<Vec<Option<PoolShare>>> {
        self.check_writable()?;
        self.writer.briefly(|connected| {
            connected.transaction(WRITING, |connected| {
                needs
                    .iter()
                    .map(|need| pool::share_out(connected, lease, need))
                    .collect()
            })
        })
    }
}

impl Maintenance for PostgresStore {
    fn ended_before(
        &self,
        time: StorageTime,
        after: Key,
        limit: usize,
    ) -> Result<Vec<(Key, String)>> {
        self.read(|connected| prune::ended_before(connected, time, after, limit))
    }

    fn remove(&self, keys: &[Key]) -> Result<Vec<Key>> {
        self.write(|connected| {
            connected.transaction(WRITING, |connected| prune::remove(connected, keys))
        })
    }

    fn half_removed(&self) -> Result<Vec<Key>> {
        self.read(prune::half_removed)
    }

    fn remove_unused(&self) -> Result<u64> {
        let unused = self.read(prune::unused)?;
        let mut removed = 0;
        for (at, ids) in &unused.rows {
            for some in ids.chunks(MAX_TEXTS) {
                removed +=
                    self.write(|connected| prune::remove_unused(connected, &unused, *at, some))?;
            }
        }
        Ok(removed)
    }

    fn reported_assets(&self) -> Result<Vec<String>> {
        self.read(prune::reported_assets)
    }

    fn dynamic_names(&self) -> Result<Vec<String>> {
        self.read(prune::dynamic_names)
    }
}

/// Values are in the memory of the process: a server is no place for them.
impl Values for PostgresStore {}

impl Liveness for PostgresStore {
    fn is_alive(&self, owner: &str) -> bool {
        // Of a process on another machine only its lease is known.
        !self.is_here(owner) || lock_file::is_alive(&self.locks, owner, Unlocked::Leave)
    }

    fn has_workers(&self, owner: &str) -> bool {
        self.is_here(owner) && lock_file::has_workers(&self.locks, owner, Unlocked::Leave)
    }

    fn worker_lock_file(&self, owner: &str) -> Option<PathBuf> {
        Some(lock_file::workers_path(&self.locks, owner))
    }

    fn register_owner(&self, owner: &str) -> Result<Box<dyn Send + Sync>> {
        let registration = Registration::new(&self.locks, owner)?;
        let sql = format!(
            "INSERT INTO @owner (owner, machine, at) VALUES ($1, $2, {NOW}) ON CONFLICT DO NOTHING RETURNING at"
        );
        let params = params![owner => TEXT, self.machine => TEXT];
        self.write(|connected| connected.write(&sql, params).map(drop))?;
        Ok(Box::new(registration))
    }
}
