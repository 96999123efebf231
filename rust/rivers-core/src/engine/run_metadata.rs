//! Facts about what a run materialized, while it is executed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::backfill::{OutputMetadata, PriorAttempts};

/// The facts of a run so far, those of earlier attempts included.
#[derive(Debug)]
pub(super) struct RunMetadata(Mutex<Vec<OutputMetadata>>);

impl RunMetadata {
    pub(super) fn new(prior_attempts: Option<&PriorAttempts>) -> Self {
        Self(Mutex::new(
            prior_attempts
                .and_then(|known| known.left.as_ref())
                .map_or_else(Vec::new, |left| left.metadata.clone()),
        ))
    }

    pub(super) fn take(&self) -> Vec<OutputMetadata> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a JSON object about an asset: for these partitions, or (`None`) for all that have none of their
    /// own.
    pub(super) fn add(&self, asset: u32, partitions: Option<&[u64]>, body: &str) {
        let body: Arc<str> = body.into();
        let of = |partition| OutputMetadata {
            asset,
            partition,
            body: Arc::clone(&body),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match partitions {
            None => all.push(of(None)),
            Some(partitions) => all.extend(partitions.iter().map(|&own| of(Some(own)))),
        }
    }
}
