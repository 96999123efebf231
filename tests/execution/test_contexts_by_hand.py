"""Contexts made by hand, to call the function of an asset or a task in a unit test."""

import datetime as dt
import inspect
import logging

import pydantic
import pytest
from tests.support import key, keys, letters

import rivers as rs
from rivers.exceptions import PartitionValidationError

LETTERS = letters(3)
DAYS = rs.PartitionsDefinition.daily("2024-01-01")
DYNAMIC = rs.PartitionsDefinition.dynamic("cities")
TWO = rs.PartitionContext(keys("a", "b"), LETTERS)
DAY = rs.PartitionContext(keys("2024-01-31"), DAYS)


class Settings(pydantic.BaseModel):
    factor: int = 2


def signature_of(kind):
    parameters = inspect.signature(kind).parameters.values()
    assert all(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters)
    return [(each.name, each.default) for each in parameters]


def test_arguments_of_the_contexts():
    empty = inspect.Parameter.empty
    assert signature_of(rs.AssetExecutionContext) == [
        ("asset_name", empty), ("tags", None), ("kinds", None), ("group", None),
        ("code_version", None), ("asset_metadata", None), ("partition", None),
        ("is_multi_asset", False), ("output_selection", None), ("config", None),
    ]  # fmt: skip
    assert signature_of(rs.TaskExecutionContext) == [
        ("task_name", empty), ("tags", None), ("partition", None),
    ]  # fmt: skip
    assert signature_of(rs.PartitionContext) == [("keys", empty), ("definition", empty)]


# -- PartitionContext --------------------------------------------------------------------------------


def test_partition_context_by_hand():
    for partition in (TWO, rs.PartitionContext(keys=keys("a", "b"), definition=LETTERS)):
        assert (partition.keys, partition.key) == (keys("a", "b"), key("a"))
        assert partition.definition == LETTERS
        assert partition.time_window() is None
    assert DAY.time_window() == (dt.datetime(2024, 1, 31), dt.datetime(2024, 2, 1))
    with pytest.raises(ValueError, match="at least one"):
        rs.PartitionContext([], LETTERS)


def test_partition_context_of_dynamic_keys_needs_no_storage():
    partition = rs.PartitionContext(keys("Paris"), DYNAMIC)
    assert (partition.keys, partition.time_window()) == (keys("Paris"), None)


def test_partition_context_has_a_key_for_each_partition():
    partition = rs.PartitionContext([rs.PartitionKey.single(["b", "a"])], LETTERS)
    assert partition.keys == keys("b", "a")


# -- AssetExecutionContext ---------------------------------------------------------------------------


def test_an_asset_context_with_all_arguments():
    context = rs.AssetExecutionContext(
        "both",
        ["daily"],
        ["table"],
        "reports",
        "v1",
        {"unit": "EUR"},
        TWO,
        True,
        ["left"],
        Settings(),
    )
    assert (context.asset_name, context.tags, context.kinds) == ("both", ["daily"], ["table"])
    assert (context.group, context.code_version) == ("reports", "v1")
    assert context.asset_metadata == {"unit": "EUR"}
    assert context.partition is TWO
    assert (context.is_multi_asset, context.output_selection) == (True, ["left"])
    assert context.config.factor == 2
    assert context.has_partition_key


def test_an_asset_context_with_a_name_only():
    context = rs.AssetExecutionContext("plain")
    assert (context.tags, context.kinds, context.group, context.code_version) == (
        None,
        [],
        None,
        None,
    )
    assert (context.asset_metadata, context.partition, context.config) == (None, None, None)
    assert (context.is_multi_asset, context.output_selection) == (False, [])
    assert (context.has_partition_key, context.partition_time_window) == (False, None)
    assert (context.run_id, context.run_tags, context.attempt) == (None, [], 1)
    assert isinstance(context.log, logging.Logger)
    assert repr(context) == "AssetExecutionContext(asset_name='plain')"
    with pytest.raises(TypeError):
        rs.AssetExecutionContext()
    with pytest.raises(TypeError, match="asset_name"):
        rs.AssetExecutionContext(3)


