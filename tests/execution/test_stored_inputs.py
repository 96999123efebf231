"""Inputs from earlier backfills, which Rust loads where it can: the same values as the handler loads."""

import shutil

import pytest
from tests.support import key, letters

import rivers as rs
from rivers.exceptions import ExecutionError
from rivers.execution.direct import OFF
from rivers.io.stored import StoredIOHandler

VALUES = {
    "a": 5,
    "b": -(2**31),
    "c": 2**40,
    "d": 2.5,
    "e": "ü€",
    "f": b"\0",
    "g": None,
    "h": [1, {"x": None}],
    "i": {"a": 1},
    "j": "x" * 2_000_000,
}
WHOLE = rs.PartitionKeyRange.single("a", "j")


@pytest.fixture
def storage(tmp_path):
    return rs.Storage.embedded(tmp_path / "rivers.db")


@pytest.fixture(params=["rust", "python"])
def called_by(request, monkeypatch):
    """Which language loads the inputs where both can."""
    if request.param == "python":
        monkeypatch.setenv(OFF, "1")
    return request.param


@pytest.fixture
def loads(monkeypatch):
    """The partitions that the handler was asked for."""
    asked = []
    load_input = StoredIOHandler.load_input

    def noted(handler, context):
        partition = context.partition
        asked.extend(["whole"] if partition is None else map(str, partition.keys))
        return load_input(handler, context)

    monkeypatch.setattr(StoredIOHandler, "load_input", noted)
    return asked


def sources(values, definition=None):
    @rs.Asset(partitions_def=definition or letters(10))
    def source(context: rs.AssetExecutionContext):
        return values[context.partition_key]

    return source


def takers(taken, definition=None):
    @rs.Asset(partitions_def=definition or letters(10))
    def taker(context: rs.AssetExecutionContext, source) -> None:
        taken[context.partition_key] = source

    return taker


def materialize_often(repo):
    for _ in range(1_000):
        repo.materialize(["taker"], partition_key=key("a"))


def test_all_kinds_of_values_are_as_they_were_returned(storage, called_by, loads):
    taken = {}
    with rs.CodeRepository([sources(VALUES), takers(taken)]).resolve(storage) as repo:
        repo.backfill(["source"], partition_range=WHOLE)
        result = repo.backfill(["taker"], partition_range=WHOLE)
    assert (result.completed, taken) == (10, VALUES)
    # Large values have files of their own.
    assert sorted(loads) == (["j"] if called_by == "rust" else list(VALUES))


def test_what_replaces_a_value_is_loaded_by_the_next_run(storage, called_by):
    values, taken = dict.fromkeys(VALUES, 1), {}
    with rs.CodeRepository([sources(values), takers(taken)]).resolve(storage) as repo:
        seen = []
        for value in (1, 2.5, None, 3):
            values["a"] = value
            repo.materialize(["source"], partition_key=key("a"))
            repo.materialize(["taker"], partition_key=key("a"))
            seen.append(taken["a"])
    assert seen == [1, 2.5, None, 3]


def test_a_value_that_is_not_there_is_named_as_by_the_handler(storage, called_by):
    taken = {}
    with rs.CodeRepository([sources(VALUES), takers(taken)]).resolve(storage) as repo:
        repo.backfill(["source"], partition_keys=[key("a"), key("c")])
        run = repo.materialize(["taker"], partition_key=key("a"))
        assert run.success
        with pytest.raises(ExecutionError, match="'source' for partition 'b'"):
            repo.materialize(["taker"], partition_key=key("b"))


def test_one_value_for_several_partitions_is_loaded_whole(storage, called_by):
    @rs.Asset(partitions_def=letters(3))
    def source(context: rs.AssetExecutionContext) -> list[int]:
        return [7, 8]

    taken = {}
    abc = rs.PartitionKeyRange.single("a", "c")
    with rs.CodeRepository([source, takers(taken, letters(3))]).resolve(storage) as repo:
        repo.backfill(["source"], partition_range=abc, strategy=rs.BackfillStrategy.single_run())
        assert repo.backfill(["taker"], partition_range=abc).completed == 3
    assert taken == {"a": [7, 8], "b": [7, 8], "c": [7, 8]}


def test_what_stored_its_data_itself_has_no_value(storage, called_by):
    @rs.Asset(partitions_def=letters(3))
    def source(context: rs.AssetExecutionContext):
        return rs.Materialization()

    with rs.CodeRepository([source, takers({}, letters(3))]).resolve(storage) as repo:
        repo.materialize(["source"], partition_key=key("a"))
        with pytest.raises(ExecutionError, match="source"):
            repo.materialize(["taker"], partition_key=key("a"))


@pytest.mark.parametrize("definition", [letters(12), letters(10)], ids=["larger", "equal"])
def test_the_partitions_of_the_two_assets_are_matched_by_key(storage, called_by, loads, definition):
    ordered = rs.PartitionsDefinition.static_(list("jihgfedcba"))
    values, taken = {letter: ord(letter) for letter in "abcdefghijkl"}, {}
    assets = [sources(values, definition), takers(taken, ordered)]
    with rs.CodeRepository(assets).resolve(storage) as repo:
        repo.backfill(["source"], partition_range=rs.PartitionKeyRange.single("a", "j"))
        repo.backfill(["taker"], partition_range=rs.PartitionKeyRange.single("j", "a"))
    assert taken == {letter: ord(letter) for letter in "abcdefghij"}
    assert sorted(loads) == list("abcdefghij")  # The numbers of the partitions differ.


def test_the_value_of_an_asset_without_partitions(storage, called_by, loads):
    @rs.Asset
    def source() -> int:
        return 3

    taken = {}
    with rs.CodeRepository([source, takers(taken)]).resolve(storage) as repo:
        repo.materialize(["source"])
        repo.backfill(["taker"], partition_range=WHOLE)
    assert taken == dict.fromkeys(VALUES, 3)
    assert len(loads) == (0 if called_by == "rust" else 10)


def test_worker_processes_load_their_inputs(storage, called_by):
    values = {letter: ord(letter) for letter in "abcdefghij"}

    @rs.Asset(partitions_def=letters(10))
    def double(source: int) -> int:
        return source * 2

    executor = rs.Executor.parallel(max_workers=2)
    assets = [sources(values), double]
    with rs.CodeRepository(assets, default_executor=executor).resolve(storage) as repo:
        repo.backfill(["source"], partition_range=WHOLE)
        assert repo.backfill(["double"], partition_range=WHOLE).completed == 10
        found = [repo.load_node("double", partition_key=key(letter)) for letter in values]
    assert found == [value * 2 for value in values.values()]


def test_a_deleted_file_of_values_is_noticed(storage, called_by):
    taken = {}
    with rs.CodeRepository([sources(VALUES), takers(taken)]).resolve(storage) as repo:
        repo.backfill(["source"], partition_range=WHOLE)
        repo.materialize(["taker"], partition_key=key("a"))
        shutil.rmtree(f"{storage.path}-values")
        with pytest.raises(ExecutionError, match="source"):
            materialize_often(repo)
