"""Facts about what was produced: added by functions and handlers, recorded with materializations."""

import asyncio
import json
import os
from types import SimpleNamespace

import pytest
from tests.support import key, keys, letters, repository, run_script

import rivers as rs
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.io import OutputContext

BATCHED = rs.BackfillStrategy.single_run()
PAIRS = rs.PartitionsDefinition.multi(
    {
        "date": rs.PartitionsDefinition.static_(["mon", "tue"]),
        "region": rs.PartitionsDefinition.static_(["eu", "us"]),
    }
)


class Silent(rs.BaseIOHandler):
    """Stores nothing, adds `added`, and remembers what it was given."""

    added: dict = {}  # noqa: RUF012  (fields of a handler; each gets its own copy)
    seen: list = []  # noqa: RUF012

    def handle_output(self, context, value):
        self.seen.append(
            {name: value.raw_value() for name, value in context.output_metadata.items()}
        )
        context.add_output_metadata(self.added)

    def load_input(self, context):
        return None


def recorded(repo, asset, partition=None):
    """Returns the metadata of the latest materialization as a dict of texts."""
    event = repo.storage.get_latest_materialization(asset, partition)
    return None if event is None else dict(event.metadata)


def test_values_are_recorded_as_text_strings_as_they_are_and_the_rest_as_json(repo):
    @rs.Asset(io_handler=Silent())
    def prices(context):
        context.add_output_metadata({
            "rows": 5, "share": 0.25, "ok": True, "missing": None, "note": 'é "x"', "big": 2**80,
            "nan": float("nan"),
            "url": rs.MetadataValue.url("https://a.b/c"),
            "json": rs.MetadataValue.json({"b": [1, None], "a": "x"}),
            "at": rs.MetadataValue.timestamp(1700000000.5),
        })  # fmt: skip
        return 1

    repo = repo(prices)
    repo.materialize()
    assert recorded(repo, "prices") == {
        "rows": "5", "share": "0.25", "ok": "true", "missing": "null", "note": 'é "x"',
        "big": str(2**80), "nan": "NaN", "url": "https://a.b/c", "json": '{"b": [1, null], "a": "x"}',
        "at": "1700000000.5",
    }  # fmt: skip


def test_later_entries_override_earlier_ones_then_the_output_then_the_handler(repo):
    handler = Silent(added={"c": "handler", "d": "handler"})

    @rs.Asset(io_handler=handler)
    def sales(context):
        context.add_output_metadata({"a": 1, "b": "context", "c": "context"})
        context.add_output_metadata({"a": 2})
        return rs.Output(7, metadata={"b": "output"})

    repo = repo(sales)
    repo.materialize()
    assert recorded(repo, "sales") == {"a": "2", "b": "output", "c": "handler", "d": "handler"}
    assert handler.seen == [{"a": 2, "b": "output", "c": "context"}]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("executor", ["in_process", "parallel"])
def test_metadata_of_single_partitions_overrides_that_of_all(tmp_path, executor, is_async):
    def add(context):
        context.add_output_metadata({"rows": 0, "unit": "t"})
        context.add_output_metadata({"rows": 1}, partition_key="b")
        context.add_output_metadata({"rows": 2, "x": 1}, key("c"))

    async def waiting(context):
        await asyncio.sleep(0)
        add(context)
        return 1

    def plain(context):
        add(context)
        return 1

    function = waiting if is_async else plain
    asset = rs.Asset(function, name="table", partitions_def=letters(4), io_handler=Silent())
    made = rs.Executor.parallel(1) if executor == "parallel" else rs.Executor.in_process()
    with repository(
        asset, storage=rs.Storage.embedded(tmp_path / "r.db"), default_executor=made
    ) as repo:
        repo.backfill(partition_keys=keys("a", "b", "c"), strategy=BATCHED)
        assert recorded(repo, "table", "a") == {"rows": "0", "unit": "t"}
        assert recorded(repo, "table", "b") == {"rows": "1", "unit": "t"}
        assert recorded(repo, "table", "c") == {"rows": "2", "unit": "t", "x": "1"}
        shown = repo.partition_status("table", metadata=True)["metadata"].to_list()
        assert [text and json.loads(text).get("rows") for text in shown] == [0, 1, 2, None]
        assert "metadata" not in repo.partition_status("table").columns


