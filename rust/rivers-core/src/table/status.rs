//! The table of an asset's partitions, with their states over all backfills.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, UInt64Array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use hashbrown::HashMap;

use super::batch::{batch, check_rows};
use super::dimensions::Columns;
use super::layout::Layout;
use super::locator::Locator;
use super::schema;
use super::states::{self, MaterializationStatus, STALE_REASONS};
use super::text::{Texts, View, timestamps};
use super::walk::{Span, walk};
use crate::backfill::outcome::FailedPart;
use crate::backfill::session::{left_out, session_at};
use crate::backfill::{
    Cause, Failures, Left, MetadataRow, Report, ReportKind, RunRow, Session, Skips,
};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan::Plan;
use crate::space::{Selection, Space};

/// The records of one backfill, for one asset.
#[derive(Debug)]
pub struct AssetHistory {
    /// The backfill's id.
    pub backfill_id: String,
    /// The version of the asset's code, if it declared one.
    pub code_version: Option<String>,
    /// The backfill's plan; its space can be older than the asset's.
    pub plan: Plan,
    /// Index of the asset in the request.
    pub asset: u32,
    /// Runs that have ended, ascending by number.
    pub runs: Vec<RunRow>,
    /// What attempts left of runs that have not ended, by run.
    pub left: Vec<(u64, Left)>,
    /// Whether the backfill is running, so that its unfinished partitions are in progress.
    pub in_progress: bool,
    /// The failures.
    pub failures: Failures,
    /// The facts about each value of the asset, where runs have recorded no others.
    pub facts: Option<Arc<str>>,
    /// The facts about what was materialized, with their texts.
    pub metadata: Vec<(MetadataRow, Arc<str>)>,
    /// What was skipped.
    pub skips: Skips,
    /// Which processes ran the backfill.
    pub sessions: Vec<Session>,
}

/// What the table shows besides the records of backfills.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    /// What users reported about the asset.
    pub reports: &'a [Report],
    /// The partitions whose values are gone, which are missing.
    pub gone: &'a Selection,
    /// The partitions that are out of date: early, by another version of the code, and before an upstream.
    pub stale: [&'a Selection; 3],
}

/// One row per partition of an asset's space, in its order (columns: `schema::partition_status`,
/// after those of `dimensions`). `history` is ordered from the newest backfill. The outcome that
/// ended last counts; at equal times a success, then the newer backfill. Partitions that are no
/// longer defined are omitted, and so are those with another state than `status`, if it is given.
/// With `metadata`, the last column is the metadata of the last materialization.
/// `reasons` has the texts of the skips.
///
/// # Errors
/// `Execution` for a space of more than `MAX_ROWS` partitions; `Configuration` when a plan's strategy
/// does not fit its space.
pub fn partition_status(
    space: &Arc<Space>,
    history: &[AssetHistory],
    verdict: Verdict<'_>,
    reasons: &HashMap<i64, Cause>,
    status: Option<&[MaterializationStatus]>,
    metadata: bool,
) -> Result<RecordBatch> {
    let mut marks = Marks::new(check_rows(space.len(), "")?, metadata);
    for backfill in history {
        marks.add(space, backfill, reasons)?;
    }
    for report in verdict.reports.iter().rev() {
        marks.report(space, report);
    }
    marks.lose(verdict.gone);
    let states = marks.states();
    let stale = stale_codes(&states, verdict.stale);
    let layout = Layout::of_selection(&Selection::all(Arc::clone(space)));
    let ranges = match status {
        None => std::iter::once(0..space.len()).collect(),
        Some(kept) => {
            let kept: Vec<u8> = kept.iter().map(|&state| state as u8).collect();
            spans(&states, |state| kept.contains(&state))
        }
    };
    let mut table = Columns::default();
    table.add_dimensions(space, &layout, &ranges)?;
    marks.finish(states, stale, &ranges, table)
}

