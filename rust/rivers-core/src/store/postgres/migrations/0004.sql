-- What the executor of a backfill in progress says of its workers, as JSON; NULL where it says nothing.
ALTER TABLE @backfill ADD COLUMN workers TEXT;
