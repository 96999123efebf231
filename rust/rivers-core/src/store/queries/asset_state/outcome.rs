//! What happened to partitions, and where their values are.

/// What happened to the partitions of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// They were materialized.
    Made,
    /// They were skipped: there is nothing to produce.
    Skipped,
    /// A user said that they are missing.
    Forgotten,
}

/// From where the values of a piece can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Through the asset's handler, in any process; or there is nothing to load.
    Stored,
    /// From the memory of this process.
    Here,
    /// They were in the memory of another process.
    Gone,
}
