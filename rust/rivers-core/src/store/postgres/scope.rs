//! The columns `scope` and `run_ended_at` of `backfill_asset`: which single runs determine the state of an asset.

use crate::store::queries::scope::Ending;

/// Selects the backfills that determine the state of an asset, the newest first: of ended runs with one scope the
/// last.
pub(super) const DETERMINING: &str = "WHERE key = ANY(ARRAY(
    WITH RECURSIVE own (scope) AS (
        (SELECT scope FROM @backfill_asset WHERE asset = $1 AND run_ended_at IS NOT NULL ORDER BY scope LIMIT 1)
        UNION ALL
        SELECT (SELECT scope FROM @backfill_asset AS next
                WHERE asset = $1 AND run_ended_at IS NOT NULL AND next.scope > own.scope ORDER BY scope LIMIT 1)
        FROM own WHERE scope IS NOT NULL)
    SELECT backfill FROM @backfill_asset WHERE asset = $1 AND run_ended_at IS NULL
    UNION ALL
    SELECT (SELECT backfill FROM @backfill_asset AS last
            WHERE asset = $1 AND run_ended_at IS NOT NULL AND last.scope = own.scope
            ORDER BY run_ended_at DESC, backfill DESC LIMIT 1)
    FROM own WHERE scope IS NOT NULL))
ORDER BY key DESC";

/// Selects the backfills of an asset, the newest first; of those of one run that have ended, those that ended last.
pub(super) const LATEST: &str = "WHERE key = ANY(ARRAY(
    SELECT backfill FROM @backfill_asset WHERE asset = $1 AND run_ended_at IS NULL
    UNION ALL
    (SELECT backfill FROM @backfill_asset WHERE asset = $1 AND run_ended_at IS NOT NULL
     ORDER BY run_ended_at DESC, backfill DESC LIMIT $2)))
ORDER BY key DESC";

/// Whether any backfill of an asset skipped something; the scopes of skips begin between two others.
pub(super) const HAS_SKIPPED: &str = "SELECT EXISTS (
    SELECT 1 FROM @backfill_asset
    WHERE asset = $1 AND run_ended_at IS NOT NULL AND scope >= $2 AND scope < $3)
OR EXISTS (
    SELECT 1 FROM @backfill_asset AS own WHERE asset = $1 AND run_ended_at IS NULL
    AND EXISTS (SELECT 1 FROM @skip AS skip WHERE skip.backfill = own.backfill))";
pub(super) const SKIPPED: &[u8] = &[Ending::Skipped as u8];
pub(super) const BEYOND_SKIPPED: &[u8] = &[Ending::Skipped as u8 + 1];
