-- How often the request of a backfill was changed while it ran: who runs it reads it again then.
ALTER TABLE backfill ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
