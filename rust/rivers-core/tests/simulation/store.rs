//! A storage whose answers fail, are late or get lost, over records that are checked at each write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rivers_core::backfill::{
    AttemptRow, Cause, Change, Counts, FailureRow, Left, MetadataRow, Report, Request, RunRow,
    SkipRow, Status,
};
use rivers_core::error::{Error, Result};
use rivers_core::plan::Plan;
use rivers_core::space::labels::Labels;
use rivers_core::store::segment::Segment;
use rivers_core::store::{
    BackfillRow, Commit, Committed, ControlRequest, DynamicKeys, Key, Lease, LeaseTerms, Ledger,
    Liveness, Maintenance, OneFailure, Overlap, PoolNeed, PoolShare, Pools, Records,
    SegmentsBefore, StorageTime, StoredPool, Values,
};

use super::scheduler::{below, note, now, one_in, sleep, violation, yield_now};

/// What is on record of one backfill.
pub(crate) struct Recorded {
    pub(crate) row: BackfillRow,
    pub(crate) plan: Plan,
    pub(crate) runs: BTreeMap<u64, RunRow>,
    pub(crate) failures: Vec<FailureRow>,
    attempts: Vec<AttemptRow>,
    left: BTreeMap<u64, Left>,
    force_after: Option<Duration>,
}

/// All records, and which owners are alive.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) backfills: BTreeMap<Key, Recorded>,
    pub(crate) alive: BTreeSet<String>,
}

impl Model {
    fn by_id(&self, id: &str) -> Option<&Recorded> {
        let mut all = self.backfills.values();
        all.find(|recorded| recorded.row.request.id == id)
    }

    fn in_progress(&mut self, key: Key) -> Option<&mut Recorded> {
        let found = self.backfills.get_mut(&key);
        found.filter(|recorded| recorded.row.status == Status::InProgress)
    }

    /// Writes a commit of the lease's owner, and checks that it is possible.
    fn write(&mut self, owner: &str, commit: &Commit) -> Committed {
        let Some(recorded) = self.backfills.get_mut(&commit.key) else {
            return Committed::LeaseLost;
        };
        let row = &mut recorded.row;
        if row.lease.as_ref().map(|lease| lease.owner.as_str()) != Some(owner) {
            return Committed::LeaseLost;
        }
        let id = &row.request.id;
        for end in &commit.ended {
            if let Some(retry) = &end.retry {
                match &retry.left {
                    Some(left) => _ = recorded.left.insert(end.run, Left::clone(left)),
                    None => _ = recorded.left.remove(&end.run),
                }
                for (asset, _) in &retry.causes {
                    let row = AttemptRow {
                        run: end.run,
                        attempt: retry.attempt,
                        asset: *asset,
                        started_at: end.started_at,
                        due_at: retry.due_at,
                        cause: 1,
                    };
                    let same = |other: &AttemptRow| {
                        (other.run, other.attempt, other.asset) == (row.run, row.attempt, *asset)
                    };
                    if recorded.attempts.iter().any(same) {
                        violation(format!(
                            "{id}: attempt {} of run {} is recorded twice",
                            row.attempt, row.run
                        ));
                    }
                    recorded.attempts.push(row);
                }
                continue;
            }
            let run = RunRow {
                run: end.run,
                started_at: end.started_at,
                ended_at: end.ended_at,
                failed: end.failed,
            };
            if recorded.runs.insert(end.run, run).is_some() {
                violation(format!("{id}: run {} is recorded twice", end.run));
            }
            recorded
                .failures
                .extend(end.failures.iter().map(|failure| FailureRow {
                    run: end.run,
                    asset: failure.asset,
                    partition: failure.partition,
                    cause: failure.cause.as_ref().map(|_| 1),
                    family: None,
                }));
        }
        row.counts = commit.counts;
        row.in_flight = commit.in_flight.clone();
        row.stop = commit.stop;
        if let Some((status, at)) = commit.finished {
            row.status = status;
            row.ended_at = Some(at);
            row.lease = None;
        }
        recorded.check();
        Committed::Kept
    }
}

