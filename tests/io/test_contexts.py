"""Contexts of handlers: made by hand, and as a run makes them."""

from collections.abc import Iterator

import polars as pl
import pytest
from obstore.store import MemoryStore
from tests.support import keys

import rivers as rs
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.io import (
    BaseIOHandler,
    DeltaIOHandler,
    InMemoryIOHandler,
    InputContext,
    OutputContext,
    ParquetIOHandler,
    PickleIOHandler,
)

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05")
GRID = rs.PartitionsDefinition.multi(
    {"day": DAYS, "region": rs.PartitionsDefinition.static_(["us", "eu"])}
)


class Recording(BaseIOHandler):
    def __init__(self):
        self.stored, self.loaded = [], []

    def handle_output(self, context, value):
        self.stored.append((context, value))

    def load_input(self, context):
        self.loaded.append(context)
        return self.stored[-1][1]


def test_output_context_takes_positional_arguments_in_order():
    partition = rs.PartitionContext(keys("2024-01-02"), DAYS)
    context = OutputContext("sales", {"unit": "EUR"}, partition, int)
    assert context.asset_name == "sales"
    assert context.asset_metadata == {"unit": "EUR"}
    assert context.partition is partition
    assert context.type_hint is int
    assert context.output_metadata == {}
    assert (context.asset, context.metadata) == ("sales", {"unit": "EUR"})
    assert context.partitions == context.run_partitions == keys("2024-01-02")


def test_output_context_has_defaults():
    context = OutputContext(asset_name="sales")
    assert (context.asset_metadata, context.partition, context.type_hint) == (None, None, None)
    assert (context.partitions, context.metadata, context.failed) == ([], {}, [])
    assert repr(context) == "<OutputContext of 'sales'>"


def test_input_context_takes_positional_arguments_in_order():
    partition = rs.PartitionContext(keys("2024-01-02"), DAYS)
    context = InputContext("sales", "report", {"unit": "EUR"}, partition, pl.DataFrame)
    assert (context.asset_name, context.downstream_asset) == ("sales", "report")
    assert (context.asset_metadata, context.type_hint) == ({"unit": "EUR"}, pl.DataFrame)
    assert context.partition is partition
    assert repr(context) == "<InputContext of 'sales'>"


def test_input_context_needs_a_downstream_asset():
    with pytest.raises(TypeError, match="downstream_asset"):
        InputContext("sales")
    with pytest.raises(TypeError, match="downstream_asset"):
        InputContext(asset_name="sales", partition=None)


def test_partition_context_by_hand():
    by_keyword = rs.PartitionContext(keys=keys("2024-01-03", "2024-01-02"), definition=DAYS)
    assert by_keyword.keys == keys("2024-01-03", "2024-01-02")
    assert by_keyword.key == keys("2024-01-03")[0]
    assert by_keyword.definition == DAYS
    assert [str(end.date()) for end in by_keyword.time_window()] == ["2024-01-02", "2024-01-04"]
    assert repr(by_keyword) == "<PartitionContext 2024-01-03 and 1 more>"


def test_partition_context_has_a_key_for_each_partition():
    key = rs.PartitionKey.multi({"region": ["us", "eu"], "day": ["2024-01-02", "2024-01-01"]})
    context = rs.PartitionContext([key, key], GRID)
    assert [str(key) for key in context.keys] == [
        "day=2024-01-02|region=us",
        "day=2024-01-02|region=eu",
        "day=2024-01-01|region=us",
        "day=2024-01-01|region=eu",
    ]
    assert context.time_window("day")[1].day == 3


def test_partition_context_of_dynamic_keys_needs_no_storage():
    context = rs.PartitionContext(keys("new"), rs.PartitionsDefinition.dynamic("users"))
    assert context.keys == keys("new")


def test_partition_context_of_a_window_that_has_not_begun():
    endless = rs.PartitionsDefinition.daily("2024-01-01")
    assert rs.PartitionContext(keys("2099-01-01"), endless).time_window()[0].year == 2099


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ([], ValueError),
        ("a", TypeError),
        (["a"], TypeError),
        (rs.PartitionKey.single("a"), TypeError),
        ([rs.PartitionKey.multi({"day": "x"})], PartitionValidationError),
    ],
)
def test_partition_context_refuses_what_are_no_keys(given, error):
    with pytest.raises(error):
        rs.PartitionContext(given, DAYS)


def test_partition_context_refuses_what_is_no_definition():
    with pytest.raises(TypeError, match="definition"):
        rs.PartitionContext(keys("a"), "daily")