def test_the_partition_of_a_context_by_hand():
    assert rs.AssetExecutionContext("day", partition=DAY).partition_key == "2024-01-31"
    window = rs.AssetExecutionContext("day", partition=DAY).partition_time_window
    assert window == (dt.datetime(2024, 1, 31), dt.datetime(2024, 2, 1))
    grid = rs.PartitionsDefinition.multi({"day": DAYS, "letter": LETTERS})
    cell = rs.PartitionContext([rs.PartitionKey.multi({"letter": "a", "day": "2024-01-31"})], grid)
    assert (
        rs.AssetExecutionContext("cell", partition=cell).partition_key == "day=2024-01-31|letter=a"
    )
    for context in (
        rs.AssetExecutionContext("plain"),
        rs.AssetExecutionContext("letter", partition=TWO),
        rs.TaskExecutionContext("plain"),
        rs.TaskExecutionContext("letter", partition=TWO),
    ):
        with pytest.raises(PartitionValidationError):
            _ = context.partition_key


@pytest.mark.parametrize("definition", [LETTERS, DYNAMIC])
def test_mark_partition_failed_takes_keys_of_the_partition(definition):
    partition = rs.PartitionContext(keys("a", "b"), definition)
    context = rs.AssetExecutionContext("letter", partition=partition)
    context.mark_partition_failed("a", "no data")
    context.mark_partition_failed(
        partition_key=rs.PartitionKey.single(["a", "b"]), error=ValueError()
    )
    for other in ("c", rs.PartitionKey.single(["a", "c"]), rs.PartitionKey.multi({"x": "a"})):
        with pytest.raises(PartitionValidationError):
            context.mark_partition_failed(other, "no data")
    with pytest.raises(PartitionValidationError, match="not partitioned"):
        rs.AssetExecutionContext("plain").mark_partition_failed("a", "no data")
    with pytest.raises(TypeError):
        context.mark_partition_failed(key="a", error="no data")


def test_a_context_by_hand_logs(caplog):
    rs.AssetExecutionContext("sales").log.warning("odd: %s", 1)
    rs.TaskExecutionContext("clean").log.warning("odd: %s", 2)
    logged = [(record.name, record.getMessage()) for record in caplog.records]
    assert logged == [("rivers.assets.sales", "odd: 1"), ("rivers.tasks.clean", "odd: 2")]


def test_functions_are_called_with_a_context_by_hand():
    @rs.Asset(partitions_def=LETTERS)
    def scaled(context: rs.AssetExecutionContext[Settings], base):
        return base * context.config.factor * context.partition_key

    one = rs.PartitionContext(keys("c"), LETTERS)
    context = rs.AssetExecutionContext("scaled", partition=one, config=Settings(factor=3))
    assert scaled(context, base=1) == "ccc"

    @rs.Task
    def described(context: rs.TaskExecutionContext):
        return f"{context.task_name} {context.partition_key}"

    assert described(rs.TaskExecutionContext("described", partition=one)) == "described c"


# -- TaskExecutionContext ----------------------------------------------------------------------------


def test_a_task_context_by_hand():
    context = rs.TaskExecutionContext("clean", {"team": "data"}, DAY)
    assert (context.task_name, context.tags, context.partition) == ("clean", {"team": "data"}, DAY)
    assert (context.has_partition_key, context.partition_key) == (True, "2024-01-31")
    assert context.partition_time_window == DAY.time_window()
    assert repr(context) == "TaskExecutionContext(task_name='clean')"
    bare = rs.TaskExecutionContext("clean")
    assert (bare.tags, bare.partition, bare.config) == (None, None, None)
    assert (bare.has_partition_key, bare.partition_time_window) == (False, None)