impl Recorded {
    /// The counts equal the records that they count.
    fn check(&self) {
        let row = &self.row;
        let failed: u64 = self.runs.values().map(|run| run.failed).sum();
        let partitions: u64 = self.runs.keys().map(|&run| self.plan.run_len(run)).sum();
        let counts = Counts {
            completed: partitions - failed,
            failed,
            canceled: match row.status {
                Status::InProgress => 0,
                _ => row.num_partitions - partitions,
            },
            runs_ended: self.runs.len() as u64,
        };
        if counts != row.counts {
            let id = &row.request.id;
            violation(format!(
                "{id}: the counts are {:?}, the records are {counts:?}",
                row.counts
            ));
        }
        if row.status != Status::InProgress && row.status != counts.final_status() {
            violation(format!("the status is {:?}: {counts:?}", row.status));
        }
    }
}

/// How the storage treats the processes of a simulation.
#[derive(Default)]
pub(crate) struct Faults {
    /// Whether operations fail, are late and lose their answers.
    pub(crate) any: AtomicBool,
    /// Until when no operation succeeds, in virtual microseconds.
    pub(crate) outage: AtomicI64,
    /// How far the storage's clock was set forwards, in microseconds; back, if it is negative.
    pub(crate) clock_set: AtomicI64,
    /// Number of injected faults.
    pub(crate) injected: AtomicI64,
}

impl Faults {
    /// The time that the storage's clock shows.
    pub(crate) fn storage_time(&self) -> StorageTime {
        StorageTime(now() as i64 + self.clock_set.load(Ordering::Relaxed))
    }
}

/// The storage as one process sees it.
#[derive(Clone)]
pub(crate) struct SimulatedStore {
    pub(crate) model: Arc<Mutex<Model>>,
    pub(crate) faults: Arc<Faults>,
    /// Nothing that the process does has any effect any more.
    pub(crate) dead: Arc<AtomicBool>,
    /// The process's engine.
    pub(crate) owner: Arc<Mutex<String>>,
}

impl Values for SimulatedStore {}

fn failed(message: &str) -> Error {
    Error::Storage {
        path: "simulated".into(),
        message: message.into(),
    }
}

impl SimulatedStore {
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, text: &str) -> Error {
        self.faults.injected.fetch_add(1, Ordering::Relaxed);
        failed(text)
    }

    fn late(&self) {
        yield_now();
        if self.faults.any.load(Ordering::Relaxed) && one_in(40) {
            self.faults.injected.fetch_add(1, Ordering::Relaxed);
            let longest = if one_in(10) { 40_000_000 } else { 400_000 };
            sleep(below(longest));
        }
    }

    /// One operation: others may go on before it and before its answer.
    fn operation<T: Debug>(&self, what: &str, work: impl FnOnce(&mut Model) -> T) -> Result<T> {
        self.late();
        let faulty = self.faults.any.load(Ordering::Relaxed);
        if self.dead.load(Ordering::Relaxed) {
            return Err(failed("the process is dead"));
        }
        if self.faults.outage.load(Ordering::Relaxed) > now() as i64 || (faulty && one_in(60)) {
            note(|| format!("{what} fails"));
            return Err(self.fault("it cannot be reached"));
        }
        let value = work(&mut self.model());
        note(|| format!("{what}: {value:?}"));
        self.late();
        if faulty && one_in(120) {
            note(|| format!("{what} loses its answer"));
            return Err(self.fault("the answer was lost"));
        }
        Ok(value)
    }

    fn lease(&self, terms: &LeaseTerms) -> Lease {
        Lease {
            owner: terms.owner.clone(),
            expires_at: self.faults.storage_time().after(terms.duration),
        }
    }
}

