-- The first schema. Integers, not texts, wherever rows are many.

-- A resolved space, once for all backfills over it.
CREATE TABLE space (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX space_by_digest ON space (digest);

-- One row per backfill or manual run: the request as given, its counts, its lease. The counts change
-- in the transaction that writes the rows they count.
CREATE TABLE backfill (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL,
    strategy TEXT NOT NULL,
    space INTEGER NOT NULL REFERENCES space (id),
    plan BLOB NOT NULL,
    num_partitions INTEGER NOT NULL,
    num_runs INTEGER NOT NULL,
    status INTEGER NOT NULL,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    canceled INTEGER NOT NULL DEFAULT 0,
    runs_ended INTEGER NOT NULL DEFAULT 0,
    in_flight BLOB NOT NULL DEFAULT x'00',
    ended_at INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    lease_expires_at INTEGER
);
CREATE INDEX backfill_unfinished ON backfill (key) WHERE status = 0;
CREATE INDEX backfill_by_owner ON backfill (owner) WHERE owner IS NOT NULL;

-- Which backfills touch an asset: the way to what is materialized.
CREATE TABLE backfill_asset (
    asset TEXT NOT NULL,
    backfill INTEGER NOT NULL REFERENCES backfill (key),
    PRIMARY KEY (asset, backfill)
) WITHOUT ROWID;

-- A run that has ended. The key's order is the order in which runs end, nearly: rows are appended.
CREATE TABLE run (
    backfill INTEGER NOT NULL,
    run INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (backfill, run)
) WITHOUT ROWID;

-- What a run did not materialize: an asset for one partition, or (NULL) for all of the run's; without
-- a cause it was skipped.
CREATE TABLE failure (
    backfill INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    run INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    partition INTEGER,
    cause INTEGER REFERENCES cause (id),
    PRIMARY KEY (backfill, seq)
) WITHOUT ROWID;
CREATE INDEX failure_by_run ON failure (backfill, run);

-- A reason for failures; equal texts once.
CREATE TABLE cause (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    error_type TEXT NOT NULL,
    message TEXT NOT NULL,
    traceback TEXT
);
CREATE INDEX cause_by_digest ON cause (digest);

-- Keys of dynamic dimensions; `position` is the order of registration.
CREATE TABLE dynamic_partition (
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (name, position),
    UNIQUE (name, key)
) WITHOUT ROWID;
