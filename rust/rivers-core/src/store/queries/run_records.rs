//! The records of runs, gathered to derive their events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::backfill::session::left_out;
use crate::backfill::{
    AttemptRow, FailureRow, MetadataRow, RequestedAsset, RunRow, SkipRow, Status,
};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan::Plan;
use crate::space::{Selection, Space};
use crate::store::Records;
use crate::store::records::BackfillRow;

/// How many runs are asked one by one for their metadata before all of the backfill is read.
const MANY_RUNS: usize = 1_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// An attempt of a step began.
    StepStart,
    /// An attempt of a step failed and is followed by another.
    StepRetry,
    /// A partition was materialized.
    Materialization,
    /// A step failed, or a partition of it.
    StepFailure,
    /// A step ended, and did not fail as a whole.
    StepSuccess,
    /// A user reported partitions as materialized.
    Reported,
    /// A user said that partitions are missing.
    Forgotten,
}

impl EventKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::StepStart => "StepStart",
            Self::StepRetry => "StepRetry",
            Self::Materialization => "Materialization",
            Self::StepFailure => "StepFailure",
            Self::StepSuccess => "StepSuccess",
            Self::Reported => "Reported",
            Self::Forgotten => "Forgotten",
        }
    }
}

/// The partitions that an event belongs to.
#[derive(Debug, Clone)]
pub enum EventPartitions {
    /// None: it belongs to the step, or the asset has no partitions.
    None,
    /// One.
    One(Arc<Space>, u64),
    /// All of the run, or of the report.
    Several(Selection),
}

/// An event, without the texts that it refers to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    pub(super) kind: EventKind,
    pub(super) run: u64,
    pub(super) asset: u32,
    /// The one partition that it belongs to.
    pub(super) partition: Option<u64>,
    /// Whether it belongs to all partitions of the run.
    pub(super) is_whole: bool,
    pub(super) attempt: Option<u32>,
    pub(super) at: Micros,
    pub(super) cause: Option<i64>,
}

/// The runs of a backfill that have begun.
pub(super) struct BackfillRecords<'a> {
    pub(super) row: &'a BackfillRow,
    pub(super) plan: Plan,
    pub(super) runs: Vec<RunRecords>,
}

/// The records of one run that has begun.
pub(super) struct RunRecords {
    pub(super) number: u64,
    ended: Option<RunRow>,
    /// When it started, if it is in flight.
    since: Option<Micros>,
    failures: Vec<FailureRow>,
    skips: Vec<SkipRow>,
    attempts: Vec<AttemptRow>,
}

impl<'a> BackfillRecords<'a> {
    /// The records of one run.
    pub(super) fn of_run(store: &dyn Records, row: &'a BackfillRow, run: u64) -> Result<Self> {
        let ended = store.runs(row.key, run..run + 1)?;
        let failures = store.failures(row.key, Some(run))?;
        let skips = store.skips(row.key, Some(run))?;
        let mut attempts = store.attempts(row.key)?;
        attempts.retain(|own| own.run == run);
        Ok(Self::new(
            row,
            store.plan(row.key)?,
            ended,
            failures,
            skips,
            attempts,
        ))
    }

    /// The records of the runs that materialize an asset.
    pub(super) fn of_asset(store: &dyn Records, row: &'a BackfillRow, asset: u32) -> Result<Self> {
        let plan = store.plan(row.key)?;
        let numbers = plan.runs_of(plan.layer_with(asset));
        let ended = store.runs(row.key, numbers.clone())?;
        let failures = match row.counts.failed {
            0 if ended.iter().all(|run| run.failed == 0) => Vec::new(),
            _ => store.failures(row.key, None)?,
        };
        let skips = store.skips(row.key, None)?;
        let mut attempts = store.attempts(row.key)?;
        attempts.retain(|own| numbers.contains(&own.run));
        let mut records = Self::new(row, plan, ended, failures, skips, attempts);
        records.runs.retain(|run| numbers.contains(&run.number));
        Ok(records)
    }