impl Ledger for SimulatedStore {
    fn now(&self) -> Result<StorageTime> {
        self.operation("now", |_| self.faults.storage_time())
    }

    fn create(&self, request: &Request, plan: &Plan, lease: Option<&LeaseTerms>) -> Result<Key> {
        self.operation("create", |model| {
            let key = model.backfills.len() as Key + 1;
            let row = BackfillRow {
                key,
                request: request.clone(),
                strategy: String::new(),
                num_partitions: plan.num_partitions(),
                num_runs: plan.num_runs(),
                status: lease.map_or(Status::Completed, |_| Status::InProgress),
                counts: Counts::default(),
                in_flight: Vec::new(),
                ended_at: None,
                cancel_requested: false,
                paused: false,
                stop: None,
                revision: 0,
                lease: lease.map(|terms| self.lease(terms)),
                workers: None,
            };
            let recorded = Recorded {
                row,
                plan: plan.clone(),
                runs: BTreeMap::new(),
                failures: Vec::new(),
                attempts: Vec::new(),
                left: BTreeMap::new(),
                force_after: None,
            };
            model.backfills.insert(key, recorded);
            key
        })
    }

    fn commit(&self, lease: &LeaseTerms, commits: &[Commit]) -> Result<Vec<Committed>> {
        self.operation("commit", |model| {
            let commits = commits.iter();
            commits
                .map(|commit| model.write(&lease.owner, commit))
                .collect()
        })
    }

    fn renew(&self, lease: &LeaseTerms, keys: &[Key]) -> Result<Vec<Key>> {
        self.operation("renew", |model| {
            let lease = self.lease(lease);
            let mut held = Vec::new();
            for &key in keys {
                let own = model.backfills.get_mut(&key);
                let own = own.and_then(|recorded| recorded.row.lease.as_mut());
                if let Some(own) = own.filter(|own| own.owner == lease.owner) {
                    *own = lease.clone();
                    held.push(key);
                }
            }
            held
        })
    }

    fn control_requests(&self, owner: &str) -> Result<Vec<ControlRequest>> {
        self.operation("control_requests", |model| {
            let own = |recorded: &&Recorded| {
                let lease = recorded.row.lease.as_ref();
                lease.is_some_and(|lease| lease.owner == owner)
            };
            let all = model.backfills.values().filter(own);
            all.map(|recorded| ControlRequest {
                key: recorded.row.key,
                cancel: recorded.row.cancel_requested,
                force_after: recorded.force_after,
                pause: recorded.row.paused,
                revision: recorded.row.revision,
            })
            .collect()
        })
    }

    fn release(&self, key: Key, owner: &str) -> Result<()> {
        self.operation("release", |model| {
            if let Some(recorded) = model.backfills.get_mut(&key) {
                let lease = &mut recorded.row.lease;
                if lease.as_ref().is_some_and(|lease| lease.owner == owner) {
                    *lease = None;
                }
            }
        })
    }

    fn set_workers(&self, key: Key, owner: &str, workers: Option<&str>) -> Result<()> {
        self.operation("set_workers", |model| {
            if let Some(recorded) = model.backfills.get_mut(&key) {
                let row = &mut recorded.row;
                if row.lease.as_ref().is_some_and(|lease| lease.owner == owner) {
                    row.workers = workers.map(str::to_owned);
                }
            }
        })
    }

    fn take_over(&self, key: Key, previous: Option<&Lease>, lease: &LeaseTerms) -> Result<bool> {
        self.operation("take_over", |model| {
            let lease = self.lease(lease);
            let recorded = model.in_progress(key);
            let same = recorded.filter(|recorded| recorded.row.lease.as_ref() == previous);
            let taken = same.is_some();
            if let Some(recorded) = same {
                recorded.row.lease = Some(lease);
                recorded.row.workers = None;
            }
            taken
        })
    }

