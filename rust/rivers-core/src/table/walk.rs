//! A plan's runs in order, by what the records say of them.

use std::ops::Range;

use crate::backfill::RunRow;
use crate::backfill::outcome::rows_of;
use crate::clock::Micros;

/// Runs next to each other of which the records say the same.
pub(super) enum Stretch<'a> {
    /// Nothing is recorded of them.
    Waiting(Range<u64>),
    /// It has begun.
    Started(u64, Micros),
    /// It has ended.
    Ended(&'a RunRow),
}

/// Calls `visit` with stretches that cover these runs, in order. `ended` is ascending; a run that has
/// ended is not in flight, whatever is said of it.
pub(super) fn walk<'a>(
    runs: Range<u64>,
    ended: &'a [RunRow],
    in_flight: &[(u64, Micros)],
    mut visit: impl FnMut(Stretch<'a>),
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
            visit(Stretch::Waiting(next..run));
        }
        match (row, begun) {
            (Some(row), _) => visit(Stretch::Ended(row)),
            (None, Some(&(_, at))) => visit(Stretch::Started(run, at)),
            (None, None) => unreachable!("the lower of the two is one of them"),
        }
        next = run + 1;
    }
    if next < runs.end {
        visit(Stretch::Waiting(next..runs.end));
    }
}
