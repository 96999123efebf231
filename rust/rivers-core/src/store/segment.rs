//! Segments: the ended runs of one commit, packed into one body. Each database stores them in this form.
//!
//! A body is a version byte and blocks of at most [`BLOCK_RUNS`] runs, ascending by number. A block names its
//! size and its first number, so that looking for one run skips the others:
//!
//! ```text
//! block = count, length of what follows in bytes, first number, runs
//! run   = (numbers skipped since the run before) * 2 + (some partitions failed),
//!         start minus the end of the run before, zigzag (0 before the first),
//!         duration,
//!         number of partitions that failed, if some did
//! ```
//!
//! All numbers are LEB128. A run that takes no time follows the one before at once, and takes three bytes.

use std::ops::Range;

use crate::backfill::RunRow;
use crate::clock::Micros;
use crate::error::{Error, Result};

/// The only version of a body so far.
const VERSION: u8 = 1;
/// Maximum number of runs in a block: what looking for one run decodes.
const BLOCK_RUNS: usize = 256;
/// Gaps between numbers from here on start a new block, so that a gap and a flag fit one number.
const MAX_GAP: u64 = 1 << 62;

/// The ended runs of one commit, or of several that were merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The lowest number of a run.
    pub first: u64,
    /// The highest number of a run.
    pub last: u64,
    /// Number of runs.
    pub runs: u64,
    /// Number of runs of which partitions failed.
    pub failed_runs: u64,
    /// The packed runs.
    pub body: Vec<u8>,
}

impl Segment {
    /// Packs runs, in any order. `None` if there are none.
    pub fn pack(mut runs: Vec<RunRow>) -> Option<Self> {
        if !runs.is_sorted_by_key(|row| row.run) {
            runs.sort_by_key(|row| row.run);
        }
        let (first, last) = (runs.first()?.run, runs.last()?.run);
        let mut body = Vec::with_capacity(4 * runs.len() + 32);
        body.push(VERSION);
        let mut block = Vec::with_capacity(4 * BLOCK_RUNS);
        let mut rest = runs.as_slice();
        while let Some(first) = rest.first() {
            let count = pack_block(rest, &mut block);
            put(&mut body, count as u64);
            put(&mut body, (block.len() + length(first.run)) as u64);
            put(&mut body, first.run);
            body.extend_from_slice(&block);
            rest = &rest[count..];
        }
        Some(Self {
            first,
            last,
            runs: runs.len() as u64,
            failed_runs: runs.iter().filter(|row| row.failed > 0).count() as u64,
            body,
        })
    }

