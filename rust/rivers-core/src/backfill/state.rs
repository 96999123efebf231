//! The life of a backfill.
//!
//! ```text
//! phase     event           next phase
//! --------  --------------  ---------------------------------------------------------
//! running   Claimed         running
//! running   Ended           running; stopping after a failure under `stop_on_failure`, of a
//!                           canary run, or after too many
//! running   Yielded         running
//! running   Scheduled, Due  running
//! running   Released        running; ended when nothing is left to start and no worker has runs
//! running   Stop            stopping; ended when no worker has runs
//! running   LimitChanged    running; as Stop, if as many have failed already
//! stopping  Ended           stopping
//! stopping  Yielded         stopping
//! stopping  Released        stopping; ended when no worker has runs
//! stopping  Stop            stopping; ended when no worker has runs
//! stopping  LimitChanged    stopping
//! ended     Stop            ended
//! ended     LimitChanged    ended
//! ```
//!
//! Any other pair is a bug in the engine. Only this file changes a phase or a count, so that
//! `pending + running + completed + failed + canceled == total` after every event.

use std::ops::Range;

use super::canary::Canary;
use super::dependencies::PendingRuns;
use super::progress::Counts;
use super::request::{FailurePolicy, stop_at};
use super::run_end::RunEnd;
use super::stop_rules::{Control, MaxFailures, Stop};

/// The phase of a backfill's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Runs may start.
    Running,
    /// No new runs start; runs in flight end.
    Stopping,
    /// Everything has ended.
    Ended,
}

/// What can happen to a backfill.
#[derive(Debug)]
pub enum Event<'a> {
    /// A worker claimed these runs.
    Claimed(Range<u64>),
    /// These claimed runs have ended, or an attempt of them that will be followed by another.
    Ended(&'a [RunEnd]),
    /// A worker gave these claimed runs back without having begun them.
    Yielded(Range<u64>),
    /// This run, which no worker has claimed, waits for a retry.
    Scheduled(u64),
    /// This run's retry is due.
    Due(u64),
    /// A worker has ended or given back all runs that it claimed.
    Released,
    /// The backfill is to stop.
    Stop(Stop),
    /// `max_failures` was changed.
    LimitChanged(Option<MaxFailures>),
}

/// Runs that a worker claims.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimedRuns {
    /// The numbers of the runs.
    pub runs: Range<u64>,
    /// The runs cannot be executed: through this link of the plan they need what was not materialized.
    pub blocked_by: Option<usize>,
}

/// A backfill in memory: what is pending, what is in flight, what has ended.
#[derive(Debug, Clone)]
pub struct State {
    phase: Phase,
    policy: FailurePolicy,
    control: Control,
    /// Why no new runs start.
    stop: Option<Stop>,
    pending: PendingRuns,
    /// The canary runs, until they have ended.
    canary: Option<Canary>,
    /// Number of runs that wait for a retry.
    waiting: u64,
    runs_in_flight: u64,
    workers: u64,
    total: u64,
    counts: Counts,
}

impl State {
    /// A backfill of `total` partitions, of which `counts` have ended and `pending` are to be started.
    pub fn new(
        policy: FailurePolicy,
        control: Control,
        total: u64,
        pending: PendingRuns,
        counts: Counts,
    ) -> Self {
        let phase = if pending.is_empty() {
            Phase::Ended
        } else {
            Phase::Running
        };
        Self {
            phase,
            policy,
            control,
            stop: None,
            pending,
            canary: None,
            waiting: 0,
            runs_in_flight: 0,
            workers: 0,
            total,
            counts,
        }
    }