/// For each partition, why it is out of date: 0 if it is not, otherwise the number of a reason, from 1.
fn stale_codes(states: &[u8], stale: [&Selection; 3]) -> Vec<u8> {
    let mut codes = vec![0; states.len()];
    // The first reason is shown, so it is written last.
    for (partitions, code) in stale.into_iter().zip([1, 2, 3]).rev() {
        for_each_span(partitions, |span| codes[span].fill(code));
    }
    let shown = [
        MaterializationStatus::Materialized as u8,
        MaterializationStatus::Skipped as u8,
    ];
    if stale.iter().any(|partitions| !partitions.is_empty()) {
        for (code, state) in codes.iter_mut().zip(states) {
            if !shown.contains(state) {
                *code = 0;
            }
        }
    }
    codes
}

/// Calls `visit` with the spans of consecutive members of a selection.
fn for_each_span(partitions: &Selection, mut visit: impl FnMut(Range<usize>)) {
    let members = partitions.to_treemap();
    for (high, bitmap) in members.bitmaps() {
        let mut spans = bitmap.iter();
        while let Some(span) = spans.next_range() {
            let first = (u64::from(high) << 32) | u64::from(*span.start());
            let len = u64::from(span.end() - span.start()) + 1;
            visit(first as usize..(first + len) as usize);
        }
    }
}

/// A time before all others, which means "never".
const NEVER: Micros = Micros::MIN;

/// The state of each partition, while backfills are added.
struct Marks {
    /// The time of the last materialization.
    last: Vec<Micros>,
    /// The backfill, run and version of the last materialization; meaningless if there was none.
    backfill: Vec<View>,
    run: Vec<u64>,
    version: Vec<View>,
    /// The time of the last skip, and its reason; empty while nothing was skipped.
    skipped: Vec<Micros>,
    reason: Vec<View>,
    /// The time of the last failure; empty while nothing has failed.
    failed: Vec<Micros>,
    /// Whether a running backfill includes the partition; empty while none does.
    held: Vec<bool>,
    /// The metadata of the last materialization, if it is requested.
    metadata: Option<Vec<View>>,
    ids: Texts,
    versions: Texts,
    bodies: Bodies,
    reasons: Texts,
}

/// What holds for the runs of a session.
struct SessionPart<'a> {
    /// The partitions for which they do not execute the asset.
    before: Option<Cow<'a, Selection>>,
    /// The version of the asset's code.
    version: View,
    /// The facts about each value, where runs have recorded no others.
    known: View,
}

impl Marks {
    fn new(len: usize, metadata: bool) -> Self {
        Self {
            metadata: metadata.then(|| vec![0; len]),
            bodies: Bodies::default(),
            last: vec![NEVER; len],
            backfill: vec![0; len],
            run: vec![0; len],
            version: vec![0; len],
            failed: Vec::new(),
            held: Vec::new(),
            ids: Texts::default(),
            versions: Texts::default(),
            reasons: Texts::default(),
            skipped: Vec::new(),
            reason: Vec::new(),
        }
    }

