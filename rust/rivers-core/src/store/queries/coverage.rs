//! Which ranges of runs have ended as a whole, without unpacking them.
//!
//! A segment names its first and its last run and how many it has. The runs below a number are those of the
//! segments that end below it, and some of the few segments around it: only these are unpacked. Where as many
//! runs have ended as a range has numbers, all of them have.

use std::ops::Range;

use crate::error::Result;
use crate::store::Records;
use crate::store::records::{Extent, Key};

/// Counts the ended runs of a backfill.
pub struct Coverage<'a> {
    store: &'a dyn Records,
    key: Key,
    /// By their last run.
    extents: Vec<Extent>,
    /// The number of runs of all extents before each of them.
    before: Vec<u64>,
}

/// Ranges of numbers, ascending: what is in none of them has not ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// All runs have ended.
    pub full: Vec<Range<u64>>,
    /// Some runs have ended.
    pub mixed: Vec<Range<u64>>,
}

impl<'a> Coverage<'a> {
    /// Of a backfill as it stands.
    ///
    /// # Errors
    /// `Storage`.
    pub fn new(store: &'a dyn Records, key: Key) -> Result<Self> {
        let mut extents = store.extents(key)?;
        extents.sort_unstable_by_key(|extent| extent.last);
        let mut sum = 0;
        let mut before = Vec::with_capacity(extents.len() + 1);
        before.push(0);
        for extent in &extents {
            sum += extent.runs;
            before.push(sum);
        }
        Ok(Self {
            store,
            key,
            extents,
            before,
        })
    }

    /// Divides a range; parts of at most `min_len` runs are not divided further.
    ///
    /// # Errors
    /// `Storage`; `Execution` if the records are damaged.
    pub fn split(&self, numbers: Range<u64>, min_len: u64) -> Result<Ranges> {
        let mut ranges = Ranges::default();
        let end = self
            .extents
            .last()
            .map_or(0, |extent| extent.last.saturating_add(1));
        let numbers = numbers.start..numbers.end.min(end);
        if !numbers.is_empty() {
            let counts = (self.below(numbers.start)?, self.below(numbers.end)?);
            self.divide(numbers, counts, min_len.max(1), &mut ranges)?;
        }
        Ok(ranges)
    }

    /// The numbers of the runs with a failure, in ranges that have others as well.
    pub fn failed(&self) -> Vec<Range<u64>> {
        let with_failure = self.extents.iter().filter(|extent| extent.failed_runs > 0);
        let mut ranges: Vec<Range<u64>> = with_failure
            .map(|extent| extent.first..extent.last.saturating_add(1))
            .collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut merged = Vec::new();
        for range in ranges {
            push(&mut merged, range);
        }
        merged
    }

    fn divide(
        &self,
        numbers: Range<u64>,
        counts: (Option<u64>, Option<u64>),
        min_len: u64,
        ranges: &mut Ranges,
    ) -> Result<()> {
        let len = numbers.end - numbers.start;
        let ended = counts.0.zip(counts.1).map(|(start, end)| end - start);
        match ended {
            Some(0) => {}
            Some(ended) if ended == len => push(&mut ranges.full, numbers),
            Some(_) | None if len <= min_len => push(&mut ranges.mixed, numbers),
            Some(_) | None => {
                let middle = numbers.start + len / 2;
                let count = self.below(middle)?;
                self.divide(numbers.start..middle, (counts.0, count), min_len, ranges)?;
                self.divide(middle..numbers.end, (count, counts.1), min_len, ranges)?;
            }
        }
        Ok(())
    }

    /// The number of ended runs below a number; `None` if the segments around it have changed meanwhile.
    fn below(&self, number: u64) -> Result<Option<u64>> {
        let whole = self.extents.partition_point(|extent| extent.last < number);
        let mut count = self.before[whole];
        let crosses = |extent: &Extent| extent.first < number && extent.last >= number;
        let known = self.extents[whole..].iter().copied();
        let mut known: Vec<Extent> = known.filter(crosses).collect();
        if known.is_empty() {
            return Ok(Some(count));
        }
        let segments = self.store.segments(self.key, &(number - 1..number))?;
        let around = || segments.iter().filter(|own| crosses(&Extent::from(*own)));
        let mut now: Vec<Extent> = around().map(Extent::from).collect();
        for extents in [&mut known, &mut now] {
            extents.sort_unstable_by_key(|extent| (extent.first, extent.last, extent.runs));
        }
        if known != now {
            return Ok(None);
        }
        for segment in around() {
            for row in segment.rows(0..number) {
                row?;
                count += 1;
            }
        }
        Ok(Some(count))
    }
}

/// Adds a range to others, as one with the last if they meet.
fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
        Some(_) | None => ranges.push(range),
    }
}
