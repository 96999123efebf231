-- What users recorded about an asset without running anything: that partitions are materialized (kind 0), or
-- that they are missing (kind 1). The partitions are encoded like a plan, so that a row describes any number.
CREATE TABLE report (
    id INTEGER PRIMARY KEY,
    asset TEXT NOT NULL,
    kind INTEGER NOT NULL,
    at INTEGER NOT NULL,
    space INTEGER NOT NULL REFERENCES space (id),
    partitions BLOB NOT NULL,
    code_version TEXT,
    metadata TEXT
);
CREATE INDEX report_by_asset ON report (asset);