    /// Has `runs` of the `num_runs` runs go first, and the others when those have succeeded.
    pub fn start_with_canary(&mut self, runs: u32, num_runs: u64) {
        if let PendingRuns::Independent(pending) = &self.pending {
            self.canary = Canary::new(runs, num_runs, pending);
        }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why no new runs start; `None` if none was stopped from starting.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// The partitions that have ended.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Number of runs that no worker has claimed.
    pub fn runs_to_start(&self) -> u64 {
        match self.phase {
            Phase::Running => self.pending.len(),
            Phase::Stopping | Phase::Ended => 0,
        }
    }

    /// Whether a run may start now.
    pub fn can_start(&mut self) -> bool {
        let idle = self.is_idle();
        self.phase == Phase::Running
            && match &mut self.pending {
                PendingRuns::Independent(runs) => match &self.canary {
                    Some(canary) => canary.can_start(runs),
                    None => !runs.is_empty(),
                },
                PendingRuns::Ordered(tracker) => tracker.has_next(idle),
            }
    }

    /// Number of runs that workers have claimed.
    pub fn runs_in_flight(&self) -> u64 {
        self.runs_in_flight
    }

    /// Claims up to `max` of the next runs, in order.
    pub fn claim(&mut self, max: u64) -> Option<ClaimedRuns> {
        if self.phase != Phase::Running {
            return None;
        }
        let idle = self.is_idle();
        let (runs, blocked_by) = match &mut self.pending {
            PendingRuns::Independent(runs) => match &self.canary {
                Some(canary) => (canary.take(runs)?, None),
                None => (runs.take(max)?, None),
            },
            PendingRuns::Ordered(tracker) => tracker.take(max, idle)?,
        };
        self.apply(Event::Claimed(runs.clone()));
        Some(ClaimedRuns { runs, blocked_by })
    }

    /// Applies an event; see the table above.
    pub fn apply(&mut self, event: Event<'_>) {
        self.phase = match (self.phase, event) {
            (Phase::Running, Event::Claimed(runs)) => {
                self.runs_in_flight += runs.end - runs.start;
                self.workers += 1;
                Phase::Running
            }
            (phase @ (Phase::Running | Phase::Stopping), Event::Ended(ends)) => {
                for end in ends {
                    if end.retry.is_some() {
                        self.waiting += 1;
                        continue;
                    }
                    self.counts.add_run(end.partitions, end.failed);
                    if let PendingRuns::Ordered(tracker) = &mut self.pending {
                        tracker.end(end);
                    }
                    self.end_canary(end);
                }
                self.runs_in_flight -= ends.len() as u64;
                self.check(phase)
            }
            (phase @ (Phase::Running | Phase::Stopping), Event::Yielded(runs)) => {
                self.runs_in_flight -= runs.end - runs.start;
                self.put_back(runs);
                phase
            }
            (Phase::Running, Event::Scheduled(run)) => {
                let held = match &mut self.pending {
                    PendingRuns::Independent(pending) => pending.remove(run),
                    PendingRuns::Ordered(tracker) => tracker.withhold(run),
                };
                self.waiting += u64::from(held);
                Phase::Running
            }
            (Phase::Running, Event::Due(run)) => {
                self.waiting -= 1;
                self.put_back(run..run + 1);
                Phase::Running
            }
            (phase @ (Phase::Running | Phase::Stopping), Event::Released) => {
                self.workers -= 1;
                self.settle(phase)
            }
            (Phase::Running | Phase::Stopping, Event::Stop(why)) => {
                self.stop.get_or_insert(why);
                self.settle(Phase::Stopping)
            }
            (phase @ (Phase::Running | Phase::Stopping), Event::LimitChanged(max)) => {
                self.control.max_failures = max;
                let phase = self.check(phase);
                self.settle(phase)
            }
            (Phase::Ended, Event::Stop(_) | Event::LimitChanged(_)) => Phase::Ended,
            (
                phase @ Phase::Stopping,
                event @ (Event::Claimed(_) | Event::Scheduled(_) | Event::Due(_)),
            )
            | (
                phase @ Phase::Ended,
                event @ (Event::Claimed(_)
                | Event::Ended(_)
                | Event::Yielded(_)
                | Event::Scheduled(_)
                | Event::Due(_)
                | Event::Released),
            ) => unreachable!("{event:?} cannot happen to a backfill that is {phase:?}"),
        };
    }

    /// Notes that a canary run has ended; if it failed, the backfill stops.
    fn end_canary(&mut self, end: &RunEnd) {
        let Some(canary) = &mut self.canary else {
            return;
        };
        if canary.end(end.run) && end.failed > 0 {
            self.stop.get_or_insert(Stop::Canary);
        }
        if canary.is_over() {
            self.canary = None;
        }
    }

    /// `Stopping` if failures reached a limit, else `phase`.
    fn check(&mut self, phase: Phase) -> Phase {
        if self.stop.is_some() {
            return Phase::Stopping;
        }
        match stop_at(self.policy, &self.control, &self.counts) {
            Some(why) => {
                self.stop.get_or_insert(why);
                Phase::Stopping
            }
            None => phase,
        }
    }

    fn put_back(&mut self, runs: Range<u64>) {
        match &mut self.pending {
            PendingRuns::Independent(pending) => pending.insert(runs),
            PendingRuns::Ordered(tracker) => tracker.put_back(runs),
        }
    }

    /// Whether nothing is running or waiting that could still end.
    fn is_idle(&self) -> bool {
        self.runs_in_flight == 0 && self.waiting == 0
    }

    /// `Ended` if no more runs will start and no worker has any; then the rest is canceled.
    fn settle(&mut self, phase: Phase) -> Phase {
        let nothing_starts =
            phase == Phase::Stopping || (self.pending.is_empty() && self.waiting == 0);
        if !nothing_starts || self.workers > 0 {
            return phase;
        }
        self.counts.canceled = self.total - self.counts.completed - self.counts.failed;
        Phase::Ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::RunSet;
    use crate::backfill::run_end::Retry;
    use proptest::prelude::*;

    fn end(run: u64, failed: u64) -> RunEnd {
        RunEnd {
            run,
            started_at: 0,
            ended_at: 0,
            partitions: 1,
            failed,
            failures: Vec::new(),
            skips: Vec::new(),
            retry: None,
            metadata: Vec::new(),
        }
    }

    fn attempt(run: u64) -> RunEnd {
        let retry = Retry {
            attempt: 1,
            due_at: 1,
            causes: Vec::new(),
            deferred: Vec::new(),
            rest: Vec::new(),
            left: None,
        };
        RunEnd {
            retry: Some(retry),
            ..end(run, 0)
        }
    }

    fn fresh(policy: FailurePolicy, runs: u64) -> State {
        limited(policy, None, runs)
    }

    fn limited(policy: FailurePolicy, max_failures: Option<MaxFailures>, runs: u64) -> State {
        let control = Control {
            max_failures,
            ..Control::default()
        };
        State::new(
            policy,
            control,
            runs,
            PendingRuns::Independent(RunSet::all(runs)),
            Counts::default(),
        )
    }

    #[test]
    fn a_failure_under_stop_on_failure_cancels_the_rest() {
        let mut state = fresh(FailurePolicy::StopOnFailure, 10);
        let claimed = state.claim(2).expect("ten to start").runs;
        state.apply(Event::Ended(&[end(claimed.start, 1)]));
        assert_eq!((state.phase(), state.claim(1)), (Phase::Stopping, None));
        state.apply(Event::Yielded(1..2));
        assert_eq!(state.phase(), Phase::Stopping);
        state.apply(Event::Released);
        assert_eq!(state.phase(), Phase::Ended);
        let counts = Counts {
            completed: 0,
            failed: 1,
            canceled: 9,
            runs_ended: 1,
        };
        assert_eq!(state.counts(), counts);
    }

    #[test]
    fn a_cancel_lets_what_is_in_flight_end() {
        let mut state = fresh(FailurePolicy::Continue, 3);
        state.claim(1);
        state.apply(Event::Stop(Stop::Canceled));
        assert_eq!(state.phase(), Phase::Stopping);
        state.apply(Event::Ended(&[end(0, 0)]));
        state.apply(Event::Released);
        assert_eq!(state.phase(), Phase::Ended);
        state.apply(Event::Stop(Stop::Canceled));
        assert_eq!(state.counts().canceled, 2);
    }

    #[test]
    fn the_last_failure_that_is_allowed_stops_it_and_says_why() {
        let mut state = limited(FailurePolicy::Continue, Some(MaxFailures::Count(2)), 10);
        state.claim(3);
        state.apply(Event::Ended(&[end(0, 1), end(1, 0)]));
        assert_eq!((state.phase(), state.stop()), (Phase::Running, None));
        state.apply(Event::Ended(&[end(2, 1)]));
        state.apply(Event::Stop(Stop::Canceled));
        assert_eq!(
            (state.phase(), state.stop()),
            (Phase::Stopping, Some(Stop::MaxFailures))
        );
        state.apply(Event::Released);
        assert_eq!((state.phase(), state.counts().canceled), (Phase::Ended, 7));
    }

    #[test]
    fn fewer_failures_than_there_were_stop_it_at_once() {
        let mut state = fresh(FailurePolicy::Continue, 10);
        state.claim(2);
        state.apply(Event::Ended(&[end(0, 1), end(1, 1)]));
        state.apply(Event::Released);
        state.apply(Event::LimitChanged(Some(MaxFailures::Count(3))));
        assert_eq!(state.phase(), Phase::Running);
        state.apply(Event::LimitChanged(Some(MaxFailures::Count(2))));
        assert_eq!((state.phase(), state.counts().canceled), (Phase::Ended, 8));
    }

    #[test]
    fn the_rest_starts_when_what_goes_first_has_succeeded() {
        let mut state = fresh(FailurePolicy::Continue, 10);
        state.start_with_canary(2, 10);
        assert_eq!(state.claim(5).map(|claimed| claimed.runs), Some(2..3));
        assert_eq!(state.claim(5).map(|claimed| claimed.runs), Some(7..8));
        assert!(!state.can_start() && state.claim(5).is_none());
        state.apply(Event::Ended(&[attempt(2)]));
        state.apply(Event::Ended(&[end(7, 0)]));
        assert!(!state.can_start());
        state.apply(Event::Due(2));
        assert_eq!(state.claim(5).map(|claimed| claimed.runs), Some(2..3));
        state.apply(Event::Ended(&[end(2, 0)]));
        assert_eq!(state.claim(5).map(|claimed| claimed.runs), Some(0..2));
    }

    #[test]
    fn a_failure_of_what_goes_first_cancels_the_rest() {
        let mut state = fresh(FailurePolicy::Continue, 10);
        state.start_with_canary(3, 10);
        state.claim(5);
        state.apply(Event::Ended(&[end(1, 1)]));
        state.apply(Event::Released);
        assert_eq!(
            (state.phase(), state.stop()),
            (Phase::Ended, Some(Stop::Canary))
        );
        assert_eq!((state.counts().failed, state.counts().canceled), (1, 9));
    }

    #[test]
    fn a_backfill_without_runs_has_ended() {
        assert_eq!(fresh(FailurePolicy::Continue, 0).phase(), Phase::Ended);
    }

    #[test]
    fn a_run_that_waits_for_another_attempt_keeps_the_backfill_going() {
        let mut state = fresh(FailurePolicy::Continue, 1);
        state.claim(1);
        state.apply(Event::Ended(&[attempt(0)]));
        state.apply(Event::Released);
        assert_eq!((state.phase(), state.runs_to_start()), (Phase::Running, 0));
        state.apply(Event::Due(0));
        assert_eq!(state.claim(1).map(|claimed| claimed.runs), Some(0..1));
        state.apply(Event::Ended(&[end(0, 0)]));
        state.apply(Event::Released);
        assert_eq!((state.phase(), state.counts().completed), (Phase::Ended, 1));
    }

    #[test]
    fn a_cancel_does_not_wait_for_another_attempt() {
        let mut state = fresh(FailurePolicy::Continue, 2);
        state.apply(Event::Scheduled(1));
        assert_eq!(state.claim(2).map(|claimed| claimed.runs), Some(0..1));
        state.apply(Event::Ended(&[attempt(0)]));
        state.apply(Event::Released);
        state.apply(Event::Stop(Stop::Canceled));
        assert_eq!((state.phase(), state.counts().canceled), (Phase::Ended, 2));
    }

    proptest! {
        /// The counts add up over every sequence of legal events.
        #[test]
        fn counts_add_up_after_every_event(
            stop: bool, max in proptest::option::of(1..6_u64), first in proptest::option::of(1..6_u32), runs in 1..30_u64, steps in proptest::collection::vec((0..6_u8, 1..5_u64), 0..80),
        ) {
            let policy = if stop { FailurePolicy::StopOnFailure } else { FailurePolicy::Continue };
            let mut state = limited(policy, max.map(MaxFailures::Count), runs);
            first.into_iter().for_each(|first| state.start_with_canary(first, runs));
            let mut claims: Vec<Range<u64>> = Vec::new();
            let mut waiting: Vec<u64> = Vec::new();
            for (what, size) in steps {
                match what {
                    0 => claims.extend(state.claim(size).map(|claimed| claimed.runs)),
                    1..=3 => if let Some(mut runs) = claims.pop() {
                        if what == 3 {
                            state.apply(Event::Ended(&[attempt(runs.start)]));
                            waiting.push(runs.start);
                        } else {
                            state.apply(Event::Ended(&[end(runs.start, u64::from(what == 2))]));
                        }
                        runs.start += 1;
                        if runs.is_empty() || size > 3 {
                            state.apply(Event::Yielded(runs));
                            state.apply(Event::Released);
                        } else {
                            claims.push(runs);
                        }
                    },
                    4 => if state.phase() == Phase::Running {
                        waiting.pop().into_iter().for_each(|run| state.apply(Event::Due(run)));
                    },
                    _ => if size == 1 { state.apply(Event::Stop(Stop::Canceled)) },
                }
                let counts = state.counts();
                let claimed_runs: u64 = claims.iter().map(|runs| runs.end - runs.start).sum();
                prop_assert_eq!(state.runs_in_flight(), claimed_runs);
                let pending = state.pending.len() + waiting.len() as u64 - counts.canceled;
                prop_assert_eq!(pending + claimed_runs + counts.ended(), runs);
                prop_assert_eq!(counts.canceled > 0, state.phase() == Phase::Ended && counts.completed + counts.failed < runs);
            }
        }
    }
}
