//! What a run has not materialized so far, each mark of a partition found at once: a run may have
//! millions of them.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::backfill::{Cause, Failure};

/// Failures in the order in which they happened; as a slice, to look at.
#[derive(Debug, Default)]
pub(super) struct Missing {
    failures: Vec<Failure>,
    /// Where the first of an asset and a partition stands.
    places: HashMap<(u32, u64), usize>,
}

impl Missing {
    pub(super) fn new(failures: Vec<Failure>) -> Self {
        let mut missing = Self::default();
        failures
            .into_iter()
            .for_each(|failure| missing.push(failure));
        missing
    }

    pub(super) fn push(&mut self, failure: Failure) {
        if let Some(partition) = failure.partition {
            let place = self.failures.len();
            self.places
                .entry((failure.asset, partition))
                .or_insert(place);
        }
        self.failures.push(failure);
    }

    /// A single partition of an asset failed; said twice, the last reason stays.
    pub(super) fn mark(&mut self, asset: u32, partition: u64, cause: &Arc<Cause>) {
        let cause = Some(Arc::clone(cause));
        match self.places.get(&(asset, partition)) {
            Some(&place) => self.failures[place].cause = cause,
            None => self.push(Failure {
                asset,
                partition: Some(partition),
                cause,
                folded: None,
            }),
        }
    }

    /// Whether something is said of this very partition of an asset.
    pub(super) fn has(&self, asset: u32, partition: u64) -> bool {
        self.places.contains_key(&(asset, partition))
    }

    pub(super) fn take(&mut self) -> Vec<Failure> {
        self.places.clear();
        std::mem::take(&mut self.failures)
    }
}

impl Deref for Missing {
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
            folded: None,
        };
        let mut missing = Missing::new(vec![whole.clone()]);
        missing.mark(0, 7, &cause("first"));
        missing.mark(1, 7, &cause("other"));
        missing.mark(0, 7, &cause("last"));
        assert!(missing.has(0, 7) && missing.has(1, 7) && !missing.has(0, 8));
        let messages: Vec<Option<&str>> = missing
            .iter()
            .map(|failure| failure.cause.as_ref().map(|cause| cause.message.as_str()))
            .collect();
        assert_eq!(messages, [None, Some("last"), Some("other")]);
        assert_eq!(missing.take().len(), 3);
        assert!(missing.is_empty() && !missing.has(0, 7));
    }
}
