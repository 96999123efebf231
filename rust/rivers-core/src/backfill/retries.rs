//! The retry queue: runs that are attempted again, their prior attempts, and when the next is due.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use super::run_end::{Left, Retry, RunEnd};
use crate::clock::Micros;

/// What prior attempts of a run leave to the next.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PriorAttempts {
    /// The run's number.
    pub run: u64,
    /// Number of attempts.
    pub attempts: u32,
    /// The asset of each failure that was to be retried.
    pub failed_attempts: Vec<u32>,
    /// What the last of them left; `None`: nothing.
    pub left: Option<Arc<Left>>,
}

impl PriorAttempts {
    /// A run without prior attempts.
    pub fn none(run: u64) -> Self {
        Self {
            run,
            attempts: 0,
            failed_attempts: Vec::new(),
            left: None,
        }
    }

    /// Number of attempts in which an asset failed and was to be retried.
    pub fn failed_attempts(&self, asset: u32) -> u32 {
        self.failed_attempts
            .iter()
            .filter(|&&other| other == asset)
            .count() as u32
    }

    /// Whether the next attempt executes an asset.
    pub fn executes(&self, asset: u32) -> bool {
        let left = self.left.as_ref();
        left.is_none_or(|left| left.again.contains(&asset))
    }
}

/// The record of an asset's failure that is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptRow {
    /// The run's number.
    pub run: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Index of the asset in the request.
    pub asset: u32,
    /// When the attempt began.
    pub started_at: Micros,
    /// When the next attempt is due.
    pub due_at: Micros,
    /// The id of the recorded reason.
    pub cause: i64,
}

/// The runs of a backfill that are attempted again.
#[derive(Debug, Clone, Default)]
pub struct RetryQueue {
    due: BTreeSet<(Micros, u64)>,
    by_run: HashMap<u64, Arc<PriorAttempts>>,
}

impl RetryQueue {
    /// The retries of the runs that have not ended, from the records: the attempts, and what the last attempts of
    /// runs left that can still be loaded.
    ///
    /// The times in the records are those of another process, whose clock may differ from this one's, which shows
    /// `now`: a run waits no longer than it was meant to wait from the beginning of its attempt.
    pub fn from_records(
        rows: &[AttemptRow],
        now: Micros,
        has_ended: impl Fn(u64) -> bool,
        left: &[(u64, Arc<Left>)],
    ) -> Self {
        let mut retries = Self::default();
        let mut due: HashMap<u64, Micros> = HashMap::new();
        for row in rows.iter().filter(|row| !has_ended(row.run)) {
            let prior = retries
                .by_run
                .entry(row.run)
                .or_insert_with(|| Arc::new(PriorAttempts::none(row.run)));
            let prior = Arc::make_mut(prior);
            prior.attempts = prior.attempts.max(row.attempt);
            prior.failed_attempts.push(row.asset);
            let longest = row.due_at.saturating_sub(row.started_at).max(0);
            let due_at = row.due_at.min(now.saturating_add(longest));
            let at = due.entry(row.run).or_insert(due_at);
            *at = due_at.max(*at);
        }
        for (run, left) in left {
            if let Some(prior) = retries.by_run.get_mut(run) {
                Arc::make_mut(prior).left = Some(Arc::clone(left));
            }
        }
        retries.due = due.into_iter().map(|(run, at)| (at, run)).collect();
        retries
    }

    /// The runs that wait for a retry.
    pub fn scheduled(&self) -> impl Iterator<Item = u64> {
        self.due.iter().map(|&(_, run)| run)
    }

    /// When the next retry is due; `None` if no run waits.
    pub fn next_due(&self) -> Option<Micros> {
        self.due.first().map(|&(at, _)| at)
    }

