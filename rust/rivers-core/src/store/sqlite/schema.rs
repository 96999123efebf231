//! The versions of the schema.

use rusqlite::Transaction;

use super::{scope, segments_from_runs};

/// Marks a file as a database of rivers: "rivr".
pub(super) const APPLICATION_ID: i64 = 0x7269_7672;

/// A step from one version of the schema to the next.
pub(super) struct Migration {
    pub(super) sql: &'static str,
    /// What is done afterwards, in the same transaction, where SQL does not suffice.
    pub(super) then: Option<fn(&Transaction<'_>) -> rusqlite::Result<()>>,
}

const fn sql(sql: &'static str) -> Migration {
    Migration { sql, then: None }
}

/// The migrations in order: number n leads from version n to version n + 1.
pub(super) const MIGRATIONS: [Migration; 15] = [
    sql(include_str!("migrations/0001.sql")),
    sql(include_str!("migrations/0002.sql")),
    sql(include_str!("migrations/0003.sql")),
    sql(include_str!("migrations/0004.sql")),
    sql(include_str!("migrations/0005.sql")),
    sql(include_str!("migrations/0006.sql")),
    sql(include_str!("migrations/0007.sql")),
    sql(include_str!("migrations/0008.sql")),
    sql(include_str!("migrations/0009.sql")),
    Migration {
        sql: include_str!("migrations/0010.sql"),
        then: Some(segments_from_runs::convert),
    },
    sql(include_str!("migrations/0011.sql")),
    sql(include_str!("migrations/0012.sql")),
    sql(include_str!("migrations/0013.sql")),
    Migration {
        sql: include_str!("migrations/0014.sql"),
        then: Some(scope::of_earlier_runs),
    },
    sql(include_str!("migrations/0015.sql")),
];

/// The version that this code reads and writes.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;
