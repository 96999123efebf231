"""Selecting what is out of date, and why a partition is."""

import pytest
from tests.support import repository

import rivers as rs

KEYS = ["a", "b", "c", "d"]
LETTERS = rs.PartitionsDefinition.static_(KEYS)
DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01")
MONTHS = rs.PartitionsDefinition.monthly("2024-01-01", end="2024-02-01")
ALL = LETTERS.select()


def key(text):
    return rs.PartitionKey.single(text)


def asset(name, definition=LETTERS, version=None, needs=(), **options):
    @rs.Asset(
        name=name, partitions_def=definition, code_version=version, deps=list(needs), **options
    )
    def made(context: rs.AssetExecutionContext) -> None:
        calls[name] = calls.get(name, 0) + len(context.partition.keys if context.partition else [1])

    return made


calls: dict[str, int] = {}


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


def reasons(repo, name):
    return repo.partition_status(name)["stale_reason"].to_list()


def test_another_code_version_makes_partitions_stale_until_they_are_run_again():
    storage = rs.Storage.memory()
    repository(asset("x", version="v1"), storage=storage).backfill(partition_keys=ALL)
    repo = repository(asset("x", version="v2"), storage=storage)
    repo.backfill(partition_keys=[key("b")])
    assert reasons(repo, "x") == ["code_version", None, "code_version", "code_version"]
    table = repo.partition_status("x")
    assert table["stale"].to_list() == [True, False, True, True]
    assert table["status"].unique().to_list() == ["materialized"]
    assert repo.backfill(partition_keys=ALL, only_missing=True).num_partitions == 0
    assert repo.backfill(partition_keys=ALL, only_stale=True).num_partitions == 3
    assert repo.backfill(partition_keys=ALL, only_stale=True).num_partitions == 0


def test_without_a_version_any_version_is_up_to_date():
    storage = rs.Storage.memory()
    repository(asset("x", version="v1"), storage=storage).backfill(partition_keys=ALL)
    assert reasons(repository(asset("x"), storage=storage), "x") == [None] * 4


def test_missing_partitions_are_selected_too():
    repo = repository(asset("x", version="v1"))
    repo.backfill(partition_keys=[key("a")])
    assert repo.backfill(partition_keys=ALL, only_stale=True).num_partitions == 3


def test_a_later_materialization_of_an_upstream_makes_partitions_stale():
    repo = repository(asset("up"), asset("down", needs=["up"]))
    repo.backfill(partition_keys=ALL)
    assert reasons(repo, "down") == [None] * 4
    repo.backfill(["up"], partition_keys=[key("c")])
    assert reasons(repo, "down") == [None, None, "upstream", None]
    assert reasons(repo, "up") == [None] * 4
    calls.clear()
    assert repo.backfill(["down"], partition_keys=ALL, only_stale=True).num_partitions == 1
    assert calls == {"down": 1}
    assert reasons(repo, "down") == [None] * 4


def test_an_upstream_that_is_run_again_takes_its_downstream_along():
    storage = rs.Storage.memory()
    repository(asset("up", version="1"), asset("down", needs=["up"]), storage=storage).backfill(
        partition_keys=ALL
    )
    repo = repository(asset("up", version="2"), asset("down", needs=["up"]), storage=storage)
    calls.clear()
    assert repo.backfill(partition_keys=ALL, only_stale=True).num_partitions == 4
    assert calls == {"up": 4, "down": 4}
    assert repo.backfill(partition_keys=ALL, only_stale=True).num_partitions == 0


def test_only_the_upstream_that_is_stale_is_added():
    storage = rs.Storage.memory()
    repository(asset("up", version="1"), asset("down", needs=["up"]), storage=storage).backfill(
        partition_keys=ALL
    )
    repo = repository(asset("up", version="2"), asset("down", needs=["up"]), storage=storage)
    repo.backfill(["up"], partition_keys=[key("a")])
    calls.clear()
    repo.backfill(["down"], partition_keys=ALL, only_stale=True, include_upstream=True)
    assert calls == {"up": 3, "down": 4}
    assert repo.backfill(partition_keys=ALL, only_stale=True).num_partitions == 0


