//! Control of submitted backfills: cancel, pause, change, abandon, abort, resume.

use std::sync::Arc;
use std::time::Duration;

use super::live_backfill::ResumePoint;
use super::shared::{RequestedLease, Shared};
use super::{Engine, Execution, Program, RENEWALS, writer};
use crate::backfill::{
    Change, Event, Left, PendingRuns, RetryQueue, RunSet, Session, State, Status, Stop,
};
use crate::error::{Error, Remedy, Result};
use crate::plan::Plan;
use crate::space::Selection;
use crate::store::failpoint::{Bug, is_planted};
use crate::store::queries::backfills::{LiveOwners, PATIENCE, are_run};
use crate::store::{BackfillRow, Commit, Committed, Key, Lease};

/// How long a resume waits for the worker processes of a dead process to exit, and how often it checks.
const WORKER_EXIT_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

impl Engine {
    /// Cancels a backfill: no new run starts, and runs in flight end. Returns whether it is live in this
    /// process; otherwise the request is recorded for the process that runs it.
    ///
    /// # Errors
    /// `BackfillNotFound`, `Storage`.
    pub fn cancel(&self, id: &str) -> Result<bool> {
        let row = self.row(id)?;
        if self.shared.coordinator().stop(row.key, Stop::Canceled) {
            self.shared.notify();
            self.shared.to_write.notify_all();
            return Ok(true);
        }
        if row.status != Status::InProgress {
            return Ok(false);
        }
        self.shared.store.request_cancel(row.key)?;
        if let [row] = self.without_owner(vec![row])?.as_slice() {
            self.end_orphan(row)?;
        }
        Ok(false)
    }

    /// Cancels a backfill, and ends runs that are still in flight after a while: they are canceled, their
    /// slots are free, and what they return or raise later is dropped. Returns as `cancel` does.
    ///
    /// # Errors
    /// `BackfillNotFound`, `Storage`.
    pub fn cancel_by_force(&self, id: &str, after: Duration) -> Result<bool> {
        let row = self.row(id)?;
        {
            let mut coordinator = self.shared.coordinator();
            if coordinator.stop(row.key, Stop::Canceled) {
                coordinator.force_after(row.key, after, self.shared.threads.now());
                drop(coordinator);
                self.shared.notify();
                self.shared.to_write.notify_all();
                return Ok(true);
            }
        }
        if row.status == Status::InProgress {
            self.shared.store.request_forced_cancel(row.key, after)?;
        }
        self.cancel(id)
    }

    /// Pauses a backfill, so that no new runs start, or unpauses it. That has happened on return if the
    /// backfill runs in this process; another process that runs it notices within a second.
    ///
    /// # Errors
    /// `BackfillNotFound`; `Execution` when it has ended; `Storage`.
    pub fn set_paused(&self, id: &str, paused: bool) -> Result<()> {
        let row = self.row(id)?;
        if !self.shared.store.set_paused(row.key, paused)? {
            return Err(self.has_ended(id, "paused or unpaused")?);
        }
        writer::poll_control_requests(&self.shared);
        Ok(())
    }

    /// Has the runs of a backfill start that was submitted or resumed as held; they execute `program`.
    pub fn start_held(&self, key: Key, program: Program) {
        self.shared.coordinator().start_held(key, program);
        self.shared.notify();
    }

    /// Changes the request of a backfill. That has happened on return if the backfill runs in this
    /// process; another process that runs it notices within a second. A resume keeps the change.
    ///
    /// # Errors
    /// `BackfillNotFound`; `Execution` when it has ended; `Storage`.
    pub fn change(&self, id: &str, change: &Change) -> Result<()> {
        let row = self.row(id)?;
        if !self.shared.store.change(row.key, change)? {
            return Err(self.has_ended(id, "changed")?);
        }
        writer::poll_control_requests(&self.shared);
        Ok(())
    }

    fn has_ended(&self, id: &str, what: &str) -> Result<Error> {
        Ok(Error::Refused {
            message: format!(
                "the backfill {id:?} has ended ({}); only one that is in progress can be {what}",
                self.row(id)?.status.name()
            ),
            remedy: Remedy::Rerun(id.to_owned()),
        })
    }

