//! What determines the state of partitions: a backfill or a report.

use std::sync::OnceLock;

use super::outcome::{Availability, Outcome};
use crate::backfill::{Kept, RunRow, Session};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan::Plan;
use crate::space::Space;
use crate::store::Records;
use crate::store::records::Key;

/// A backfill or a report.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) origin: Origin,
    /// How the asset was declared, in each session; at least one.
    pub(super) declared: Vec<Declared>,
    /// No run began before that.
    pub(super) from: Micros,
    /// No run ended after that.
    pub(super) to: Micros,
    /// Which processes ran the backfill.
    pub(super) sessions: Vec<Session>,
}

/// How an asset was declared at some time.
#[derive(Debug)]
pub(super) struct Declared {
    /// The version of its code.
    pub(super) code_version: Option<String>,
    /// Where its values were kept.
    pub(super) kept: Kept,
}

#[derive(Debug)]
pub(super) enum Origin {
    Report,
    Backfill {
        key: Key,
        plan: Box<Plan>,
        /// The layer whose runs execute the asset.
        layer: usize,
        /// Whether its partitions have the space of the state, which takes long to compare.
        has_same_space: bool,
        /// Its ended runs, read when they are needed.
        runs: OnceLock<Vec<RunRow>>,
    },
}

impl Source {
    /// The order of sources at equal times: backfills by number, then reports.
    pub(super) fn order(&self) -> i64 {
        match &self.origin {
            Origin::Report => i64::MAX,
            Origin::Backfill { key, .. } => *key,
        }
    }

    /// The backfill; `None` for a report.
    pub(super) fn backfill(&self) -> Option<Key> {
        match &self.origin {
            Origin::Report => None,
            Origin::Backfill { key, .. } => Some(*key),
        }
    }

    /// From where `process` can load the values of a part.
    pub(super) fn availability(
        &self,
        outcome: Outcome,
        session: usize,
        process: &str,
    ) -> Availability {
        if outcome != Outcome::Made {
            return Availability::Stored;
        }
        match self.declared[session].kept {
            Kept::Stored => Availability::Stored,
            Kept::Run => Availability::Gone,
            Kept::Process => match self.sessions.get(session) {
                Some(session) if session.process == process => Availability::Here,
                _ => Availability::Gone,
            },
        }
    }

    /// When the run of a partition of `space`, that of the state, began and ended.
    pub(super) fn times(
        &self,
        store: &dyn Records,
        space: &Space,
        partition: u64,
    ) -> Result<(Micros, Micros)> {
        let Origin::Backfill {
            key,
            plan,
            layer,
            has_same_space,
            runs,
        } = &self.origin
        else {
            return Ok((self.from, self.to));
        };
        let numbers = plan.runs_of(*layer);
        let rows = match runs.get() {
            Some(rows) => rows,
            None => {
                let read = store.runs(*key, numbers.clone())?;
                runs.get_or_init(|| read)
            }
        };
        let of = |row: &RunRow| (row.started_at, row.ended_at);
        if space.dims().is_empty() {
            // Runs of other assets' partitions made it.
            let last = rows.iter().max_by_key(|row| row.ended_at);
            return Ok(last.map_or((self.from, self.to), of));
        }
        let own = &plan.layers()[*layer];
        let then = own.selection().space();
        let there = if *has_same_space {
            Some(partition)
        } else {
            space.same_partition(then, partition)
        };
        let run = there.and_then(|there| own.run_of(there));
        let run = run.map(|run| numbers.start + run);
        let at = run.and_then(|run| rows.binary_search_by_key(&run, |row| row.run).ok());
        Ok(at.map_or((self.from, self.to), |at| of(&rows[at])))
    }
}