    fn request_cancel(&self, key: Key) -> Result<()> {
        self.operation("request_cancel", |model| {
            if let Some(recorded) = model.in_progress(key) {
                recorded.row.cancel_requested = true;
            }
        })
    }

    fn request_forced_cancel(&self, key: Key, after: Duration) -> Result<()> {
        self.operation("request_forced_cancel", |model| {
            if let Some(recorded) = model.in_progress(key) {
                recorded.row.cancel_requested = true;
                recorded.force_after = Some(after);
            }
        })
    }

    fn set_paused(&self, key: Key, paused: bool) -> Result<bool> {
        self.operation("set_paused", |model| {
            let recorded = model.in_progress(key);
            recorded
                .map(|recorded| recorded.row.paused = paused)
                .is_some()
        })
    }

    fn report(&self, _report: &Report) -> Result<()> {
        Self::no_reports()
    }

    fn change(&self, key: Key, change: &Change) -> Result<bool> {
        self.operation("change", |model| {
            let recorded = model.in_progress(key);
            let changed = recorded.map(|recorded| {
                recorded.row.request.change(change);
                recorded.row.revision += 1;
            });
            changed.is_some()
        })
    }
}

impl SimulatedStore {
    /// Users record nothing by hand here.
    fn no_reports<T>() -> Result<T> {
        Err(failed("reports are not simulated"))
    }
}

impl Records for SimulatedStore {
    fn reports(&self, _asset: &str) -> Result<Vec<Report>> {
        Self::no_reports()
    }

    fn display_name(&self) -> String {
        "simulated".into()
    }

    fn find(&self, id: &str) -> Result<Option<BackfillRow>> {
        self.operation("find", |model| {
            model.by_id(id).map(|recorded| recorded.row.clone())
        })
    }

    fn get(&self, key: Key) -> Result<Option<BackfillRow>> {
        self.operation("get", |model| {
            let recorded = model.backfills.get(&key);
            recorded.map(|recorded| recorded.row.clone())
        })
    }

    fn list(&self, _asset: Option<&str>, _limit: Option<u64>) -> Result<Vec<BackfillRow>> {
        unreachable!("engines do not list backfills")
    }

    fn unfinished(&self) -> Result<Vec<BackfillRow>> {
        self.operation("unfinished", |model| {
            let rows = model.backfills.values().map(|recorded| &recorded.row);
            rows.filter(|row| row.status == Status::InProgress)
                .cloned()
                .collect()
        })
    }

    fn overlap(&self, _assets: &[&str], _plan: &Plan) -> Result<Option<Overlap>> {
        Ok(None)
    }

    fn plan(&self, key: Key) -> Result<Plan> {
        self.operation("plan", |model| model.backfills[&key].plan.clone())
    }

    fn runs(&self, key: Key, numbers: Range<u64>) -> Result<Vec<RunRow>> {
        self.operation("runs", |model| {
            let runs = model.backfills[&key].runs.range(numbers);
            runs.map(|(_, &run)| run).collect()
        })
    }

    fn segments(&self, _key: Key, _numbers: &Range<u64>) -> Result<Vec<Segment>> {
        unreachable!("the records are no segments")
    }

    fn segments_before(&self, _key: Key, _number: u64) -> Result<SegmentsBefore> {
        unreachable!("the records are no segments")
    }

    fn latest_segments(
        &self,
        _failed: Option<bool>,
        _visit: &mut dyn FnMut(Key, Segment) -> Result<bool>,
    ) -> Result<()> {
        unreachable!("the records are no segments")
    }

    fn failures(&self, key: Key, _run: Option<u64>) -> Result<Vec<FailureRow>> {
        self.operation("failures", |model| model.backfills[&key].failures.clone())
    }

    fn skips(&self, _key: Key, _run: Option<u64>) -> Result<Vec<SkipRow>> {
        Ok(Vec::new())
    }

    fn has_skipped(&self, _asset: &str) -> Result<bool> {
        Ok(false)
    }