    /// Records what the executor says of the workers of a live backfill: JSON, for readers.
    ///
    /// # Errors
    /// `Storage`.
    pub fn set_workers(&self, key: Key, workers: Option<&str>) -> Result<()> {
        if self.shared.is_parents() {
            return Ok(());
        }
        self.shared
            .store
            .set_workers(key, &self.shared.owner, workers)
    }

    /// Stops a live backfill at once and leaves it resumable; runs in flight are not recorded.
    ///
    /// # Errors
    /// `Storage`.
    pub fn abandon(&self, key: Key) -> Result<()> {
        self.shared.coordinator().abandon(key, None);
        self.shared.notify();
        self.shared.writer_caught_up.notify_all();
        self.shared.store.release(key, &self.shared.owner)
    }

    /// Stops a backfill whose runs cannot be executed here, for `reason`, and leaves it resumable.
    ///
    /// # Errors
    /// `Storage`.
    pub fn abort(&self, key: Key, reason: String) -> Result<()> {
        if self.shared.is_parents() {
            return Ok(());
        }
        self.shared.abort(key, Error::Execution(reason));
        Ok(())
    }

    /// Continues a backfill whose owner is dead. `session` describes this process; it begins now. What the
    /// plan says is materialized already is executed again where its `executed_again` says so.
    ///
    /// # Errors
    /// `BackfillNotFound`; `Execution` if it has ended, its owner is alive, or a worker process of a
    /// dead owner does not exit; `Storage`.
    pub fn resume(&self, id: &str, execution: Execution, session: Session) -> Result<Key> {
        let row = self.row(id)?;
        if row.status != Status::InProgress {
            return Err(Error::Refused {
                message: format!(
                    "the backfill {id:?} has ended ({}); only one that was interrupted can be resumed",
                    row.status.name()
                ),
                remedy: Remedy::Rerun(id.to_owned()),
            });
        }
        let running = || Error::Refused {
            message: format!("the backfill {id:?} is running"),
            remedy: Remedy::Cancel(id.to_owned()),
        };
        let _takeover = Takeover::begin(&self.shared, row.key).ok_or_else(running)?;
        if self.are_owners_live(std::slice::from_ref(&row))? == [true] {
            return Err(running());
        }
        self.check_open()?;
        self.wait_for_workers(&row)?;
        let Some(lease) = self.take_over(&row)? else {
            return Err(taken_over(id));
        };
        let session = Session {
            since: self.now(),
            ..session
        };
        let change = Change {
            session: Some(session.clone()),
            ..Change::default()
        };
        self.shared.store.change(row.key, &change)?;
        // The owner may have recorded more between our read and the takeover.
        let row = self.row(id)?;
        let plan = self.shared.store.plan(row.key)?;
        let plan = match session.executed_again.is_empty() {
            true => Arc::new(plan),
            false => Arc::new(plan.clone().with_materialized(
                (0..row.request.assets.len() as u32).filter_map(|asset| {
                    Some((asset, session.left_out(&plan, asset)?.into_owned()))
                }),
            )),
        };
        let ended = self.shared.store.runs(row.key, 0..row.num_runs)?;
        let pending = RunSet::all_but(row.num_runs, ended.iter().map(|row| row.run));
        let failures = if plan.links().is_empty() {
            Vec::new()
        } else {
            self.shared.store.failures(row.key, None)?
        };
        let skips = if plan.links().is_empty() {
            Vec::new()
        } else {
            self.shared.store.skips(row.key, None)?
        };
        let attempts = self.shared.store.attempts(row.key)?;
        let has_ended = |run| ended.binary_search_by_key(&run, |row| row.run).is_ok();
        let left = self.shared.store.left(row.key)?;
        let left = left_loadable(&plan, row.request.assets.len(), left, &execution.loadable);
        let retries = RetryQueue::from_records(&attempts, self.now(), has_ended, &left);
        let resume_point = ResumePoint {
            pending: PendingRuns::new(&plan, pending, &failures),
            retries,
            counts: row.counts,
            skips,
        };
        // A backfill that was stopping when its process died starts nothing more.
        let is_canceled = row.cancel_requested && !is_planted(Bug::ForgetCancel);
        let canceled = is_canceled.then_some(Stop::Canceled);
        // A cancel by a process that was abandoned does not apply to the resumed backfill.
        let recorded = row.stop.filter(|&stop| stop != Stop::Canceled);
        let stopped = recorded.or(canceled).or(row.request.stop_at(&row.counts));
        self.admit(row.key, lease, |coordinator| {
            coordinator.admit(row.key, row.request, plan, resume_point, execution);
            coordinator.set_revision(row.key, row.revision);
            coordinator.set_paused(row.key, row.paused);
            if let Some(reason) = stopped {
                coordinator.stop(row.key, reason);
            }
        })?;
        Ok(row.key)
    }

