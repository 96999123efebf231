-- Whether a backfill starts nothing new until it is told to go on.
ALTER TABLE backfill ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