    /// Removes a run whose retry is due.
    pub fn pop_due(&mut self, now: Micros) -> Option<u64> {
        let &(at, run) = self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, run));
        Some(run)
    }

    /// Records runs that have ended for good or are attempted again.
    pub fn record(&mut self, ends: &[RunEnd]) {
        for end in ends {
            match &end.retry {
                Some(retry) => self.schedule(end, retry),
                None if self.by_run.is_empty() => {}
                None => {
                    self.by_run.remove(&end.run);
                }
            }
        }
    }

    fn schedule(&mut self, end: &RunEnd, retry: &Retry) {
        self.due.insert((retry.due_at, end.run));
        let prior = self
            .by_run
            .entry(end.run)
            .or_insert_with(|| Arc::new(PriorAttempts::none(end.run)));
        let prior = Arc::make_mut(prior);
        prior.attempts = retry.attempt;
        prior.failed_attempts.extend(retry.failed());
        prior.left.clone_from(&retry.left);
    }

    /// The prior attempts of those of `runs` that have any.
    pub fn prior_attempts(&self, runs: &Range<u64>) -> Vec<Arc<PriorAttempts>> {
        if self.by_run.is_empty() {
            return Vec::new();
        }
        runs.clone()
            .filter_map(|run| self.by_run.get(&run).cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::run_end::{Cause, Failure};

    fn cause() -> Arc<Cause> {
        Arc::new(Cause {
            error_type: "OSError".into(),
            message: "away".into(),
            traceback: None,
        })
    }

    fn attempt(run: u64, attempt: u32, due_at: Micros) -> RunEnd {
        let failed = Failure {
            asset: 0,
            partition: None,
            cause: Some(cause()),
            fingerprint: None,
        };
        let left = Left {
            started_at: 0,
            ended_at: 1,
            again: vec![1, 2],
            failures: vec![failed.clone()],
            metadata: Vec::new(),
            skips: Vec::new(),
            made: vec![(2, vec![4])],
        };
        RunEnd {
            failures: vec![failed],
            retry: Some(Retry {
                attempt,
                due_at,
                causes: vec![(1, cause())],
                deferred: vec![2],
                rest: vec![(2, vec![5])],
                left: Some(Arc::new(left)),
            }),
            ..RunEnd::plain(run, 0, 1, 2)
        }
    }

    #[test]
    fn a_run_is_due_at_its_time_and_knows_what_is_left() {
        let mut retries = RetryQueue::default();
        retries.record(&[attempt(7, 1, 50)]);
        retries.record(&[attempt(3, 1, 40)]);
        assert_eq!((retries.next_due(), retries.pop_due(39)), (Some(40), None));
        assert_eq!((retries.pop_due(45), retries.pop_due(45)), (Some(3), None));
        retries.record(&[attempt(3, 2, 60)]);
        let known = retries.prior_attempts(&(0..5));
        assert_eq!((known.len(), known[0].attempts), (1, 2));
        assert_eq!(
            (known[0].failed_attempts(1), known[0].failed_attempts(0)),
            (2, 0)
        );
        assert_eq!(
            [0, 1, 2].map(|asset| known[0].executes(asset)),
            [false, true, true]
        );
        let left = known[0].left.as_ref().expect("it was recorded");
        assert_eq!(left.failures.len(), 1, "what failed for good stays so");
        assert_eq!(left.made, [(2, vec![4])]);
    }

    #[test]
    fn what_ended_for_good_is_forgotten() {
        let mut retries = RetryQueue::default();
        retries.record(&[attempt(3, 1, 40)]);
        retries.pop_due(40);
        let mut end = attempt(3, 2, 60);
        end.give_up_retries();
        retries.record(std::slice::from_ref(&end));
        assert!(retries.prior_attempts(&(0..9)).is_empty() && retries.next_due().is_none());
        let failed: Vec<_> = end
            .failures
            .iter()
            .map(|f| (f.asset, f.partition, f.cause.is_some()))
            .collect();
        let expected = vec![(0, None, true), (1, None, true), (2, Some(5), false)];
        assert_eq!((failed, end.failed), (expected, 2));
    }

    #[test]
    fn records_tell_how_many_attempts_there_were() {
        let row = |run, attempt, due_at| AttemptRow {
            run,
            attempt,
            asset: 1,
            started_at: 0,
            due_at,
            cause: 1,
        };
        let rows = [row(3, 1, 10), row(3, 2, 30), row(4, 1, 20), row(5, 1, 5)];
        let retries = RetryQueue::from_records(&rows, 0, |run| run == 5, &[]);
        assert_eq!(retries.scheduled().collect::<Vec<_>>(), [4, 3]);
        let known = retries.prior_attempts(&(3..4));
        assert_eq!((known[0].attempts, known[0].failed_attempts(1)), (2, 2));
        assert!(known[0].executes(0));
    }
}
