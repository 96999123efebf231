//! The table of a backfill's partitions, with their states.

use std::ops::Range;

use arrow_array::RecordBatch;
use hashbrown::HashMap;

use super::attempts::Attempts;
use super::batch::check_rows;
use super::dimensions::Columns;
use super::layout::Layout;
use super::locator::Locator;
use super::reasons::{Messages, Reasons, RunReasons};
use super::rows::{PartitionRows, Shown};
use super::states::PartitionStatus;
use super::walk::{Span, walk};
use crate::backfill::{AttemptRow, Cause, FailureRow, RunRow, SkipRow, Skips, Status};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan::Plan;
use crate::space::Space;

/// The records of a backfill.
#[derive(Debug, Clone, Copy)]
pub struct BackfillView<'a> {
    /// The backfill's id.
    pub id: &'a str,
    /// The backfill's status.
    pub status: Status,
    /// Runs that have ended, ascending by number.
    pub runs: &'a [RunRow],
    /// Runs that have begun and not ended.
    pub in_flight: &'a [(u64, Micros)],
    /// The failures, in the order in which they were recorded.
    pub failures: &'a [FailureRow],
    /// What was skipped.
    pub skips: &'a [SkipRow],
    /// The failed attempts that were retried, by run and attempt.
    pub attempts: &'a [AttemptRow],
    /// The errors that the failures refer to.
    pub causes: &'a HashMap<i64, Cause>,
}

/// Which rows and columns of `partitions` are built.
#[derive(Debug, Clone, Default)]
pub struct PartitionFilter {
    /// The states to include; `None` for all.
    pub status: Option<Vec<PartitionStatus>>,
    /// Whether to include the ids of the runs, which are one text per run.
    pub run_id: bool,
}

impl PartitionFilter {
    fn keeps(&self, status: PartitionStatus) -> bool {
        self.status
            .as_ref()
            .is_none_or(|kept| kept.contains(&status))
    }
}

/// One row per partition of a layer of a backfill, in the order of the runs, then the order inside the
/// run (columns: `schema::partitions`, after those of `dimensions`).
///
/// # Errors
/// `Execution` for more than `MAX_ROWS` rows; `Configuration` when the plan's strategy does not fit
/// its space.
pub fn partitions(
    plan: &Plan,
    layer: usize,
    view: &BackfillView<'_>,
    filter: &PartitionFilter,
) -> Result<RecordBatch> {
    let own = &plan.layers()[layer];
    let layout = Layout::of_layer(own)?;
    let filing = Filing {
        plan,
        runs: plan.runs_of(layer),
        space: own.selection().space(),
        layout: &layout,
        view,
        filter,
        skips: view.skips.iter().copied().collect(),
    };
    let expected = check_rows(filing.expected(), "; filter them by status")?;
    let rows = filing.file(PartitionRows::new(
        expected,
        filter.run_id.then_some(view.id),
    ));
    let mut table = Columns::default();
    table.add_dimensions(filing.space, &layout, &rows.ranges)?;
    rows.finish(table)
}

/// The records, indexed for building rows.
struct Filing<'a> {
    plan: &'a Plan,
    runs: Range<u64>,
    space: &'a Space,
    layout: &'a Layout,
    view: &'a BackfillView<'a>,
    filter: &'a PartitionFilter,
    skips: Skips,
}