def test_a_key_with_several_values_describes_all_of_its_partitions(repo):
    @rs.Asset(partitions_def=PAIRS, io_handler=Silent())
    def table(context):
        several = rs.PartitionKey.multi({"date": ["mon", "tue"], "region": "us"})
        context.add_output_metadata({"rows": 3}, several)
        return 1

    repo = repo(table)
    repo.backfill(partition_range=rs.PartitionKeyRange.multi({}), strategy=BATCHED)
    assert recorded(repo, "table", "date=mon|region=us") == {"rows": "3"}
    assert recorded(repo, "table", "region=us|date=tue") == {"rows": "3"}
    assert recorded(repo, "table", "date=mon|region=eu") == {}
    assert recorded(repo, "table", "date=sun|region=eu") is None


@pytest.mark.parametrize(
    "metadata", [{"a": [1]}, {"a": object()}, {1: "a"}, ["a"], {"a": {"b": 1}}, {"a": b"x"}]
)
def test_what_cannot_be_metadata_fails_the_run(repo, metadata):
    @rs.Asset
    def bad(context):
        context.add_output_metadata(metadata)
        return 1

    repo = repo(bad)
    with pytest.raises(ExecutionError, match="metadata"):
        repo.materialize()
    with pytest.raises(TypeError):
        OutputContext("bad").add_output_metadata(metadata)
    assert repo.storage.get_latest_materialization("bad") is None


@pytest.mark.parametrize("partitions", [None, letters(2)])
def test_a_key_that_is_not_one_of_the_run_fails_the_asset(repo, partitions):
    @rs.Asset(partitions_def=partitions)
    def bad(context):
        context.add_output_metadata({"rows": 1}, partition_key="b")
        return 1

    repo = repo(bad)
    with pytest.raises(ExecutionError) as raised:
        repo.materialize(partition_key=None if partitions is None else key("a"))
    assert isinstance(raised.value.__cause__, PartitionValidationError)


def test_each_output_of_a_multi_asset_has_that_of_its_function_and_its_own(repo):
    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("x", io_handler=Silent()), rs.AssetDef("y", io_handler=Silent())]
    )
    def both(context):
        context.add_output_metadata({"shared": 1, "own": "both"})
        return {"x": rs.Output(1, metadata={"own": "x"}), "y": 2}

    repo = repo(both)
    repo.materialize()
    assert recorded(repo, "x") == {"shared": "1", "own": "x"}
    assert recorded(repo, "y") == {"shared": "1", "own": "both"}


@pytest.mark.parametrize("value", ["none", "no_value", "materialization"])
def test_metadata_is_recorded_where_no_handler_is_called(repo, value):
    if value == "no_value":

        @rs.Asset(partitions_def=letters(2))
        def table(context: rs.AssetExecutionContext) -> None:
            context.add_output_metadata({"rows": 1})
    else:

        @rs.Asset(partitions_def=letters(2))
        def table(context: rs.AssetExecutionContext):
            context.add_output_metadata({"rows": 1})
            return None if value == "none" else rs.Materialization(metadata={"rows": 2, "n": 1})

    repo = repo(table)
    repo.backfill(partition_keys=keys("a", "b"))
    expected = {
        "none": {"rows": "1", "storage": "memory"},  # The memory handler keeps a `None`.
        "no_value": {"rows": "1"},
        "materialization": {"rows": "2", "n": "1"},
    }[value]
    assert recorded(repo, "table", "b") == expected


def test_metadata_of_what_failed_is_not_recorded_and_of_a_retry_only_the_last(repo):
    calls = []

    @rs.Asset(io_handler=Silent())
    def first(context):
        calls.append("first")
        context.add_output_metadata({"calls": len(calls)})
        return 1

    @rs.Asset(retry=rs.RetryPolicy(max_retries=1), io_handler=Silent())
    def second(context, first):
        context.add_output_metadata({"attempt": context.attempt, f"of_{context.attempt}": 1})
        if context.attempt == 1:
            raise OSError("away")
        return 1

    @rs.Asset(io_handler=Silent())
    def third(context, second):
        context.add_output_metadata({"rows": 1})
        raise ValueError("boom")

    repo = repo(first, second, third)
    assert not repo.materialize(raise_on_error=False).success
    assert recorded(repo, "first") == {"calls": "1"}
    assert recorded(repo, "second") == {"attempt": "2", "of_2": "1"}
    assert recorded(repo, "third") is None


