//! Facts about what a run materialized, while it is executed.

use std::sync::{Arc, Mutex, PoisonError};

use super::run::Run;
use crate::backfill::{OutputMetadata, PriorAttempts};
use crate::error::Result;

/// The facts of a run so far, those of earlier attempts included.
#[derive(Debug)]
pub(super) struct RunMetadata(Mutex<Vec<OutputMetadata>>);

impl RunMetadata {
    pub(super) fn new(prior_attempts: Option<&PriorAttempts>) -> Self {
        Self(Mutex::new(
            prior_attempts.map_or_else(Vec::new, |known| known.metadata.clone()),
        ))
    }

    pub(super) fn take(&self) -> Vec<OutputMetadata> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn extend(&self, metadata: impl IntoIterator<Item = OutputMetadata>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(metadata);
    }
}

impl Run {
    /// Records facts, a JSON object, about what was materialized of `asset`: for these partitions, or
    /// (`None`) for all that have no facts of their own.
    ///
    /// # Errors
    /// `PartitionValidation` if a partition does not belong to the run; then nothing is recorded.
    pub fn add_metadata(&self, asset: u32, partitions: Option<&[u64]>, body: &str) -> Result<()> {
        let body: Arc<str> = body.into();
        let of = |partition| OutputMetadata {
            asset,
            partition,
            body: Arc::clone(&body),
        };
        match partitions {
            None => self.metadata.extend([of(None)]),
            Some(partitions) => {
                self.check_own(partitions)?;
                let single = partitions.iter().map(|&partition| of(Some(partition)));
                self.metadata.extend(single);
            }
        }
        Ok(())
    }
}
