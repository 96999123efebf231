//! A plan's runs in order, by what the records say of them.

use std::ops::Range;

use crate::backfill::RunRow;
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

/// Calls `visit` with stretches that cover all runs, in order. `ended` is ascending; a run that has
/// ended is not in flight, whatever is said of it.
pub(super) fn walk<'a>(
    num_runs: u64,
    ended: &'a [RunRow],
    in_flight: &[(u64, Micros)],
    mut visit: impl FnMut(Stretch<'a>),
) {
    let mut started = in_flight.to_vec();
    started.sort_unstable();
    let (mut next, mut ended, mut started) =
        (0, ended.iter().peekable(), started.iter().peekable());
    loop {
        let end = ended.peek().map_or(u64::MAX, |row| row.run);
        let start = started.peek().map_or(u64::MAX, |(run, _)| *run);
        let run = end.min(start);
        if run >= num_runs {
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
    if next < num_runs {
        visit(Stretch::Waiting(next..num_runs));
    }
}
