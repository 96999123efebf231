//! The tables `backfill`, `backfill_asset` and `space`.

use tokio_postgres::Row;

use super::digest::digest;
use super::listen::{channel, notifying};
use super::session::{Answer, Connected, Failure, Param, params};
use crate::backfill::{Change, Counts, Request, Status, Stop};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::store::encoding::{
    EncodedBackfill, decode_in_flight, decode_plan, decode_request, encode_request, status_code,
    status_from,
};
use crate::store::records::{BackfillRow, ControlRequest, Key, Lease, LeaseTerms, StorageTime};

/// The server's time in microseconds.
pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// A backfill in progress stands as its newest segment says.
const SELECT: &str = "SELECT key, request, strategy, num_partitions, num_runs, status,
        coalesce(newest.completed, backfill.completed), coalesce(newest.failed, backfill.failed),
        coalesce(newest.canceled, backfill.canceled), coalesce(newest.runs_ended, backfill.runs_ended),
        coalesce(newest.in_flight, backfill.in_flight), coalesce(newest.stop, backfill.stop),
        ended_at, cancel_requested, paused, revision, backfill.owner, lease_expires_at,
        workers
    FROM @backfill AS backfill LEFT JOIN LATERAL (
        SELECT completed, failed, canceled, runs_ended, in_flight, stop FROM @segment AS segment
        WHERE segment.backfill = key AND status = 0 ORDER BY seq DESC LIMIT 1
    ) AS newest ON true";

/// Reads backfills; `rest` is what follows `FROM`.
pub(super) fn select(
    connected: &mut Connected<'_>,
    rest: &str,
    params: &[Param<'_>],
) -> Answer<Vec<BackfillRow>> {
    let rows = connected.query(&format!("{SELECT} {rest}"), params)?;
    let read: Result<Vec<_>> = rows.iter().map(read).collect();
    read.map_err(Failure::Refused)
}

fn read(row: &Row) -> Result<BackfillRow> {
    let count = |at: usize| row.get::<_, i64>(at).cast_unsigned();
    let cancel: i64 = row.get(13);
    let owner: Option<String> = row.get(16);
    let status = status_from(row.get(5));
    Ok(BackfillRow {
        key: row.get(0),
        request: decode_request(row.get(1))?,
        strategy: row.get(2),
        num_partitions: count(3),
        num_runs: count(4),
        status: status.ok_or_else(|| Error::Execution("the stored status is unknown".into()))?,
        counts: Counts {
            completed: count(6),
            failed: count(7),
            canceled: count(8),
            runs_ended: count(9),
        },
        in_flight: decode_in_flight(row.get(10))?,
        stop: stop_from(row.get(11)),
        ended_at: row.get(12),
        cancel_requested: cancel != 0,
        paused: row.get(14),
        revision: count(15),
        lease: owner.zip(row.get(17)).map(|(owner, at)| Lease {
            owner,
            expires_at: StorageTime(at),
        }),
        workers: row.get(18),
    })
}

fn stop_from(number: Option<i64>) -> Option<Stop> {
    number
        .and_then(|number| u8::try_from(number).ok())
        .and_then(Stop::from_number)
}

/// Records a backfill, in a transaction.
pub(super) fn create(
    connected: &mut Connected<'_>,
    request: &Request,
    plan: &Plan,
    encoded: &EncodedBackfill,
    lease: Option<&LeaseTerms>,
) -> Answer<Key> {
    let space = space_id(connected, &encoded.space)?;
    let status = match lease {
        Some(_) => Status::InProgress,
        None => Status::Completed,
    };
    let ended_at = lease.is_none().then_some(request.created_at);
    let sql = format!(
        "INSERT INTO @backfill (id, request, strategy, space, plan, num_partitions, num_runs, status, ended_at,
                                owner, lease_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {NOW} + $11) RETURNING key"
    );
    let row = connected.first(
        &sql,
        params![
            request.id => TEXT,
            encoded.request => TEXT,
            plan.strategy().to_string() => TEXT,
            space => INT8,
            encoded.plan => BYTEA,
            plan.num_partitions().cast_signed() => INT8,
            plan.num_runs().cast_signed() => INT8,
            status_code(status) => INT8,
            ended_at => INT8,
            lease.map(|lease| lease.owner.as_str()) => TEXT,
            lease.map(|lease| lease.duration) => INT8,
        ],
    )?;
    let key: Key = row.map_or(0, |row| row.get(0));
    let names: Vec<&str> = request
        .assets
        .iter()
        .map(|asset| asset.name.as_str())
        .collect();
    let scopes = encoded.scopes.of(request);
    let sql = "INSERT INTO @backfill_asset (asset, backfill, scope)
               SELECT own.asset, $2, own.scope FROM unnest($1::text[], $3::bytea[]) AS own (asset, scope)
               ON CONFLICT DO NOTHING";
    let params = params![names => TEXT_ARRAY, key => INT8, scopes => BYTEA_ARRAY];
    connected.query(sql, params)?;
    Ok(key)
}

