//! The schema's version, and the steps from one to the next: each one transaction.

use rusqlite::{Connection, TransactionBehavior};

use super::{APPLICATION_ID, Place};
use crate::error::{Error, Result};

/// The steps, in order; step n leads to version n + 1.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];

/// Brings a database to this version's schema.
pub(super) fn migrate(connection: &mut Connection, place: &Place) -> Result<()> {
    let failed = |message: String| Error::Storage {
        path: place.to_string(),
        message,
    };
    let broken = |error: rusqlite::Error| place.error(&error);
    let newest = MIGRATIONS.len() as i64;
    loop {
        // Read inside the transaction: another process may be migrating too.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(broken)?;
        let pragma =
            |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let version = pragma("user_version").map_err(broken)?;
        let application = pragma("application_id").map_err(broken)?;
        let tables: i64 = transaction
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(broken)?;
        if application != APPLICATION_ID && (tables > 0 || version != 0) {
            return Err(failed(
                "is a SQLite database of another program; name another path".into(),
            ));
        }
        if version > newest {
            return Err(failed(format!(
                "was written by a newer rivers (schema {version}, this one knows {newest}); upgrade rivers"
            )));
        }
        let Some(step) = MIGRATIONS.get(version as usize) else {
            return Ok(());
        };
        transaction.execute_batch(step).map_err(broken)?;
        transaction
            .pragma_update(None, "user_version", version + 1)
            .map_err(broken)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(broken)?;
        transaction.commit().map_err(broken)?;
    }
}
