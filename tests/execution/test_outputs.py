"""`Output` and `Materialization`: what a function may return in place of a bare value."""

import re

import pytest

import rivers as rs
from rivers import Materialization, Output
from rivers.exceptions import ExecutionError, GraphValidationError

LETTERS = rs.PartitionsDefinition.static_(["a", "b"])


class Recording(rs.BaseIOHandler):
    """Counts what it stores."""

    def __init__(self):
        self.stored = []

    def handle_output(self, context, value):
        self.stored.append(value)

    def load_input(self, context):
        return self.stored[-1]


def test_attributes_of_an_output():
    bare = Output()
    assert (bare.value, bare.output_name, bare.metadata, bare.data_version, bare.tags) == (
        None,
    ) * 5
    full = Output(1, output_name="x", metadata={"rows": 1}, data_version="v", tags={"a": "b"})
    assert (full.value, full.output_name, full.metadata) == (1, "x", {"rows": 1})
    assert (full.data_version, full.tags) == ("v", {"a": "b"})
    assert Output(1, "x") == Output(value=1, output_name="x")


def test_attributes_of_a_materialization_are_keywords():
    made = Materialization(metadata={"rows": 1}, data_version="v", tags={"a": "b"}, output_name="x")
    assert (made.metadata, made.data_version, made.tags, made.output_name) == (
        {"rows": 1}, "v", {"a": "b"}, "x",
    )  # fmt: skip
    assert Materialization() == Materialization()
    with pytest.raises(TypeError):
        Materialization({"rows": 1})


@rs.Task
def wrapped():
    return 1


@pytest.mark.parametrize("is_async", [False, True])
def test_any_asset_may_return_an_output_whose_value_is_stored(repo, is_async):
    async def later():
        return Output(1, metadata={"rows": 1})

    fn = later if is_async else lambda: Output(1, metadata={"rows": 1})
    repository = repo(rs.Asset(fn, name="a"), rs.Asset(lambda a: a + 1, name="b"))
    assert repository.materialize().success
    assert [repository.load_node(name) for name in "ab"] == [1, 2]


def test_an_output_of_several_partitions_has_a_value_for_each(repo):
    asset = rs.Asset(lambda: Output({"a": 1, "b": 2}), name="x", partitions_def=LETTERS)
    repository = repo(asset)
    repository.backfill(
        partition_range=rs.PartitionKeyRange.single("a", "b"),
        strategy=rs.BackfillStrategy.single_run(),
    )
    assert repository.load_node("x", rs.PartitionKey.single("b")) == 2


def test_a_materialization_is_recorded_without_calling_the_handler(repo):
    handler = Recording()
    asset = rs.Asset(Materialization, name="x", partitions_def=LETTERS, io_handler=handler)
    repository = repo(asset)
    result = repository.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    assert (result.completed, handler.stored) == (2, [])
    assert repository.partition_status("x", status="materialized").height == 2


def test_taking_the_value_of_a_materialization_is_refused_where_it_is_known(repo):
    def stored() -> Materialization:
        return Materialization()

    taking = rs.Asset(lambda stored: stored, name="taking")
    with pytest.raises(GraphValidationError, match=r"'taking' takes.*'stored'.*deps=\['stored'\]"):
        repo(rs.Asset(stored), taking)
    assert repo(rs.Asset(stored), rs.Asset(lambda: 1, name="after", deps=["stored"])).materialize()


def test_taking_the_value_of_a_materialization_fails_the_run_otherwise(repo):
    stored = rs.Asset(Materialization, name="stored")
    taking = rs.Asset(lambda stored: stored, name="taking")
    repository = repo(stored, taking)
    result = repository.materialize(raise_on_error=False)
    assert result.materialized_assets == ["stored"]
    (failure,) = result.failed_assets
    assert failure[0] == "taking"
    assert re.search(r"'stored'.*returns a Materialization, it has no value", failure[1])
    with pytest.raises(ExecutionError, match="returns a Materialization, it has no value"):
        repository.load_node("stored")


def test_one_output_of_several_may_be_a_materialization(repo):
    handler = Recording()

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], io_handler=handler)
    def step():
        yield Materialization(output_name="x")
        yield Output(2, "y")

    assert repo(step).materialize().success
    assert handler.stored == [2]
