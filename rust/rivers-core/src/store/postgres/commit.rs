//! A commit: one statement, whatever it records.

use std::collections::BTreeMap;

use super::backfill::NOW;
use super::digest::digest;
use super::session::{Answer, Connected, params};
use crate::backfill::{Cause, RunEnd, RunRow};
use crate::error::Result;
use crate::store::encoding::{encode_in_flight, encode_left, status_code};
use crate::store::queries::scope::{Ending, endings};
use crate::store::records::{Commit, Key};
use crate::store::segment::Segment;

/// Rows of one table, as a column each.
#[derive(Default)]
struct Segments {
    key: Vec<Key>,
    seq: Vec<i64>,
    first: Vec<Option<i64>>,
    last: Vec<Option<i64>>,
    runs: Vec<i64>,
    failed_runs: Vec<i64>,
    completed: Vec<i64>,
    failed: Vec<i64>,
    canceled: Vec<i64>,
    runs_ended: Vec<i64>,
    stop: Vec<Option<i64>>,
    in_flight: Vec<Vec<u8>>,
    body: Vec<Vec<u8>>,
    status: Vec<i64>,
    ended_at: Vec<Option<i64>>,
}

/// What runs did not materialize or skipped: failures, and skips with the reason as the cause.
#[derive(Default)]
struct Outcomes {
    key: Vec<Key>,
    position: Vec<i64>,
    run: Vec<i64>,
    asset: Vec<i64>,
    partition: Vec<Option<i64>>,
    cause: Vec<Option<i64>>,
    family: Vec<Option<i64>>,
}

#[derive(Default)]
struct Attempts {
    key: Vec<Key>,
    run: Vec<i64>,
    attempt: Vec<i64>,
    asset: Vec<i64>,
    started_at: Vec<i64>,
    due_at: Vec<i64>,
    cause: Vec<i64>,
    left: Vec<Option<Vec<u8>>>,
}

#[derive(Default)]
struct Facts {
    key: Vec<Key>,
    run: Vec<i64>,
    position: Vec<i64>,
    asset: Vec<i64>,
    partition: Vec<Option<i64>>,
    body: Vec<i64>,
}

/// All rows of a commit, encoded before it is sent.
#[derive(Default)]
pub(super) struct Encoded {
    segments: Segments,
    failures: Outcomes,
    skips: Outcomes,
    attempts: Attempts,
    facts: Facts,
    // Sorted, so that no two commits wait for each other's rows.
    causes: BTreeMap<i64, (String, String, Option<String>)>,
    families: BTreeMap<i64, (String, String)>,
    bodies: BTreeMap<i64, String>,
    only_ends: OnlyEnds,
}

/// The ends of the only runs of backfills, and how they ended for the assets that they did not make.
#[derive(Default)]
struct OnlyEnds {
    key: Vec<Key>,
    ended_at: Vec<i64>,
    other_key: Vec<Key>,
    other_asset: Vec<i64>,
    other_ending: Vec<Option<Vec<u8>>>,
}

impl OnlyEnds {
    fn push(&mut self, key: Key, end: &RunEnd) {
        let (ended_at, endings) = endings(end);
        self.key.push(key);
        self.ended_at.push(ended_at);
        for (asset, ending) in endings {
            self.other_key.push(key);
            self.other_asset.push(i64::from(asset));
            self.other_ending.push(ending.map(|own| vec![own as u8]));
        }
    }
}

/// PostgreSQL stores no NUL in a text.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

impl Encoded {
    /// Of the commits of one owner, and the number of the segment that each appends.
    /// `only` has the ends of the only runs of those that end.
    pub(super) fn new(commits: &[(&Commit, i64)], only: &[(Key, RunEnd)]) -> Result<Self> {
        let mut encoded = Self::default();
        for (key, end) in only {
            encoded.only_ends.push(*key, end);
        }
        for &(commit, seq) in commits {
            encoded.add_segment(commit, seq)?;
            for end in &commit.ended {
                encoded.add_end(commit.key, end)?;
            }
        }
        Ok(encoded)
    }