impl<'a> Filing<'a> {
    fn walk(&self, visit: impl FnMut(Span<'a>)) {
        walk(
            self.runs.clone(),
            self.view.runs,
            self.view.in_flight,
            visit,
        );
    }

    fn rows_of(&self, runs: Range<u64>) -> Range<u64> {
        let first = self.runs.start;
        self.layout.rows_of(runs.start - first..runs.end - first)
    }

    /// The state of a partition whose run has not ended.
    fn open(&self, status: PartitionStatus) -> PartitionStatus {
        match self.view.status {
            Status::InProgress => status,
            Status::Completed | Status::Failed | Status::Canceled => PartitionStatus::Canceled,
        }
    }

    /// Number of rows, computed from the records before any row is built.
    fn expected(&self) -> u64 {
        let mut expected = 0;
        self.walk(|span| {
            let len = |runs| {
                let rows = self.rows_of(runs);
                rows.end - rows.start
            };
            let kept = |status, rows| if self.filter.keeps(status) { rows } else { 0 };
            expected += match span {
                Span::Waiting(runs) => kept(self.open(PartitionStatus::Pending), len(runs)),
                Span::Started(run, _) => {
                    kept(self.open(PartitionStatus::Running), len(run..run + 1))
                }
                Span::Ended(row) => {
                    let all = len(row.run..row.run + 1);
                    let failed = row.failed.min(all);
                    let skipped = if self.skips.has_run(row.run) {
                        kept(PartitionStatus::Skipped, all - failed)
                    } else {
                        0
                    };
                    kept(PartitionStatus::Failed, failed)
                        + kept(PartitionStatus::Completed, all - failed).max(skipped)
                }
            };
        });
        expected
    }

    fn file(&self, mut rows: PartitionRows<'a>) -> PartitionRows<'a> {
        let reasons = Reasons::new(self.view.failures);
        let mut messages = Messages::new(self.view.causes);
        let locator = Locator::new(self.layout, self.space, self.space);
        let attempts = Attempts::new(self.view.attempts);
        let shown = |status, attempts, started_at| Shown {
            status,
            attempts,
            started_at,
            ended_at: None,
            error: None,
        };
        self.walk(|span| {
            let row = match span {
                Span::Waiting(runs) => {
                    let status = self.open(PartitionStatus::Pending);
                    let mut next = runs.start;
                    for row in attempts.within(&runs) {
                        self.add(&mut rows, next..row.run, shown(status, 0, None));
                        let waits = shown(status, row.attempt, Some(row.started_at));
                        next = row.run + 1;
                        self.add(&mut rows, row.run..next, waits);
                    }
                    return self.add(&mut rows, next..runs.end, shown(status, 0, None));
                }
                Span::Started(run, at) => {
                    let status = self.open(PartitionStatus::Running);
                    let shown = shown(status, attempts.begun(run), Some(at));
                    return self.add(&mut rows, run..run + 1, shown);
                }
                Span::Ended(row) => row,
            };
            let own = if row.failed == 0 {
                None
            } else {
                reasons.of_run(row.run)
            };
            let mut ended =
                |cause: Option<i64>, skipped: bool, rows: &mut PartitionRows<'a>| Shown {
                    status: match cause {
                        Some(_) => PartitionStatus::Failed,
                        None if skipped => PartitionStatus::Skipped,
                        None => PartitionStatus::Completed,
                    },
                    attempts: attempts.begun(row.run),
                    started_at: Some(row.started_at),
                    ended_at: Some(row.ended_at),
                    error: cause.and_then(|cause| messages.of(cause, rows.errors())),
                };
            let runs = row.run..row.run + 1;
            let skips = self.skips.has_run(row.run);
            match &locator {
                Some(locator) if skips || own.is_some_and(RunReasons::has_single) => {
                    locator.for_each(self.rows_of(runs), |at, partition| {
                        let skipped = self.skips.reason(row.run, partition, None).is_some();
                        let cause = own.and_then(|own| own.of(partition));
                        let shown = ended(cause, skipped, &mut rows);
                        if self.filter.keeps(shown.status) {
                            rows.add_run(row.run, 1);
                            rows.add_rows(at..at + 1, shown);
                        }
                    });
                }
                _ => {
                    let shown = ended(own.and_then(RunReasons::first), false, &mut rows);
                    self.add(&mut rows, runs, shown);
                }
            }
        });
        rows
    }

    /// Adds all rows of these runs.
    fn add(&self, rows: &mut PartitionRows<'a>, runs: Range<u64>, shown: Shown) {
        if !runs.is_empty() && self.filter.keeps(shown.status) {
            rows.add_rows(self.rows_of(runs.clone()), shown);
            for run in runs {
                rows.add_run(run, self.plan.run_len(run) as usize);
            }
        }
    }
}
