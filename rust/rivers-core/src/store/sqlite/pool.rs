//! The tables `pool` and `pool_claim`.

use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, params};

use crate::clock::Micros;
use crate::queue::Claim;
use crate::store::pools::{Decision, PoolNeed, PoolShare, StoredPool, decide};
use crate::store::records::{Lease, StorageTime};

pub(super) fn select(connection: &Connection, now: StorageTime) -> Result<Vec<StoredPool>> {
    connection
        .prepare_cached(
            "SELECT name, slots, coalesce(sum(granted), 0), coalesce(sum(max(wanted - granted, 0)), 0)
             FROM pool LEFT JOIN pool_claim ON pool = name AND expires_at > ?1 GROUP BY name ORDER BY name",
        )?
        .query_map([now.0], |row| {
            Ok(StoredPool {
                name: row.get(0)?,
                slots: row.get(1)?,
                lent: row.get(2)?,
                waiting: row.get(3)?,
            })
        })?
        .collect()
}

pub(super) fn set(transaction: &Transaction<'_>, name: &str, slots: Option<u32>) -> Result<()> {
    match slots {
        Some(slots) => transaction
            .prepare_cached(
                "INSERT INTO pool (name, slots) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET slots = excluded.slots",
            )?
            .execute(params![name, slots]),
        None => transaction
            .prepare_cached("DELETE FROM pool WHERE name = ?1")?
            .execute([name]),
    }
    .map(drop)
}

/// Fits the share of the lease's owner in a pool to what all need. Writes only what changes or would expire soon.
pub(super) fn share_out(
    transaction: &Transaction<'_>,
    lease: &Lease,
    now: StorageTime,
    need: &PoolNeed,
) -> Result<Option<PoolShare>> {
    let (pool, owner) = (&need.pool, &lease.owner);
    let slots: Option<u32> = transaction
        .prepare_cached("SELECT slots FROM pool WHERE name = ?1")?
        .query_row([pool], |row| row.get(0))
        .optional()?;
    let claims: Vec<(Claim, Micros)> = transaction
        .prepare_cached(
            "SELECT owner, granted, taken, least, wanted, since, expires_at FROM pool_claim WHERE pool = ?1",
        )?
        .query_map([pool], read)?
        .collect::<Result<_>>()?;
    Ok(
        match decide(slots, &claims, owner, need, now, lease.expires_at) {
            Decision::Keep(share) => Some(share),
            Decision::End(share) => {
                transaction
                    .prepare_cached("DELETE FROM pool_claim WHERE pool = ?1 AND owner = ?2")?
                    .execute(params![pool, owner])?;
                share
            }
            Decision::Publish(share, claim) => {
                publish(transaction, pool, &claim, lease.expires_at)?;
                transaction
                    .prepare_cached("DELETE FROM pool_claim WHERE pool = ?1 AND expires_at <= ?2")?
                    .execute(params![pool, now.0])?;
                Some(share)
            }
        },
    )
}

fn publish(
    transaction: &Transaction<'_>,
    pool: &str,
    claim: &Claim,
    until: StorageTime,
) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO pool_claim (pool, owner, granted, taken, least, wanted, since, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            pool,
            claim.owner,
            claim.granted,
            claim.taken,
            claim.least,
            claim.wanted,
            claim.since,
            until.0
        ])
        .map(drop)
}

fn read(row: &Row<'_>) -> Result<(Claim, Micros)> {
    let claim = Claim {
        owner: row.get(0)?,
        granted: row.get(1)?,
        taken: row.get(2)?,
        least: row.get(3)?,
        wanted: row.get(4)?,
        since: row.get(5)?,
    };
    Ok((claim, row.get(6)?))
}
