//! The state of an asset: disjoint pieces.

use std::sync::Arc;

use super::outcome::{Availability, Outcome};
use super::source::Source;
use crate::space::{Selection, Space};

/// Partitions whose state one backfill or one report determines.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The partitions, in the space of the state.
    pub partitions: Selection,
    /// Whether they were materialized or skipped.
    pub outcome: Outcome,
    /// From where their values can be loaded.
    pub availability: Availability,
    /// What determines their state.
    pub(super) source: Arc<Source>,
    /// The session of the backfill in which their runs started.
    pub(super) session: usize,
}

/// The state of an asset over a space.
#[derive(Debug, Clone)]
pub struct AssetState {
    pub(super) space: Arc<Space>,
    /// Disjoint, the newest first.
    pub(super) pieces: Vec<Piece>,
}

impl AssetState {
    /// The space.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// The partitions that are materialized or skipped, and whose values are not gone.
    pub fn materialized(&self) -> Selection {
        self.union(|piece| piece.availability != Availability::Gone)
    }

    /// The partitions that were skipped last.
    pub fn skipped(&self) -> Selection {
        self.union(|piece| piece.outcome == Outcome::Skipped)
    }

    /// The partitions that runs materialized and whose values are where the asset's handler put them: in this
    /// process or beyond it. Those that users reported have no value that is known.
    pub fn stored(&self) -> Selection {
        self.union(|piece| {
            let is_run = piece.source.backfill().is_some();
            let is_there = piece.availability != Availability::Gone;
            is_run && is_there && piece.outcome == Outcome::Made
        })
    }

    /// The partitions whose values are gone.
    pub fn gone(&self) -> Selection {
        self.union(|piece| piece.availability == Availability::Gone)
    }

    fn union(&self, of: impl Fn(&Piece) -> bool) -> Selection {
        let mut all = Selection::empty(&self.space);
        for piece in self.pieces.iter().filter(|piece| of(piece)) {
            all = all.plus(&piece.partitions);
        }
        all
    }
}
