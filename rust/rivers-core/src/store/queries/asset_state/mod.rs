//! For which partitions an asset is materialized, by what and since when: runs, skips, and what users reported,
//! each overruled by what happened later.
//!
//! The state is a list of pieces: sets of partitions that one backfill or one report accounts for. Sets stay
//! products as long as they can, and the times of single runs are read only where the times of whole backfills
//! do not settle a question.

mod account;
mod failed;
mod history;
mod outcome;
mod source;
mod stale;
mod state;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::backfill::Report;
use crate::clock::Micros;
use crate::error::Result;
use crate::space::{Members, PositionSet, Selection, Space};
use crate::store::process::process_id;
use crate::store::records::BackfillRow;
use crate::store::{Records, Store};
use account::{Account, Part};

pub use account::left_by_attempts;
pub use failed::failed;
pub use history::{done_by_attempts, ever_materialized, materialized_in};
pub use outcome::{Availability, Outcome};
pub use stale::{Staleness, Upstream, stale};
pub use state::{AssetState, Piece};

/// A backfill or a report, before its partitions are read.
enum Header {
    Backfill(Box<BackfillRow>, u32),
    Report(Box<Report>),
}

impl Header {
    /// From when and until when it determined states.
    fn span(&self) -> (Micros, Micros) {
        match self {
            Self::Backfill(row, _) => (row.request.created_at, row.ended_at.unwrap_or(Micros::MAX)),
            Self::Report(report) => (report.at, report.at),
        }
    }
}

/// The state of an asset over a space; over the space without dimensions if it is not partitioned.
///
/// # Errors
/// `Storage`.
pub fn asset_state(store: &dyn Store, asset: &str, space: &Arc<Space>) -> Result<AssetState> {
    let is_partitioned = !space.dims().is_empty();
    let mut headers: Vec<Header> = Vec::new();
    for row in store.determining(asset)? {
        if let Some(index) = row.request.asset_index(asset, is_partitioned) {
            headers.push(Header::Backfill(Box::new(row), index));
        }
    }
    for report in store.reports(asset)? {
        if report.selection.space().dims().is_empty() != is_partitioned {
            headers.push(Header::Report(Box::new(report)));
        }
    }
    // Stable: what began later comes first among those that ended together.
    headers.sort_by_key(|header| {
        let (from, to) = header.span();
        (std::cmp::Reverse(to), std::cmp::Reverse(from))
    });
    let mut builder = Builder {
        space,
        process: process_id(),
        seen: Selection::empty(space),
        pieces: Vec::new(),
    };
    let (mut group, mut begin) = (Vec::new(), Micros::MAX);
    for header in headers {
        let (from, to) = header.span();
        if to < begin {
            builder.add(store, std::mem::take(&mut group))?;
            if builder.seen.len() == space.len() {
                break;
            }
            begin = Micros::MAX;
        }
        begin = begin.min(from);
        group.push(header);
    }
    builder.add(store, group)?;
    Ok(AssetState {
        space: Arc::clone(space),
        pieces: builder.pieces,
    })
}

/// Collects pieces, the newest first.
struct Builder<'a> {
    space: &'a Arc<Space>,
    process: String,
    /// The partitions whose state is known.
    seen: Selection,
    pieces: Vec<Piece>,
}

impl Builder<'_> {
    /// Adds what overlaps in time, and is older than all that was added before.
    fn add(&mut self, store: &dyn Records, group: Vec<Header>) -> Result<()> {
        let read = |header| match header {
            Header::Backfill(row, index) => Account::of_backfill(store, &row, index, self.space),
            Header::Report(report) => Ok(Account::of_report(*report, self.space)),
        };
        let mut accounts: Vec<Account> = group.into_iter().map(read).collect::<Result<_>>()?;
        if accounts.len() > 1 {
            self.settle(store, &mut accounts)?;
        }
        for account in accounts {
            for part in account.parts {
                let left = part.partitions.minus(&self.seen);
                self.seen = self.seen.plus(&part.partitions);
                if part.outcome == Outcome::Forgotten || left.is_empty() {
                    continue;
                }
                self.pieces.push(Piece {
                    partitions: left,
                    outcome: part.outcome,
                    availability: account.source.availability(
                        part.outcome,
                        part.session,
                        &self.process,
                    ),
                    source: Arc::clone(&account.source),
                    session: part.session,
                });
            }
        }
        Ok(())
    }

    /// Leaves each partition to the one account, of several that overlap in time, that came last for it.
    fn settle(&self, store: &dyn Records, accounts: &mut [Account]) -> Result<()> {
        let (mut all, mut shared) = (Selection::empty(self.space), Selection::empty(self.space));
        for part in accounts.iter().flat_map(|account| &account.parts) {
            shared = shared.plus(&all.common(&part.partitions));
            all = all.plus(&part.partitions);
        }
        if shared.is_empty() {
            return Ok(());
        }
        let mut last: HashMap<u64, (Micros, i64, usize, usize)> = HashMap::new();
        for (at, account) in accounts.iter().enumerate() {
            for (number, part) in account.parts.iter().enumerate() {
                for partition in part.partitions.common(&shared).iter() {
                    let (_, ended) = account.source.times(store, self.space, partition)?;
                    let found = (ended, account.source.order(), at, number);
                    let known = last.entry(partition).or_insert(found);
                    *known = (*known).max(found);
                }
            }
        }
        for (at, account) in accounts.iter_mut().enumerate() {
            for (number, Part { partitions, .. }) in account.parts.iter_mut().enumerate() {
                let own = partitions.common(&shared);
                let overruled = own.iter().filter(|partition| {
                    last.get(partition)
                        .is_some_and(|&(_, _, by, part)| (by, part) != (at, number))
                });
                let overruled = PositionSet::ascending(overruled.collect());
                let overruled = Members::Explicit(overruled);
                *partitions = partitions.minus(&Selection::new(Arc::clone(self.space), overruled));
            }
        }
        Ok(())
    }
}
