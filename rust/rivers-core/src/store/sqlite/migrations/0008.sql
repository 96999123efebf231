-- Facts about what a run materialized of an asset, for one partition or (NULL) for all of the run's that
-- have none of their own. Equal facts, a JSON object, are stored once.
CREATE TABLE metadata_body (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX metadata_body_by_digest ON metadata_body (digest);
CREATE TABLE metadata (
    backfill INTEGER NOT NULL,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    partition INTEGER,
    body INTEGER NOT NULL REFERENCES metadata_body (id),
    PRIMARY KEY (backfill, run, seq)
) WITHOUT ROWID;