    fn add(
        &mut self,
        space: &Space,
        history: &AssetHistory,
        reasons: &HashMap<i64, Cause>,
    ) -> Result<()> {
        let layer = history.plan.layer_with(history.asset);
        let runs = history.plan.runs_of(layer);
        let first = runs.start;
        let layer = &history.plan.layers()[layer];
        let own = layer.selection().space();
        let layout = Layout::of_layer(layer)?;
        let rows_of = |runs: Range<u64>| layout.rows_of(runs.start - first..runs.end - first);
        let Some(here) = Locator::new(&layout, own, space) else {
            return Ok(());
        };
        let Some(there) = Locator::new(&layout, own, own) else {
            return Ok(());
        };
        let len = self.last.len();
        let mut written: HashMap<i64, View> = HashMap::new();
        let mut text_of = |texts: &mut Texts, reason: i64| {
            let text = || {
                reasons
                    .get(&reason)
                    .map_or("", |cause| cause.message.as_str())
            };
            *written.entry(reason).or_insert_with(|| texts.write(text()))
        };
        let id = self.ids.write(&history.backfill_id);
        let facts = self.metadata.is_some().then(|| self.bodies.by_run(history));
        let first = history.sessions.first();
        let mut parts = vec![self.session_part(history, first, facts.is_some())];
        for session in history.sessions.iter().skip(1) {
            parts.push(self.session_part(history, Some(session), facts.is_some()));
        }
        let last = parts.len() - 1;
        walk(runs, &history.runs, &[], |span| match span {
            Span::Waiting(runs) if history.in_progress => {
                self.held.resize(len, false);
                let before = parts[last].before.as_deref();
                let Some(before) = before.filter(|before| !before.is_empty()) else {
                    return here.for_each(rows_of(runs), |_, at| self.held[at as usize] = true);
                };
                there.for_each(rows_of(runs), |row_number, partition| {
                    if let Some(at) = here.partition(row_number) {
                        self.held[at as usize] |= !before.contains(partition);
                    }
                });
            }
            Span::Waiting(_) | Span::Started(..) => {}
            Span::Ended(row) => {
                let rows = rows_of(row.run..row.run + 1);
                let part = &parts[session_at(&history.sessions, row.started_at)];
                let (version, known) = (part.version, part.known);
                // What was materialized before is not part of this backfill, unless it was executed again.
                let before = part.before.as_deref().filter(|before| !before.is_empty());
                let is_before = |partition| before.is_some_and(|before| before.contains(partition));
                let facts = facts.as_ref().and_then(|facts| facts.get(&row.run));
                let done = |marks: &mut Self, at: u64, partition: Option<u64>| {
                    let view = facts.map_or(known, |own| own.of(partition, known));
                    marks.done(at, row.ended_at, (id, row.run, version, view));
                };
                let failed_part = match row.failed {
                    0 => FailedPart::None,
                    _ => history.failures.failed_part(row.run, Some(history.asset)),
                };
                let skips = history.skips.has_run(row.run);
                let is_uniform = failed_part == FailedPart::None && !skips && before.is_none();
                if is_uniform && facts.is_none_or(RunBodies::is_shared) {
                    return here.for_each(rows, |_, at| done(self, at, None));
                }
                self.failed.resize(len, NEVER);
                if skips {
                    self.skipped.resize(len, NEVER);
                    self.reason.resize(len, 0);
                }
                there.for_each(rows, |row_number, partition| {
                    let Some(at) = here.partition(row_number) else {
                        return;
                    };
                    if is_before(partition) {
                        return;
                    }
                    if failed_part.has(partition) {
                        let failed = &mut self.failed[at as usize];
                        *failed = row.ended_at.max(*failed);
                    } else if let Some(reason) =
                        history
                            .skips
                            .reason(row.run, partition, Some(history.asset))
                    {
                        let at = at as usize;
                        if row.ended_at > self.skipped[at] {
                            self.skipped[at] = row.ended_at;
                            self.reason[at] = text_of(&mut self.reasons, reason);
                        }
                    } else {
                        done(self, at, Some(partition));
                    }
                });
            }
        });
        for (run, left) in &history.left {
            let part = &parts[session_at(&history.sessions, left.ended_at)];
            let partitions = history.plan.run(*run);
            let made = left.done(history.asset, &partitions);
            let skipped = left.skipped(history.asset, &partitions);
            let shared = left.body(history.asset, None);
            there.for_each(rows_of(*run..*run + 1), |row_number, partition| {
                let before = part.before.as_deref();
                let is_before = before.is_some_and(|before| before.contains(partition));
                let is_done = made.contains(partition) && !skipped.contains(partition);
                if let Some(at) = here.partition(row_number).filter(|_| is_done && !is_before) {
                    let body = left.body(history.asset, Some(partition)).or(shared);
                    let view = body.map_or(part.known, |body| self.bodies.texts.write(body));
                    self.done(at, left.ended_at, (id, *run, part.version, view));
                }
            });
        }
        Ok(())
    }

    /// A partition was materialized then: by a backfill and a run, with a version and facts.
    fn done(&mut self, at: u64, ended_at: Micros, by: (View, u64, View, View)) {
        let at = at as usize;
        if ended_at > self.last[at] {
            self.last[at] = ended_at;
            (self.backfill[at], self.run[at], self.version[at], _) = by;
            if let Some(metadata) = &mut self.metadata {
                metadata[at] = by.3;
            }
        }
    }

