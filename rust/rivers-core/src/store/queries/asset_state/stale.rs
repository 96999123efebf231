//! Which of an asset's materialized partitions are out of date, and why.

use std::sync::Arc;

use roaring::RoaringTreemap;

use super::state::{AssetState, Piece};
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Mapping, Members, PositionSet, Selection};
use crate::store::Records;

/// The partitions that are out of date, by reason; one partition can have several.
#[derive(Debug, Clone)]
pub struct Staleness {
    /// The run that materialized them started before their window's end.
    pub early: Selection,
    /// Another version of the asset's code materialized them.
    pub code_version: Selection,
    /// An upstream partition that they need was materialized later.
    pub upstream: Selection,
}

impl Staleness {
    /// Them by reason, in the order of precedence: the names of these are in the schema of the tables.
    pub fn by_reason(&self) -> [&Selection; 3] {
        [&self.early, &self.code_version, &self.upstream]
    }

    /// All of them.
    pub fn all(&self) -> Selection {
        self.early.plus(&self.code_version).plus(&self.upstream)
    }
}

/// An asset that another one needs.
pub struct Upstream<'a> {
    /// Its state.
    pub state: &'a AssetState,
    /// Which of its partitions are needed.
    pub mapping: Mapping,
}

/// The partitions of an asset that are materialized or skipped and out of date.
///
/// # Arguments
/// `code_version` is the version of the asset's code now; without one, any version is up to date.
///
/// # Errors
/// `Storage`; `PartitionValidation` where a mapping does not fit the spaces.
pub fn stale(
    store: &dyn Records,
    state: &AssetState,
    code_version: Option<&str>,
    upstreams: &[Upstream<'_>],
) -> Result<Staleness> {
    let mut found = Staleness {
        early: early(store, state)?,
        code_version: Selection::empty(&state.space),
        upstream: Selection::empty(&state.space),
    };
    for piece in &state.pieces {
        let then = &piece.source.declared[piece.session];
        if code_version.is_some() && then.code_version.as_deref() != code_version {
            found.code_version = found.code_version.plus(&piece.partitions);
        }
    }
    for upstream in upstreams {
        found.upstream = found.upstream.plus(&outdated(store, state, upstream)?);
    }
    Ok(found)
}

impl Piece {
    /// The session's view of the time by the repository's clock.
    fn repository_time(&self, time: Micros) -> Micros {
        let session = self.source.sessions.get(self.session);
        session.map_or(time, |session| session.repository_time(time))
    }
}

/// The partitions whose run started before their window's end.
fn early(store: &dyn Records, state: &AssetState) -> Result<Selection> {
    let space = &state.space;
    let mut early = Selection::empty(space);
    if space.dims().iter().all(|dim| dim.axis.time().is_none()) {
        return Ok(early);
    }
    for piece in &state.pieces {
        if piece.source.backfill().is_none() {
            continue; // A report says that nothing is missing.
        }
        let possible = piece
            .partitions
            .open_at(piece.repository_time(piece.source.from));
        if possible.is_empty() {
            continue;
        }
        let certain = possible.open_at(piece.repository_time(piece.source.to));
        early = early.plus(&certain);
        let mut single = RoaringTreemap::new();
        for partition in possible.minus(&certain).iter() {
            let (started, _) = piece.source.times(store, space, partition)?;
            let one = Selection::new(Arc::clone(space), Members::One(partition));
            if !one.open_at(piece.repository_time(started)).is_empty() {
                single.insert(partition);
            }
        }
        early = early.plus(&explicit(state, single));
    }
    Ok(early)
}

/// The partitions materialized before the last materialization of an upstream partition that they need.
fn outdated(store: &dyn Records, state: &AssetState, upstream: &Upstream<'_>) -> Result<Selection> {
    let mut outdated = Selection::empty(&state.space);
    // Only materializations that ended after the first of the asset's can be newer.
    let first = state.pieces.iter().map(|piece| piece.source.from).min();
    let is_newer = |piece: &&Piece| first.is_some_and(|first| piece.source.to > first);
    let has_same_keys =
        upstream.mapping == Mapping::Identity && *upstream.state.space == *state.space;
    for up in upstream.state.pieces.iter().filter(is_newer) {
        let affected = if has_same_keys {
            up.partitions.clone()
        } else {
            upstream.mapping.downstream(&up.partitions, &state.space)?
        };
        if affected.is_empty() {
            continue;
        }
        for own in &state.pieces {
            let is_same =
                own.source.backfill().is_some() && own.source.backfill() == up.source.backfill();
            // A backfill makes what a partition needs before the partition.
            if is_same || up.source.to <= own.source.from {
                continue;
            }
            let affected = own.partitions.common(&affected);
            if affected.is_empty() {
                continue;
            }
            if up.source.from > own.source.to {
                outdated = outdated.plus(&affected);
                continue;
            }
            let mut single = RoaringTreemap::new();
            for partition in affected.iter() {
                let (started, _) = own.source.times(store, &state.space, partition)?;
                let one = Selection::new(Arc::clone(&state.space), Members::One(partition));
                let Ok(needed) = upstream.mapping.upstream(&one, &upstream.state.space) else {
                    continue; // The upstream lacks the key.
                };
                for other in needed.common(&up.partitions).iter() {
                    let (_, ended) = up.source.times(store, &upstream.state.space, other)?;
                    if ended > started {
                        single.insert(partition);
                        break;
                    }
                }
            }
            outdated = outdated.plus(&explicit(state, single));
        }
    }
    Ok(outdated)
}

fn explicit(state: &AssetState, partitions: RoaringTreemap) -> Selection {
    let members = Members::Explicit(PositionSet::ascending(partitions));
    Selection::new(Arc::clone(&state.space), members)
}
