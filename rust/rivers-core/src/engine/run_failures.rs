//! What a run failed to materialize, with constant-time access by partition: there may be millions.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::backfill::{Cause, Failure};

/// Failures in the order in which they happened; derefs to a slice.
#[derive(Debug, Default)]
pub(super) struct RunFailures {
    failures: Vec<Failure>,
    /// Index of the first failure of an asset and a partition.
    index: HashMap<(u32, u64), usize>,
}

impl RunFailures {
    pub(super) fn new(failures: Vec<Failure>) -> Self {
        let mut run_failures = Self::default();
        failures
            .into_iter()
            .for_each(|failure| run_failures.push(failure));
        run_failures
    }

    pub(super) fn push(&mut self, failure: Failure) {
        if let Some(partition) = failure.partition {
            let at = self.failures.len();
            self.index.entry((failure.asset, partition)).or_insert(at);
        }
        self.failures.push(failure);
    }

    /// Records that `asset` failed for one partition. A second record replaces the reason of the first.
    pub(super) fn mark(&mut self, asset: u32, partition: u64, cause: &Arc<Cause>) {
        let cause = Some(Arc::clone(cause));
        match self.index.get(&(asset, partition)) {
            Some(&at) => self.failures[at].cause = cause,
            None => self.push(Failure {
                asset,
                partition: Some(partition),
                cause,
                fingerprint: None,
            }),
        }
    }

    /// Whether a failure of exactly this partition of `asset` is recorded.
    pub(super) fn has(&self, asset: u32, partition: u64) -> bool {
        self.index.contains_key(&(asset, partition))
    }

    pub(super) fn take(&mut self) -> Vec<Failure> {
        self.index.clear();
        std::mem::take(&mut self.failures)
    }
}

impl Deref for RunFailures {
    type Target = [Failure];

    fn deref(&self) -> &[Failure] {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_and_its_last_reason_stays() {
        let cause = |message: &str| {
            Arc::new(Cause {
                error_type: "E".into(),
                message: message.into(),
                traceback: None,
            })
        };
        let whole = Failure {
            asset: 1,
            partition: None,
            cause: None,
            fingerprint: None,
        };
        let mut run_failures = RunFailures::new(vec![whole.clone()]);
        run_failures.mark(0, 7, &cause("first"));
        run_failures.mark(1, 7, &cause("other"));
        run_failures.mark(0, 7, &cause("last"));
        assert!(run_failures.has(0, 7) && run_failures.has(1, 7) && !run_failures.has(0, 8));
        let messages: Vec<Option<&str>> = run_failures
            .iter()
            .map(|failure| failure.cause.as_ref().map(|cause| cause.message.as_str()))
            .collect();
        assert_eq!(messages, [None, Some("last"), Some("other")]);
        assert_eq!(run_failures.take().len(), 3);
        assert!(run_failures.is_empty() && !run_failures.has(0, 7));
    }
}
