"""A user's program as a type checker sees it: decorated functions keep their types."""

from collections.abc import Iterator
from typing import assert_type

import rivers as rs

days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-08")


@rs.Asset
def one() -> int:
    return 1


@rs.Asset(name="two", kinds="table", retry=rs.RetryPolicy(2, retry_on=rs.RetryOn.TRANSIENT))
def twice(one: int) -> int:
    return 2 * one


@rs.Asset.from_multi(output_defs=[rs.AssetDef("even", kinds="list"), rs.AssetDef("odd")])
def split(two: int) -> Iterator[rs.Output]:
    yield rs.Output([two], "even")
    yield rs.Output([two + 1], output_name="odd", metadata={"rows": 1})


@rs.Task
def add(first: int, second: int = 1) -> int:
    return first + second


@rs.Task(name="shown", tags={"team": "a"})
def show(value: int) -> str:
    return str(value)


@rs.Asset.from_graph(node_io_handler=rs.InMemoryIOHandler())
def text(one: int) -> str:
    return show(add(one))


@rs.Asset(partitions_def=days, deps=[one, "even", rs.AssetDef.dep("odd")])
def daily(context: rs.AssetExecutionContext) -> rs.Materialization:
    return rs.Materialization(metadata={"day": context.partition_key})


assert_type(one(), int)
assert_type(twice(3), int)
assert_type(add(1), int)
assert_type(text(1), str)
assert_type(split(1), Iterator[rs.Output])

assets: list[rs.Asset] = [one, twice, split, text, daily]
if isinstance(split, rs.MultiAsset):
    assert_type(split.output_defs, list[rs.AssetDef])


def main() -> bool:
    """Runs the program."""
    with rs.CodeRepository(assets).resolve(rs.Storage.memory()) as repo:
        repo.materialize(["one", "two", "even", "odd", "text"])
        first_days = rs.PartitionKeyRange.single("2024-01-01", "2024-01-02")
        return repo.backfill(["daily"], partition_range=first_days).status == "completed"
