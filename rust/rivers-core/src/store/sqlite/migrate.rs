//! Brings a database to the newest schema, one transaction for each version.

use rusqlite::{Connection, TransactionBehavior};

use super::connection::Location;
use super::inspect::Identity;
use super::schema::{APPLICATION_ID, MIGRATIONS};
use crate::error::Result;
use crate::store::failpoint::{Step, Work, hit};

/// Brings a database to the newest schema.
pub(super) fn migrate(connection: &mut Connection, location: &Location) -> Result<()> {
    let failed = |error: rusqlite::Error| location.error(&error);
    loop {
        hit(Work::Migrate, Step::Before);
        // The version is read inside the transaction: another process may be migrating too.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let identity = Identity::read(&transaction).map_err(failed)?;
        identity.check(location)?;
        let number = usize::try_from(identity.version).ok();
        let Some(migration) = number.and_then(|number| MIGRATIONS.get(number)) else {
            return Ok(());
        };
        transaction.execute_batch(migration.sql).map_err(failed)?;
        if let Some(then) = migration.then {
            then(&transaction).map_err(failed)?;
        }
        transaction
            .pragma_update(None, "user_version", identity.version + 1)
            .map_err(failed)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(failed)?;
        hit(Work::Migrate, Step::Within);
        transaction.commit().map_err(failed)?;
        hit(Work::Migrate, Step::After);
    }
}
