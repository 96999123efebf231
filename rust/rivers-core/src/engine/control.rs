//! What can be done to a backfill that was submitted: cancel, pause, change, abandon, resume.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::live_backfill::Rest;
use super::{Engine, Execution, RequestedLease, writer};
use crate::backfill::{Change, Event, Retries, RunSet, State, Status, Stop, Todo};
use crate::error::{Error, Remedy, Result};
use crate::store::queries::backfills::LiveOwners;
use crate::store::{BackfillRow, Commit, Committed, Key, Lease};

/// How long a resume waits for worker processes of a dead process to leave, and how often it looks.
const LEAVING: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Engine {
    /// Cancels a backfill (SEMANTICS 8). `true`: it is live in this process and was told to stop.
    ///
    /// # Errors
    /// `BackfillNotFound`, `Storage`.
    pub fn cancel(&self, id: &str) -> Result<bool> {
        let row = self.row(id)?;
        if self.shared.hub().stop(row.key, Stop::Canceled) {
            self.shared.changed.notify_all();
            self.shared.to_write.notify_all();
            return Ok(true);
        }
        if row.status != Status::InProgress {
            return Ok(false);
        }
        self.shared.store.request_cancel(row.key)?;
        if !self.has_live_owner(&row)? {
            self.end_orphan(row)?;
        }
        Ok(false)
    }

    /// Has a backfill start nothing new, or go on. When this returns, that holds if it runs in this
    /// process; another that runs it sees it within a second.
    ///
    /// # Errors
    /// `BackfillNotFound`; `Execution` when it has ended; `Storage`.
    pub fn set_paused(&self, id: &str, paused: bool) -> Result<()> {
        let row = self.row(id)?;
        if !self.shared.store.set_paused(row.key, paused)? {
            return Err(self.has_ended(id, "paused or unpaused")?);
        }
        writer::hear_wishes(&self.shared);
        Ok(())
    }

    /// Changes the request of a backfill. When this returns, that holds if it runs in this process;
    /// another that runs it sees it within a second, and who resumes it finds it so.
    ///
    /// # Errors
    /// `BackfillNotFound`; `Execution` when it has ended; `Storage`.
    pub fn change(&self, id: &str, change: &Change) -> Result<()> {
        let row = self.row(id)?;
        if !self.shared.store.change(row.key, change)? {
            return Err(self.has_ended(id, "changed")?);
        }
        writer::hear_wishes(&self.shared);
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

    /// Stops a live backfill at once and leaves it resumable; what is in flight is not recorded.
    ///
    /// # Errors
    /// `Storage`.
    pub fn abandon(&self, key: Key) -> Result<()> {
        self.shared.hub().abandon(key, None);
        self.shared.changed.notify_all();
        self.shared.room.notify_all();
        self.shared.store.release(key, &self.shared.owner)
    }

    /// Stops a backfill whose runs cannot be executed here, and leaves it resumable.
    ///
    /// # Errors
    /// `Storage`.
    pub fn break_off(&self, key: Key, reason: String) -> Result<()> {
        let entry = self
            .shared
            .hub()
            .abandon(key, Some(Error::Execution(reason)));
        self.shared.changed.notify_all();
        self.shared.room.notify_all();
        if let Some(entry) = entry {
            self.shared.left(entry);
        }
        Ok(())
    }

    /// Continues a backfill whose owner is gone.
    ///
    /// # Errors
    /// `BackfillNotFound`; `Execution` when it has ended, its owner lives, or a worker process of a
    /// dead owner does not leave; `Storage`.
    pub fn resume(&self, id: &str, execution: Execution) -> Result<Key> {
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
        if self.has_live_owner(&row)? || self.shared.hub().is_leaving(row.key) {
            return Err(Error::Refused {
                message: format!("the backfill {id:?} is running"),
                remedy: Remedy::Cancel(id.to_owned()),
            });
        }
        self.outwait_workers(&row)?;
        let Some(lease) = self.take_over(&row)? else {
            return Err(taken(id));
        };
        self.shared.leased_first(&lease);
        // The owner may have ended more between our look and the takeover.
        let row = self.row(id)?;
        let plan = Arc::new(self.shared.store.plan(row.key)?);
        let ended = self.shared.store.runs(row.key, 0..row.num_runs)?;
        let todo = RunSet::all_but(row.num_runs, ended.iter().map(|row| row.run));
        let failures = if plan.links().is_empty() {
            Vec::new()
        } else {
            self.shared.store.failures(row.key, None)?
        };
        let attempts = self.shared.store.attempts(row.key)?;
        let has_ended = |run| ended.binary_search_by_key(&run, |row| row.run).is_ok();
        let retries = Retries::recorded(&attempts, has_ended);
        let rest = Rest {
            todo: Todo::new(&plan, todo, &failures),
            retries,
            counts: row.counts,
        };
        // What was to stop before its process died starts nothing more now.
        let canceled = row.cancel_requested.then_some(Stop::Canceled);
        // A cancel that its process was still at when it was left is not meant for who resumes it.
        let by_itself = row.stop.filter(|&why| why != Stop::Canceled);
        let stopped = by_itself.or(canceled).or(row.request.stop_at(&row.counts));
        self.admit(|hub| {
            hub.admit(row.key, row.request, plan, rest, execution);
            hub.known(row.key, row.revision);
            hub.set_paused(row.key, row.paused);
            if let Some(why) = stopped {
                hub.stop(row.key, why);
            }
        });
        Ok(row.key)
    }

    /// Waits for the worker processes of an owner that died: until they are gone, a function of theirs
    /// may still be executed.
    fn outwait_workers(&self, row: &BackfillRow) -> Result<()> {
        let Some(Lease { owner, .. }) = &row.lease else {
            return Ok(());
        };
        let store = &self.shared.store;
        let deadline = Instant::now() + LEAVING;
        while !store.is_alive(owner) && store.has_workers(owner) {
            if Instant::now() > deadline {
                return Err(Error::Execution(format!(
                    "the process that ran the backfill {:?} is gone, but a worker process of it is still \
                     in a function that holds the interpreter; resume the backfill when that has ended, \
                     or end the worker process",
                    row.request.id
                )));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Whether a live process runs the backfill.
    ///
    /// # Errors
    /// `Storage`.
    pub fn has_live_owner(&self, row: &BackfillRow) -> Result<bool> {
        let own = |lease: &Lease| lease.owner == self.shared.owner;
        if row.lease.as_ref().is_some_and(own) && self.shared.hub().broken.contains_key(&row.key) {
            return Ok(self.shared.hub().is_leaving(row.key));
        }
        Ok(LiveOwners::now(&*self.shared.store)?.run(row))
    }

    /// The backfills that nobody runs and that have not ended.
    ///
    /// # Errors
    /// `Storage`.
    pub fn orphans(&self) -> Result<Vec<BackfillRow>> {
        let mut orphans = Vec::new();
        for row in self.shared.store.unfinished()? {
            if !self.has_live_owner(&row)? {
                orphans.push(row);
            }
        }
        Ok(orphans)
    }

    /// Ends a backfill that nobody runs: what was not recorded as ended is canceled.
    fn end_orphan(&self, row: BackfillRow) -> Result<()> {
        // Who was faster has ended it, or resumed it and finds the request.
        let Some(lease) = self.take_over(&row)? else {
            return Ok(());
        };
        // The owner may have ended more between our look and the takeover.
        let row = self.row(&row.request.id)?;
        let left = RunSet::all(row.num_runs - row.counts.runs_ended);
        let mut state = State::new(
            row.request.failure_policy,
            row.request.control,
            row.num_partitions,
            Todo::Free(left),
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
        match self
            .shared
            .store
            .commit(&lease.terms, &[commit])?
            .as_slice()
        {
            [Committed::Kept] => {
                self.shared.hub().ended.push(row.key);
                Ok(())
            }
            _ => Err(taken(&row.request.id)),
        }
    }

    /// `None`: someone was faster.
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

fn taken(id: &str) -> Error {
    Error::Execution(format!(
        "the backfill {id:?} was just taken over by another process"
    ))
}
