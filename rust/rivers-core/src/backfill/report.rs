//! What users record about an asset without running anything.

use crate::clock::Micros;
use crate::space::Selection;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// The partitions are materialized.
    Materialized,
    /// The partitions are missing, whatever was recorded before.
    Forgotten,
}

/// A statement about partitions of an asset. It overrules what happened before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The asset's name.
    pub asset: String,
    /// What is recorded.
    pub kind: ReportKind,
    /// When it was recorded.
    pub at: Micros,
    /// The partitions; the one member of the space without dimensions for an unpartitioned asset.
    pub selection: Selection,
    /// The version of the asset's code then, if it declared one.
    pub code_version: Option<String>,
    /// Facts about what was materialized: a JSON object.
    pub metadata: Option<String>,
}
