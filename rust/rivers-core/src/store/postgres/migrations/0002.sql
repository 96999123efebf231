-- What is removed is checked by the statements that remove it: a constraint would read the other table for each row.
ALTER TABLE @backfill_asset DROP CONSTRAINT IF EXISTS backfill_asset_backfill_fkey;
ALTER TABLE @backfill DROP CONSTRAINT IF EXISTS backfill_space_fkey;
ALTER TABLE @report DROP CONSTRAINT IF EXISTS report_space_fkey;
