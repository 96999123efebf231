-- Pools that hold for all processes that share the storage.
CREATE TABLE @pool (
    name TEXT PRIMARY KEY,
    slots BIGINT NOT NULL
);
-- What each process may use of a pool until its share expires, and what it needs: see queue/pool_share.rs.
CREATE TABLE @pool_claim (
    pool TEXT NOT NULL,
    owner TEXT NOT NULL,
    granted BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    least BIGINT NOT NULL,
    wanted BIGINT NOT NULL,
    since BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (pool, owner)
);
