"""`context.mark_partition_failed`: single partitions of a run fail, and the others continue."""

import pytest
from tests.support import counts, keys, letters, repository, values

import rivers as rs
from rivers.exceptions import PartitionValidationError

LETTERS = letters(4)
ALL = rs.PartitionKeyRange.single("a", "d")
ONE_RUN = rs.BackfillStrategy.single_run()


def failing(*marked, error="broken"):
    """An asset that marks partitions as failed, and a downstream asset that records what it receives."""
    got = []

    @rs.Asset(partitions_def=LETTERS)
    def source(context: rs.AssetExecutionContext):
        for key in marked:
            context.mark_partition_failed(key, error)
        return 1

    @rs.Asset(partitions_def=LETTERS)
    def sink(context: rs.AssetExecutionContext, source):
        got.append(values(context))

    return repository(source, sink), got


def test_mark_partition_failed_survivors_go_downstream():
    repo, got = failing("b", rs.PartitionKey.single("d"))
    result = repo.backfill(partition_range=ALL, strategy=ONE_RUN)
    assert got == [["a", "c"]]
    assert (result.status, counts(result)) == ("failed", (2, 2, 0))
    for asset in ("source", "sink"):
        assert repo.storage.get_materialized_partitions(asset) == keys("a", "c")


def test_mark_partition_failed_of_all_leaves_downstream_uncalled():
    repo, got = failing("a", "b", "c", "d")
    result = repo.backfill(partition_range=ALL, strategy=ONE_RUN)
    assert got == []
    assert counts(result) == (0, 4, 0)


def test_mark_partition_failed_takes_a_key_with_several_values():
    repo, got = failing(rs.PartitionKey.single(["d", "a"]))
    result = repo.backfill(partition_range=ALL, strategy=ONE_RUN)
    assert got == [["b", "c"]]
    assert counts(result) == (2, 2, 0)


@pytest.mark.parametrize("key", ["z", "d"])
def test_mark_partition_failed_of_a_key_not_the_runs_fails_the_asset(key):
    repo, got = failing(key)
    result = repo.backfill(partition_keys=keys("a", "b"), strategy=ONE_RUN)
    assert got == []
    assert counts(result) == (0, 2, 0)
    assert "PartitionValidationError" in repo.get_backfill(result.backfill_id).error


def test_mark_partition_failed_of_a_key_not_the_runs_marks_nothing():
    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        with pytest.raises(PartitionValidationError):
            context.mark_partition_failed(rs.PartitionKey.single(["a", "d"]), "broken")

    result = repository(letter).backfill(partition_keys=keys("a", "b"), strategy=ONE_RUN)
    assert counts(result) == (2, 0, 0)


def test_mark_partition_failed_twice_the_last_message_stays():
    @rs.Asset(partitions_def=LETTERS)
    def source(context: rs.AssetExecutionContext):
        context.mark_partition_failed("b", "first message")
        context.mark_partition_failed("b", ValueError("second message"))

    repo = repository(source)
    result = repo.backfill(partition_range=ALL, strategy=ONE_RUN)
    assert counts(result) == (3, 1, 0)
    error = repo.get_backfill(result.backfill_id).error
    assert "ValueError: second message" in error
    assert "first message" not in error


def test_mark_partition_failed_counts_for_stop_on_failure():
    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key == "b":
            context.mark_partition_failed("b", "broken")

    result = repository(letter).backfill(
        partition_range=ALL, failure_policy="stop_on_failure", max_concurrency=1
    )
    assert (result.status, counts(result)) == ("failed", (1, 1, 2))


def test_mark_partition_failed_of_two_assets_counts_a_partition_once():
    @rs.Asset(partitions_def=LETTERS)
    def one(context: rs.AssetExecutionContext):
        context.mark_partition_failed("a", "by one")

    @rs.Asset(partitions_def=LETTERS)
    def two(context: rs.AssetExecutionContext):
        context.mark_partition_failed("a", "by two")
        context.mark_partition_failed("c", "by two")

    result = repository(one, two).backfill(partition_range=ALL, strategy=ONE_RUN)
    assert counts(result) == (2, 2, 0)


def test_mark_partition_failed_then_an_exception_fails_all():
    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        context.mark_partition_failed("a", "broken")
        raise ValueError("boom")

    assert counts(repository(letter).backfill(partition_range=ALL, strategy=ONE_RUN)) == (0, 4, 0)
