"""Recording partitions as materialized, or as missing, without running anything."""

import time

import pytest
from tests.support import repository

import rivers as rs
from rivers.exceptions import AssetNotFoundError, ExecutionError, PartitionValidationError

DAYS = rs.PartitionsDefinition.daily("2014-01-01", end="2024-01-01")
LETTERS = rs.PartitionsDefinition.static_(["a", "b", "c"])
BIG = rs.PartitionsDefinition.multi(
    {
        "second": rs.PartitionsDefinition.time_window(
            "2020-01-01", interval_seconds=1, fmt="%Y-%m-%dT%H:%M:%S", end="2020-01-12T13:46:40"
        ),
        "shard": rs.PartitionsDefinition.static_([f"s{n}" for n in range(1000)]),
    }
)


def key(text):
    return rs.PartitionKey.single(text)


def simple(name="x", definition=LETTERS, **options):
    @rs.Asset(name=name, partitions_def=definition, **options)
    def made() -> None: ...

    return made


def states(repo, name="x"):
    return repo.partition_status(name)["status"].to_list()


def test_what_another_program_made_is_not_made_again():
    repo = repository(simple(definition=DAYS))
    decade = rs.PartitionKeyRange.single("2014-01-01", "2023-12-31")
    assert repo.report_materialized("x", partition_range=decade) == 3652
    assert repo.backfill(partition_range=decade, only_missing=True).num_partitions == 0
    table = repo.partition_status("x")
    assert table["status"].unique().to_list() == ["materialized"]
    assert table["backfill_id"].null_count() == table["run"].null_count() == 3652
    assert table["last_materialized_at"].null_count() == 0


def test_a_forgotten_partition_is_missing_until_it_is_run_or_reported_again():
    repo = repository(simple())
    repo.backfill(partition_keys=LETTERS.select())
    assert repo.forget_partitions("x", [key("b"), key("c")]) == 2
    assert states(repo) == ["materialized", "missing", "missing"]
    repo.report_materialized("x", [key("c")], metadata={"rows": 3})
    assert states(repo) == ["materialized", "missing", "materialized"]
    assert repo.partition_status("x", metadata=True)["metadata"].to_list()[2] == '{"rows": 3}'
    assert repo.backfill(partition_keys=LETTERS.select(), only_missing=True).num_partitions == 1
    assert states(repo) == ["materialized"] * 3


def test_the_last_word_counts():
    repo = repository(simple())
    for _ in range(3):
        repo.report_materialized("x", [key("a")])
        repo.forget_partitions("x", [key("a")])
    assert states(repo)[0] == "missing"
    repo.report_materialized("x", [key("a")])
    assert states(repo)[0] == "materialized"


def test_a_failure_and_a_skip_are_forgotten_too():
    @rs.Asset(partitions_def=LETTERS)
    def x(context: rs.AssetExecutionContext):
        if context.partition_key == "a":
            raise ValueError("broken")
        raise rs.Skip("nothing")

    repo = repository(x)
    repo.backfill(partition_keys=LETTERS.select())
    assert states(repo) == ["failed", "skipped", "skipped"]
    repo.forget_partitions("x", [key("a"), key("b")])
    assert states(repo) == ["missing", "missing", "skipped"]
    assert repo.backfill(
        partition_keys=LETTERS.select(), only_missing=True, dry_run=True
    ).num_partitions == 2  # fmt: skip
    repo.report_materialized("x", [key("c")])
    assert states(repo)[2] == "materialized"


def test_external_and_unpartitioned_assets():
    files = rs.Asset.external("files", io_handler=rs.InMemoryIOHandler(), partitions_def=LETTERS)
    repo = repository(files, simple("plain", None), simple("x", deps=["files", "plain"]))
    assert repo.report_materialized("files", partition_keys=LETTERS.select()) == 3
    assert repo.report_materialized("plain") == 1
    assert repo.storage.get_materialized_partitions("files") == [key(text) for text in "abc"]
    result = repo.backfill(["x"], partition_keys=LETTERS.select(), include_upstream=True,
                           only_missing=True)  # fmt: skip
    assert result.partitions_per_asset == {"x": 3}
    repo.forget_partitions("plain")
    result = repo.backfill(["x"], partition_keys=LETTERS.select(), include_upstream=True,
                           only_stale=True, dry_run=True)  # fmt: skip
    assert "plain" not in result.partitions_per_asset  # Nothing that is executed needs it.