    fn attempts(&self, key: Key) -> Result<Vec<AttemptRow>> {
        self.operation("attempts", |model| {
            let mut attempts = model.backfills[&key].attempts.clone();
            attempts.sort_by_key(|row| (row.run, row.attempt, row.asset));
            attempts
        })
    }

    fn left(&self, key: Key) -> Result<Vec<(u64, Left)>> {
        self.operation("left", |model| {
            let left = model.backfills[&key].left.iter();
            left.map(|(run, left)| (*run, left.clone())).collect()
        })
    }

    fn metadata(&self, _key: Key, _run: Option<u64>) -> Result<Vec<MetadataRow>> {
        Ok(Vec::new())
    }

    fn metadata_bodies(&self, _ids: &[i64]) -> Result<Vec<(i64, String)>> {
        Ok(Vec::new())
    }

    fn first_failure(&self, _key: Key) -> Result<Option<OneFailure>> {
        Ok(None)
    }

    fn last_failure(&self, _key: Key) -> Result<Option<OneFailure>> {
        Ok(None)
    }

    fn errors(&self, _ids: &[i64]) -> Result<Vec<(i64, Cause)>> {
        Ok(Vec::new())
    }

    fn fingerprints(&self, _ids: &[i64]) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn check(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl DynamicKeys for SimulatedStore {
    fn add_dynamic(&self, _name: &str, _keys: &[String]) -> Result<()> {
        unreachable!("engines know no dynamic keys")
    }

    fn delete_dynamic(&self, _name: &str, _key: &str) -> Result<bool> {
        unreachable!("engines know no dynamic keys")
    }

    fn dynamic(&self, _name: &str) -> Result<Arc<Labels>> {
        unreachable!("engines know no dynamic keys")
    }
}

/// Notes the end of an owner.
struct Alive(Arc<Mutex<Model>>, String);

impl Drop for Alive {
    fn drop(&mut self) {
        let mut model = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        model.alive.remove(&self.1);
    }
}

impl Liveness for SimulatedStore {
    fn is_alive(&self, owner: &str) -> bool {
        self.model().alive.contains(owner)
    }

    fn has_workers(&self, _owner: &str) -> bool {
        false
    }

    fn worker_lock_file(&self, _owner: &str) -> Option<PathBuf> {
        None
    }

    fn register_owner(&self, owner: &str) -> Result<Box<dyn Send + Sync>> {
        self.model().alive.insert(owner.to_owned());
        owner.clone_into(&mut self.owner.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Box::new(Alive(Arc::clone(&self.model), owner.to_owned())))
    }
}

impl Maintenance for SimulatedStore {
    fn ended_before(&self, _: StorageTime, _: Key, _: usize) -> Result<Vec<(Key, String)>> {
        unreachable!("engines do no maintenance")
    }

    fn remove(&self, _keys: &[Key]) -> Result<Vec<Key>> {
        unreachable!("engines do no maintenance")
    }

    fn half_removed(&self) -> Result<Vec<Key>> {
        unreachable!("engines do no maintenance")
    }

    fn remove_unused(&self) -> Result<u64> {
        unreachable!("engines do no maintenance")
    }

    fn reported_assets(&self) -> Result<Vec<String>> {
        unreachable!("engines do no maintenance")
    }

    fn dynamic_names(&self) -> Result<Vec<String>> {
        unreachable!("engines do no maintenance")
    }
}

impl Pools for SimulatedStore {
    fn pools(&self) -> Result<Vec<StoredPool>> {
        unreachable!("no run needs a pool")
    }

    fn set_pool(&self, _name: &str, _slots: Option<u32>) -> Result<()> {
        unreachable!("no run needs a pool")
    }

    fn share_pools(&self, _: &LeaseTerms, _: &[PoolNeed]) -> Result<Vec<Option<PoolShare>>> {
        unreachable!("no run needs a pool")
    }
}