def test_a_run_gives_its_partitions_annotations_and_metadata(repo):
    handler = Recording()

    @rs.Asset(partitions_def=DAYS, io_handler=handler, metadata={"unit": "EUR"})
    def sales(context) -> int:
        return 5

    @rs.Asset(partitions_def=DAYS)
    def report(sales: "int | None"):
        return sales

    @rs.Asset(partitions_def=DAYS, deps=[rs.AssetDef.input("sales", metadata={"other": 1})])
    def other(sales):
        return sales

    assert repo(sales, report, other).backfill(partition_keys=keys("2024-01-03")).completed == 1
    ((context, value),) = handler.stored
    assert value == 5
    assert (context.type_hint, context.asset_metadata) == (int, {"unit": "EUR"})
    assert (context.partition.keys, context.partition.definition) == (keys("2024-01-03"), DAYS)
    assert context.run_id
    by_name = {context.downstream_asset: context for context in handler.loaded}
    assert by_name["report"].type_hint == int | None
    assert by_name["report"].asset_metadata == {"unit": "EUR"}
    assert by_name["report"].partition.definition == DAYS
    assert by_name["report"].partition.time_window()[0].day == 3
    # The metadata of an input replaces that of the upstream, for this input alone.
    assert by_name["other"].asset_metadata == {"other": 1}
    assert by_name["other"].type_hint is None


def test_a_run_without_partitions_metadata_or_annotations_has_none(repo):
    handler = Recording()

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("a"), rs.AssetDef("b")], io_handler=handler)
    def pair() -> Iterator[rs.Output]:
        yield rs.Output(1, "a")
        yield rs.Output(2, "b")

    assert repo(pair).materialize().success
    for context, _ in handler.stored:
        assert (context.asset_metadata, context.partition, context.type_hint) == (None, None, None)


@pytest.fixture(params=["memory", "pickle", "objects"])
def handler(request, tmp_path):
    if request.param == "memory":
        return InMemoryIOHandler()
    return PickleIOHandler(tmp_path if request.param == "pickle" else MemoryStore())


@pytest.mark.parametrize("partition", [None, rs.PartitionContext(keys("2024-01-03"), DAYS)])
def test_handlers_of_any_value_work_with_contexts_by_hand(handler, partition):
    handler.handle_output(OutputContext(asset_name="n", partition=partition), 7)
    loading = InputContext(asset_name="n", downstream_asset="d", partition=partition)
    assert handler.load_input(loading) == 7
    with pytest.raises(ExecutionError, match=r"nothing is stored of asset 'other'.*'d' takes"):
        handler.load_input(InputContext("other", "d", partition=partition))


@pytest.mark.parametrize("kind", [ParquetIOHandler, DeltaIOHandler])
@pytest.mark.parametrize("partition", [None, rs.PartitionContext(keys("2024-01-03"), DAYS)])
def test_handlers_of_frames_work_with_contexts_by_hand(kind, partition, tmp_path):
    handler = kind(tmp_path, partition_by="day")
    frame = pl.DataFrame({"day": ["2024-01-03"], "x": [7]})
    handler.handle_output(OutputContext(asset_name="n", partition=partition), frame)
    loading = InputContext(asset_name="n", downstream_asset="d", partition=partition)
    assert handler.load_input(loading).rows() == [("2024-01-03", 7)]
    with pytest.raises(ExecutionError, match="nothing is stored of asset 'other'"):
        handler.load_input(InputContext("other", "d", partition=partition))


def test_modules_of_handlers_have_the_names_that_programs_import():
    from rivers import io_handlers
    from rivers.io_handlers import base, delta, memory, pickle

    assert base.BaseIOHandler is io_handlers.BaseIOHandler is BaseIOHandler
    assert (base.InputContext, base.OutputContext) == (InputContext, OutputContext)
    assert memory.InMemoryIOHandler is io_handlers.InMemoryIOHandler is InMemoryIOHandler
    assert pickle.PickleIOHandler is io_handlers.PickleIOHandler is PickleIOHandler
    assert delta.DeltaIOHandler is io_handlers.DeltaIOHandler is DeltaIOHandler
    assert io_handlers.ParquetIOHandler is ParquetIOHandler
    with pytest.raises(AttributeError, match="Nothing"):
        io_handlers.Nothing  # noqa: B018


def test_storages_for_tests(tmp_path):
    from rivers.testing import embedded_storage, memory_storage

    assert isinstance(memory_storage(), rs.Storage)
    embedded_storage(tmp_path / "test.db")
    assert (tmp_path / "test.db").exists()
