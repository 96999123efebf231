//! The number of attempts of each run.

use std::ops::Range;

use crate::backfill::AttemptRow;

/// The last failed attempt of each run that was retried.
pub(super) struct Attempts {
    last: Vec<AttemptRow>,
}

impl Attempts {
    /// Reads attempts; `rows` are ascending by run and attempt.
    pub(super) fn new(rows: &[AttemptRow]) -> Self {
        let mut last: Vec<AttemptRow> = Vec::new();
        for row in rows {
            match last.last_mut() {
                Some(known) if known.run == row.run && known.attempt == row.attempt => {}
                Some(known) if known.run == row.run => *known = *row,
                _ => last.push(*row),
            }
        }
        Self { last }
    }

    /// The attempts of these runs, ascending.
    pub(super) fn within(&self, runs: &Range<u64>) -> &[AttemptRow] {
        let at = |run| self.last.partition_point(|row| row.run < run);
        &self.last[at(runs.start)..at(runs.end)]
    }

    /// Number of attempts of a run that has begun another attempt.
    pub(super) fn begun(&self, run: u64) -> u32 {
        self.within(&(run..run + 1))
            .first()
            .map_or(1, |row| row.attempt + 1)
    }
}