    fn add_segment(&mut self, commit: &Commit, seq: i64) -> Result<()> {
        let ended = commit.ended.iter().filter(|end| end.retry.is_none());
        let rows = ended.map(|end| RunRow {
            run: end.run,
            started_at: end.started_at,
            ended_at: end.ended_at,
            failed: end.failed,
        });
        let segment = Segment::pack(rows.collect());
        let own = segment.as_ref();
        let to = &mut self.segments;
        to.key.push(commit.key);
        to.seq.push(seq);
        to.first.push(own.map(|own| own.first.cast_signed()));
        to.last.push(own.map(|own| own.last.cast_signed()));
        to.runs.push(own.map_or(0, |own| own.runs.cast_signed()));
        to.failed_runs
            .push(own.map_or(0, |own| own.failed_runs.cast_signed()));
        to.completed.push(commit.counts.completed.cast_signed());
        to.failed.push(commit.counts.failed.cast_signed());
        to.canceled.push(commit.counts.canceled.cast_signed());
        to.runs_ended.push(commit.counts.runs_ended.cast_signed());
        to.stop.push(commit.stop.map(|stop| i64::from(stop as u8)));
        to.in_flight.push(encode_in_flight(&commit.in_flight)?);
        let status = commit.finished.map_or(0, |(status, _)| status_code(status));
        to.status.push(status);
        to.ended_at.push(commit.finished.map(|(_, at)| at));
        to.body.push(segment.map_or_else(Vec::new, |own| own.body));
        Ok(())
    }

    fn add_end(&mut self, key: Key, end: &RunEnd) -> Result<()> {
        let run = end.run.cast_signed();
        if let Some(retry) = &end.retry {
            let mut left = retry.left.as_deref().map(encode_left).transpose()?;
            for (asset, cause) in &retry.causes {
                let cause = self.cause(cause);
                let to = &mut self.attempts;
                to.key.push(key);
                to.run.push(run);
                to.attempt.push(i64::from(retry.attempt));
                to.asset.push(i64::from(*asset));
                to.started_at.push(end.started_at);
                to.due_at.push(retry.due_at);
                to.cause.push(cause);
                to.left.push(left.take());
            }
            return Ok(());
        }
        for failure in &end.failures {
            let cause = failure.cause.as_ref().map(|cause| self.cause(cause));
            let family = match (&failure.cause, &failure.fingerprint) {
                (Some(cause), Some(text)) => Some(self.family(&cause.error_type, text)),
                _ => None,
            };
            let asset = failure.asset;
            self.failures
                .push(key, run, asset, failure.partition, cause, family);
        }
        for skip in &end.skips {
            let reason = Some(self.cause(&skip.reason));
            self.skips
                .push(key, run, skip.asset, skip.partition, reason, None);
        }
        for (position, own) in (0..).zip(&end.metadata) {
            let body = storable(&own.body);
            let id = digest(&[body.as_bytes()]);
            self.bodies.insert(id, body);
            let to = &mut self.facts;
            to.key.push(key);
            to.run.push(run);
            to.position.push(position);
            to.asset.push(i64::from(own.asset));
            to.partition.push(own.partition.map(u64::cast_signed));
            to.body.push(id);
        }
        Ok(())
    }

    fn cause(&mut self, cause: &Cause) -> i64 {
        let traceback = cause.traceback.as_deref();
        let parts = [&cause.error_type, &cause.message].map(|text| text.as_bytes());
        let id = match traceback {
            Some(text) => digest(&[parts[0], parts[1], text.as_bytes()]),
            None => digest(&parts),
        };
        self.causes.entry(id).or_insert_with(|| {
            let (kind, message) = (storable(&cause.error_type), storable(&cause.message));
            (kind, message, traceback.map(storable))
        });
        id
    }

    fn family(&mut self, error_type: &str, message: &str) -> i64 {
        let id = digest(&[error_type.as_bytes(), message.as_bytes()]);
        self.families
            .entry(id)
            .or_insert_with(|| (storable(error_type), storable(message)));
        id
    }

