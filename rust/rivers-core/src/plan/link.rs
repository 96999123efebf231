//! The dependencies between the layers of a plan.

use crate::space::Mapping;

/// That runs of one layer need what runs of another, or earlier ones of the same, make.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Link {
    /// The layer that needs.
    pub down: usize,
    /// The layer that makes it.
    pub up: usize,
    /// The asset that is needed, by its place in the request.
    pub asset: u32,
    /// Which of its partitions.
    pub mapping: Mapping,
}
