//! Two backfills that hold the same partitions of the same asset.

use crate::error::Error;

/// A backfill that has not ended, and what it shares with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Its id.
    pub id: String,
    /// The asset.
    pub asset: String,
    /// How many partitions of the asset both hold.
    pub partitions: u64,
}

impl Overlap {
    /// The refusal of the other.
    pub fn refusal(&self) -> Error {
        let Self {
            id,
            asset,
            partitions,
        } = self;
        Error::Execution(format!(
            "the backfill {id:?} has not ended and holds {partitions} of these partitions of the asset \
             {asset:?}; wait for it, end it with cancel_backfill({id:?}), or pass overlap=\"allow\""
        ))
    }
}