    fn new(
        row: &'a BackfillRow,
        plan: Plan,
        ended: Vec<RunRow>,
        failures: Vec<FailureRow>,
        skips: Vec<SkipRow>,
        attempts: Vec<AttemptRow>,
    ) -> Self {
        let mut begun: BTreeMap<u64, (Option<RunRow>, Option<Micros>)> = BTreeMap::new();
        for own in ended {
            begun.insert(own.run, (Some(own), None));
        }
        if row.status == Status::InProgress {
            for &(run, since) in &row.in_flight {
                begun.entry(run).or_insert((None, Some(since)));
            }
        }
        let mut attempts_of: HashMap<u64, Vec<AttemptRow>> = HashMap::new();
        for own in attempts {
            begun.entry(own.run).or_insert((None, None));
            attempts_of.entry(own.run).or_default().push(own);
        }
        let mut failures_of: HashMap<u64, Vec<FailureRow>> = HashMap::new();
        for own in failures {
            failures_of.entry(own.run).or_default().push(own);
        }
        let mut skips_of: HashMap<u64, Vec<SkipRow>> = HashMap::new();
        for own in skips {
            skips_of.entry(own.run).or_default().push(own);
        }
        let runs = begun
            .into_iter()
            .map(|(number, (ended, since))| RunRecords {
                number,
                ended,
                since,
                failures: failures_of.remove(&number).unwrap_or_default(),
                skips: skips_of.remove(&number).unwrap_or_default(),
                attempts: attempts_of.remove(&number).unwrap_or_default(),
            });
        Self {
            runs: runs.collect(),
            row,
            plan,
        }
    }

    /// The records of a run, if it has begun.
    pub(super) fn run(&self, number: u64) -> Option<&RunRecords> {
        let at = self.runs.binary_search_by_key(&number, |run| run.number);
        at.ok().map(|at| &self.runs[at])
    }

    /// The partitions of an event.
    pub(super) fn partitions(&self, draft: &Draft) -> EventPartitions {
        let is_partitioned = self.row.request.assets[draft.asset as usize].partitioned;
        match draft.partition {
            Some(partition) => {
                let layer = &self.plan.layers()[self.plan.layer_of(draft.run)];
                EventPartitions::One(Arc::clone(layer.selection().space()), partition)
            }
            None if draft.is_whole && is_partitioned => {
                EventPartitions::Several(self.plan.run(draft.run))
            }
            None => EventPartitions::None,
        }
    }

    /// The metadata of the materializations among the events.
    pub(super) fn metadata(&self, store: &dyn Records, drafts: &[Draft]) -> Result<Metadata> {
        let of_events = drafts
            .iter()
            .filter(|draft| draft.kind == EventKind::Materialization);
        let runs: HashSet<u64> = of_events.map(|draft| draft.run).collect();
        let mut rows = Vec::new();
        if runs.len() > MANY_RUNS {
            rows = store.metadata(self.row.key, None)?;
        } else {
            for &run in &runs {
                rows.extend(store.metadata(self.row.key, Some(run))?);
            }
        }
        Metadata::new(store, rows)
    }
}

impl RunRecords {
    /// The time of the last event.
    pub(super) fn last_at(&self) -> Micros {
        let retried = self.attempts.iter().map(|own| own.due_at).max();
        let ended = self.ended.map(|row| row.ended_at).or(self.since);
        let last = ended.unwrap_or(Micros::MIN);
        retried.map_or(last, |due_at| due_at.max(last))
    }
}

