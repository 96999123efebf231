-- Pools that hold for all processes that share the storage.
CREATE TABLE pool (
    name TEXT PRIMARY KEY,
    slots INTEGER NOT NULL
) WITHOUT ROWID;
-- What each process may use of a pool until its share expires, and what it needs: see queue/pool_share.rs.
CREATE TABLE pool_claim (
    pool TEXT NOT NULL,
    owner TEXT NOT NULL,
    granted INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    least INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    since INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (pool, owner)
) WITHOUT ROWID;
