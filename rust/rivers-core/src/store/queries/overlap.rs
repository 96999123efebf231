//! The rule that decides whether a backfill in progress shares partitions with a new plan. A database
//! applies it inside the transaction that records the new backfill: of two that overlap, one finds the other.

use crate::backfill::Kind;
use crate::error::Error;
use crate::plan::Plan;
use crate::store::records::{BackfillRow, Key, Overlap};

/// The first of the unfinished backfills that shares partitions of one of the assets with the plan. Only the
/// plans of those that share an asset are loaded.
///
/// # Errors
/// Those of `load_plan`; `Error` if a plan is damaged.
pub(in crate::store) fn find<E: From<Error>>(
    unfinished: Vec<BackfillRow>,
    assets: &[&str],
    plan: &Plan,
    load_plan: impl Fn(Key) -> Result<Plan, E>,
) -> Result<Option<Overlap>, E> {
    for row in unfinished {
        let request = row.request;
        let shared_assets: Vec<(u32, u32, &str)> = (0_u32..)
            .zip(assets)
            .filter_map(|(here, asset)| Some((here, request.partitioned_asset(asset)?, *asset)))
            .collect();
        if request.kind != Kind::Backfill || shared_assets.is_empty() {
            continue;
        }
        let other = load_plan(row.key)?;
        for (here, there, asset) in shared_assets {
            let mine = plan.layers()[plan.layer_with(here)].selection();
            let theirs = other.layers()[other.layer_with(there)].selection();
            let partitions = mine.shared_with(theirs)?;
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