def test_staleness_follows_mappings_between_grids():
    days = rs.AssetDef.dep("days", partition_mapping=rs.PartitionMapping.time_window(0))
    repo = repository(asset("days", DAYS), asset("month", MONTHS, needs=[days]))  # fmt: skip
    repo.backfill(["days", "month"], partition_keys=DAYS.select())
    assert reasons(repo, "month") == [None]
    repo.backfill(["days"], partition_keys=[key("2024-01-17")])
    assert reasons(repo, "month") == ["upstream"]


def test_an_asset_that_needs_its_own_earlier_partitions():
    before = rs.AssetDef.dep("x", partition_mapping=rs.PartitionMapping.time_window(-1))
    repo = repository(asset("x", DAYS, needs=[before]))
    repo.backfill(partition_keys=DAYS.select())
    assert reasons(repo, "x") == [None] * 31
    repo.backfill(partition_keys=[key("2024-01-29")])
    assert reasons(repo, "x")[-4:] == [None, None, "upstream", None]
    assert repo.backfill(partition_keys=DAYS.select(), only_stale=True).num_partitions == 2
    assert repo.backfill(partition_keys=DAYS.select(), only_stale=True).num_partitions == 0


def test_an_external_upstream_that_was_reported_later():
    files = rs.Asset.external("files", io_handler=rs.InMemoryIOHandler(), partitions_def=LETTERS)
    repo = repository(files, asset("x", needs=["files"]))
    repo.report_materialized("files", partition_keys=ALL)
    repo.backfill(["x"], partition_keys=ALL)
    assert reasons(repo, "x") == [None] * 4
    repo.report_materialized("files", partition_keys=[key("b")])
    assert reasons(repo, "x") == [None, "upstream", None, None]


def test_an_unpartitioned_upstream_that_was_run_later():
    repo = repository(asset("rates", None), asset("x", needs=["rates"]))
    repo.materialize(["rates"])
    repo.backfill(["x"], partition_keys=ALL)
    assert reasons(repo, "x") == [None] * 4
    repo.materialize(["rates"])
    assert reasons(repo, "x") == ["upstream"] * 4


def test_a_skipped_partition_is_skipped_until_it_is_stale():
    skips = True

    def of(version):
        @rs.Asset(partitions_def=LETTERS, code_version=version)
        def x():
            if skips:
                raise rs.Skip("nothing")
            return 1

        return x

    storage = rs.Storage.memory()
    repository(of("1"), storage=storage).backfill(partition_keys=ALL)
    repo = repository(of("2"), storage=storage)
    assert repo.backfill(partition_keys=ALL, only_missing=True).num_partitions == 0
    assert reasons(repo, "x") == ["code_version"] * 4
    skips = False
    assert repo.backfill(partition_keys=ALL, only_stale=True).num_partitions == 4
    assert repo.partition_status("x")["status"].unique().to_list() == ["materialized"]


def test_what_needs_the_selected_assets_is_executed_with_those_that_are_out_of_date():
    once = asset("once", None)
    days = asset("days", DAYS, needs=[rs.AssetDef.dep("once")])
    total = asset("total", None, needs=[rs.AssetDef.dep("days")])
    mail = asset("mail", None, needs=[rs.AssetDef.dep("total")])
    repo = repository(once, days, total, mail)
    every = rs.PartitionKeyRange.single(None, None)
    both = {"include_upstream": True, "include_downstream": True}
    repo.backfill(["days"], partition_range=every, **both)
    calls.clear()
    repo.backfill(["days"], partition_range=every, only_stale=True, **both)
    assert calls == {}
    repo.materialize(["once"])
    calls.clear()
    result = repo.backfill(["days"], partition_range=every, only_stale=True, dry_run=True, **both)
    assert result.partitions_per_asset == {"days": 31, "total": 1, "mail": 1}
    repo.backfill(["days"], partition_range=every, only_stale=True, **both)
    assert calls == {"days": 31, "total": 1, "mail": 1}
