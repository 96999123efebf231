//! What `rivers db` does to a storage as a whole.

use super::records::{Key, StorageTime};
use crate::error::Result;

/// Removing records, and listing what copying needs. Each call is one short transaction unless it says otherwise.
pub trait Maintenance: Send + Sync {
    /// Backfills and manual runs that ended before a time, of those with a number above `after`: number and id, in
    /// ascending order, `limit` of them.
    ///
    /// # Errors
    /// `Storage`.
    fn ended_before(
        &self,
        time: StorageTime,
        after: Key,
        limit: usize,
    ) -> Result<Vec<(Key, String)>>;

    /// Removes backfills. What happened in their runs is removed up to a number of rows: those of which some is
    /// left are returned, and a call with them goes on. Nobody sees a backfill of which some is removed.
    ///
    /// # Errors
    /// `Storage`.
    fn remove(&self, keys: &[Key]) -> Result<Vec<Key>>;

    /// Backfills whose removal was begun by a process that died before it was done.
    ///
    /// # Errors
    /// `Storage`.
    fn half_removed(&self) -> Result<Vec<Key>>;

    /// Removes texts, facts and spaces that no record names any more, in several short transactions. Returns how
    /// many were removed.
    ///
    /// # Errors
    /// `Storage`.
    fn remove_unused(&self) -> Result<u64>;

    /// The assets about which users reported something.
    ///
    /// # Errors
    /// `Storage`.
    fn reported_assets(&self) -> Result<Vec<String>>;

    /// The names of all dynamic dimensions that have keys.
    ///
    /// # Errors
    /// `Storage`.
    fn dynamic_names(&self) -> Result<Vec<String>>;
}

/// Number of texts that one transaction removes.
pub(super) const MAX_TEXTS: usize = 2_000;

/// A table of what several records share, and where its rows are named: table, column, and the backfill's column.
/// Spaces are named in reports, too, which belong to no backfill.
pub(super) type Shared = (
    &'static str,
    &'static [(&'static str, &'static str, &'static str)],
);

/// All of them, in each database alike.
pub(super) const SHARED: [Shared; 4] = [
    (
        "cause",
        &[
            ("failure", "cause", "backfill"),
            ("skip", "reason", "backfill"),
            ("attempt", "cause", "backfill"),
        ],
    ),
    ("family", &[("failure", "family", "backfill")]),
    ("metadata_body", &[("metadata", "body", "backfill")]),
    (SPACE, &[("backfill", "space", "key")]),
];
pub(super) const SPACE: &str = "space";

/// What nothing named at one time, and what may name it since: backfills that had ended are not changed.
pub(super) struct Unused {
    /// Index of the table in `SHARED`, and the rows' numbers.
    pub(super) rows: Vec<(usize, Vec<i64>)>,
    /// The backfills that had not ended.
    pub(super) live: Vec<Key>,
    /// The newest backfill.
    pub(super) newest: Key,
}
