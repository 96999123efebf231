"""A user's program as a type checker sees it: decorated functions keep their types."""

from collections.abc import Iterator
from typing import assert_type

from pydantic import BaseModel

import rivers as rs
from rivers.policies.hook import SuccessHook

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


class Limits(rs.Resource):
    largest: int = 3


class Settings(BaseModel):
    factor: int = 2


@rs.Hook.success
def announce(context: rs.HookContext) -> None:
    print(context.asset_name, context.output, context.partition)


@rs.Hook.failure(name="page")
def page(context: rs.HookContext) -> None:
    print(context.error)


@rs.Task
def limited(context: rs.TaskExecutionContext[Settings], limits: Limits) -> int:
    assert_type(context.config, Settings)
    return min(limits.largest, context.config.factor)


@rs.Asset.from_graph(hooks=[announce, page], partitions_def=days, io_handler="memory")
def few() -> int:
    return limited()  # A run fills `context` and `limits`.


@rs.Asset(partitions_def=days, hooks=[page])
def window(context: rs.AssetExecutionContext[Settings]) -> float:
    start, end = context.partition.time_window()
    begin, _ = context.partition_time_window
    assert_type(context.config, Settings)
    assert_type(context.run_tags, list[tuple[str, str]])
    context.mark_partition_failed(context.partition.key, "no data")
    return (end - start).total_seconds() + begin.year


by_hand: rs.AssetExecutionContext[Settings] = rs.AssetExecutionContext(
    "window",
    partition=rs.PartitionContext([rs.PartitionKey.single("2024-01-01")], days),
    config=Settings(),
)
assert_type(window(by_hand), float)
assert_type(announce, SuccessHook)
assert_type(one(), int)
assert_type(twice(3), int)
assert_type(add(1), int)
assert_type(text(1), str)
assert_type(split(1), Iterator[rs.Output])

assets: list[rs.Asset] = [one, twice, split, text, daily, few, window]
resources = {"limits": Limits(largest=2), "memory": rs.InMemoryIOHandler()}
if isinstance(split, rs.MultiAsset):
    assert_type(split.output_defs, list[rs.AssetDef])


def main() -> bool:
    """Runs the program."""
    with rs.CodeRepository(assets, [limited], resources=resources).resolve(
        rs.Storage.memory()
    ) as repo:
        repo.materialize(["one", "two", "even", "odd", "text"])
        first_days = rs.PartitionKeyRange.single("2024-01-01", "2024-01-02")
        repo.backfill(["few"], partition_range=first_days, config={"few": {"factor": 5}})
        return repo.backfill(["daily"], partition_range=first_days).status == "completed"
