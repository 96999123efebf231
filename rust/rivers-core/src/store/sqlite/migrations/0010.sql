-- What happened to a backfill, as a log: each commit appends one row. It has the runs that ended, packed (see
-- `store/segment.rs`), what had ended by then in all, and what was in flight. The newest row of a backfill in
-- progress says how it stands; the columns of these names in `backfill` are written when it ends. Small
-- segments are merged into their newest. (Not WITHOUT ROWID: there SQLite reads whole bodies to compare keys.)
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    backfill INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    first_run INTEGER,
    last_run INTEGER,
    runs INTEGER NOT NULL,
    failed_runs INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    canceled INTEGER NOT NULL,
    runs_ended INTEGER NOT NULL,
    stop INTEGER,
    in_flight BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX segment_by_seq ON segment (backfill, seq);
CREATE INDEX segment_by_run ON segment (backfill, last_run, first_run);
CREATE INDEX segment_with_failure ON segment (backfill, last_run) WHERE failed_runs > 0;
