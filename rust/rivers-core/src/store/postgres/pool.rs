//! The tables `pool` and `pool_claim`.

use tokio_postgres::Row;

use super::backfill::NOW;
use super::session::{Answer, Connected, params};
use crate::clock::Micros;
use crate::queue::Claim;
use crate::store::pools::{Decision, PoolNeed, PoolShare, StoredPool, decide};
use crate::store::records::{LeaseTerms, StorageTime};

fn small(row: &Row, at: usize) -> u32 {
    u32::try_from(row.get::<_, i64>(at)).unwrap_or(u32::MAX)
}

pub(super) fn select(connected: &mut Connected<'_>) -> Answer<Vec<StoredPool>> {
    let sql = format!(
        "SELECT name, slots, coalesce(sum(granted), 0)::bigint,
                coalesce(sum(greatest(wanted - granted, 0)), 0)::bigint
         FROM @pool AS pool LEFT JOIN @pool_claim AS own ON own.pool = name AND expires_at > {NOW}
         GROUP BY name, slots ORDER BY name"
    );
    let rows = connected.query(&sql, &[])?;
    let read = |row: &Row| StoredPool {
        name: row.get(0),
        slots: small(row, 1),
        lent: small(row, 2),
        waiting: small(row, 3),
    };
    Ok(rows.iter().map(read).collect())
}

pub(super) fn set(connected: &mut Connected<'_>, name: &str, slots: Option<u32>) -> Answer<()> {
    match slots {
        Some(slots) => {
            let sql = "INSERT INTO @pool (name, slots) VALUES ($1, $2)
                       ON CONFLICT (name) DO UPDATE SET slots = excluded.slots
                       RETURNING slots";
            connected.write(sql, params![name => TEXT, i64::from(slots) => INT8])
        }
        None => {
            let sql = "DELETE FROM @pool WHERE name = $1 RETURNING slots";
            connected.write(sql, params![name => TEXT])
        }
    }
    .map(drop)
}

/// Fits the share of the lease's owner in a pool to what all need, in a transaction. Processes take turns at a pool.
pub(super) fn share_out(
    connected: &mut Connected<'_>,
    lease: &LeaseTerms,
    need: &PoolNeed,
) -> Answer<Option<PoolShare>> {
    let (pool, owner) = (&need.pool, &lease.owner);
    let sql = "SELECT slots FROM @pool WHERE name = $1 FOR UPDATE";
    let found = connected.first(sql, params![pool => TEXT])?;
    let slots = found.map(|row| small(&row, 0));
    // In a statement of its own, which sees what the process before committed.
    let sql = format!(
        "SELECT owner, granted, taken, least, wanted, since, expires_at, {NOW} FROM @pool_claim WHERE pool = $1
         UNION ALL SELECT NULL, 0, 0, 0, 0, 0, 0, {NOW}"
    );
    let rows = connected.query(&sql, params![pool => TEXT])?;
    let now = StorageTime(rows.last().map_or(0, |row| row.get(7)));
    let claims: Vec<(Claim, Micros)> = rows.iter().filter_map(read).collect();
    let until = now.after(lease.duration);
    Ok(match decide(slots, &claims, owner, need, now, until) {
        Decision::Keep(share) => Some(share),
        Decision::End(share) => {
            let sql = "DELETE FROM @pool_claim WHERE pool = $1 AND owner = $2";
            connected.query(sql, params![pool => TEXT, owner => TEXT])?;
            share
        }
        Decision::Publish(share, claim) => {
            publish(connected, pool, &claim, until)?;
            let sql = "DELETE FROM @pool_claim WHERE pool = $1 AND expires_at <= $2";
            connected.query(sql, params![pool => TEXT, now.0 => INT8])?;
            Some(share)
        }
    })
}

fn publish(
    connected: &mut Connected<'_>,
    pool: &str,
    claim: &Claim,
    until: StorageTime,
) -> Answer<()> {
    let sql = "INSERT INTO @pool_claim (pool, owner, granted, taken, least, wanted, since, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (pool, owner) DO UPDATE SET granted = excluded.granted, taken = excluded.taken,
                   least = excluded.least, wanted = excluded.wanted, since = excluded.since,
                   expires_at = excluded.expires_at";
    let params = params![
        pool => TEXT,
        claim.owner => TEXT,
        i64::from(claim.granted) => INT8,
        i64::from(claim.taken) => INT8,
        i64::from(claim.least) => INT8,
        i64::from(claim.wanted) => INT8,
        claim.since => INT8,
        until.0 => INT8,
    ];
    connected.query(sql, params).map(drop)
}

fn read(row: &Row) -> Option<(Claim, Micros)> {
    let claim = Claim {
        owner: row.get::<_, Option<String>>(0)?,
        granted: small(row, 1),
        taken: small(row, 2),
        least: small(row, 3),
        wanted: small(row, 4),
        since: row.get(5),
    };
    Some((claim, row.get(6)))
}
