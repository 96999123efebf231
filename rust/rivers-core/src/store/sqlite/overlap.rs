//! Which backfill that has not ended holds partitions that another is to hold.

use rusqlite::{Connection, Result};

use super::backfill;
use crate::backfill::Kind;
use crate::plan::{Plan, codec};
use crate::store::overlap::Overlap;

/// The newest that shares partitions of one of the assets, if any does.
pub(super) fn find(
    connection: &Connection,
    assets: &[&str],
    plan: &Plan,
) -> Result<Option<Overlap>> {
    let unreadable = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    for row in backfill::unfinished(connection)? {
        let request = row.request;
        let both = (0_u32..).zip(assets).filter_map(|(place, asset)| {
            let there = request.partitioned_asset(asset)?;
            Some((place, there, *asset))
        });
        let both: Vec<(u32, u32, &str)> = both.collect();
        if request.kind != Kind::Backfill || both.is_empty() {
            continue;
        }
        let (space, bytes) = backfill::plan(connection, row.key)?;
        let other = codec::decode_space(&space)
            .and_then(|space| codec::decode_plan(space, &bytes))
            .map_err(unreadable)?;
        for (here, there, asset) in both {
            let mine = plan.layers()[plan.layer_with(here)].selection();
            let theirs = other.layers()[other.layer_with(there)].selection();
            let partitions = mine.shared_with(theirs).map_err(unreadable)?;
            if partitions > 0 {
                return Ok(Some(Overlap {
                    id: request.id,
                    asset: asset.to_owned(),
                    partitions,
                }));
            }
        }
    }
    Ok(None)
}