    /// Executes the commit. Returns the backfills whose segment was appended.
    pub(super) fn execute(&self, connected: &mut Connected<'_>, owner: &str) -> Answer<Vec<Key>> {
        let (segments, failures, skips) = (&self.segments, &self.failures, &self.skips);
        let (attempts, facts) = (&self.attempts, &self.facts);
        let causes: Vec<_> = self.causes.iter().collect();
        let families: Vec<_> = self.families.iter().collect();
        let bodies: Vec<_> = self.bodies.iter().collect();
        let rows = connected.query(
            COMMIT,
            params![
                owner => TEXT,
                segments.key => INT8_ARRAY,
                segments.seq => INT8_ARRAY,
                segments.first => INT8_ARRAY,
                segments.last => INT8_ARRAY,
                segments.runs => INT8_ARRAY,
                segments.failed_runs => INT8_ARRAY,
                segments.completed => INT8_ARRAY,
                segments.failed => INT8_ARRAY,
                segments.canceled => INT8_ARRAY,
                segments.runs_ended => INT8_ARRAY,
                segments.stop => INT8_ARRAY,
                segments.in_flight => BYTEA_ARRAY,
                segments.body => BYTEA_ARRAY,
                segments.status => INT8_ARRAY,
                segments.ended_at => INT8_ARRAY,
                failures.key => INT8_ARRAY,
                failures.position => INT8_ARRAY,
                failures.run => INT8_ARRAY,
                failures.asset => INT8_ARRAY,
                failures.partition => INT8_ARRAY,
                failures.cause => INT8_ARRAY,
                failures.family => INT8_ARRAY,
                skips.key => INT8_ARRAY,
                skips.position => INT8_ARRAY,
                skips.run => INT8_ARRAY,
                skips.asset => INT8_ARRAY,
                skips.partition => INT8_ARRAY,
                skips.cause => INT8_ARRAY,
                attempts.key => INT8_ARRAY,
                attempts.run => INT8_ARRAY,
                attempts.attempt => INT8_ARRAY,
                attempts.asset => INT8_ARRAY,
                attempts.started_at => INT8_ARRAY,
                attempts.due_at => INT8_ARRAY,
                attempts.cause => INT8_ARRAY,
                facts.key => INT8_ARRAY,
                facts.run => INT8_ARRAY,
                facts.position => INT8_ARRAY,
                facts.asset => INT8_ARRAY,
                facts.partition => INT8_ARRAY,
                facts.body => INT8_ARRAY,
                causes.iter().map(|own| *own.0).collect::<Vec<_>>() => INT8_ARRAY,
                causes.iter().map(|own| &*own.1.0).collect::<Vec<_>>() => TEXT_ARRAY,
                causes.iter().map(|own| &*own.1.1).collect::<Vec<_>>() => TEXT_ARRAY,
                causes.iter().map(|own| own.1.2.as_deref()).collect::<Vec<_>>() => TEXT_ARRAY,
                families.iter().map(|own| *own.0).collect::<Vec<_>>() => INT8_ARRAY,
                families.iter().map(|own| &*own.1.0).collect::<Vec<_>>() => TEXT_ARRAY,
                families.iter().map(|own| &*own.1.1).collect::<Vec<_>>() => TEXT_ARRAY,
                bodies.iter().map(|own| *own.0).collect::<Vec<_>>() => INT8_ARRAY,
                bodies.iter().map(|own| &**own.1).collect::<Vec<_>>() => TEXT_ARRAY,
                self.only_ends.key => INT8_ARRAY,
                self.only_ends.ended_at => INT8_ARRAY,
                self.only_ends.other_key => INT8_ARRAY,
                self.only_ends.other_asset => INT8_ARRAY,
                self.only_ends.other_ending => BYTEA_ARRAY,
                vec![Ending::Made as u8] => BYTEA,
                attempts.left => BYTEA_ARRAY,
            ],
        )?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl Outcomes {
    fn push(
        &mut self,
        key: Key,
        run: i64,
        asset: u32,
        partition: Option<u64>,
        cause: Option<i64>,
        family: Option<i64>,
    ) {
        self.key.push(key);
        self.position.push(self.position.len() as i64);
        self.run.push(run);
        self.asset.push(i64::from(asset));
        self.partition.push(partition.map(u64::cast_signed));
        self.cause.push(cause);
        self.family.push(family);
    }
}

/// The segments that are recorded already, of those that these commits append: a connection that broke may have
/// brought them there.
pub(super) fn recorded(
    connected: &mut Connected<'_>,
    owner: &str,
    commits: &[(&Commit, i64)],
) -> Answer<Vec<Key>> {
    let sql = "SELECT own.key FROM unnest($2::bigint[], $3::bigint[]) AS own (key, seq)
               JOIN @segment AS segment ON segment.backfill = own.key AND segment.seq = own.seq
               WHERE segment.owner = $1";
    let keys: Vec<Key> = commits.iter().map(|(commit, _)| commit.key).collect();
    let seqs: Vec<i64> = commits.iter().map(|(_, seq)| *seq).collect();
    let params = params![owner => TEXT, keys => INT8_ARRAY, seqs => INT8_ARRAY];
    let rows = connected.query(sql, params)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) fn renew(
    connected: &mut Connected<'_>,
    owner: &str,
    duration: i64,
    keys: &[Key],
) -> Answer<Vec<Key>> {
    let sql = format!(
        "UPDATE @backfill SET lease_expires_at = {NOW} + $3 WHERE key = ANY($1) AND owner = $2 RETURNING key"
    );
    let params = params![keys => INT8_ARRAY, owner => TEXT, duration => INT8];
    let rows = connected.write(&sql, params)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statement is durable whatever the role's settings say. A segment is appended only for the owner of the
/// backfill, as far as this statement sees; the key decides if another takes it over at the same moment.
const COMMIT: &str = "WITH
input AS (
    SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
                         $13::bytea[], $14::bytea[], $15::bigint[], $16::bigint[])
    AS input (key, seq, first_run, last_run, runs, failed_runs, completed, failed, canceled, runs_ended, stop,
              in_flight, body, status, ended_at)
),
appended AS (
    INSERT INTO @segment (backfill, seq, owner, first_run, last_run, runs, failed_runs, completed, failed,
                          canceled, runs_ended, stop, in_flight, body)
    SELECT input.key, seq, $1, first_run, last_run, runs, failed_runs, input.completed, input.failed,
           input.canceled, input.runs_ended, input.stop, input.in_flight, body
    FROM input JOIN @backfill AS backfill ON backfill.key = input.key AND backfill.owner = $1
    ON CONFLICT DO NOTHING RETURNING backfill, seq
),
causes AS (
    INSERT INTO @cause (id, error_type, message, traceback)
    SELECT * FROM unnest($43::bigint[], $44::text[], $45::text[], $46::text[]) ON CONFLICT DO NOTHING
),
families AS (
    INSERT INTO @family (id, error_type, message)
    SELECT * FROM unnest($47::bigint[], $48::text[], $49::text[]) ON CONFLICT DO NOTHING
),
bodies AS (
    INSERT INTO @metadata_body (id, body)
    SELECT * FROM unnest($50::bigint[], $51::text[]) ON CONFLICT DO NOTHING
),
failures AS (
    INSERT INTO @failure (backfill, seq, position, run, asset, partition, cause, family)
    SELECT own.key, appended.seq, position, run, asset, partition, cause, family
    FROM unnest($17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[],
                $23::bigint[]) AS own (key, position, run, asset, partition, cause, family)
    JOIN appended ON appended.backfill = own.key
),
skips AS (
    INSERT INTO @skip (backfill, seq, position, run, asset, partition, reason)
    SELECT own.key, appended.seq, position, run, asset, partition, reason
    FROM unnest($24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[])
    AS own (key, position, run, asset, partition, reason)
    JOIN appended ON appended.backfill = own.key
),
attempts AS (
    INSERT INTO @attempt (backfill, run, attempt, asset, started_at, due_at, cause, left_body)
    SELECT own.key, run, attempt, asset, started_at, due_at, cause, left_body
    FROM unnest($30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[], $34::bigint[], $35::bigint[],
                $36::bigint[], $58::bytea[]) AS own (key, run, attempt, asset, started_at, due_at, cause, left_body)
    JOIN appended ON appended.backfill = own.key
),
facts AS (
    INSERT INTO @metadata (backfill, run, position, asset, partition, body)
    SELECT own.key, run, position, asset, partition, body
    FROM unnest($37::bigint[], $38::bigint[], $39::bigint[], $40::bigint[], $41::bigint[], $42::bigint[])
    AS own (key, run, position, asset, partition, body)
    JOIN appended ON appended.backfill = own.key
),
ended AS (
    UPDATE @backfill AS backfill SET status = input.status, completed = input.completed, failed = input.failed,
        canceled = input.canceled, runs_ended = input.runs_ended, in_flight = input.in_flight,
        stop = input.stop, ended_at = input.ended_at, owner = NULL, lease_expires_at = NULL
    FROM input JOIN appended ON appended.backfill = input.key
    WHERE backfill.key = input.key AND input.status <> 0
),
scoped AS (
    UPDATE @backfill_asset AS own SET
        run_ended_at = sole.ended_at,
        scope = CASE WHEN other.key IS NULL THEN $57 ELSE other.ending END || own.scope
    FROM unnest($52::bigint[], $53::bigint[]) AS sole (key, ended_at)
    JOIN appended ON appended.backfill = sole.key
    JOIN @backfill AS backfill ON backfill.key = sole.key
    CROSS JOIN json_array_elements(request::json -> 'assets') WITH ORDINALITY AS asset (body, place)
    LEFT JOIN unnest($54::bigint[], $55::bigint[], $56::bytea[]) AS other (key, asset, ending)
        ON other.key = sole.key AND other.asset = asset.place - 1
    WHERE own.backfill = sole.key AND own.asset = asset.body ->> 'name' AND own.scope IS NOT NULL
    AND (other.key IS NULL OR other.ending IS NOT NULL)
)
SELECT backfill FROM appended, (SELECT set_config('synchronous_commit', 'on', true)) AS durable";
