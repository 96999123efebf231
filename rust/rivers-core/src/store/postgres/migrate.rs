//! Brings a schema to the newest version, by one process at a time.

use super::session::{Answer, Connected, Failure, Session, WRITING, params};
use crate::error::{Error, Result};

const MIGRATIONS: [&str; 8] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
];
/// The version that this code reads and writes.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Creates the schema, or brings it to the newest version. Another process that does so is waited for.
pub(super) fn migrate(session: &Session) -> Result<()> {
    // Without a look first, a role that may not create schemas could not use one that is there.
    if session.repeat(version)? == Some(NEWEST) {
        return Ok(());
    }
    session.patiently(|connected| {
        connected.transaction(WRITING, |connected| {
            let schema = connected.server().address.schema.clone();
            let sql = "SELECT pg_advisory_xact_lock(hashtextextended('rivers ' || $1, 0))";
            connected.query(sql, params![schema => TEXT])?;
            let found = match version(connected)? {
                Some(version) => check(connected, version)?,
                None => {
                    let exists = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
                    if connected.first(exists, params![schema => TEXT])?.is_none() {
                        connected.create_schema()?;
                    }
                    connected.batch("CREATE TABLE @version (version BIGINT NOT NULL)")?;
                    connected.batch("INSERT INTO @version VALUES (0)")?;
                    0
                }
            };
            for (number, migration) in (0..).zip(MIGRATIONS) {
                if number >= found {
                    connected.batch(migration)?;
                }
            }
            let sql = "UPDATE @version SET version = $1";
            connected.query(sql, params![NEWEST => INT8]).map(drop)
        })
    })
}

/// Refuses a schema that this code cannot read.
pub(super) fn require_newest(session: &Session) -> Result<()> {
    session.repeat(|connected| match version(connected)? {
        None => Err(Failure::Refused(connected.server().error(
            "there is no storage in this schema: open it once for writing, or run `rivers db migrate`",
        ))),
        Some(found) if found < NEWEST => Err(Failure::Refused(Error::OutdatedSchema {
            path: connected.server().address.shown.clone(),
            found,
            newest: NEWEST,
        })),
        Some(found) => check(connected, found).map(drop),
    })
}

/// The version of the schema; `None` if it is not there.
pub(super) fn version(connected: &mut Connected<'_>) -> Answer<Option<i64>> {
    // Not by `to_regclass`, which may remember from before a wait that there is none.
    let schema = connected.server().address.schema.clone();
    let sql = "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
               WHERE nspname = $1 AND relname = 'version'";
    if connected.first(sql, params![schema => TEXT])?.is_none() {
        return Ok(None);
    }
    let row = connected.first("SELECT max(version) FROM @version", &[])?;
    Ok(row.and_then(|row| row.get(0)))
}

fn check(connected: &Connected<'_>, found: i64) -> Answer<i64> {
    if found > NEWEST {
        let text = format!(
            "a newer rivers wrote it: its schema has version {found}, and this rivers knows {NEWEST}; upgrade \
             rivers"
        );
        return Err(Failure::Refused(connected.server().error(text)));
    }
    Ok(found)
}
