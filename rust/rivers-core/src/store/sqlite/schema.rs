//! The versions of the schema.

/// Marks a file as a database of rivers: "rivr".
pub(super) const APPLICATION_ID: i64 = 0x7269_7672;

/// The migrations in order: number n leads from version n to version n + 1.
pub(super) const MIGRATIONS: [&str; 9] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
];

/// The version that this code reads and writes.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;
