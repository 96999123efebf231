//! What a simulation knows: its processes, its backfills, every call of a function, and what must hold of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rivers_core::backfill::{FailurePolicy, Status};
use rivers_core::clock::{Clock, Micros, SECOND};
use rivers_core::engine::{Engine, Snapshot};
use rivers_core::queue::Limits;
use rivers_core::store::{Key, Store};

use super::scheduler::{Virtual, note, now, violation};
use super::store::{Faults, Model, SimulatedStore};

/// Duration of a lease.
pub(crate) const LEASE: Micros = 15 * SECOND;
/// Runs of all backfills that a process executes at once.
pub(crate) const MAX_CONCURRENT_RUNS: u32 = 3;

/// A process's clock: it differs from that of the storage.
struct SkewedClock(i64);

impl Clock for SkewedClock {
    fn now(&self) -> Micros {
        now() as i64 + self.0
    }
}

/// An engine and what its process is doing.
pub(crate) struct Process {
    pub(crate) number: usize,
    pub(crate) engine: Engine,
    pub(crate) store: SimulatedStore,
    /// It closes, or is dead: its threads end.
    pub(crate) leaving: Arc<AtomicBool>,
}

impl Process {
    pub(crate) fn is_dead(&self) -> bool {
        self.store.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    fn owner(&self) -> String {
        let owner = self.store.owner.lock();
        owner.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How the functions of a backfill behave.
#[derive(Clone)]
pub(crate) struct Behaviour {
    /// Executed by workers in other processes.
    pub(crate) remote: bool,
    /// One of as many calls fails.
    pub(crate) fails: u64,
    /// One of as many calls fails and is retried.
    pub(crate) retried: u64,
    /// Maximum duration of a call in microseconds.
    pub(crate) duration: u64,
    pub(crate) max_concurrency: u32,
    pub(crate) policy: FailurePolicy,
}

/// One call of a run's functions.
#[derive(Debug)]
struct Call {
    process: usize,
    key: Key,
    run: u64,
    /// How often its process had resumed the backfill when it began.
    session: u32,
    running: bool,
    failed: bool,
}

/// What was found out while a simulation ran.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) model: Arc<Mutex<Model>>,
    pub(crate) faults: Arc<Faults>,
    /// No faults, no deaths: everything that was asked for happens, soon.
    pub(crate) calm: bool,
    pub(crate) behaviours: RefCell<BTreeMap<String, Behaviour>>,
    calls: RefCell<Vec<Call>>,
    /// By process, key and run: when the next attempt is due at the earliest.
    due: RefCell<BTreeMap<(usize, Key, u64), u64>>,
    /// Backfills that a process has canceled, as far as it was told.
    canceled: RefCell<BTreeSet<(usize, Key)>>,
    /// Backfills of which calls were or are to be ended by force.
    forced: RefCell<BTreeSet<Key>>,
    /// By process and key: how often the process has resumed the backfill.
    sessions: RefCell<BTreeMap<(usize, Key), u32>>,
}

impl World {
    pub(crate) fn new(calm: bool) -> Self {
        Self {
            calm,
            ..Self::default()
        }
    }

    pub(crate) fn process(self: &Rc<Self>, number: usize, skew: i64) -> Rc<Process> {
        let dead = Arc::new(AtomicBool::new(false));
        let store = SimulatedStore {
            model: Arc::clone(&self.model),
            faults: Arc::clone(&self.faults),
            dead: Arc::clone(&dead),
            owner: Arc::default(),
        };
        let limits = Limits {
            max_concurrent_runs: Some(MAX_CONCURRENT_RUNS),
            ..Limits::default()
        };
        let engine = Engine::scheduled(
            Arc::new(store.clone()) as Arc<dyn Store>,
            Arc::new(SkewedClock(skew)),
            limits,
            LEASE,
            Some(Arc::new(Virtual)),
        );
        Rc::new(Process {
            number,
            engine: engine.expect("an owner can be registered"),
            store,
            leaving: Arc::default(),
        })
    }

    pub(crate) fn model<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.model.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_of(&self, key: Key, id: &str) -> bool {
        self.model(|model| {
            let recorded = model.backfills.get(&key);
            recorded.is_some_and(|recorded| recorded.row.request.id == id)
        })
    }

    pub(crate) fn behaviour(&self, id: &str) -> Behaviour {
        self.behaviours.borrow()[id].clone()
    }

    /// A worker of the process has claimed a run and is about to call its functions.
    pub(crate) fn begin(&self, process: &Process, key: Key, run: u64, remote: bool) -> usize {
        note(|| format!("run {run} of {key} begins in process {}", process.number));
        let mut calls = self.calls.borrow_mut();
        if !process.is_dead() {
            self.check_start(process, key, run, remote, &calls);
        }
        calls.push(Call {
            process: process.number,
            key,
            run,
            session: self.session(process.number, key),
            running: true,
            failed: false,
        });
        calls.len() - 1
    }

    fn session(&self, process: usize, key: Key) -> u32 {
        let sessions = self.sessions.borrow();
        sessions.get(&(process, key)).copied().unwrap_or_default()
    }

    fn check_start(&self, process: &Process, key: Key, run: u64, remote: bool, calls: &[Call]) {
        let number = process.number;
        let text = |what: &str| violation(format!("run {run} of {key} in process {number} {what}"));
        self.model(|model| {
            let recorded = &model.backfills[&key];
            let lease = recorded.row.lease.as_ref();
            // A lease that a step of the clock made look over holds for its owner.
            let steps = self.faults.clock_set.load(Ordering::Relaxed) != 0;
            let holds = lease.is_some_and(|lease| {
                let is_over = lease.expires_at <= self.faults.storage_time();
                lease.owner == process.owner() && (steps || !is_over)
            });
            // What was sent starts after a while; the lease was checked when it was sent.
            if !holds && !remote {
                text(&format!("starts without a lease: {lease:?}"));
            }
            if recorded.runs.contains_key(&run) {
                text("starts again after its end was recorded");
            }
        });
        let own = |call: &&Call| call.process == number && call.running;
        let id = self.model(|model| model.backfills[&key].row.request.id.clone());
        // A call that was ended by force may go on, and no longer counts. No other starts in its session.
        let forced = |key: Key| self.forced.borrow().contains(&key);
        let session = self.session(number, key);
        let counts = |call: &&Call| !forced(key) || call.session == session;
        let same = calls.iter().filter(own).filter(|call| call.key == key);
        let same = same.filter(counts);
        if same.clone().any(|call| call.run == run) {
            text("is executed already");
        }
        if same.count() >= self.behaviour(&id).max_concurrency as usize {
            text("exceeds the backfill's concurrency");
        }
        let counted = calls.iter().filter(own).filter(|call| !forced(call.key));
        if counted.count() >= MAX_CONCURRENT_RUNS as usize {
            text("exceeds the concurrency of the queue");
        }
        if !remote && self.canceled.borrow().contains(&(number, key)) {
            text("starts after its cancel");
        }
        let due = self.due.borrow_mut().remove(&(number, key, run));
        if due.is_some_and(|due| now() < due) {
            text("is retried too early");
        }
    }

    /// A call has ended.
    pub(crate) fn end(&self, call: usize, failed: bool, retried_after: Option<u64>) {
        let call = &mut self.calls.borrow_mut()[call];
        call.running = false;
        call.failed = failed;
        note(|| format!("run {} of {} ends", call.run, call.key));
        // What a call still reports that was ended by force is dropped, also a retry: its process may have resumed
        // the backfill meanwhile.
        let is_dropped = call.session != self.session(call.process, call.key);
        if let Some(delay) = retried_after.filter(|_| !is_dropped) {
            let due = (call.process, call.key, call.run);
            self.due.borrow_mut().insert(due, now() + delay);
        }
    }

    pub(crate) fn was_canceled(&self, process: &Process, key: Key) {
        self.canceled.borrow_mut().insert((process.number, key));
    }

    pub(crate) fn will_be_forced(&self, key: Key) {
        self.forced.borrow_mut().insert(key);
    }

    /// A process resumes a backfill: what it knew of it no longer counts.
    pub(crate) fn resumed(&self, process: &Process, key: Key, was_canceled: bool) {
        let mut canceled = self.canceled.borrow_mut();
        let known = (process.number, key);
        if was_canceled {
            canceled.insert(known);
        } else {
            canceled.remove(&known);
        }
        *self.sessions.borrow_mut().entry(known).or_default() += 1;
        let other = |&(number, of, _): &(usize, Key, u64)| (number, of) != known;
        self.due.borrow_mut().retain(|due, _| other(due));
    }

    /// What a process reports of a backfill is on record.
    pub(crate) fn check_reported(&self, id: &str, snapshot: &Snapshot) {
        self.model(|model| {
            let all = model.backfills.values();
            let mut rows = all.map(|recorded| &recorded.row);
            let Some(row) = rows.find(|row| row.request.id == id) else {
                return violation(format!("{id} is live and not on record"));
            };
            let (reported, counts) = (snapshot.counts, row.counts);
            if reported.completed > counts.completed
                || reported.failed > counts.failed
                || reported.runs_ended > counts.runs_ended
            {
                violation(format!(
                    "{id}: reported are {reported:?}, on record are {counts:?}"
                ));
            }
        });
    }

    /// A process was told that a backfill has ended.
    pub(crate) fn check_ended(&self, key: Key) {
        let status = self.model(|model| model.backfills[&key].row.status);
        if status == Status::InProgress {
            violation(format!("{key} is said to have ended and has not"));
        }
    }

    pub(crate) fn in_progress(&self) -> Vec<String> {
        self.model(|model| {
            let rows = model.backfills.values().map(|recorded| &recorded.row);
            rows.filter(|row| row.status == Status::InProgress)
                .map(|row| row.request.id.clone())
                .collect()
        })
    }

    /// What is on record of backfills that have not ended, as text.
    pub(crate) fn unfinished(&self) -> String {
        self.model(|model| {
            let rows = model.backfills.values().map(|recorded| &recorded.row);
            let open = rows.filter(|row| row.status == Status::InProgress);
            let text = open.map(|row| {
                format!(
                    "{} with {:?}, {:?}, paused: {}, stop: {:?}, in flight: {:?}, {} runs; ",
                    row.request.id,
                    row.counts,
                    row.lease,
                    row.paused,
                    row.stop,
                    row.in_flight,
                    row.num_runs
                )
            });
            text.collect::<String>() + &format!("alive: {:?}, now {}", model.alive, now())
        })
    }

    /// What must hold when all backfills have ended.
    pub(crate) fn check_end(&self) {
        let calls = self.calls.borrow();
        self.model(|model| {
            for (&key, recorded) in &model.backfills {
                let id = &recorded.row.request.id;
                let row = &recorded.row;
                if row.counts.ended() != row.num_partitions || row.lease.is_some() {
                    violation(format!("{id} ended with {:?}, {:?}", row.counts, row.lease));
                }
                let all = recorded.runs.len() as u64 == row.num_runs;
                if !all && row.stop.is_none() {
                    violation(format!("{id} ended early for no reason"));
                }
                let links = !recorded.plan.links().is_empty();
                for run in recorded.runs.values() {
                    let fits = |call: &Call| {
                        (call.key, call.run) == (key, run.run) && call.failed == (run.failed > 0)
                    };
                    // A run that needs what failed fails without a call.
                    let blocked = links && run.failed > 0;
                    if !blocked && !calls.iter().any(fits) {
                        violation(format!("{id}: no call of run {} ended so", run.run));
                    }
                }
                let behaviour = self.behaviour(id);
                if self.calm
                    && behaviour.policy == FailurePolicy::Continue
                    && row.stop.is_none()
                    && behaviour.retried == u64::MAX
                    && !links
                {
                    let own = calls.iter().filter(|call| call.key == key).count() as u64;
                    if own != row.num_runs {
                        violation(format!("{id}: {own} calls of {} runs", row.num_runs));
                    }
                }
            }
        });
    }

    pub(crate) fn num_calls(&self) -> usize {
        self.calls.borrow().len()
    }
}
