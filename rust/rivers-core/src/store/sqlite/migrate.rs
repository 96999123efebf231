//! The schema's version, and the steps from one to the next: each one transaction.

use rusqlite::{Connection, TransactionBehavior};

use super::inspect::Identity;
use super::{APPLICATION_ID, Place};
use crate::error::Result;
use crate::store::failpoint::{Moment, Work, hit};

/// The steps, in order; step n leads to version n + 1.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
];
/// The version that this one writes.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Brings a database to this version's schema.
pub(super) fn migrate(connection: &mut Connection, place: &Place) -> Result<()> {
    let broken = |error: rusqlite::Error| place.error(&error);
    loop {
        hit(Work::Migrate, Moment::Before);
        // Read inside the transaction: another process may be migrating too.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(broken)?;
        let identity = Identity::read(&transaction).map_err(broken)?;
        identity.check(place)?;
        let step = usize::try_from(identity.version).ok();
        let Some(step) = step.and_then(|step| MIGRATIONS.get(step)) else {
            return Ok(());
        };
        transaction.execute_batch(step).map_err(broken)?;
        transaction
            .pragma_update(None, "user_version", identity.version + 1)
            .map_err(broken)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(broken)?;
        hit(Work::Migrate, Moment::Within);
        transaction.commit().map_err(broken)?;
        hit(Work::Migrate, Moment::After);
    }
}
