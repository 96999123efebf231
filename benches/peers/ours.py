"""The work of the comparison, in this package."""

import os

import probe

SERVER = "RIVERS_TEST_POSTGRES"
"""The URL of the server that the comparison has started."""


def works():
    import polars as pl  # noqa: F401  (so that it counts as import)

    import rivers as rs

    def grid(*sizes):
        return rs.PartitionsDefinition.multi(
            {
                name: rs.PartitionsDefinition.static_([f"{name}{n:04d}" for n in range(size)])
                for name, size in zip("abc", sizes, strict=False)
            }
        )

    def server():
        return rs.Storage.postgres(f"{os.environ[SERVER]}?schema=p{os.getpid()}")

    def repository(definition, storage):
        @rs.Asset(partitions_def=definition)
        def noop(context):
            return None

        return rs.CodeRepository([noop]).resolve(storage)

    def plan(size):
        repo = repository(grid(size, size, size), rs.Storage.memory())
        every = rs.PartitionKeyRange.multi({})
        return lambda: repo.backfill(partition_range=every, dry_run=True).num_partitions

    def keys(size):
        definition = grid(size, size)
        return lambda: len(definition.get_partition_keys())

    def noop(size, storage):
        repo = repository(grid(size // 100, 100), storage)
        every = rs.PartitionKeyRange.multi({})
        return lambda: repo.backfill(partition_range=every, max_concurrency=4).completed

    return {
        "plan": plan,
        "keys": keys,
        "memory": lambda size: noop(size, rs.Storage.memory()),
        "disk": lambda size: noop(size, rs.Storage.embedded("rivers.db")),
        "server": lambda size: noop(size, server()),
    }


if __name__ == "__main__":
    probe.main(works)
