//! The table of a backfill's runs that have begun.

use std::sync::Arc;

use arrow_array::{DurationMicrosecondArray, RecordBatch, UInt32Array, UInt64Array};

use super::attempts::Attempts;
use super::batch::{batch, check_rows};
use super::partitions::BackfillView;
use super::reasons::{Messages, Reasons, RunReasons};
use super::schema;
use super::states::{self, RunStatus};
use super::text::{TextColumn, TimestampColumn};
use super::walk::{Span, walk};
use crate::backfill::request::run_id;
use crate::backfill::{AttemptRow, RunRow, Status};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan::Plan;

/// One row per run that has begun, by number (columns: `schema::runs`), limited to the given states
/// if any are given.
///
/// # Errors
/// `Execution` for more than `MAX_ROWS` rows.
pub fn runs(
    plan: &Plan,
    view: &BackfillView<'_>,
    status: Option<&[RunStatus]>,
) -> Result<RecordBatch> {
    let open = |status| match view.status {
        Status::InProgress => status,
        Status::Completed | Status::Failed | Status::Canceled => RunStatus::Canceled,
    };
    let wanted = |state| status.is_none_or(|states| states.contains(&state));
    let attempts = Attempts::new(view.attempts);
    let mut kept = Vec::new();
    walk(0..plan.num_runs(), view.runs, view.in_flight, |span| {
        let (state, run, started_at, row) = match span {
            Span::Waiting(runs) => {
                let state = open(RunStatus::Waiting);
                let waiting = attempts.within(&runs).iter();
                kept.extend(
                    waiting
                        .filter(|_| wanted(state))
                        .map(|row| Kept::waiting(state, row)),
                );
                return;
            }
            Span::Started(run, at) => (open(RunStatus::Running), run, at, None),
            Span::Ended(row) if row.failed == 0 => {
                (RunStatus::Completed, row.run, row.started_at, Some(row))
            }
            Span::Ended(row) => (RunStatus::Failed, row.run, row.started_at, Some(row)),
        };
        if wanted(state) {
            kept.push(Kept {
                state,
                run,
                attempts: attempts.begun(run),
                started_at,
                ended: row,
                cause: None,
            });
        }
    });
    let rows = check_rows(kept.len() as u64, "; filter them by status")?;
    let reasons = Reasons::new(view.failures);
    let mut messages = Messages::new(view.causes);
    let (mut ids, mut errors) = (TextColumn::new(rows), TextColumn::new(rows));
    let (mut started, mut ended) = (TimestampColumn::new(rows), TimestampColumn::new(rows));
    for kept in &kept {
        ids.push_text(Some(&run_id(view.id, kept.run)));
        started.push(Some(kept.started_at), 1);
        ended.push(kept.ended.map(|row| row.ended_at), 1);
        let own = kept
            .ended
            .filter(|row| row.failed > 0)
            .and_then(|row| reasons.of_run(row.run));
        let cause = own.and_then(RunReasons::first).or(kept.cause);
        let error = cause.and_then(|cause| messages.of(cause, &mut errors.texts));
        errors.push(error, 1);
    }
    let duration = |row: &RunRow| row.ended_at.saturating_sub(row.started_at);
    let durations: DurationMicrosecondArray =
        kept.iter().map(|kept| kept.ended.map(duration)).collect();
    let states = kept.iter().map(|kept| kept.state as u8).collect();
    let numbers = kept.iter().map(|kept| kept.run);
    let partitions = numbers.clone().map(|run| plan.run_len(run));
    let attempts = kept.iter().map(|kept| kept.attempts);
    let columns = vec![
        Arc::new(UInt64Array::from_iter_values(numbers.clone())) as _,
        ids.finish()?,
        states::state_column(states, RunStatus::NAMES)?,
        Arc::new(UInt64Array::from_iter_values(partitions)) as _,
        Arc::new(UInt32Array::from_iter_values(attempts)) as _,
        started.finish(),
        ended.finish(),
        Arc::new(durations) as _,
        errors.finish()?,
    ];
    batch(schema::runs(), columns, rows)
}

/// A row of the table.
struct Kept<'a> {
    state: RunStatus,
    run: u64,
    attempts: u32,
    started_at: Micros,
    ended: Option<&'a RunRow>,
    /// The error of the last failed attempt, if the run waits for the next.
    cause: Option<i64>,
}

impl Kept<'_> {
    fn waiting(state: RunStatus, row: &AttemptRow) -> Self {
        Self {
            state,
            run: row.run,
            attempts: row.attempt,
            started_at: row.started_at,
            ended: None,
            cause: Some(row.cause),
        }
    }
}