    /// What holds for the runs of a session; `None`: of a backfill that recorded none.
    fn session_part<'a>(
        &mut self,
        history: &'a AssetHistory,
        session: Option<&Session>,
        metadata: bool,
    ) -> SessionPart<'a> {
        let then = session.and_then(|own| own.assets.get(history.asset as usize));
        let (version, known) = match then {
            Some(then) => (then.code_version.as_deref(), then.facts.as_deref()),
            None => (history.code_version.as_deref(), history.facts.as_deref()),
        };
        let known = known.filter(|_| metadata);
        SessionPart {
            before: left_out(&history.plan, history.asset, session),
            version: version.map_or(0, |text| self.versions.write(text)),
            known: known.map_or(0, |text| self.bodies.texts.write(text)),
        }
    }

    /// Applies what a user said, if nothing happened since.
    fn report(&mut self, space: &Arc<Space>, report: &Report) {
        let version = report.code_version.as_deref();
        let version = version.map_or(0, |text| self.versions.write(text));
        let facts = match &report.metadata {
            Some(text) if self.metadata.is_some() => self.bodies.texts.write(text),
            _ => 0,
        };
        for_each_span(&report.selection.same_in(space), |span| {
            for at in span {
                for times in [&mut self.skipped, &mut self.failed] {
                    if let Some(time) = times.get_mut(at).filter(|time| **time <= report.at) {
                        *time = NEVER;
                    }
                }
                if self.last[at] > report.at {
                    continue;
                }
                self.last[at] = match report.kind {
                    ReportKind::Materialized => report.at,
                    ReportKind::Forgotten => NEVER,
                };
                (self.backfill[at], self.run[at], self.version[at]) = (0, 0, version);
                if let Some(metadata) = &mut self.metadata {
                    metadata[at] = facts;
                }
            }
        });
    }

    /// Makes partitions missing whose values are gone.
    fn lose(&mut self, gone: &Selection) {
        for_each_span(gone, |span| {
            // What happened before the lost materialization is no longer the last that happened.
            for times in [&mut self.skipped, &mut self.failed] {
                for (time, last) in times
                    .iter_mut()
                    .zip(&self.last)
                    .take(span.end)
                    .skip(span.start)
                {
                    if *time <= *last {
                        *time = NEVER;
                    }
                }
            }
            self.last[span.clone()].fill(NEVER);
            self.version[span.clone()].fill(0);
            if let Some(metadata) = &mut self.metadata {
                metadata[span].fill(0);
            }
        });
    }

    fn states(&self) -> Vec<u8> {
        let mut states: Vec<u8> = Vec::with_capacity(self.last.len());
        let of = |last: Micros| match last {
            NEVER => MaterializationStatus::Missing as u8,
            _ => MaterializationStatus::Materialized as u8,
        };
        states.extend(self.last.iter().map(|&last| of(last)));
        for ((state, skipped), last) in states.iter_mut().zip(&self.skipped).zip(&self.last) {
            if skipped > last {
                *state = MaterializationStatus::Skipped as u8;
            }
        }
        let skipped = self.skipped.iter().copied().chain(std::iter::repeat(NEVER));
        let last = self
            .last
            .iter()
            .zip(skipped)
            .map(|(&last, skipped)| last.max(skipped));
        for ((state, &failed), last) in states.iter_mut().zip(&self.failed).zip(last) {
            if failed > last {
                *state = MaterializationStatus::Failed as u8;
            }
        }
        for (state, held) in states.iter_mut().zip(&self.held) {
            if *held {
                *state = MaterializationStatus::InProgress as u8;
            }
        }
        states
    }

    fn finish(
        mut self,
        mut states: Vec<u8>,
        mut stale: Vec<u8>,
        ranges: &[Range<u64>],
        mut table: Columns,
    ) -> Result<RecordBatch> {
        keep(&mut states, ranges);
        keep(&mut stale, ranges);
        keep(&mut self.last, ranges);
        keep(&mut self.backfill, ranges);
        keep(&mut self.run, ranges);
        keep(&mut self.version, ranges);
        if let Some(metadata) = &mut self.metadata {
            keep(metadata, ranges);
        }
        let skipped = MaterializationStatus::Skipped as u8;
        if self.reason.is_empty() {
            self.reason = vec![0; states.len()];
        } else {
            keep(&mut self.reason, ranges);
        }
        let rows = states.len();
        let nulls = |is: &dyn Fn(usize) -> bool| {
            let nulls = NullBuffer::new(BooleanBuffer::collect_bool(rows, is));
            (nulls.null_count() > 0).then_some(nulls)
        };
        let done = nulls(&|at| self.last[at] != NEVER);
        let ran = nulls(&|at| self.last[at] != NEVER && self.backfill[at] != 0);
        let is_stale = BooleanBuffer::collect_bool(rows, |at| stale[at] != 0);
        let skipped = nulls(&|at| states[at] == skipped);
        let versioned = nulls(&|at| self.version[at] != 0);
        table.fields.extend(schema::partition_status());
        table.columns.extend([
            states::state_column(states, MaterializationStatus::NAMES)?,
            timestamps(self.last, done),
            self.ids.column(self.backfill, ran.clone())?,
            Arc::new(UInt64Array::new(self.run.into(), ran)),
            self.versions.column(self.version, versioned)?,
            self.reasons.column(self.reason, skipped)?,
            Arc::new(BooleanArray::new(is_stale, None)),
            states::reason_column(&stale, STALE_REASONS)?,
        ]);
        if let Some(metadata) = self.metadata {
            let described = nulls(&|at| metadata[at] != 0);
            table.fields.push(schema::metadata());
            let bodies = self.bodies.texts.column(metadata, described)?;
            table.columns.push(bodies);
        }
        batch(table.fields, table.columns, rows)
    }
}

