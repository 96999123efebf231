//! Walks through a plan's runs in order, with their records.

use std::ops::Range;

use crate::backfill::RunRow;
use crate::backfill::outcome::rows_of;
use crate::clock::Micros;

/// Consecutive runs with the same kind of record.
pub(super) enum Span<'a> {
    /// Runs without a record.
    Waiting(Range<u64>),
    /// A run that has begun.
    Started(u64, Micros),
    /// A run that has ended.
    Ended(&'a RunRow),
}

/// Calls `visit` with the spans that cover these runs, in order. `ended` is ascending; a run that has
/// ended does not count as in flight, even if it is listed there.
pub(super) fn walk<'a>(
    runs: Range<u64>,
    ended: &'a [RunRow],
    in_flight: &[(u64, Micros)],
    mut visit: impl FnMut(Span<'a>),
) {
    let mut started = in_flight.to_vec();
    started.retain(|(run, _)| runs.contains(run));
    started.sort_unstable();
    let mut ended = rows_of(ended, &runs).iter().peekable();
    let (mut next, mut started) = (runs.start, started.iter().peekable());
    loop {
        let end = ended.peek().map_or(u64::MAX, |row| row.run);
        let start = started.peek().map_or(u64::MAX, |(run, _)| *run);
        let run = end.min(start);
        if run >= runs.end {
            break;
        }
        let (row, begun) = (
            ended.next_if(|row| row.run == run),
            started.next_if(|s| s.0 == run),
        );
        if run < next {
            continue;
        }
        if next < run {
            visit(Span::Waiting(next..run));
        }
        match (row, begun) {
            (Some(row), _) => visit(Span::Ended(row)),
            (None, Some(&(_, at))) => visit(Span::Started(run, at)),
            (None, None) => unreachable!("the lower of the two is one of them"),
        }
        next = run + 1;
    }
    if next < runs.end {
        visit(Span::Waiting(next..runs.end));
    }
}
