//! Ended runs, read from segments: every reader of runs goes through here.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::backfill::RunRow;
use crate::clock::Micros;
use crate::error::Result;
use crate::store::records::{Key, SegmentsBefore};
use crate::store::segment::{Rows, Segment};

/// The ended runs of a backfill whose number is in a range: number, start, end, and how many partitions failed.
///
/// They are kept packed, a few bytes for each, and unpacked while they are gone through: for millions of runs
/// this is the cheapest way to read them.
#[derive(Debug)]
pub struct EndedRuns {
    numbers: Range<u64>,
    /// By first number.
    segments: Vec<Segment>,
}

impl EndedRuns {
    /// Of segments that hold all runs of the range.
    pub fn new(mut segments: Vec<Segment>, numbers: Range<u64>) -> Self {
        segments.sort_by_key(|segment| segment.first);
        Self { numbers, segments }
    }

    /// All of them.
    ///
    /// # Errors
    /// `Execution` if the records are damaged.
    pub fn to_vec(&self) -> Result<Vec<RunRow>> {
        let most: u64 = self.segments.iter().map(|segment| segment.runs).sum();
        let width = self.numbers.end.saturating_sub(self.numbers.start);
        let mut rows = Vec::with_capacity(usize::try_from(most.min(width)).unwrap_or(0));
        for row in self {
            rows.push(row?);
        }
        Ok(rows)
    }

    /// The runs in ascending order. A damaged record is an error, after which there are no more.
    pub fn iter(&self) -> EndedRunsIter<'_> {
        EndedRunsIter {
            waiting: &self.segments,
            numbers: self.numbers.clone(),
            open: Vec::new(),
        }
    }
}

impl<'a> IntoIterator for &'a EndedRuns {
    type Item = Result<RunRow>;
    type IntoIter = EndedRunsIter<'a>;

    fn into_iter(self) -> EndedRunsIter<'a> {
        self.iter()
    }
}

/// Goes through [`EndedRuns`].
#[derive(Debug)]
pub struct EndedRunsIter<'a> {
    waiting: &'a [Segment],
    numbers: Range<u64>,
    /// Segments that overlap, each with its next run. Mostly it is one: commits follow the order of the runs.
    open: Vec<(RunRow, Rows<'a>)>,
}

impl EndedRunsIter<'_> {
    fn advance(&mut self) -> Result<Option<RunRow>> {
        let lowest = self
            .open
            .iter()
            .enumerate()
            .min_by_key(|(_, (row, _))| row.run);
        let mut lowest = lowest.map(|(at, (row, _))| (at, row.run));
        while let Some((segment, waiting)) = self.waiting.split_first() {
            if lowest.is_some_and(|(_, run)| run < segment.first) {
                break;
            }
            self.waiting = waiting;
            let mut rows = segment.rows(self.numbers.clone());
            if let Some(row) = rows.next() {
                let row = row?;
                if lowest.is_none_or(|(_, run)| row.run < run) {
                    lowest = Some((self.open.len(), row.run));
                }
                self.open.push((row, rows));
            }
        }
        let Some((at, _)) = lowest else {
            return Ok(None);
        };
        let (row, rows) = &mut self.open[at];
        let found = *row;
        match rows.next() {
            Some(next) => *row = next?,
            None => drop(self.open.swap_remove(at)),
        }
        Ok(Some(found))
    }
}

impl Iterator for EndedRunsIter<'_> {
    type Item = Result<RunRow>;

    fn next(&mut self) -> Option<Result<RunRow>> {
        let next = self.advance();
        if next.is_err() {
            (self.waiting, self.open) = (&[], Vec::new());
        }
        next.transpose()
    }
}

/// The ended run with the highest number below `number`.
///
/// # Errors
/// `Execution` if a segment is damaged.
pub fn before(found: &SegmentsBefore, number: u64) -> Result<Option<RunRow>> {
    let mut best: Option<RunRow> = None;
    for segment in &found.around {
        for row in segment.rows(segment.first..number) {
            let row = row?;
            if best.is_none_or(|best| row.run > best.run) {
                best = Some(row);
            }
        }
    }
    if let Some(below) = &found.below
        && best.is_none_or(|best| below.last > best.run)
    {
        for row in below.rows(below.last..number) {
            best = Some(row?);
        }
    }
    Ok(best)
}

/// What is called with each of the latest segments; `false`: no more are needed.
pub type Visit<'a> = dyn FnMut(Key, Segment) -> Result<bool> + 'a;

/// The latest ended runs, those of the newest backfill first; only those with or without a failure, if
/// `failed` is given. `for_each` calls its argument with the latest segments.
///
/// # Errors
/// Those of `for_each`; `Execution` if a segment is damaged.
pub fn latest(
    failed: Option<bool>,
    limit: Option<u64>,
    for_each: impl FnOnce(&mut Visit<'_>) -> Result<()>,
) -> Result<Vec<(Key, RunRow)>> {
    let limit = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let mut latest = Latest {
        limit,
        found: Vec::new(),
        key: 0,
        heap: BinaryHeap::new(),
    };
    if limit == 0 {
        return Ok(latest.found);
    }
    for_each(&mut |key, segment| {
        if key != latest.key {
            latest.take_above(None);
            latest.key = key;
        }
        // All segments that follow in this backfill end at or below this one.
        latest.take_above(Some(segment.last));
        latest.add(&segment, failed)?;
        Ok(latest.found.len() < limit)
    })?;
    latest.take_above(None);
    Ok(latest.found)
}

/// The latest runs as they are found. Segments come by their last number; those that overlap are merged by a heap.
struct Latest {
    limit: usize,
    found: Vec<(Key, RunRow)>,
    /// The present backfill, and its runs that may still follow others: number, start, end, failed partitions.
    key: Key,
    heap: BinaryHeap<(u64, Micros, Micros, u64)>,
}

impl Latest {
    fn add(&mut self, segment: &Segment, failed: Option<bool>) -> Result<()> {
        let missing = self.limit - self.found.len();
        let is_wanted = |row: &RunRow| failed.is_none_or(|failed| (row.failed > 0) == failed);
        for row in segment.last_rows(missing, is_wanted)? {
            self.heap
                .push((row.run, row.started_at, row.ended_at, row.failed));
        }
        Ok(())
    }

    /// Moves the runs above a number (`None`: all) to those that were found.
    fn take_above(&mut self, number: Option<u64>) {
        while let Some(&(run, started_at, ended_at, failed)) = self.heap.peek() {
            if self.found.len() >= self.limit || number.is_some_and(|number| run <= number) {
                break;
            }
            let row = RunRow {
                run,
                started_at,
                ended_at,
                failed,
            };
            self.found.push((self.key, row));
            self.heap.pop();
        }
        if number.is_none() {
            self.heap.clear();
        }
    }
}
