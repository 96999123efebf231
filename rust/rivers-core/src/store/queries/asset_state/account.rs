//! What one backfill or report says about the partitions of an asset.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use roaring::RoaringTreemap;

use super::outcome::Outcome;
use super::source::{Declared, Origin, Source};
use crate::backfill::session::{left_out, session_at};
use crate::backfill::{
    Failures, Kept, Left, Report, ReportKind, Request, RunRow, Session, SkipRow, outcome,
};
use crate::error::Result;
use crate::plan::Plan;
use crate::space::{Members, PositionSet, Selection, Space};
use crate::store::Records;
use crate::store::records::{BackfillRow, Key};

/// What one backfill or report says.
pub(super) struct Account {
    pub(super) source: Arc<Source>,
    /// Disjoint sets of partitions.
    pub(super) parts: Vec<Part>,
}

/// Partitions with one outcome.
pub(super) struct Part {
    pub(super) outcome: Outcome,
    /// The session of the backfill in which their runs started.
    pub(super) session: usize,
    pub(super) partitions: Selection,
}

impl Account {
    pub(super) fn of_report(report: Report, space: &Arc<Space>) -> Self {
        let part = Part {
            outcome: match report.kind {
                ReportKind::Materialized => Outcome::Made,
                ReportKind::Forgotten => Outcome::Forgotten,
            },
            session: 0,
            partitions: report.selection.same_in(space),
        };
        let source = Source {
            origin: Origin::Report,
            declared: vec![Declared {
                code_version: report.code_version,
                kept: Kept::Stored,
            }],
            from: report.at,
            to: report.at,
            sessions: Vec::new(),
        };
        Self {
            source: Arc::new(source),
            parts: vec![part],
        }
    }

    pub(super) fn of_backfill(
        store: &dyn Records,
        row: &BackfillRow,
        asset: u32,
        space: &Arc<Space>,
    ) -> Result<Self> {
        let plan = store.plan(row.key)?;
        let layer = plan.layer_with(asset);
        // Runs first, unless all have ended: what is said of a run is committed with it, and another commit may come
        // in between.
        let have_all_ended = row.counts.runs_ended == row.num_runs;
        let so_far = match have_all_ended {
            true => None,
            false => Some(store.runs(row.key, plan.runs_of(layer))?),
        };
        let skips = match store.skips(row.key, None)? {
            rows if rows.iter().any(|skip| skip.asset == asset) => rows,
            _ => Vec::new(),
        };
        let runs = OnceLock::new();
        let request = &row.request;
        let mut parts = Vec::new();
        if have_all_ended && request.sessions.len() < 2 && skips.is_empty() {
            // No run need be read: they materialized what did not fail.
            let mut own = plan.layers()[layer].selection().sorted();
            if row.counts.completed < row.num_partitions {
                let failures: Failures = store.failures(row.key, None)?.into_iter().collect();
                let failed = ascending(outcome::failed(&plan, layer, &failures, asset));
                own = own.minus(&Selection::new(Arc::clone(own.space()), failed));
            }
            let made = without_before(&plan, asset, own, request.sessions.first());
            parts.push(Part {
                outcome: Outcome::Made,
                session: 0,
                partitions: made,
            });
        } else {
            let rows = match so_far {
                Some(rows) => rows,
                None => store.runs(row.key, plan.runs_of(layer))?,
            };
            let failures: Failures = store.failures(row.key, None)?.into_iter().collect();
            let mut rest = &rows[..];
            let mut by_session: Vec<Vec<RunRow>> = vec![Vec::new(); request.sessions.len().max(1)];
            if by_session.len() == 1 {
                by_session[0] = rest.to_vec();
                rest = &[];
            }
            for own in rest {
                by_session[session_at(&request.sessions, own.started_at)].push(*own);
            }
            let left = left_by_attempts(store, row.key, plan.runs_of(layer), &rows)?;
            for (run, left) in &left {
                let session = session_at(&request.sessions, left.ended_at);
                add_left(
                    &plan,
                    asset,
                    plan.run(*run),
                    left,
                    session,
                    request,
                    &mut parts,
                );
            }
            for (session, own) in by_session.iter().enumerate() {
                let done = outcome::done(&plan, layer, own, &failures, Some(asset));
                let space = Arc::clone(plan.layers()[layer].selection().space());
                let done = Selection::new(space, ascending(done));
                let done = without_before(&plan, asset, done, request.sessions.get(session));
                let skipped = skipped(&plan, asset, &skips, own, &done);
                parts.push(Part {
                    outcome: Outcome::Made,
                    session,
                    partitions: done.minus(&skipped),
                });
                parts.push(Part {
                    outcome: Outcome::Skipped,
                    session,
                    partitions: skipped,
                });
            }
            let _ = runs.set(with_attempts(rows, &left));
        }
        for part in &mut parts {
            part.partitions = if !space.dims().is_empty() {
                part.partitions.same_in(space)
            } else if part.partitions.is_empty() {
                Selection::empty(space)
            } else {
                // A run of other assets' partitions made it, once.
                Selection::all(Arc::clone(space))
            };
        }
        parts.retain(|part| !part.partitions.is_empty());
        let has_same_space = **plan.layers()[layer].selection().space() == **space;
        let source = Source {
            declared: declared(request, asset),
            from: request.created_at,
            to: row.ended_at.unwrap_or(i64::MAX),
            sessions: request.sessions.clone(),
            origin: Origin::Backfill {
                key: row.key,
                plan: Box::new(plan),
                layer,
                has_same_space,
                runs,
            },
        };
        Ok(Self {
            source: Arc::new(source),
            parts,
        })
    }
}

