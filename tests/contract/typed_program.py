"""A user's program as a type checker sees it: decorated functions keep their types, keys have many forms."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import assert_type

import polars as pl
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


grid = rs.PartitionsDefinition.multi(
    {"date": days, "region": rs.PartitionsDefinition.static_(["us", "eu"])}
)


@rs.Asset(partitions_def=grid)
def regional(context: rs.AssetExecutionContext) -> str:
    return ", ".join(key["date"] for key in context.partition.keys)


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

assets: list[rs.Asset] = [one, twice, split, text, daily, few, window, regional]
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
        in_all_forms(repo)
        return repo.backfill(["daily"], partition_range=first_days).status == "completed"


def in_all_forms(repo: rs.CodeRepository) -> None:
    """Names partitions, assets and strategies in each form that the guides teach."""
    first = dt.date(2024, 1, 1)
    everything = days["2024-01-01":"2024-01-02"]
    table = pl.DataFrame({"date": ["2024-01-01"], "region": ["us"]})
    assert_type(repo.backfill("daily", ["2024-01-01"], strategy="single_run"), rs.BackfillResult)
    repo.backfill(["daily"], [first, "2024-01-02", rs.PartitionKey.single("2024-01-03")])
    repo.backfill("daily", everything, dry_run=True, max_failures=0.5, order="reverse")
    repo.backfill("regional", ["date=2024-01-01|region=us,eu"], retry=rs.RetryPolicy(1))
    repo.backfill("regional", [{"date": first, "region": ["us", "eu"]}], None, "multi_run")
    repo.backfill("regional", partition_keys=({"date": "2024-01-01", "region": "us"},))
    repo.backfill("regional", table, tags=(("team", "a"),), overlap="refuse")
    repo.backfill(["regional"], [rs.PartitionKey.multi({"date": ["2024-01-01"], "region": ["us"]})])
    asyncio.run(
        repo.backfill_async(selection="daily", partition_keys=[first], strategy="single_run")
    )
    repo.materialize(["daily"], first)
    repo.materialize("daily", partition_key="2024-01-01")
    repo.submit("regional", {"date": first, "region": "us"}).wait()
    repo.load_node("regional", {"date": "2024-01-01", "region": "us"})
    repo.report_materialized("regional", table)
    repo.report_materialized("daily", (f"2024-01-0{day}" for day in (1, 2)))
    repo.report_materialized("daily", {"2024-01-01", "2024-01-02"})
    repo.report_materialized("daily", dict.fromkeys(["2024-01-01"]).keys())
    repo.forget_partitions("regional", ["date=2024-01-01|region=us"])
    assert first in days
    assert {"date": first, "region": "us"} in grid
    assert_type(len(grid), int)
    assert_type(days[0], rs.PartitionKey)
    assert_type(everything, rs.PartitionSet)
    result = repo.backfill("daily", days[:2], None)
    status = repo.get_backfill(result.backfill_id)
    assert_type(status, rs.BackfillStatus | None)
    repo.rerun_backfill(result.backfill_id, status="completed", asset="daily")