    /// The runs whose number is in the range, ascending.
    pub fn rows(&self, numbers: Range<u64>) -> Rows<'_> {
        Rows::new(&self.body, numbers)
    }

    /// The last runs that are wanted, ascending: at least `count`, if there are as many.
    ///
    /// # Errors
    /// `Execution` if the body is damaged.
    pub fn last_rows(
        &self,
        count: usize,
        is_wanted: impl Fn(&RunRow) -> bool,
    ) -> Result<Vec<RunRow>> {
        let blocks = blocks(&self.body).ok_or_else(damaged)?;
        let mut found = Vec::new();
        for block in blocks.into_iter().rev() {
            let mut rows = Vec::with_capacity(BLOCK_RUNS);
            for row in Rows::of_blocks(block, 0..u64::MAX) {
                rows.push(row?);
            }
            found.extend(rows.into_iter().rev().filter(|row| is_wanted(row)));
            if found.len() >= count {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }

    /// All runs, ascending.
    ///
    /// # Errors
    /// `Execution` if the body is damaged, or does not hold what the other fields say.
    pub fn unpack(&self) -> Result<Vec<RunRow>> {
        let mut rows = Vec::with_capacity(self.body.len() / 3);
        for row in self.rows(0..u64::MAX) {
            rows.push(row?);
        }
        let failed = rows.iter().filter(|row| row.failed > 0).count();
        let found = (rows.len() as u64, failed as u64);
        let ends = rows.first().zip(rows.last());
        if found != (self.runs, self.failed_runs)
            || ends.map(|(first, last)| (first.run, last.run)) != Some((self.first, self.last))
        {
            return Err(damaged());
        }
        Ok(rows)
    }
}

/// Packs the first runs into `block`, without its header; how many they are.
fn pack_block(runs: &[RunRow], block: &mut Vec<u8>) -> usize {
    block.clear();
    let mut previous: Option<&RunRow> = None;
    let mut count = 0;
    for row in runs.iter().take(BLOCK_RUNS) {
        // Two records of one run are kept as they are, in two blocks: a check of the records finds them.
        let gap = match previous {
            None => 0,
            Some(before) => match row
                .run
                .checked_sub(before.run)
                .and_then(|by| by.checked_sub(1))
            {
                Some(gap) if gap < MAX_GAP => gap,
                Some(_) | None => break,
            },
        };
        let since = previous.map_or(0, |before| before.ended_at);
        put(block, gap << 1 | u64::from(row.failed > 0));
        put(block, zigzag(row.started_at.wrapping_sub(since)));
        put(
            block,
            row.ended_at.wrapping_sub(row.started_at).cast_unsigned(),
        );
        if row.failed > 0 {
            put(block, row.failed);
        }
        previous = Some(row);
        count += 1;
    }
    count
}

/// Runs in a body, as they are decoded. After an error there are no more.
#[derive(Debug)]
pub struct Rows<'a> {
    numbers: Range<u64>,
    /// The blocks that have not been entered.
    blocks: &'a [u8],
    /// What is left of the present block: its bytes, and number of its runs.
    block: &'a [u8],
    left: u64,
    /// The number of the next run if no number is skipped, and the end of the run before.
    next: u64,
    since: Micros,
    is_damaged: bool,
}

impl<'a> Rows<'a> {
    fn new(body: &'a [u8], numbers: Range<u64>) -> Self {
        let blocks = match body.split_first() {
            Some((&VERSION, blocks)) => Some(blocks),
            Some(_) | None => None,
        };
        Self {
            is_damaged: blocks.is_none(),
            ..Self::of_blocks(blocks.unwrap_or(&[]), numbers)
        }
    }

    fn of_blocks(blocks: &'a [u8], numbers: Range<u64>) -> Self {
        Self {
            numbers,
            is_damaged: false,
            blocks,
            block: &[],
            left: 0,
            next: 0,
            since: 0,
        }
    }

    /// Enters the next block that may have runs of the range; `Some(false)`: there is none. `None`, here and
    /// below: the body is damaged.
    fn enter(&mut self) -> Option<bool> {
        while !self.blocks.is_empty() {
            let count = get(&mut self.blocks)?;
            let size = usize::try_from(get(&mut self.blocks)?).ok()?;
            let (mut block, after) = self.blocks.split_at_checked(size)?;
            self.blocks = after;
            let first = get(&mut block)?;
            if first >= self.numbers.end {
                self.blocks = &[];
                return Some(false);
            }
            // The next block begins above the runs of this one.
            if first_number(after).is_none_or(|next| next > self.numbers.start) {
                (self.block, self.left) = (block, count);
                (self.next, self.since) = (first, 0);
                return Some(true);
            }
        }
        Some(false)
    }

    fn row(&mut self) -> Option<RunRow> {
        let gap = get(&mut self.block)?;
        let run = self.next.checked_add(gap >> 1)?;
        let started_at = self.since.wrapping_add(unzigzag(get(&mut self.block)?));
        let ended_at = started_at.wrapping_add(get(&mut self.block)?.cast_signed());
        let failed = match gap & 1 {
            0 => 0,
            _ => get(&mut self.block).filter(|&failed| failed > 0)?,
        };
        (self.next, self.since) = (run.checked_add(1)?, ended_at);
        self.left -= 1;
        Some(RunRow {
            run,
            started_at,
            ended_at,
            failed,
        })
    }

