//! The errors of failed runs: the first error of each run and of each of its partitions.

use hashbrown::HashMap;

use super::text::{Texts, View};
use crate::backfill::{Cause, FailureRow};

/// The failures of a backfill.
pub(super) struct Reasons {
    by_run: HashMap<u64, RunReasons>,
}

/// The messages of errors, each written once.
pub(super) struct Messages<'a> {
    written: HashMap<i64, Option<View>>,
    causes: &'a HashMap<i64, Cause>,
}

/// The failures of a run: the numbers of the record and of its error.
#[derive(Default)]
pub(super) struct RunReasons {
    /// The first failure.
    first: Option<(usize, i64)>,
    /// The first failure of all partitions of the run.
    all: Option<(usize, i64)>,
    /// The first failure of each partition that failed on its own.
    single: HashMap<u64, (usize, i64)>,
}

impl RunReasons {
    /// Whether some partition failed on its own.
    pub(super) fn has_single(&self) -> bool {
        !self.single.is_empty()
    }

    /// The first error of any partition.
    pub(super) fn first(&self) -> Option<i64> {
        self.first.map(|(_, cause)| cause)
    }

    /// The first error of one partition, or `None` if it did not fail.
    pub(super) fn of(&self, partition: u64) -> Option<i64> {
        let single = self.single.get(&partition).copied();
        single
            .into_iter()
            .chain(self.all)
            .min()
            .map(|(_, cause)| cause)
    }
}

impl Reasons {
    /// Reads failures in the order in which they were recorded; skipped partitions have no error.
    pub(super) fn new(failures: &[FailureRow]) -> Self {
        let mut by_run: HashMap<u64, RunReasons> = HashMap::new();
        for (number, row) in failures.iter().enumerate() {
            let Some(cause) = row.cause else { continue };
            let reasons = by_run.entry(row.run).or_default();
            reasons.first.get_or_insert((number, cause));
            match row.partition {
                None => {
                    reasons.all.get_or_insert((number, cause));
                }
                Some(partition) => {
                    reasons.single.entry(partition).or_insert((number, cause));
                }
            }
        }
        Self { by_run }
    }

    /// The failures of a run, if any.
    pub(super) fn of_run(&self, run: u64) -> Option<&RunReasons> {
        self.by_run.get(&run)
    }
}

impl<'a> Messages<'a> {
    /// Creates a set of messages, none of which is written yet.
    pub(super) fn new(causes: &'a HashMap<i64, Cause>) -> Self {
        Self {
            written: HashMap::new(),
            causes,
        }
    }

    /// The message of an error, or `None` for an unknown error.
    pub(super) fn of(&mut self, cause: i64, texts: &mut Texts) -> Option<View> {
        let write = || {
            self.causes
                .get(&cause)
                .map(|known| texts.write(&known.message))
        };
        *self.written.entry(cause).or_insert_with(write)
    }
}
