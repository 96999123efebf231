"""`None` is a value: after a run that returned it, what an earlier run stored is gone."""

import polars as pl
import pytest
from obstore.store import MemoryStore
from tests.support import keys

import rivers as rs
from rivers.exceptions import ExecutionError
from rivers.io import BaseIOHandler

LETTERS = rs.PartitionsDefinition.static_(["a", "b", "c"])
ALL = rs.PartitionKeyRange.single("a", "c")
ONE_RUN = rs.BackfillStrategy.single_run()
KINDS = pytest.mark.parametrize(
    "handler", ["memory", "pickle", "objects", "parquet", "delta"], indirect=True
)
RUNS = pytest.mark.parametrize("strategy", [None, ONE_RUN])


@pytest.fixture
def handler(request, tmp_path):
    return {
        "memory": rs.InMemoryIOHandler,
        "pickle": lambda: rs.PickleIOHandler(tmp_path),
        "objects": lambda: rs.PickleIOHandler(store=MemoryStore()),
        "parquet": lambda: rs.ParquetIOHandler(tmp_path, partition_by="k"),
        "delta": lambda: rs.DeltaIOHandler(tmp_path, partition_by="k"),
    }[request.param]()


def frame(*letters):
    return pl.DataFrame({"k": letters, "x": [1] * len(letters)})


def changing(handler, values, **options):
    """An asset that returns one of `values` at each call."""
    left = iter(values)

    def changed(context):
        value = next(left)
        return value(context) if callable(value) else value

    return rs.Asset(changed, io_handler=handler, **options)


@KINDS
def test_none_takes_the_place_of_an_earlier_value(repo, handler):
    repository = repo(changing(handler, [frame("a"), None, frame("b"), None]))
    for is_none in (False, True, False, True):
        assert repository.materialize().success
        assert (repository.load_node("changed") is None) == is_none


@KINDS
@RUNS
def test_none_takes_the_place_of_an_earlier_value_in_partitions(repo, handler, strategy):
    def rows(context):
        return frame(*(key.key[0] for key in context.partition.keys))

    runs = 3 if strategy is None else 1
    repository = repo(
        changing(handler, [rows] * runs + [None] * runs + [rows], partitions_def=LETTERS)
    )
    backfill = {"partition_range": ALL, "strategy": strategy, "max_concurrency": 1}
    assert repository.backfill(**backfill).completed == 3
    assert repository.backfill(**backfill).completed == 3
    for letter in "abc":
        assert repository.load_node("changed", keys(letter)[0]) is None
    # The others stay `None` when one gets a value again.
    assert repository.backfill(partition_keys=keys("b")).completed == 1
    assert repository.load_node("changed", keys("b")[0]).rows() == [("b", 1)]
    assert repository.load_node("changed", keys("c")[0]) is None


@pytest.mark.parametrize("handler", ["parquet", "delta"], indirect=True)
def test_none_has_no_rows_among_others_in_a_frame(repo, handler):
    @rs.Asset(partitions_def=LETTERS, io_handler=handler)
    def some(context):
        return None if context.partition_key == "b" else frame(context.partition_key)

    repository = repo(some)
    assert repository.backfill(partition_range=ALL).completed == 3
    loaded = repository.load_node("some", rs.PartitionKey.single(["a", "b", "c"]))
    assert sorted(loaded["k"]) == ["a", "c"]
    assert repository.load_node("some", keys("b")[0]) is None


@pytest.mark.parametrize("handler", ["parquet", "delta"], indirect=True)
def test_a_dict_may_hold_none(repo, handler):
    @rs.Asset(partitions_def=LETTERS, io_handler=handler)
    def some():
        return {"a": frame("a"), "b": None, "c": frame("c")[:0]}

    repository = repo(some)
    assert repository.backfill(partition_range=ALL, strategy=ONE_RUN).completed == 3
    assert repository.load_node("some", keys("b")[0]) is None
    assert repository.load_node("some", keys("c")[0]).height == 0
    assert repository.load_node("some", keys("a")[0]).height == 1