def test_marked_partitions_have_no_materialization_and_the_others_keep_theirs(repo):
    @rs.Asset(partitions_def=letters(3), io_handler=Silent())
    def table(context):
        context.add_output_metadata({"rows": 1})
        context.mark_partition_failed("b", "empty")
        return 1

    repo = repo(table)
    repo.backfill(partition_keys=keys("a", "b", "c"), strategy=BATCHED)
    assert recorded(repo, "table", "a") == recorded(repo, "table", "c") == {"rows": "1"}
    assert recorded(repo, "table", "b") is None


def test_a_later_materialization_replaces_the_metadata(repo):
    values = iter([{"rows": 1}, {}])

    @rs.Asset(partitions_def=letters(1), io_handler=Silent())
    def table(context):
        context.add_output_metadata(next(values))
        return 1

    repo = repo(table)
    repo.materialize(partition_key=key("a"))
    assert repo.partition_status("table", metadata=True)["metadata"].to_list() == ['{"rows": 1}']
    repo.materialize(partition_key=key("a"))
    assert repo.partition_status("table", metadata=True)["metadata"].to_list() == [None]
    none = repo.partition_status("table", status="missing", metadata=True)
    assert none.columns[-1] == "metadata"
    assert none.height == 0


def test_the_pickle_handler_records_where_and_how_large_a_value_is(repo, tmp_path):
    @rs.Asset(partitions_def=letters(2), io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def table() -> int:
        return 1

    repo = repo(table)
    repo.backfill(partition_keys=keys("a", "b"), strategy=BATCHED)
    for name in ("a", "b"):
        metadata = recorded(repo, "table", name)
        assert metadata.keys() == {"path", "serializer", "size_bytes", "write_duration_s"}
        assert os.path.getsize(metadata["path"]) == int(metadata["size_bytes"])  # noqa: PTH202
        assert metadata["serializer"] == "pickle"
        assert float(metadata["write_duration_s"]) >= 0
    assert recorded(repo, "table", "a")["path"] != recorded(repo, "table", "b")["path"]


def test_the_memory_handler_records_its_kind_and_the_size_only_on_request(repo):
    @rs.Asset(io_handler=rs.InMemoryIOHandler())
    def plain() -> int:
        return 1

    @rs.Asset(io_handler=rs.InMemoryIOHandler(record_size=True))
    def sized() -> bytes:
        return b"x" * 1_000

    repo = repo(plain, sized)
    repo.materialize()
    assert recorded(repo, "plain") == {"storage": "memory"}
    assert recorded(repo, "sized")["storage"] == "memory"
    assert int(recorded(repo, "sized")["size_bytes"]) >= 1_000


def test_another_process_reads_what_was_recorded(tmp_path):
    @rs.Asset(io_handler=Silent())
    def table(context):
        context.add_output_metadata({"rows": 1})
        return rs.Output(1, data_version="v7")

    with repository(table, storage=rs.Storage.embedded(tmp_path / "r.db")) as repo:
        repo.materialize()
    code = """
import sys, rivers as rs
event = rs.Storage.open(sys.argv[1], read_only=True).get_latest_materialization("table")
print(event.metadata, event.data_version)
"""
    done = run_script(code, tmp_path / "r.db")
    assert done.stdout == "[('rows', '1')] v7\n", done.stderr


def test_contexts_made_by_hand_gather_metadata():
    partition = rs.PartitionContext(keys("a", "b"), letters(3))
    context = rs.AssetExecutionContext("x", partition=partition)
    context.add_output_metadata({"rows": 5, "s": "x"})
    context.add_output_metadata({"rows": 6}, partition_key="b")
    assert context.output_metadata == {"rows": rs.MetadataValue.int(5), "s": "x"}
    with pytest.raises(PartitionValidationError, match="c"):
        context.add_output_metadata({"rows": 6}, partition_key="c")
    output = OutputContext("x")
    output.add_output_metadata({"rows": 5})
    assert output.output_metadata["rows"].raw_value() == 5


def test_a_fake_context_of_a_user_needs_only_what_the_handler_uses():
    handler = Silent(added={"n": 1})
    fake = SimpleNamespace(output_metadata={}, add_output_metadata=dict().update)  # noqa: C408
    handler.handle_output(fake, 1)
    assert handler.seen == [{}]
