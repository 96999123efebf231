//! Copies a storage into another of any kind, and compares both.

use std::sync::Arc;

use hashbrown::HashMap;
use ring::digest::{Context, SHA256};

use super::backfills::LiveOwners;
use super::prune;
use crate::backfill::{
    AttemptRow, Cause, Counts, Failure, FailureRow, Left, MetadataRow, OutputMetadata, Report,
    Retry, RunEnd, RunRow, Skip, SkipRow, Status,
};
use crate::clock::{Micros, SECOND};
use crate::error::{Error, Result};
use crate::plan::{Plan, codec};
use crate::store::records::{BackfillRow, Commit, Committed, Key, LeaseTerms, StorageTime};
use crate::store::{Records, Store};

/// Number of runs that one commit records.
const AT_ONCE: usize = 16_384;
/// Number of backfills whose names are read at once.
const PAGE: usize = 10_000;
/// The names of owners that copy begin so: what they have not finished is no backfill that somebody ran.
const OWNER: &str = "copy-";
/// How long an unfinished copy is left alone if its process cannot be seen.
const LEASE: Micros = 600 * SECOND;

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Number of backfills and manual runs.
    pub backfills: u64,
    /// Number of those that the target had already, with the same records.
    pub known: u64,
    /// Number of ended runs.
    pub runs: u64,
}

/// Copies what the target does not have, and compares each backfill with what was read. A copy that was cut off is
/// continued by the next call.
///
/// # Errors
/// `Refused` if a process runs a backfill of the source; `Storage`, also if both have other records of one backfill.
pub fn copy(from: &dyn Store, to: &dyn Store) -> Result<Copied> {
    refuse_live(from)?;
    let owner = format!("{OWNER}{}", uuid::Uuid::now_v7().simple());
    let _registration = to.register_owner(&owner)?;
    let mut copied = Copied::default();
    for key in keys(from)? {
        let Some(row) = from.get(key)? else { continue };
        if let Some(known) = to.find(&row.request.id)? {
            if is_cut_off(to, &known) {
                prune::remove(to, vec![known.key])?;
            } else {
                compare(from, &row, to)?;
                copied.backfills += 1;
                copied.known += 1;
                continue;
            }
        }
        copied.runs += copy_one(from, &row, to, &owner)?;
        compare(from, &row, to)?;
        copied.backfills += 1;
    }
    copy_reports(from, to)?;
    for name in from.dynamic_names()? {
        let labels = from.dynamic(&name)?;
        let keys: Vec<String> = labels.iter().map(str::to_owned).collect();
        to.add_dynamic(&name, &keys)?;
    }
    // A backfill that began meanwhile would run on in the source alone.
    refuse_live(from)?;
    Ok(copied)
}

fn refuse_live(from: &dyn Store) -> Result<()> {
    let owners = LiveOwners::now(from)?;
    match from.unfinished()?.into_iter().find(|row| owners.run(row)) {
        None => Ok(()),
        Some(row) => Err(Error::Configuration(format!(
            "the backfill {:?} is in progress in {}: wait for it, or cancel it, and copy then",
            row.request.id,
            from.display_name()
        ))),
    }
}

/// The numbers of all backfills, the oldest first.
fn keys(from: &dyn Store) -> Result<Vec<Key>> {
    let mut keys: Vec<Key> = from.unfinished()?.iter().map(|row| row.key).collect();
    let mut after = 0;
    loop {
        let page = from.ended_before(StorageTime(Micros::MAX), after, PAGE)?;
        let Some(&(last, _)) = page.last() else { break };
        after = last;
        keys.extend(page.into_iter().map(|(key, _)| key));
    }
    keys.sort_unstable();
    Ok(keys)
}

fn is_cut_off(to: &dyn Store, row: &BackfillRow) -> bool {
    let owner = row.lease.as_ref().map(|lease| lease.owner.as_str());
    owner.is_some_and(|owner| owner.starts_with(OWNER) && !to.is_alive(owner))
}

/// Everything about a backfill but its row.
struct Contents {
    plan: Plan,
    runs: Vec<RunRow>,
    failures: Vec<FailureRow>,
    skips: Vec<SkipRow>,
    attempts: Vec<AttemptRow>,
    left: Vec<(u64, Arc<Left>)>,
    metadata: Vec<MetadataRow>,
    causes: HashMap<i64, Arc<Cause>>,
    families: HashMap<i64, (String, String)>,
    bodies: HashMap<i64, Arc<str>>,
}

