//! Why what failed failed, by run: the first reason of a run and of each of its partitions.

use hashbrown::HashMap;

use super::text::{Texts, View};
use crate::backfill::{Cause, FailureRow};

/// The failures of a backfill.
pub(super) struct Reasons {
    by_run: HashMap<u64, RunReasons>,
}

/// The messages of causes, each written once.
pub(super) struct Messages<'a> {
    written: HashMap<i64, Option<View>>,
    causes: &'a HashMap<i64, Cause>,
}

/// The failures of a run: the number of the record, and of its cause.
#[derive(Default)]
pub(super) struct RunReasons {
    /// The first of any.
    first: Option<(usize, i64)>,
    /// The first that takes all partitions.
    all: Option<(usize, i64)>,
    /// The first of single partitions.
    single: HashMap<u64, (usize, i64)>,
}

impl RunReasons {
    /// Whether some partition has a reason of its own.
    pub(super) fn has_single(&self) -> bool {
        !self.single.is_empty()
    }

    /// The first reason of any partition.
    pub(super) fn first(&self) -> Option<i64> {
        self.first.map(|(_, cause)| cause)
    }

    /// The first reason of one partition; `None`: it did not fail.
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
    /// `failures` in the order in which they were recorded; what was skipped has no reason.
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
    /// None is written yet.
    pub(super) fn new(causes: &'a HashMap<i64, Cause>) -> Self {
        Self {
            written: HashMap::new(),
            causes,
        }
    }

    /// The message of a cause; `None` for a cause that is not known.
    pub(super) fn of(&mut self, cause: i64, texts: &mut Texts) -> Option<View> {
        let write = || {
            self.causes
                .get(&cause)
                .map(|known| texts.write(&known.message))
        };
        *self.written.entry(cause).or_insert_with(write)
    }
}
