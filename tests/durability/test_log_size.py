"""The write-ahead log gives its space back once readers that held it up have left."""

import sqlite3

from tests.support import letters

import rivers as rs

LIMIT = 16 << 20
"""Size in bytes of the log from which on it is shortened."""


def test_the_log_is_short_again_after_a_slow_reader(repo, tmp_path):
    path = tmp_path / "rivers.db"

    def size():
        return path.with_name("rivers.db-wal").stat().st_size

    def noting(context):
        context.add_output_metadata({"text": context.partition_key * 1_000_000})

    asset = rs.Asset(noting, name="noting", partitions_def=letters(24))
    repository = repo(asset, storage=rs.Storage.embedded(path))
    everything = {"partition_range": rs.PartitionKeyRange.single("a", "x")}
    reader = sqlite3.connect(path)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM backfill").fetchone()
        repository.backfill(**everything)
        assert size() > LIMIT
    finally:
        reader.close()
    # A commit copies the log into the database, and the next one begins the log anew.
    for letter in "abcdef":
        repository.backfill(partition_keys=[rs.PartitionKey.single(letter)])
    assert size() <= LIMIT