/// The texts of metadata, each written once.
#[derive(Default)]
struct Bodies {
    texts: Texts,
    written: HashMap<i64, View>,
}

/// The metadata of a run.
#[derive(Default)]
struct RunBodies {
    /// Of all partitions that have none of their own.
    shared: Option<View>,
    single: HashMap<u64, View>,
}

impl RunBodies {
    fn is_shared(&self) -> bool {
        self.single.is_empty()
    }

    /// That of a partition; `known` if nothing was recorded.
    fn of(&self, partition: Option<u64>, known: View) -> View {
        let single = partition.and_then(|own| self.single.get(&own));
        single.copied().or(self.shared).unwrap_or(known)
    }
}

impl Bodies {
    /// The metadata of an asset by run.
    fn by_run(&mut self, history: &AssetHistory) -> HashMap<u64, RunBodies> {
        let mut by_run: HashMap<u64, RunBodies> = HashMap::new();
        let rows = history.metadata.iter();
        for (row, text) in rows.filter(|(row, _)| row.asset == history.asset) {
            let texts = &mut self.texts;
            let view = *self
                .written
                .entry(row.body)
                .or_insert_with(|| match &**text {
                    // A run that has recorded that there are no facts.
                    "{}" => 0,
                    text => texts.write(text),
                });
            let run = by_run.entry(row.run).or_default();
            match row.partition {
                None => run.shared = Some(view),
                Some(partition) => _ = run.single.insert(partition, view),
            }
        }
        by_run
    }
}

/// The spans of rows whose states are included.
fn spans(states: &[u8], passes: impl Fn(u8) -> bool) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (at, _) in states
        .iter()
        .enumerate()
        .filter(|(_, state)| passes(**state))
    {
        let at = at as u64;
        match ranges.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => ranges.push(at..at + 1),
        }
    }
    ranges
}

/// Keeps only these rows.
fn keep<T: Copy>(column: &mut Vec<T>, ranges: &[Range<u64>]) {
    let mut kept = 0;
    for range in ranges {
        let (start, end) = (range.start as usize, range.end as usize);
        if kept != start {
            column.copy_within(start..end, kept);
        }
        kept += end - start;
    }
    column.truncate(kept);
}