/// The number of a space, which is recorded once.
pub(super) fn space_id(connected: &mut Connected<'_>, body: &[u8]) -> Answer<i64> {
    let id = digest(&[body]);
    let sql = "INSERT INTO @space (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    connected.query(sql, params![id => INT8, body => BYTEA])?;
    Ok(id)
}

pub(super) fn plan(connected: &mut Connected<'_>, key: Key) -> Answer<Plan> {
    let sql =
        "SELECT body, plan FROM @backfill JOIN @space AS space ON space.id = space WHERE key = $1";
    match connected.first(sql, params![key => INT8])? {
        Some(row) => decode_plan(row.get(0), row.get(1)).map_err(Failure::Refused),
        None => Err(Failure::Refused(
            connected
                .server()
                .error(format!("there is no backfill {key}")),
        )),
    }
}

pub(super) fn control_requests(
    connected: &mut Connected<'_>,
    owner: &str,
    held: &[Key],
) -> Answer<Vec<ControlRequest>> {
    // By the keys: an index on owners would lead past all that ended since the oldest snapshot in the server.
    let sql = "SELECT key, cancel_requested, paused, revision FROM @backfill WHERE key = ANY($2) AND owner = $1";
    let rows = connected.query(sql, params![owner => TEXT, held => INT8_ARRAY])?;
    let read = |row: &Row| {
        let cancel: i64 = row.get(1);
        let forced = cancel
            .checked_sub(FORCED)
            .and_then(|millis| u64::try_from(millis).ok());
        ControlRequest {
            key: row.get(0),
            cancel: cancel != 0,
            force_after: forced.map(std::time::Duration::from_millis),
            pause: row.get(2),
            revision: row.get::<_, i64>(3).cast_unsigned(),
        }
    };
    Ok(rows.iter().map(read).collect())
}

/// Values of `cancel_requested`: 0, no request; `CANCEL`; from `FORCED` on, a cancel by force after as many
/// milliseconds as the value exceeds it.
pub(super) const CANCEL: i64 = 1;
pub(super) const FORCED: i64 = 2;

pub(super) fn change(connected: &mut Connected<'_>, key: Key, change: &Change) -> Answer<bool> {
    let sql = "SELECT request FROM @backfill WHERE key = $1 AND status = 0 FOR UPDATE";
    let Some(row) = connected.first(sql, params![key => INT8])? else {
        return Ok(false);
    };
    let mut request = decode_request(row.get(0)).map_err(Failure::Refused)?;
    request.change(change);
    let text = encode_request(&request).map_err(Failure::Refused)?;
    let sql =
        notifying("UPDATE @backfill SET request = $2, revision = revision + 1 WHERE key = $1");
    let channel = channel(&connected.server().address.schema);
    connected.query(&sql, params![key => INT8, text => TEXT, channel => TEXT])?;
    Ok(true)
}
