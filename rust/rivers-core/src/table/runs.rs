//! The runs of a backfill that have begun.

use std::sync::Arc;

use arrow_array::{DurationMicrosecondArray, RecordBatch, UInt64Array};

use super::partitions::BackfillView;
use super::reasons::{Messages, Reasons, RunReasons};
use super::schema;
use super::states::{self, RunStatus};
use super::text::{MomentColumn, TextColumn};
use super::walk::{Stretch, walk};
use super::{batch, check_rows};
use crate::backfill::Status;
use crate::backfill::record::run_id;
use crate::error::Result;
use crate::plan::Plan;

/// One row per run that has begun, by number (columns: `schema::runs`); of some states only, if
/// they are given.
///
/// # Errors
/// `Execution` when there are more than `MAX_ROWS`.
pub fn runs(
    plan: &Plan,
    view: &BackfillView<'_>,
    status: Option<&[RunStatus]>,
) -> Result<RecordBatch> {
    let open = match view.status {
        Status::InProgress => RunStatus::Running,
        Status::Completed | Status::Failed | Status::Canceled => RunStatus::Canceled,
    };
    let mut kept = Vec::new();
    walk(plan.num_runs(), view.runs, view.in_flight, |stretch| {
        let (state, run, started_at, row) = match stretch {
            Stretch::Waiting(_) => return,
            Stretch::Started(run, at) => (open, run, at, None),
            Stretch::Ended(row) if row.failed == 0 => {
                (RunStatus::Completed, row.run, row.started_at, Some(row))
            }
            Stretch::Ended(row) => (RunStatus::Failed, row.run, row.started_at, Some(row)),
        };
        if status.is_none_or(|states| states.contains(&state)) {
            kept.push((state, run, started_at, row));
        }
    });
    let rows = check_rows(kept.len() as u64, "; filter them by status")?;
    let reasons = Reasons::new(view.failures);
    let mut messages = Messages::new(view.causes);
    let (mut ids, mut errors) = (TextColumn::new(rows), TextColumn::new(rows));
    let (mut started, mut ended) = (MomentColumn::new(rows), MomentColumn::new(rows));
    for &(_, run, started_at, row) in &kept {
        ids.push_text(Some(&run_id(view.id, run)));
        started.push(Some(started_at), 1);
        ended.push(row.map(|row| row.ended_at), 1);
        let own = row
            .filter(|row| row.failed > 0)
            .and_then(|row| reasons.of_run(row.run));
        let cause = own.and_then(RunReasons::first);
        let error = cause.and_then(|cause| messages.of(cause, &mut errors.texts));
        errors.push(error, 1);
    }
    let duration = |row: &crate::backfill::RunRow| row.ended_at.saturating_sub(row.started_at);
    let durations: DurationMicrosecondArray =
        kept.iter().map(|(.., row)| row.map(duration)).collect();
    let states = kept.iter().map(|(state, ..)| *state as u8).collect();
    let numbers = kept.iter().map(|(_, run, ..)| *run);
    let partitions = numbers.clone().map(|run| plan.run_len(run));
    let columns = vec![
        Arc::new(UInt64Array::from_iter_values(numbers.clone())) as _,
        ids.finish()?,
        states::state_column(states, RunStatus::NAMES)?,
        Arc::new(UInt64Array::from_iter_values(partitions)) as _,
        started.finish(),
        ended.finish(),
        Arc::new(durations) as _,
        errors.finish()?,
    ];
    batch(schema::runs(), columns, rows)
}
