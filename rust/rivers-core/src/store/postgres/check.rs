//! Whether the counts of each backfill equal its records.

use super::backfill;
use super::segment;
use super::session::{Answer, Connected, Failure, params};
use crate::store::queries::consistency;
use crate::store::queries::ended_runs::EndedRuns;
use crate::store::records::BackfillRow;

/// What is wrong, a sentence each. All is read at one point in time, while others write.
pub(super) fn check(connected: &mut Connected<'_>) -> Answer<Vec<String>> {
    connected.transaction(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        |connected| {
            let mut problems = Vec::new();
            for row in backfill::select(connected, "ORDER BY key", &[])? {
                let id = &row.request.id;
                let named = |text| format!("backfill {id}: {text}");
                problems.extend(of_backfill(connected, &row)?.into_iter().map(named));
            }
            Ok(problems)
        },
    )
}

fn of_backfill(connected: &mut Connected<'_>, row: &BackfillRow) -> Answer<Vec<String>> {
    let plan = match backfill::plan(connected, row.key) {
        Ok(plan) => plan,
        Err(Failure::Refused(error)) => {
            return Ok(vec![format!("its plan cannot be read: {error}")]);
        }
        Err(lost) => return Err(lost),
    };
    let segments = segment::select(connected, row.key, &(0..u64::MAX))?;
    let damaged = segments.iter().filter(|own| own.unpack().is_err()).count();
    if damaged > 0 {
        return Ok(vec![format!("{damaged} of its segments are damaged")]);
    }
    let ended = EndedRuns::new(segments, 0..u64::MAX);
    let mut problems = consistency::of_record(row, &plan);
    problems.extend(consistency::of_runs(row, &plan, &ended));
    let mut recorded = Vec::new();
    for (sql, what) in [
        (
            "SELECT DISTINCT run FROM @failure WHERE backfill = $1",
            true,
        ),
        (
            "SELECT DISTINCT run FROM @metadata WHERE backfill = $1",
            false,
        ),
    ] {
        let rows = connected.query(sql, params![row.key => INT8])?;
        recorded.extend(
            rows.iter()
                .map(|row| (row.get::<_, i64>(0).cast_unsigned(), what)),
        );
    }
    let unmatched = consistency::unmatched(&ended, recorded).map_err(Failure::Refused)?;
    if unmatched > 0 {
        problems.push(format!(
            "{unmatched} failures, metadata and failed runs do not match"
        ));
    }
    Ok(problems)
}
