-- What a run skipped because there is nothing to produce: an asset for one partition, or (NULL) for all of
-- the run's that did not fail. The reason is stored like that of a failure.
CREATE TABLE skip (
    backfill INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    run INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    partition INTEGER,
    reason INTEGER NOT NULL REFERENCES cause (id),
    PRIMARY KEY (backfill, seq)
) WITHOUT ROWID;
CREATE INDEX skip_by_run ON skip (backfill, run);
