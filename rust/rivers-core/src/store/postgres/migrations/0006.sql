-- Which partitions of an asset the only run of a backfill has, as a number, and from its end on, before that, a
-- letter for how it ended; nothing where the backfill has several runs (see `store/queries/scope.rs`). `run_ended_at`
-- is set where the run ended in one way for all partitions.
ALTER TABLE @backfill_asset ADD COLUMN scope BYTEA;
ALTER TABLE @backfill_asset ADD COLUMN run_ended_at BIGINT;
CREATE INDEX backfill_asset_by_scope ON @backfill_asset (asset, scope, run_ended_at, backfill)
    WHERE run_ended_at IS NOT NULL;
CREATE INDEX backfill_asset_by_end ON @backfill_asset (asset, run_ended_at, backfill) WHERE run_ended_at IS NOT NULL;
CREATE INDEX backfill_asset_others ON @backfill_asset (asset, backfill) WHERE run_ended_at IS NULL;
