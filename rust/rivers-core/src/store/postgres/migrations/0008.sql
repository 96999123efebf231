-- What an owner runs is found by its keys.
DROP INDEX IF EXISTS @backfill_by_owner;
