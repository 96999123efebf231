CREATE TABLE asset (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE source (id INTEGER PRIMARY KEY, backfill TEXT NOT NULL UNIQUE) STRICT;

-- A value by asset and partition, see identity.rs. `body` is a pickled value, or the number of a row of
-- `shared`, or NULL if the latest run made a value that cannot be stored.
CREATE TABLE value (
  asset INTEGER NOT NULL,
  partition BLOB NOT NULL,
  source INTEGER NOT NULL,
  body ANY,
  PRIMARY KEY (asset, partition)
) STRICT, WITHOUT ROWID;

CREATE INDEX value_shared ON value (body) WHERE typeof(body) = 'integer';

CREATE INDEX value_lost ON value (asset) WHERE body IS NULL;

-- A value of several partitions, or a large one, which is in a file of its own.
CREATE TABLE shared (id INTEGER PRIMARY KEY, file TEXT, body BLOB) STRICT;

-- Partitions whose value is None, unless `value` has them: ranges of their numbers in a space.
CREATE TABLE none (
  id INTEGER PRIMARY KEY,
  asset INTEGER NOT NULL,
  space INTEGER NOT NULL,
  partitions BLOB NOT NULL
) STRICT;

CREATE INDEX none_asset ON none (asset);

CREATE TABLE space (id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, body BLOB NOT NULL) STRICT;

CREATE INDEX space_digest ON space (digest);