impl BackfillRecords<'_> {
    /// The events of an asset in a run, oldest first: at most the `limit` last materializations.
    pub(super) fn drafts(&self, run: &RunRecords, asset: u32, limit: usize) -> Vec<Draft> {
        let draft = |kind, at| Draft {
            kind,
            run: run.number,
            asset,
            partition: None,
            is_whole: false,
            attempt: None,
            at,
            cause: None,
        };
        let mut drafts = Vec::new();
        let own_attempts = run.attempts.iter().filter(|own| own.asset == asset);
        for own in own_attempts.clone() {
            drafts.push(Draft {
                attempt: Some(own.attempt),
                ..draft(EventKind::StepStart, own.started_at)
            });
            drafts.push(Draft {
                attempt: Some(own.attempt),
                cause: Some(own.cause),
                ..draft(EventKind::StepRetry, own.due_at)
            });
        }
        let was_retried = !drafts.is_empty();
        let failures = || run.failures.iter().filter(|own| own.asset == asset);
        let whole = failures().find(|own| own.partition.is_none());
        let Some(ended) = run.ended else {
            let starts = match run.since {
                Some(_) if run.attempts.is_empty() => self.first_step(run.number).contains(&asset),
                Some(_) => was_retried,
                None => false,
            };
            if starts {
                drafts.extend(run.since.map(|at| draft(EventKind::StepStart, at)));
            }
            return drafts;
        };
        if whole.is_some_and(|own| own.cause.is_none()) {
            return drafts; // It needs what failed, and was not executed.
        }
        if self.was_materialized_before(run, asset) {
            return drafts;
        }
        let first = run.attempts.iter().map(|own| own.started_at).min();
        let started_at = match first {
            Some(first) if !was_retried => first.min(ended.started_at),
            _ => ended.started_at,
        };
        drafts.push(draft(EventKind::StepStart, started_at));
        if whole.is_none() {
            let one = draft(EventKind::Materialization, ended.ended_at);
            self.materializations(run, one, limit, &mut drafts);
        }
        let failed = failures().filter(|own| own.cause.is_some());
        drafts.extend(failed.map(|own| Draft {
            partition: own.partition,
            is_whole: own.partition.is_none(),
            cause: own.cause,
            ..draft(EventKind::StepFailure, ended.ended_at)
        }));
        if whole.is_none() {
            drafts.push(draft(EventKind::StepSuccess, ended.ended_at));
        }
        drafts
    }

    /// Adds the last `limit` materializations of a run, in the order of its partitions.
    fn materializations(
        &self,
        run: &RunRecords,
        draft: Draft,
        limit: usize,
        drafts: &mut Vec<Draft>,
    ) {
        let skips = || run.skips.iter().filter(|own| own.asset == draft.asset);
        if skips().any(|own| own.partition.is_none()) {
            return;
        }
        let partitions = self.plan.run(run.number);
        let is_partitioned = self.row.request.assets[draft.asset as usize].partitioned;
        if !is_partitioned || partitions.space().dims().is_empty() {
            drafts.push(draft);
            return;
        }
        let own = run.failures.iter().filter(|own| own.asset == draft.asset);
        let mut failed: HashSet<u64> = own.filter_map(|own| own.partition).collect();
        failed.extend(skips().filter_map(|own| own.partition));
        let before = self.before(run, draft.asset);
        let is_before = |partition| {
            before
                .as_ref()
                .is_some_and(|before| before.contains(partition))
        };
        // Those that are left out do not count for the limit.
        let mut looked_at = (limit as u64).saturating_add(failed.len() as u64);
        if before.is_some() {
            looked_at = u64::MAX;
        }
        let materialized = partitions
            .iter_from(partitions.len().saturating_sub(looked_at))
            .filter(|&partition| !failed.contains(&partition) && !is_before(partition));
        drafts.extend(materialized.map(|partition| Draft {
            partition: Some(partition),
            ..draft
        }));
    }

    /// The partitions for which a run did not execute an asset.
    fn before(&self, run: &RunRecords, asset: u32) -> Option<Cow<'_, Selection>> {
        let started = run.ended.map(|row| row.started_at).or(run.since);
        let session = started.and_then(|at| self.row.request.session_of(at));
        left_out(&self.plan, asset, session)
    }

    /// Whether an asset was already materialized for all partitions of a run, and so not executed.
    fn was_materialized_before(&self, run: &RunRecords, asset: u32) -> bool {
        let Some(before) = self.before(run, asset) else {
            return false;
        };
        let partitions = self.plan.run(run.number);
        partitions.iter().all(|own| before.contains(own))
    }

    /// The indices of the assets that the first step of a run makes.
    fn first_step(&self, run: u64) -> Vec<u32> {
        let layer = self.plan.layer_of(run);
        let assets = &self.row.request.assets;
        let own = || {
            (0u32..)
                .zip(assets)
                .filter(|(at, _)| self.plan.has_asset(layer, *at))
        };
        let Some((first, asset)) = own().next() else {
            return Vec::new();
        };
        let is_first = |at: u32, other: &RequestedAsset| {
            at == first || (asset.step.is_some() && other.step == asset.step)
        };
        own()
            .filter(|(at, other)| is_first(*at, other))
            .map(|(at, _)| at)
            .collect()
    }
}

/// Metadata by run, asset and partition.
pub(super) struct Metadata {
    rows: HashMap<(u64, u32, Option<u64>), i64>,
    bodies: HashMap<i64, String>,
}

impl Metadata {
    fn new(store: &dyn Records, rows: Vec<MetadataRow>) -> Result<Self> {
        let mut ids: Vec<i64> = rows.iter().map(|row| row.body).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = rows
            .into_iter()
            .map(|row| ((row.run, row.asset, row.partition), row.body));
        Ok(Self {
            rows: rows.collect(),
            bodies: store.metadata_bodies(&ids)?.into_iter().collect(),
        })
    }

    /// The metadata of a materialization: that of its partition, that of the whole run, or what is known of
    /// each value of the asset.
    pub(super) fn get(&self, draft: &Draft, asset: &RequestedAsset) -> Option<String> {
        if draft.kind != EventKind::Materialization {
            return None;
        }
        let of = |partition| self.rows.get(&(draft.run, draft.asset, partition));
        let id = draft
            .partition
            .and_then(|own| of(Some(own)))
            .or_else(|| of(None));
        match id {
            // A run that has recorded that there are no facts.
            Some(id) => self.bodies.get(id).filter(|body| *body != "{}").cloned(),
            None => asset.facts.clone(),
        }
    }
}
