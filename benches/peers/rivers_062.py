"""The work of the comparison, in the package `rivers` 0.6.2 of PyPI."""

import probe


def works():
    import rivers as rs

    def grid(*sizes):
        return rs.PartitionsDefinition.multi(
            {
                name: rs.PartitionsDefinition.static_([f"{name}{n:04d}" for n in range(size)])
                for name, size in zip("abc", sizes, strict=False)
            }
        )

    def whole(*sizes):
        return rs.PartitionKeyRange.multi(
            {
                name: (f"{name}0000", f"{name}{size - 1:04d}")
                for name, size in zip("abc", sizes, strict=False)
            }
        )

    def repository(definition, storage):
        @rs.Asset(partitions_def=definition)
        def noop(context: rs.AssetExecutionContext):
            return None

        repo = rs.CodeRepository(assets=[noop])
        repo.resolve(storage=storage)
        return repo

    def plan(size):
        sizes = (size, size, size)
        repo = repository(grid(*sizes), rs.Storage.memory())
        return lambda: repo.backfill(partition_range=whole(*sizes), dry_run=True).num_partitions

    def keys(size):
        definition = grid(size, size)
        return lambda: len(definition.get_partition_keys())

    def noop(size, storage):
        sizes = (size // 100, 100)
        repo = repository(grid(*sizes), storage)
        every = whole(*sizes)
        return lambda: repo.backfill(partition_range=every, max_concurrency=4).completed

    return {
        "plan": plan,
        "keys": keys,
        "memory": lambda size: noop(size, rs.Storage.memory()),
        "disk": lambda size: noop(size, rs.Storage.embedded("rivers-db")),
    }


if __name__ == "__main__":
    probe.main(works)
