//! The run that a batch is at.

use std::sync::Arc;

use super::history::History;
use super::run::{JobSpec, Run};
use crate::backfill::RunEnd;
use crate::clock::Micros;

/// A run that has begun. A `Run` is made of it only if something has to be said about it: most runs execute
/// their functions, and that is all.
pub(super) struct CurrentRun {
    number: u64,
    started_at: Micros,
    run: Option<Arc<Run>>,
}

impl CurrentRun {
    pub(super) fn new(number: u64, started_at: Micros) -> Self {
        Self {
            number,
            started_at,
            run: None,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether nothing can have been said about it.
    pub(super) fn is_plain(&self) -> bool {
        self.run.is_none()
    }

    pub(super) fn run(&mut self, spec: &JobSpec, history: &History) -> Arc<Run> {
        let new = || Run::new(spec.clone(), self.number, self.started_at, history);
        Arc::clone(self.run.get_or_insert_with(new))
    }

    /// The outcome of the run.
    pub(super) fn end(self, spec: &JobSpec, now: Micros) -> RunEnd {
        match self.run {
            Some(run) => run.end(now),
            None => {
                let partitions = spec.plan.run_len(self.number);
                RunEnd::plain(self.number, self.started_at, now, partitions)
            }
        }
    }
}

/// Runs that have ended, and of which it is not known yet whether they succeeded.
#[derive(Default)]
pub(super) struct HeldRuns {
    /// With the times at which they ended, in that order.
    runs: Vec<(CurrentRun, Micros)>,
}

impl HeldRuns {
    /// Adds the run that ends now.
    pub(super) fn extend(&mut self, run: Option<CurrentRun>, now: Micros) {
        self.runs.extend(run.map(|run| (run, now)));
    }

    /// Those with these numbers, which are in the order in which they ended.
    pub(super) fn runs(
        &mut self,
        numbers: &[u64],
        spec: &JobSpec,
        history: &History,
    ) -> Vec<Arc<Run>> {
        let mut wanted = numbers.iter().peekable();
        let of_wanted = |(run, _): &mut (CurrentRun, Micros)| {
            wanted.next_if(|&&number| number == run.number())?;
            Some(run.run(spec, history))
        };
        self.runs.iter_mut().filter_map(of_wanted).collect()
    }

    /// Takes their outcomes.
    pub(super) fn take(&mut self, spec: &JobSpec) -> Vec<RunEnd> {
        let runs = std::mem::take(&mut self.runs).into_iter();
        runs.map(|(run, ended_at)| run.end(spec, ended_at))
            .collect()
    }
}
