"""A rerun of a backfill in which nothing failed is an empty, completed backfill."""

import pytest
from tests.support import counts

import rivers as rs

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05")
ALL = rs.PartitionKeyRange.single("2024-01-01", "2024-01-04")


EARLIER = rs.PartitionMapping.time_window(-1)


def plain():
    return [rs.Asset(lambda: None, name="a", partitions_def=DAYS)]


def mapped():
    first = rs.Asset(lambda: 1, name="first", partitions_def=DAYS)

    @rs.Asset(
        partitions_def=DAYS,
        deps=[rs.AssetDef.input("first", EARLIER)],
    )
    def second(first):
        del first

    return [first, second]


def chained():
    @rs.Asset(
        partitions_def=DAYS,
        deps=[rs.AssetDef.input("total", EARLIER)],
    )
    def total(total=None):
        return 1

    return [total]


@pytest.mark.parametrize("assets", [plain, mapped, chained])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_rerun_without_failures_is_empty_and_completed(repo, assets, dry_run):
    repository = repo(*assets())
    result = repository.backfill(partition_range=ALL)
    assert result.status == "completed"
    again = repository.rerun_backfill(result.backfill_id, dry_run=dry_run)
    assert again.status == ("dry_run" if dry_run else "completed")
    assert (again.num_partitions, again.num_runs, counts(again)) == (0, 0, (0, 0, 0))
    assert again.partition_keys == []
    if not dry_run:
        repeated = repository.rerun_backfill(again.backfill_id)
        assert (repeated.status, repeated.num_runs) == ("completed", 0)


@pytest.mark.parametrize("assets", [plain, mapped, chained])
def test_only_missing_without_missing_partitions_is_empty_and_completed(repo, assets):
    repository = repo(*assets())
    repository.backfill(partition_range=ALL)
    for options in ({}, {"include_upstream": True}, {"include_downstream": True}):
        again = repository.backfill(partition_range=ALL, only_missing=True, **options)
        assert (again.status, again.num_runs) == ("completed", 0)