@pytest.mark.parametrize("handler", ["parquet", "delta"], indirect=True)
def test_an_empty_frame_takes_the_place_of_none(repo, handler):
    values = [frame("a"), None, frame("a")[:0]]
    repository = repo(changing(handler, values, partitions_def=LETTERS))
    for _ in values:
        assert repository.backfill(partition_keys=keys("a")).completed == 1
    assert repository.load_node("changed", keys("a")[0]).rows() == []


@KINDS
def test_downstream_parameters_get_none(repo, handler):
    got = []

    @rs.Asset(partitions_def=LETTERS, io_handler=handler)
    def up():
        return None

    @rs.Asset(partitions_def=LETTERS)
    def down(up):
        got.append(up)

    assert repo(up, down).backfill(partition_range=ALL).completed == 3
    assert got == [None, None, None]


def test_a_handler_of_a_user_is_called_with_none(repo):
    stored = []

    class Own(BaseIOHandler):
        def handle_output(self, context, value):
            stored.append((context.asset_name, value))

        def load_input(self, context):
            return "loaded"

    class OwnMemory(rs.InMemoryIOHandler):
        def handle_output(self, context, value):
            stored.append((context.asset_name, value))

    @rs.Asset(io_handler=Own())
    def unannotated():
        return None

    @rs.Asset(io_handler=Own())
    def nothing() -> None:
        stored.append("called")

    @rs.Asset(io_handler=OwnMemory())
    def derived():
        return None

    repository = repo(unannotated, nothing, derived)
    assert repository.materialize().success
    assert sorted(map(str, stored)) == sorted(
        ["('unannotated', None)", "called", "('derived', None)"]
    )
    assert repository.load_node("unannotated") == "loaded"


@KINDS
def test_a_function_without_a_value_removes_nothing_and_gives_none(repo, handler, tmp_path):
    got = []

    @rs.Asset(io_handler=handler)
    def up() -> None:
        return None

    @rs.Asset
    def down(up):
        got.append(up)

    repository = repo(up, down)
    assert repository.materialize().success
    assert got == [None]
    assert repository.load_node("up") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(2)])
def test_none_passes_inside_a_run_in_any_executor(repo, executor):
    @rs.Asset(partitions_def=LETTERS)
    def up():
        return None

    @rs.Asset(partitions_def=LETTERS)
    def down(up):
        assert up is None

    result = repo(up, down, default_executor=executor).backfill(partition_range=ALL)
    assert (result.completed, result.failed) == (3, 0)


def test_memory_knows_only_the_partitions_that_returned_none(repo):
    @rs.Asset(partitions_def=LETTERS, io_handler=rs.InMemoryIOHandler())
    def some(context):
        if context.partition_key == "b":
            raise RuntimeError

    repository = repo(some)
    assert repository.backfill(partition_range=ALL).failed == 1
    assert repository.load_node("some", keys("a")[0]) is None
    with pytest.raises(ExecutionError, match="nothing is stored"):
        repository.load_node("some", keys("b")[0])


def test_partitions_marked_as_failed_are_not_none(repo):
    @rs.Asset(partitions_def=LETTERS, io_handler=rs.InMemoryIOHandler())
    def some(context):
        context.mark_partition_failed("b", "bad")

    repository = repo(some)
    repository.backfill(partition_range=ALL, strategy=ONE_RUN)
    assert repository.load_node("some", keys("a")[0]) is None
    with pytest.raises(ExecutionError, match="nothing is stored"):
        repository.load_node("some", keys("b")[0])


def test_memory_does_not_keep_a_plan_for_each_run(repo):
    handler = rs.InMemoryIOHandler()
    repository = repo(changing(handler, [None] * 300, partitions_def=LETTERS))
    for _ in range(300):
        repository.materialize(partition_key=keys("a")[0])
    assert len(handler._noted["changed"]._entries) <= 65
    assert len(handler._values) <= 1
