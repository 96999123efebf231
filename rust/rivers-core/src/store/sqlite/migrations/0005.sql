-- Why a backfill starts nothing more: a number of `Stop`, or nothing while it goes on.
ALTER TABLE backfill ADD COLUMN stop INTEGER;