impl Contents {
    fn read(store: &dyn Records, row: &BackfillRow) -> Result<Self> {
        let key = row.key;
        let failures = store.failures(key, None)?;
        let mut skips = store.skips(key, None)?;
        skips.sort_by_key(|skip| skip.run);
        let attempts = store.attempts(key)?;
        let left = store.left(key)?.into_iter();
        let metadata = store.metadata(key, None)?;
        let named = failures.iter().filter_map(|failure| failure.cause);
        let named = named.chain(skips.iter().map(|skip| skip.reason));
        let causes = distinct(named.chain(attempts.iter().map(|attempt| attempt.cause)));
        let families = distinct(failures.iter().filter_map(|failure| failure.family));
        let bodies = distinct(metadata.iter().map(|own| own.body));
        let texts = store.fingerprints(&families)?;
        Ok(Self {
            plan: store.plan(key)?,
            runs: store.runs(key, 0..row.num_runs)?,
            failures,
            skips,
            attempts,
            left: left.map(|(run, left)| (run, Arc::new(left))).collect(),
            metadata,
            causes: store
                .errors(&causes)?
                .into_iter()
                .map(|(id, cause)| (id, Arc::new(cause)))
                .collect(),
            families: families.into_iter().zip(texts).collect(),
            bodies: store
                .metadata_bodies(&bodies)?
                .into_iter()
                .map(|(id, body)| (id, body.into()))
                .collect(),
        })
    }

    fn cause(&self, id: i64) -> Result<Arc<Cause>> {
        let cause = self.causes.get(&id).map(Arc::clone);
        cause.ok_or_else(|| Error::Execution(format!("there is no error with the number {id}")))
    }

    /// The attempts that were followed by others.
    fn retries(&self) -> Result<Vec<RunEnd>> {
        let same = |a: &AttemptRow, b: &AttemptRow| (a.run, a.attempt) == (b.run, b.attempt);
        let mut attempts = self.attempts.chunk_by(same).peekable();
        std::iter::from_fn(|| {
            let rows = attempts.next()?;
            let is_last = attempts
                .peek()
                .is_none_or(|next| next[0].run != rows[0].run);
            Some((rows, is_last))
        })
        .map(|(rows, is_last)| {
            let own = self
                .left
                .binary_search_by_key(&rows[0].run, |(run, _)| *run)
                .ok()
                .map(|at| &self.left[at]);
            let causes = rows
                .iter()
                .map(|row| Ok((row.asset, self.cause(row.cause)?)));
            let mut end = RunEnd::plain(rows[0].run, rows[0].started_at, rows[0].started_at, 0);
            end.retry = Some(Retry {
                attempt: rows[0].attempt,
                due_at: rows[0].due_at,
                causes: causes.collect::<Result<_>>()?,
                deferred: Vec::new(),
                rest: Vec::new(),
                left: own.filter(|_| is_last).map(|(_, left)| Arc::clone(left)),
            });
            Ok(end)
        })
        .collect()
    }

    /// The runs that have ended: those with a failure in the order of their failures, then the others.
    fn ends(&self) -> Result<Vec<RunEnd>> {
        let mut place: HashMap<u64, usize> = HashMap::with_capacity(self.runs.len());
        for failure in &self.failures {
            let next = place.len();
            place.entry(failure.run).or_insert(next);
        }
        let mut ends: Vec<RunEnd> = Vec::with_capacity(self.runs.len());
        for row in &self.runs {
            let partitions = self.plan.run(row.run).len();
            let mut end = RunEnd::plain(row.run, row.started_at, row.ended_at, partitions);
            end.failed = row.failed;
            ends.push(end);
        }
        ends.sort_by_key(|end| (place.get(&end.run).copied().unwrap_or(usize::MAX), end.run));
        place.clear();
        place.extend(ends.iter().enumerate().map(|(at, end)| (end.run, at)));
        let mut unknown = 0;
        for row in &self.failures {
            let Some(&at) = place.get(&row.run) else {
                unknown += 1;
                continue;
            };
            let family = row.family.and_then(|id| self.families.get(&id));
            ends[at].failures.push(Failure {
                asset: row.asset,
                partition: row.partition,
                cause: row.cause.map(|id| self.cause(id)).transpose()?,
                fingerprint: family.map(|(_, text)| text.clone()),
            });
        }
        for row in &self.skips {
            let Some(&at) = place.get(&row.run) else {
                unknown += 1;
                continue;
            };
            ends[at].skips.push(Skip {
                asset: row.asset,
                partition: row.partition,
                reason: self.cause(row.reason)?,
            });
        }
        for row in &self.metadata {
            let (Some(&at), Some(body)) = (place.get(&row.run), self.bodies.get(&row.body)) else {
                unknown += 1;
                continue;
            };
            ends[at].metadata.push(OutputMetadata {
                asset: row.asset,
                partition: row.partition,
                body: Arc::clone(body),
            });
        }
        match unknown {
            0 => Ok(ends),
            _ => Err(Error::Execution(format!(
                "{unknown} records belong to no run that has ended; `rivers db check` says more"
            ))),
        }
    }

