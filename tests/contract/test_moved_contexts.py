"""Code written for the package `rivers` 0.6 finds the contexts of assets and tasks."""

import datetime as dt
import logging

import pydantic
import pytest
from tests.support import counts, keys, letters

import rivers as rs
from rivers.exceptions import PartitionValidationError

AB = letters(2)
DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04")
GRID = rs.PartitionsDefinition.multi({"day": DAYS, "letter": AB})
A, B = keys("a", "b")
WINDOW = (dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2))


class Settings(pydantic.BaseModel):
    """A configuration."""

    n: int = 1


def test_partition_contexts_by_hand():
    context = rs.PartitionContext([A, B], AB)
    assert (context.keys, context.key, context.definition) == ([A, B], A, AB)
    assert rs.PartitionContext(keys=[A], definition=AB).key == A
    assert rs.PartitionContext([rs.PartitionKey.single(["a", "b"])], AB).keys == [A, B]
    dynamic = rs.PartitionsDefinition.dynamic("d")
    assert rs.PartitionContext(keys("anything"), dynamic).key == keys("anything")[0]
    with pytest.raises(ValueError):  # noqa: PT011  (the words are not part of the promise)
        rs.PartitionContext([], AB)


def test_time_windows():
    day = rs.PartitionContext(keys("2024-01-01"), DAYS)
    assert day.time_window() == WINDOW
    assert rs.PartitionContext([A], AB).time_window() is None
    cell = rs.PartitionContext([rs.PartitionKey.multi({"day": "2024-01-01", "letter": "a"})], GRID)
    assert (cell.time_window(), cell.time_window("day")) == (WINDOW, WINDOW)
    with pytest.raises(Exception, match="letter"):
        cell.time_window("letter")


def test_the_context_in_a_run(repo, caplog):
    seen = {}

    @rs.Asset(
        tags={"team": "x"}, kinds=["table"], group="g", code_version="v1", metadata={"unit": "EUR"},
        partitions_def=DAYS,
    )  # fmt: skip
    def day(context: rs.AssetExecutionContext):
        seen["day"] = (
            context.tags, context.kinds, context.group, context.code_version,
            context.asset_metadata, dict(context.run_tags)["why"], context.config,
            context.partition_time_window, context.partition_key, context.log.name,
            context.is_multi_asset, context.output_selection, repr(context),
        )  # fmt: skip

    @rs.Asset
    def plain(context: rs.AssetExecutionContext):
        with pytest.raises(PartitionValidationError):
            _ = context.partition_key
        seen["plain"] = context.partition, context.partition_time_window

    @rs.Asset(partitions_def=AB)
    def both(context: rs.AssetExecutionContext):
        with pytest.raises(PartitionValidationError):
            _ = context.partition_key
        context.mark_partition_failed(partition_key=B, error="no data")

    repository = repo(day, plain, both)
    repository.materialize(["day"], keys("2024-01-01")[0], tags=[("why", "test")])
    *own, text = seen["day"]
    assert own == [
        {"team": "x"}, ["table"], "g", "v1", {"unit": "EUR"}, "test", None, WINDOW, "2024-01-01",
        "rivers.assets.day", False, [],
    ]  # fmt: skip
    assert "AssetExecutionContext" in text
    assert "day" in text
    repository.materialize(["plain"])
    assert seen["plain"] == (None, None)
    whole = repository.backfill(["both"], [A, B], strategy=rs.BackfillStrategy.single_run())
    assert counts(whole) == (1, 1, 0)


def test_an_asset_context_by_hand(caplog):
    partition = rs.PartitionContext([A], AB)
    context = rs.AssetExecutionContext(
        "n", {"t": "1"}, ["table"], "g", "v", {"m": 1}, partition, True, ["x"], Settings(n=2)
    )
    assert (context.asset_name, context.tags, context.kinds) == ("n", {"t": "1"}, ["table"])
    assert (context.group, context.code_version, context.asset_metadata) == ("g", "v", {"m": 1})
    assert (context.partition, context.partition_key) == (partition, "a")
    assert (context.is_multi_asset, context.output_selection, context.config.n) == (True, ["x"], 2)
    with caplog.at_level(logging.INFO):
        context.log.info("said")
    assert "said" in caplog.text
    context.mark_partition_failed(A, "why")
    context.add_output_metadata({"rows": 1})
    with pytest.raises(PartitionValidationError):
        context.mark_partition_failed(B, "why")
    bare = rs.AssetExecutionContext("bare")
    assert (bare.group, bare.code_version, bare.asset_metadata) == (None, None, None)
    assert (bare.partition, bare.partition_time_window, bare.config) == (None, None, None)
    assert (bare.is_multi_asset, list(bare.output_selection)) == (False, [])
    with pytest.raises(PartitionValidationError):
        bare.mark_partition_failed(A, "why")
    with pytest.raises(PartitionValidationError):
        _ = bare.partition_key


def test_an_asset_is_called_with_a_context_by_hand():
    @rs.Asset(partitions_def=AB)
    def asset(context: rs.AssetExecutionContext, up):
        return context.partition_key, up

    context = rs.AssetExecutionContext("asset", partition=rs.PartitionContext([A], AB))
    assert asset(context, 3) == ("a", 3)


def test_task_contexts(repo):
    seen = {}

    @rs.Task(tags={"cost": "low"})
    def task(context: rs.TaskExecutionContext):
        seen["task"] = (
            context.task_name, context.tags, context.has_partition_key, context.partition_key,
            context.partition_time_window, context.config, context.log.name, context.partition.keys,
        )  # fmt: skip
        assert "task" in repr(context)
        return 1

    @rs.Asset.from_graph(partitions_def=DAYS)
    def graph():
        return task()

    assert repo(graph).materialize(["graph"], keys("2024-01-01")[0]).success
    assert seen["task"] == (
        "task", {"cost": "low"}, True, "2024-01-01", WINDOW, None, "rivers.tasks.task",
        keys("2024-01-01"),
    )  # fmt: skip
    hand = rs.TaskExecutionContext("t", {"a": "b"}, rs.PartitionContext([A], AB))
    assert (hand.task_name, hand.tags, hand.partition_key) == ("t", {"a": "b"}, "a")
    bare = rs.TaskExecutionContext("t")
    assert (bare.partition, bare.has_partition_key, bare.partition_time_window) == (
        None, False, None,
    )  # fmt: skip
    with pytest.raises(PartitionValidationError):
        _ = bare.partition_key


def test_the_config_of_a_task(repo):
    seen = []

    @rs.Task
    def task(context: rs.TaskExecutionContext[Settings]):
        seen.append(context.config.n)
        return 1

    @rs.Asset.from_graph
    def graph():
        return task()

    assert repo(graph).materialize(config={"graph": {"n": 5}}).success
    assert seen == [5]
