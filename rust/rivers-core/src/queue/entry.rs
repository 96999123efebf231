//! The entries of the queue.

/// Identifies an entry by its arrival number, which is never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EntryId(pub u64);

/// An entry of the queue: a backfill with all its runs, or a single run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Entries with a higher priority go first; equal priorities go in order of arrival.
    pub priority: i64,
    /// Key and value of each tag; they decide which tag limits apply.
    pub tags: Vec<(String, String)>,
    /// Name of each pool, and how many of its slots every run takes.
    pub pools: Vec<(String, u32)>,
    /// Maximum number of its runs in flight; 0 holds the entry back until it is updated.
    pub max_concurrency: u32,
}
