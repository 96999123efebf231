//! The dependencies between the layers of a plan.

use crate::space::Mapping;

/// A dependency between layers: runs of layer `down` need what runs of layer `up` (or earlier runs of
/// the same layer) make.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Link {
    /// The layer that depends on the other.
    pub down: usize,
    /// The layer that makes the partitions needed.
    pub up: usize,
    /// Index in the request of the asset that is needed.
    pub asset: u32,
    /// Which partitions of the asset are needed.
    pub mapping: Mapping,
    /// Whether runs are executed even if some of what they need was not materialized. The plan's
    /// encoding stores it beside the link.
    #[serde(skip)]
    pub allow_missing: bool,
}
