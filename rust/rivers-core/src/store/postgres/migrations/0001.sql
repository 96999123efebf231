-- The schema of a storage in Postgres: the tables of `store/sqlite/`, with what differs. `@` stands for the schema.
-- Texts that many rows share have numbers that follow from the texts, so that no commit has to look one up.
CREATE TABLE @space (
    id BIGINT PRIMARY KEY,
    body BYTEA NOT NULL
);
CREATE TABLE @backfill (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL,
    strategy TEXT NOT NULL,
    space BIGINT NOT NULL REFERENCES @space (id),
    plan BYTEA NOT NULL,
    num_partitions BIGINT NOT NULL,
    num_runs BIGINT NOT NULL,
    status BIGINT NOT NULL,
    completed BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    canceled BIGINT NOT NULL DEFAULT 0,
    runs_ended BIGINT NOT NULL DEFAULT 0,
    in_flight BYTEA NOT NULL DEFAULT '\x00',
    stop BIGINT,
    ended_at BIGINT,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    paused BOOLEAN NOT NULL DEFAULT false,
    revision BIGINT NOT NULL DEFAULT 0,
    owner TEXT,
    lease_expires_at BIGINT
);
CREATE INDEX backfill_unfinished ON @backfill (key) WHERE status = 0;
CREATE INDEX backfill_by_owner ON @backfill (owner) WHERE owner IS NOT NULL;
CREATE TABLE @backfill_asset (
    asset TEXT NOT NULL,
    backfill BIGINT NOT NULL REFERENCES @backfill (key),
    PRIMARY KEY (asset, backfill)
);
-- What happened to a backfill: each commit appends one row. The key is the fence between two owners; `owner` says
-- after a lost connection whose commit is there.
CREATE TABLE @segment (
    backfill BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    owner TEXT NOT NULL,
    first_run BIGINT,
    last_run BIGINT,
    runs BIGINT NOT NULL,
    failed_runs BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    canceled BIGINT NOT NULL,
    runs_ended BIGINT NOT NULL,
    stop BIGINT,
    in_flight BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (backfill, seq)
);
ALTER TABLE @segment ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX segment_by_run ON @segment (backfill, last_run, first_run);
CREATE INDEX segment_with_failure ON @segment (backfill, last_run) WHERE failed_runs > 0;
CREATE TABLE @cause (
    id BIGINT PRIMARY KEY,
    error_type TEXT NOT NULL,
    message TEXT NOT NULL,
    traceback TEXT
);
CREATE TABLE @family (
    id BIGINT PRIMARY KEY,
    error_type TEXT NOT NULL,
    message TEXT NOT NULL
);
-- `seq` is the segment's, `position` counts up within it.
CREATE TABLE @failure (
    backfill BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    run BIGINT NOT NULL,
    asset BIGINT NOT NULL,
    partition BIGINT,
    cause BIGINT,
    family BIGINT,
    PRIMARY KEY (backfill, seq, position)
);
CREATE INDEX failure_by_run ON @failure (backfill, run);
CREATE TABLE @skip (
    backfill BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    run BIGINT NOT NULL,
    asset BIGINT NOT NULL,
    partition BIGINT,
    reason BIGINT NOT NULL,
    PRIMARY KEY (backfill, seq, position)
);
CREATE INDEX skip_by_run ON @skip (backfill, run);
CREATE TABLE @attempt (
    backfill BIGINT NOT NULL,
    run BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    asset BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    cause BIGINT NOT NULL,
    PRIMARY KEY (backfill, run, attempt, asset)
);
CREATE TABLE @metadata_body (
    id BIGINT PRIMARY KEY,
    body TEXT NOT NULL
);
CREATE TABLE @metadata (
    backfill BIGINT NOT NULL,
    run BIGINT NOT NULL,
    position BIGINT NOT NULL,
    asset BIGINT NOT NULL,
    partition BIGINT,
    body BIGINT NOT NULL,
    PRIMARY KEY (backfill, run, position)
);
CREATE TABLE @report (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset TEXT NOT NULL,
    kind BIGINT NOT NULL,
    at BIGINT NOT NULL,
    space BIGINT NOT NULL REFERENCES @space (id),
    partitions BYTEA NOT NULL,
    code_version TEXT,
    metadata TEXT
);
CREATE INDEX report_by_asset ON @report (asset);
CREATE TABLE @dynamic_partition (
    name TEXT NOT NULL,
    position BIGINT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (name, position),
    UNIQUE (name, key)
);
-- On which machine an owner runs: its death is seen at once there, elsewhere when its lease expires.
CREATE TABLE @owner (
    owner TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    at BIGINT NOT NULL
);