def test_a_reported_input_of_another_handler_is_loaded(tmp_path):
    handler = rs.PickleIOHandler(tmp_path)

    @rs.Asset(partitions_def=LETTERS, io_handler=handler)
    def up():
        return 5

    @rs.Asset(partitions_def=LETTERS)
    def down(up):
        return up + 1

    repository(up).backfill(partition_keys=LETTERS.select())
    repo = repository(up, down)  # Its storage knows nothing.
    repo.report_materialized("up", partition_keys=LETTERS.select())
    assert repo.backfill(["down"], partition_keys=LETTERS.select()).completed == 3
    assert repo.load_node("down", key("a")) == 6


def test_the_version_at_the_time_of_the_report_counts():
    storage = rs.Storage.memory()
    one = repository(simple(code_version="1"), storage=storage)
    one.report_materialized("x", partition_keys=LETTERS.select())
    two = repository(simple(code_version="2"), storage=storage)
    assert two.partition_status("x")["stale_reason"].to_list() == ["code_version"] * 3
    assert two.partition_status("x")["code_version"].to_list() == ["1"] * 3


def test_refusals():
    repo = repository(simple(), simple("plain", None))
    with pytest.raises(AssetNotFoundError, match="y"):
        repo.report_materialized("y", [key("a")])
    with pytest.raises(PartitionValidationError, match="z"):
        repo.forget_partitions("x", [key("z")])
    for call in (repo.report_materialized, repo.forget_partitions):
        with pytest.raises(ExecutionError, match="partition_keys or partition_range"):
            call("x")
        with pytest.raises(ExecutionError, match="not partitioned"):
            call("plain", [key("a")])
    with pytest.raises(TypeError):
        repo.report_materialized("x", [key("a")], metadata={"rows": object()})
    assert states(repo) == ["missing"] * 3


def test_a_thousand_million_partitions_cost_as_much_as_one():
    repo = repository(simple(definition=BIG))
    first = rs.PartitionKeyRange.multi({"second": ("2020-01-01T00:00:00", "2020-01-12T13:46:39")})
    begin = time.perf_counter()
    assert repo.report_materialized("x", partition_range=first) == 10**9
    result = repo.backfill(partition_range=first, only_missing=True, dry_run=True)
    assert result.num_partitions == 0
    one = rs.PartitionKeyRange.multi({"second": ("2020-01-02T00:00:00", "2020-01-02T00:00:00")})
    assert repo.forget_partitions("x", partition_range=one) == 1000
    again = repo.backfill(partition_range=first, only_missing=True, dry_run=True)
    assert again.num_partitions == 1000
    assert time.perf_counter() - begin < 60  # It would take hours, one by one.


def test_reports_are_events_of_their_simple():
    storage = rs.Storage.memory()
    repo = repository(simple(), storage=storage)
    repo.backfill(partition_keys=[key("a")])
    repo.report_materialized("x", [key("a"), key("b")], metadata={"rows": 5})
    repo.forget_partitions("x", [key("b")])
    forgotten, reported, *rest = storage.get_events_for_asset("x")
    assert [event.event_type for event in (forgotten, reported)] == ["Forgotten", "Reported"]
    assert forgotten.partition_key == key("b")
    assert reported.partition_key == rs.PartitionKey.single(["a", "b"])
    assert (reported.metadata, reported.run_id) == ([("rows", "5")], "")
    assert len({event.id for event in (forgotten, reported, *rest)}) == 5
    assert storage.get_events_for_asset("x", limit=1) == [forgotten]


def test_the_table_of_an_external_asset_shows_what_was_reported():
    given = rs.Asset.external("given", partitions_def=LETTERS, io_handler=rs.InMemoryIOHandler())
    repo = repository(given)
    repo.report_materialized("given", [key("b")])
    assert states(repo, "given") == ["missing", "materialized", "missing"]
    repo.forget_partitions("given", [key("b")])
    assert states(repo, "given") == ["missing"] * 3
