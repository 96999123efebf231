-- A failure of an asset that was tried again: which attempt of its run it was, and when the next was due.
CREATE TABLE attempt (
    backfill INTEGER NOT NULL,
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    cause INTEGER NOT NULL REFERENCES cause (id),
    PRIMARY KEY (backfill, run, attempt, asset)
) WITHOUT ROWID;
