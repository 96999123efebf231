-- A service starts many single runs: what lists backfills goes past them.
CREATE INDEX backfill_not_manual ON @backfill (key) WHERE position('"kind":"Manual"' IN request) = 0;
