//! How often each run was attempted.

use std::ops::Range;

use crate::backfill::AttemptRow;

/// The last failed attempt of each run that was to be attempted again.
pub(super) struct Attempts {
    last: Vec<AttemptRow>,
}

impl Attempts {
    /// `rows` by run and attempt.
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

    /// Those of these runs, ascending.
    pub(super) fn within(&self, runs: &Range<u64>) -> &[AttemptRow] {
        let at = |run| self.last.partition_point(|row| row.run < run);
        &self.last[at(runs.start)..at(runs.end)]
    }

    /// How many attempts of a run that has begun another one.
    pub(super) fn begun(&self, run: u64) -> u32 {
        self.within(&(run..run + 1))
            .first()
            .map_or(1, |row| row.attempt + 1)
    }
}
