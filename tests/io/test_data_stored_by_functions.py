"""A function that returns a `Materialization` has stored its data itself: no earlier value is loaded."""

import shutil
import time

import polars as pl
import pytest
from tests.support import keys, letters

import rivers as rs
from rivers.exceptions import ExecutionError
from rivers.io import InMemoryIOHandler, OutputContext

obstore_store = pytest.importorskip("obstore.store")
ABC = letters(3)
WHOLE = rs.PartitionKeyRange.single("a", "c")

HANDLERS = {
    "memory": lambda _: InMemoryIOHandler(),
    "pickle": rs.PickleIOHandler,
    "objects": lambda _: rs.PickleIOHandler(store=obstore_store.MemoryStore()),
    "parquet": lambda folder: rs.ParquetIOHandler(folder, partition_by="letter"),
    "default": lambda _: None,
}


@pytest.fixture(params=HANDLERS)
def handler(request, tmp_path):
    return HANDLERS[request.param](tmp_path / "values")


def wait_for_the_clock(handler):
    """Let the clock of the place tell what is stored from now on from what was stored."""
    is_objects = "MemoryStore" in repr(handler)
    time.sleep(1.05 if is_objects else 0.03)


class Table:
    """An asset that returns frames in a first backfill, and stores its data itself in later ones."""

    def __init__(self, handler, storage, definition=ABC):
        self.store = None
        self.returns_frames = True
        extra = {} if handler is None else {"io_handler": handler}

        @rs.Asset(partitions_def=definition, **extra)
        def up(context: rs.AssetExecutionContext):
            if self.returns_frames:
                return frame(context, 1)
            if self.store is not None:
                self.store(context)
            return rs.Materialization(metadata={"rows": 1})

        @rs.Asset(partitions_def=definition, **extra)
        def down(up):
            return up

        self.repo = rs.CodeRepository([up, down]).resolve(storage)
        self.handler = handler

    def first_backfill(self):
        everything = rs.PartitionKeyRange.single("a", "c")
        assert self.repo.backfill(partition_range=everything).completed == 3
        self.returns_frames = False
        wait_for_the_clock(self.handler)


def frame(context, number):
    return pl.DataFrame({"letter": list(context.partition.keys[0].key), "n": [number]})


@pytest.fixture
def table(handler, tmp_path):
    made = Table(handler, rs.Storage.embedded(tmp_path / "r.db"))
    with made.repo:
        made.first_backfill()
        yield made


def test_the_value_of_an_earlier_run_is_not_loaded(table):
    result = table.repo.backfill(["up", "down"], keys("a"))
    assert (result.completed, result.failed) == (0, 1)
    assert "'up'" in table.repo.get_backfill(result.backfill_id).error
    later = table.repo.materialize(["down"], keys("a")[0], raise_on_error=False)
    ((name, message),) = later.failed_assets
    assert name == "down"
    assert "if it returns a Materialization, it has no value" in message
    with pytest.raises(ExecutionError, match="returns a Materialization"):
        table.repo.load_node("up", keys("a")[0])
    assert table.repo.load_node("up", keys("b")[0])["n"].to_list() == [1]


def test_a_value_that_is_returned_later_is_loaded(table):
    table.repo.backfill(["up"], keys("a"))
    table.returns_frames = True
    assert table.repo.backfill(["up", "down"], keys("a")).completed == 1
    assert table.repo.load_node("down", keys("a")[0])["n"].to_list() == [1]


@pytest.mark.parametrize("handler", [name for name in HANDLERS if name != "default"], indirect=True)
def test_what_the_function_stored_through_the_handler_is_loaded(table):
    def store(context):
        by_hand = OutputContext("up", partition=context.partition)
        table.handler.handle_output(by_hand, frame(context, 2))

    table.store = store
    assert table.repo.backfill(["up", "down"], partition_range=WHOLE).completed == 3
    assert table.repo.load_node("down", keys("b")[0])["n"].to_list() == [2]


def test_a_file_that_the_function_moved_into_its_place_stays(tmp_path):
    folder, prepared = tmp_path / "values", tmp_path / "prepared.parquet"
    pl.DataFrame({"letter": ["a"], "n": [2]}).write_parquet(prepared)
    handler = rs.ParquetIOHandler(folder, partition_by="letter")
    made = Table(handler, rs.Storage.memory())
    made.first_backfill()
    made.store = lambda _: shutil.move(prepared, folder / "up" / "a.parquet")
    assert made.repo.backfill(["up", "down"], keys("a")).completed == 1
    assert made.repo.load_node("down", keys("a")[0])["n"].to_list() == [2]


def test_one_value_for_several_partitions_is_gone_for_each(tmp_path):
    returned = [5, rs.Materialization()]
    handler = rs.PickleIOHandler(tmp_path)
    asset = rs.Asset(lambda: returned.pop(0), name="up", partitions_def=ABC, io_handler=handler)
    repo = rs.CodeRepository([asset]).resolve(rs.Storage.memory())
    repo.backfill(partition_range=WHOLE, strategy=rs.BackfillStrategy.single_run())
    time.sleep(0.03)
    repo.materialize(["up"], keys("a")[0])
    with pytest.raises(ExecutionError, match="nothing is stored"):
        repo.load_node("up", keys("a")[0])
    assert repo.load_node("up", keys("b")[0]) == 5


def test_a_value_without_partitions_is_gone(handler, tmp_path):
    returned = [pl.DataFrame({"n": [1]}), rs.Materialization()]
    extra = {} if handler is None else {"io_handler": handler}
    repo = rs.CodeRepository([rs.Asset(lambda: returned.pop(0), name="up", **extra)])
    with repo.resolve(rs.Storage.embedded(tmp_path / "r.db")):
        repo.materialize()
        wait_for_the_clock(handler)
        repo.materialize()
        with pytest.raises(ExecutionError, match="nothing is stored"):
            repo.load_node("up")


def test_none_of_an_earlier_run_is_not_loaded(handler, tmp_path):
    returned = [None, None, rs.Materialization()]
    extra = {} if handler is None else {"io_handler": handler}
    two = letters(2)
    asset = rs.Asset(lambda: returned.pop(0), name="up", partitions_def=two, **extra)
    with rs.CodeRepository([asset]).resolve(rs.Storage.embedded(tmp_path / "r.db")) as repo:
        repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
        wait_for_the_clock(handler)
        repo.backfill(partition_keys=keys("a"))
        with pytest.raises(ExecutionError, match="nothing is stored"):
            repo.load_node("up", keys("a")[0])
        assert repo.load_node("up", keys("b")[0]) is None


@pytest.mark.parametrize("is_stored", [False, True])
def test_the_rows_of_an_earlier_run_are_not_loaded(tmp_path, is_stored):
    pytest.importorskip("deltalake")
    handler = rs.DeltaIOHandler(tmp_path, partition_by="letter")
    made = Table(handler, rs.Storage.memory())
    made.first_backfill()
    if is_stored:
        made.store = lambda context: handler.handle_output(
            OutputContext("up", partition=context.partition), frame(context, 2)
        )
    made.repo.backfill(["up"], keys("a", "b"))
    expected = [2] if is_stored else []  # A partition of which nothing is stored has no rows.
    assert made.repo.load_node("up", keys("a")[0])["n"].to_list() == expected
    assert made.repo.load_node("up", keys("c")[0])["n"].to_list() == [1]