    /// What does not depend on the storage that it was read from.
    fn digest(&self, row: &BackfillRow) -> Result<[u8; 32]> {
        let mut context = Context::new(&SHA256);
        let mut add = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        };
        // A server stores no NUL in a text.
        let text = |text: &str| text.replace('\0', "\u{2400}");
        add(row.request.to_json()?.as_bytes());
        let counts = (row.counts, row.status, row.ended_at, row.stop);
        let control = (row.cancel_requested, row.paused, &row.in_flight);
        add(format!("{counts:?}{control:?}{}", row.strategy).as_bytes());
        add(&codec::encode_space(self.plan.selection().space())?);
        add(&codec::encode_plan(&self.plan)?);
        for own in &self.runs {
            add(format!("{own:?}").as_bytes());
        }
        let cause = |id: i64| {
            let own = self.cause(id)?;
            let traceback = own.traceback.as_deref().map(text);
            let parts = (text(&own.error_type), text(&own.message), traceback);
            Ok::<_, Error>(format!("{parts:?}"))
        };
        for own in &self.failures {
            let family = own.family.and_then(|id| self.families.get(&id));
            let family = family.map(|(kind, message)| (text(kind), text(message)));
            let named = own.cause.map(&cause).transpose()?;
            let parts = (own.run, own.asset, own.partition, named, family);
            add(format!("{parts:?}").as_bytes());
        }
        for own in &self.skips {
            let parts = (own.run, own.asset, own.partition, cause(own.reason)?);
            add(format!("{parts:?}").as_bytes());
        }
        for own in &self.attempts {
            let parts = (own.run, own.attempt, own.asset, own.started_at, own.due_at);
            add(format!("{parts:?}{}", cause(own.cause)?).as_bytes());
        }
        for (run, left) in &self.left {
            add(format!("{run}{}", text(&format!("{left:?}"))).as_bytes());
        }
        for own in &self.metadata {
            let body = self.bodies.get(&own.body).map(|body| text(body));
            let parts = (own.run, own.asset, own.partition, body);
            add(format!("{parts:?}").as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Ok(digest)
    }
}

fn distinct(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Copies a backfill that the target does not have. Returns the number of its runs.
fn copy_one(from: &dyn Store, row: &BackfillRow, to: &dyn Store, owner: &str) -> Result<u64> {
    let contents = Contents::read(from, row)?;
    let lease = LeaseTerms {
        owner: owner.to_owned(),
        duration: LEASE,
    };
    let is_empty = row.num_runs == 0;
    let key = to.create(&row.request, &contents.plan, (!is_empty).then_some(&lease))?;
    if is_empty {
        return Ok(0);
    }
    let mut ends = contents.retries()?;
    ends.extend(contents.ends()?);
    let mut counts = Counts::default();
    let mut parts = ends.chunks(AT_ONCE).peekable();
    loop {
        let ended = parts.next().unwrap_or_default().to_vec();
        for end in ended.iter().filter(|end| end.retry.is_none()) {
            counts.runs_ended += 1;
            counts.failed += end.failed;
            counts.completed += end.partitions - end.failed;
        }
        let is_last = parts.peek().is_none();
        let mut commit = Commit {
            key,
            ended,
            counts,
            in_flight: Vec::new(),
            stop: None,
            finished: None,
        };
        if is_last {
            commit.counts = row.counts;
            commit.in_flight.clone_from(&row.in_flight);
            commit.stop = row.stop;
            commit.finished = row.ended_at.map(|at| (row.status, at));
        }
        // What a cancel or a pause asks for is asked before the end, after which nothing can be.
        if is_last && row.cancel_requested {
            to.request_cancel(key)?;
        }
        if is_last && row.paused {
            to.set_paused(key, true)?;
        }
        if to.commit(&lease, &[commit])? != [Committed::Kept] {
            return Err(Error::Storage {
                path: to.display_name(),
                message: "another process took over what is being copied".into(),
            });
        }
        if is_last {
            break;
        }
    }
    if row.status == Status::InProgress {
        to.release(key, owner)?;
    }
    Ok(contents.runs.len() as u64)
}

/// Compares the records of a backfill in both storages.
fn compare(from: &dyn Store, row: &BackfillRow, to: &dyn Store) -> Result<()> {
    let id = &row.request.id;
    let differs = || Error::Storage {
        path: to.display_name(),
        message: format!(
            "its record of {id:?} is not that of {}",
            from.display_name()
        ),
    };
    let copy = to.find(id)?.ok_or_else(differs)?;
    let read = Contents::read(from, row)?.digest(row)?;
    match Contents::read(to, &copy)?.digest(&copy)? == read {
        true => Ok(()),
        false => Err(differs()),
    }
}

/// Copies what users reported, the oldest first, but for what the target has.
fn copy_reports(from: &dyn Store, to: &dyn Store) -> Result<()> {
    for asset in from.reported_assets()? {
        let known = to.reports(&asset)?;
        let is_same = |a: &Report, b: &Report| {
            let equal = (a.kind, a.at, &a.code_version) == (b.kind, b.at, &b.code_version);
            equal && a.selection.len() == b.selection.len()
        };
        for report in from.reports(&asset)?.iter().rev() {
            if !known.iter().any(|own| is_same(own, report)) {
                to.report(report)?;
            }
        }
    }
    Ok(())
}