    /// Waits for the worker processes of a dead owner to exit: until then they may still be executing a
    /// function.
    fn wait_for_workers(&self, row: &BackfillRow) -> Result<()> {
        let Some(Lease { owner, .. }) = &row.lease else {
            return Ok(());
        };
        let store = &self.shared.store;
        let threads = &self.shared.threads;
        let deadline = threads.now() + WORKER_EXIT_TIMEOUT;
        while !store.is_alive(owner) && store.has_workers(owner) {
            if threads.now() > deadline {
                return Err(Error::Execution(format!(
                    "the process that ran the backfill {:?} is dead, but a worker process of it is still \
                     in a function that holds the interpreter; resume the backfill when that has ended, \
                     or end the worker process",
                    row.request.id
                )));
            }
            threads.sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Whether a process that is alive runs the backfill, or is about to, as far as one look shows.
    ///
    /// # Errors
    /// `Storage`.
    pub fn has_live_owner(&self, row: &BackfillRow) -> Result<bool> {
        if self.is_being_taken_over(row) {
            return Ok(true);
        }
        if let Some(known) = self.known_of_owner(row) {
            return Ok(known);
        }
        Ok(row.lease.is_some() && LiveOwners::now(&*self.shared.store)?.run(row))
    }

    fn is_being_taken_over(&self, row: &BackfillRow) -> bool {
        self.shared.coordinator().takeovers.contains(&row.key)
    }

    /// Whether a backfill's owner is live, if this process knows it by itself.
    fn known_of_owner(&self, row: &BackfillRow) -> Option<bool> {
        let own = |lease: &Lease| lease.owner == self.shared.owner;
        let coordinator = self.shared.coordinator();
        if coordinator.is_draining(row.key) {
            return Some(true);
        }
        let is_aborted = coordinator.aborted.contains_key(&row.key);
        (is_aborted && row.lease.as_ref().is_some_and(own)).then_some(false)
    }

    /// Whether the owners of backfills are live. An owner whose lease seems to be over gets the time of one renewal
    /// to show that it is: the storage's clock may have been set, or this machine was suspended.
    fn are_owners_live(&self, rows: &[BackfillRow]) -> Result<Vec<bool>> {
        let known: Vec<_> = rows.iter().map(|row| self.known_of_owner(row)).collect();
        let renewal = Duration::from_micros((self.shared.lease / RENEWALS).unsigned_abs());
        let threads = &self.shared.threads;
        let unknown = { rows.iter().zip(&known) }.filter(|(_, known)| known.is_none());
        let unknown: Vec<_> = unknown.map(|(row, _)| row.clone()).collect();
        let mut looked = match is_planted(Bug::TakeOverFromLiveOwner) {
            true => vec![false; unknown.len()],
            false => are_run(
                &*self.shared.store,
                &unknown,
                renewal.max(PATIENCE),
                |pause| threads.sleep(pause),
            )?,
        }
        .into_iter();
        let known = known.into_iter();
        Ok(known
            .map(|known| known.or_else(|| looked.next()).unwrap_or(true))
            .collect())
    }

    fn without_owner(&self, mut rows: Vec<BackfillRow>) -> Result<Vec<BackfillRow>> {
        rows.retain(|row| !self.is_being_taken_over(row));
        let mut are_live = self.are_owners_live(&rows)?.into_iter();
        rows.retain(|_| are_live.next() == Some(false));
        Ok(rows)
    }

    /// The backfills that have not ended and that no process runs.
    ///
    /// # Errors
    /// `Storage`.
    pub fn orphans(&self) -> Result<Vec<BackfillRow>> {
        self.without_owner(self.shared.store.unfinished()?)
    }

    /// Ends a backfill that no process runs: what was not recorded as ended is canceled.
    fn end_orphan(&self, row: &BackfillRow) -> Result<()> {
        let Some(_takeover) = Takeover::begin(&self.shared, row.key) else {
            return Ok(());
        };
        // Another process was faster: it has ended the backfill, or resumed it and finds the request.
        let Some(lease) = self.take_over(row)? else {
            return Ok(());
        };
        // The owner may have recorded more between our read and the takeover.
        let row = self.row(&row.request.id)?;
        let rest = RunSet::all(row.num_runs - row.counts.runs_ended);
        let mut state = State::new(
            row.request.failure_policy,
            row.request.control,
            row.num_partitions,
            PendingRuns::Independent(rest),
            row.counts,
        );
        state.apply(Event::Stop(row.stop.unwrap_or(Stop::Canceled)));
        let counts = state.counts();
        let commit = Commit {
            key: row.key,
            ended: Vec::new(),
            counts,
            in_flight: Vec::new(),
            stop: state.stop(),
            finished: Some((counts.final_status(), self.now())),
        };
        if self.shared.store.commit(&lease.terms, &[commit])? != [Committed::Kept] {
            return Err(taken_over(&row.request.id));
        }
        self.shared.coordinator().finished.push(row.key);
        Ok(())
    }

    /// Takes the lease over; `None` if another process was faster.
    fn take_over(&self, row: &BackfillRow) -> Result<Option<RequestedLease>> {
        let lease = self.shared.lease();
        let taken = self
            .shared
            .store
            .take_over(row.key, row.lease.as_ref(), &lease.terms)?;
        Ok(taken.then_some(lease))
    }

    fn row(&self, id: &str) -> Result<BackfillRow> {
        let store = Arc::clone(&self.shared.store);
        store.find(id)?.ok_or_else(|| Self::not_found(id))
    }
}

/// The right of one thread to take a backfill over for this process. The storage cannot tell two of them apart:
/// both come from one owner.
struct Takeover<'a> {
    shared: &'a Shared,
    key: Key,
}

impl<'a> Takeover<'a> {
    /// `None`: another thread takes it over.
    fn begin(shared: &'a Shared, key: Key) -> Option<Self> {
        let is_first = shared.coordinator().takeovers.insert(key);
        is_first.then_some(Self { shared, key })
    }
}

impl Drop for Takeover<'_> {
    fn drop(&mut self) {
        self.shared.coordinator().takeovers.remove(&self.key);
    }
}

/// What the last attempts of runs left, as far as it can be loaded.
fn left_loadable(
    plan: &Plan,
    num_assets: usize,
    left: Vec<(u64, Left)>,
    loadable: &[(u32, Selection)],
) -> Vec<(u64, Arc<Left>)> {
    let require = |(run, mut left): (u64, Left)| {
        let partitions = plan.run(run);
        let layer = plan.layer_of(run);
        for asset in (0..num_assets as u32).filter(|&asset| plan.has_asset(layer, asset)) {
            let own = loadable.iter().find(|(other, _)| *other == asset);
            let own = own.map_or_else(
                || Selection::empty(partitions.space()),
                |(_, own)| own.clone(),
            );
            // What is left out of the runs was found to be loadable.
            let own = plan
                .materialized(asset)
                .map_or(own.clone(), |before| own.plus(before));
            left.require(asset, &partitions, &own);
        }
        (run, Arc::new(left))
    };
    left.into_iter().map(require).collect()
}

fn taken_over(id: &str) -> Error {
    Error::Execution(format!(
        "the backfill {id:?} was just taken over by another process"
    ))
}