    fn advance(&mut self) -> Option<Option<RunRow>> {
        loop {
            if self.left == 0 {
                if !self.block.is_empty() {
                    return None;
                }
                if !self.enter()? {
                    return Some(None);
                }
                continue;
            }
            let row = self.row()?;
            if row.run >= self.numbers.end {
                (self.blocks, self.block, self.left) = (&[], &[], 0);
                return Some(None);
            }
            if row.run >= self.numbers.start {
                return Some(Some(row));
            }
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RunRow>;

    #[inline]
    fn next(&mut self) -> Option<Result<RunRow>> {
        if !self.is_damaged
            && let Some(row) = self.advance()
        {
            return row.map(Ok);
        }
        (self.is_damaged, self.blocks, self.block, self.left) = (false, &[], &[], 0);
        Some(Err(damaged()))
    }
}

/// The blocks of a body, each with its header; `None` if it is damaged.
fn blocks(body: &[u8]) -> Option<Vec<&[u8]>> {
    let (&VERSION, mut rest) = body.split_first()? else {
        return None;
    };
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let mut inside = rest;
        get(&mut inside)?;
        let size = usize::try_from(get(&mut inside)?).ok()?;
        let length = (rest.len() - inside.len()).checked_add(size)?;
        let (block, after) = rest.split_at_checked(length)?;
        blocks.push(block);
        rest = after;
    }
    Some(blocks)
}

fn damaged() -> Error {
    Error::Execution("a stored segment of runs is damaged".into())
}

/// The first number of the block that `rest` begins with.
fn first_number(mut rest: &[u8]) -> Option<u64> {
    get(&mut rest)?;
    get(&mut rest)?;
    get(&mut rest)
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Number of bytes of a number.
fn length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number at the front; `None` if there is none, or it exceeds 64 bits.
fn get(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    if first < 0x80 {
        return Some(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(run: u64, started_at: Micros, ended_at: Micros, failed: u64) -> RunRow {
        RunRow {
            run,
            started_at,
            ended_at,
            failed,
        }
    }

    /// Runs without effect, one after the other.
    fn noop(count: u64) -> Vec<RunRow> {
        let at = |run: u64| 1_800_000_000_000_000 + 3 * run.cast_signed();
        (0..count)
            .map(|run| row(run, at(run), at(run) + 2, 0))
            .collect()
    }

    fn read(segment: &Segment, numbers: Range<u64>) -> Result<Vec<RunRow>> {
        segment.rows(numbers).collect()
    }

    /// Numbers with all kinds of gaps, and times as a clock may give them, or damage.
    fn runs() -> impl Strategy<Value = Vec<RunRow>> {
        let gap = prop_oneof![9 => Just(1_u64), 2 => 1..500_u64, 1 => 1..u64::MAX / 4];
        let time = || prop_oneof![9 => 0..5_000_000_i64, 1 => any::<i64>()];
        let failed = prop_oneof![5 => Just(0_u64), 1 => 1..300_u64, 1 => any::<u64>()];
        prop::collection::vec((gap, time(), time(), failed), 1..700).prop_map(|drafts| {
            let mut rows: Vec<RunRow> = Vec::new();
            for (gap, started_at, ended_at, failed) in drafts {
                let before = rows.last().map_or(0, |row| row.run);
                let Some(run) = before.checked_add(gap).filter(|&run| run < u64::MAX) else {
                    break;
                };
                rows.push(row(run, started_at, ended_at, failed));
            }
            rows
        })
    }

    proptest! {
        #[test]
        fn runs_are_read_as_they_were_packed(rows in runs(), turn in any::<prop::sample::Index>()) {
            let mut shuffled = rows.clone();
            shuffled.rotate_left(turn.index(rows.len()));
            let segment = Segment::pack(shuffled).expect("there are runs");
            prop_assert_eq!(segment.unpack(), Ok(rows.clone()));
            let failed: Vec<_> = rows.iter().filter(|row| row.failed > 0).copied().collect();
            for count in [0, 1, 7, 300, usize::MAX] {
                let last = segment.last_rows(count, |row| row.failed > 0).expect("it is intact");
                prop_assert!(failed.ends_with(&last) && last.len() >= count.min(failed.len()));
            }
            prop_assert_eq!((segment.first, segment.last), (rows[0].run, rows[rows.len() - 1].run));
        }

        #[test]
        fn a_range_holds_the_runs_with_these_numbers(
            rows in runs(),
            ends in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            offset in 0..3_u64,
        ) {
            let at = |index: prop::sample::Index| rows[index.index(rows.len())].run;
            let range = at(ends.0)..at(ends.1) + offset;
            let segment = Segment::pack(rows.clone()).expect("there are runs");
            let expected: Vec<_> = rows.iter().filter(|row| range.contains(&row.run)).copied().collect();
            prop_assert_eq!(read(&segment, range), Ok(expected));
        }

        #[test]
        fn noise_is_an_error_or_reads_as_runs_but_never_panics(
            mut body in prop::collection::vec(any::<u8>(), 0..300),
            numbers in any::<Range<u64>>(),
        ) {
            let read = |body: &[u8], numbers| Rows::new(body, numbers).take(1_000).count();
            read(&body, numbers.clone());
            body.insert(0, VERSION);
            read(&body, numbers);
        }

        #[test]
        fn a_body_that_was_cut_is_an_error(rows in runs(), cut in any::<prop::sample::Index>()) {
            let mut segment = Segment::pack(rows).expect("there are runs");
            segment.body.truncate(cut.index(segment.body.len()));
            prop_assert!(segment.unpack().is_err());
        }

        #[test]
        fn a_body_with_a_changed_byte_never_panics(
            rows in runs(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut segment = Segment::pack(rows).expect("there are runs");
            let at = at.index(segment.body.len());
            segment.body[at] = byte;
            drop(segment.unpack());
            drop(segment.last_rows(usize::MAX, |_| true));
            drop(read(&segment, segment.first..segment.last));
        }

        #[test]
        fn a_number_is_read_as_it_was_written(value in any::<u64>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            prop_assert_eq!(bytes.len(), length(value));
            prop_assert_eq!(get(&mut bytes.as_slice()), Some(value));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn a_run_without_effect_takes_three_bytes() {
        let rows = noop(100_000);
        let segment = Segment::pack(rows).expect("there are runs");
        let size = segment.body.len() as f64 / 100_000.0;
        assert!(size < 3.1, "{size} bytes a run");
    }

    #[test]
    fn two_records_of_one_run_are_kept() {
        let rows = vec![
            row(3, 1, 2, 0),
            row(4, 1, 2, 0),
            row(4, 5, 6, 1),
            row(5, 1, 2, 0),
        ];
        let segment = Segment::pack(rows.clone()).expect("there are runs");
        assert_eq!(segment.unpack(), Ok(rows));
    }

    #[test]
    fn no_runs_make_no_segment() {
        assert_eq!(Segment::pack(Vec::new()), None);
    }

    #[test]
    fn an_unknown_version_is_an_error() {
        let mut segment = Segment::pack(noop(3)).expect("there are runs");
        segment.body[0] = VERSION + 1;
        assert!(segment.unpack().is_err());
        segment.body.clear();
        assert!(segment.unpack().is_err());
    }

    #[test]
    fn a_segment_whose_counts_are_wrong_is_an_error() {
        let segment = Segment::pack(noop(3)).expect("there are runs");
        let wrong = Segment {
            runs: 4,
            ..segment.clone()
        };
        assert!(wrong.unpack().is_err());
        let wrong = Segment {
            failed_runs: 1,
            ..segment.clone()
        };
        assert!(wrong.unpack().is_err());
        let wrong = Segment { last: 7, ..segment };
        assert!(wrong.unpack().is_err());
    }
}
