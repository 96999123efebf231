"""A program on a Ray cluster: functions of `__main__`, modules beside it and on its path, and one that Ray ships.

Usage: program.py ADDRESS FOLDER SHIPPED, where SHIPPED is the folder of a package that only this process finds.
A folder `library` beside it is put on the path.
"""

import functools
import sys
from pathlib import Path

import beside  # type: ignore[import-not-found]  # A test puts it there.

import rivers as rs

sys.path.insert(0, str(Path(__file__).parent / "library"))
import on_path  # type: ignore[import-not-found]

FACTOR = 3
LETTERS = rs.PartitionsDefinition.static_(["a", "b"])


@functools.cache
def scaled(number):
    """A function of `__main__` that uses a variable of it, behind a cache."""
    return FACTOR * number


def main(address, folder, shipped):
    handler = rs.PickleIOHandler(folder, shared=True)

    @rs.Asset(partitions_def=LETTERS, io_handler=handler, compute={"num_cpus": 1})
    def numbers():
        import shipped  # type: ignore[import-not-found]  # Ray puts it there.

        assert "_ray_pkg_" in shipped.__file__, shipped.__file__
        return scaled(beside.NUMBER) + shipped.NUMBER + on_path.number()

    # It needs other workers than `numbers`: they are of two pools.
    @rs.Asset(
        partitions_def=LETTERS, io_handler=handler, compute={"num_cpus": 2},
        deps=[rs.AssetDef.input("numbers", rs.PartitionMapping.all_partitions())],
    )  # fmt: skip
    def total(numbers):
        import ray

        return sum(numbers.values()), ray.get_runtime_context().get_assigned_resources()["CPU"]

    executor = rs.Executor.ray(address, runtime_env={"py_modules": [shipped]})
    storage = rs.Storage.embedded(Path(folder) / "rivers.db")
    with rs.CodeRepository([numbers, total], default_executor=executor).resolve(storage) as repo:
        result = repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
        print(result.status, repo.get_backfill(result.backfill_id).error or "")
        print(repo.load_node("total", partition_key=rs.PartitionKey.single("a")))


if __name__ == "__main__":
    main(*sys.argv[1:])