/// What attempts left of those of the runs that have not ended, by run.
///
/// # Errors
/// `Storage`.
pub fn left_by_attempts(
    store: &dyn Records,
    key: Key,
    runs: Range<u64>,
    ended: &[RunRow],
) -> Result<Vec<(u64, Left)>> {
    if ended.len() as u64 == runs.end - runs.start {
        return Ok(Vec::new());
    }
    let mut left = store.left(key)?;
    left.retain(|(run, _)| {
        runs.contains(run) && ended.binary_search_by_key(run, |row| row.run).is_err()
    });
    Ok(left)
}

/// Adds what an attempt of a run that has not ended materialized or skipped for an asset.
fn add_left(
    plan: &Plan,
    asset: u32,
    run: Selection,
    left: &Left,
    session: usize,
    request: &Request,
    parts: &mut Vec<Part>,
) {
    let done = left.done(asset, &run);
    let done = without_before(plan, asset, done, request.sessions.get(session));
    let skipped = done.common(&left.skipped(asset, &run));
    for (outcome, partitions) in [
        (Outcome::Made, done.minus(&skipped)),
        (Outcome::Skipped, skipped),
    ] {
        parts.push(Part {
            outcome,
            session,
            partitions,
        });
    }
}

/// Ended runs, and the attempts of others as if these had ended with them.
fn with_attempts(mut rows: Vec<RunRow>, left: &[(u64, Left)]) -> Vec<RunRow> {
    if !left.is_empty() {
        rows.extend(left.iter().map(|(run, left)| RunRow {
            run: *run,
            started_at: left.started_at,
            ended_at: left.ended_at,
            failed: 0,
        }));
        rows.sort_unstable_by_key(|row| row.run);
    }
    rows
}

/// How the asset was declared in each session.
fn declared(request: &Request, asset: u32) -> Vec<Declared> {
    let of = |session| {
        let own = request.asset_in(session, asset);
        Declared {
            code_version: own.code_version.clone(),
            kept: own.kept,
        }
    };
    match request.sessions.is_empty() {
        true => vec![of(None)],
        false => request.sessions.iter().map(|own| of(Some(own))).collect(),
    }
}

/// Those of the partitions for which runs executed an asset: it was not materialized before.
fn without_before(
    plan: &Plan,
    asset: u32,
    done: Selection,
    session: Option<&Session>,
) -> Selection {
    match left_out(plan, asset, session) {
        Some(before) => done.minus(&before),
        None => done,
    }
}

/// Those of the partitions that these runs skipped.
fn skipped(
    plan: &Plan,
    asset: u32,
    skips: &[SkipRow],
    runs: &[RunRow],
    done: &Selection,
) -> Selection {
    let mut skipped = RoaringTreemap::new();
    for skip in skips.iter().filter(|skip| skip.asset == asset) {
        if runs.binary_search_by_key(&skip.run, |row| row.run).is_err() {
            continue;
        }
        match skip.partition {
            Some(partition) => _ = skipped.insert(partition),
            None => skipped |= plan.run(skip.run).to_treemap(),
        }
    }
    done.common(&Selection::new(
        Arc::clone(done.space()),
        ascending(skipped),
    ))
}

fn ascending(partitions: RoaringTreemap) -> Members {
    Members::Explicit(PositionSet::ascending(partitions))
}
