"""The death of a worker process fails one run, and no other."""

import os
import signal
import sys

import cloudpickle
import pytest
from tests.support import counts, key

import rivers as rs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETTERS = ["a", "b", "c", "d", "e", "f", "g", "h"]
DEFINED = rs.PartitionsDefinition.static_(LETTERS)
ALL = rs.PartitionKeyRange.single("a", "h")


def leave():
    os._exit(3)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("die", [leave, kill])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_fails_its_run_and_is_replaced(parallel, notes, die, workers):
    @rs.Asset(partitions_def=DEFINED)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key in "be":
            die()
        notes.add(context.partition_key)

    repo = parallel(letter, workers=workers)
    result = repo.backfill(partition_range=ALL)
    assert counts(result) == (6, 2, 0)
    statuses = [repo.storage.get_run(run).status for run in result.run_ids]
    assert [i for i, status in enumerate(statuses) if status == "failed"] == [1, 4]
    assert {line[0] for line in notes.lines()} == set("acdfgh")
    error = repo.get_backfill(result.backfill_id).error
    assert "worker process" in error
    assert '"letter"' in error
    again = repo.rerun_backfill(result.backfill_id)
    assert counts(again) == (0, 2, 0)


def test_a_worker_that_dies_in_the_second_asset_names_it(parallel):
    first = rs.Asset(lambda: None, name="first", partitions_def=DEFINED)
    second = rs.Asset(leave, name="second", partitions_def=DEFINED, deps=["first"])
    repo = parallel(first, second, workers=1)
    result = repo.backfill(partition_keys=[key("a")])
    assert counts(result) == (0, 1, 0)
    assert '"second"' in repo.get_backfill(result.backfill_id).error
    assert repo.storage.get_materialized_partitions("second") == []


def test_a_retry_after_a_death_makes_again_what_the_dead_worker_may_not_have_stored(
    parallel, notes
):
    one_run = rs.BackfillStrategy.single_run()

    @rs.Asset(partitions_def=DEFINED, backfill_strategy=one_run)
    def first(context: rs.AssetExecutionContext):
        notes.add("first")
        context.mark_partition_failed("b", "bad")
        return 1

    @rs.Asset(
        partitions_def=DEFINED,
        backfill_strategy=one_run,
        retry=rs.RetryPolicy(max_retries=1, backoff=rs.Backoff.constant(0)),
    )
    def second(first: dict[rs.PartitionKey, int]):
        notes.add("second")
        if len(notes.lines()) == 2:
            leave()

    result = parallel(first, second, workers=1).backfill(
        partition_keys=[key(letter) for letter in "abc"]
    )
    assert counts(result) == (2, 1, 0)
    assert notes.lines() == [["first"], ["second"]] * 2


def test_a_worker_that_dies_with_stop_on_failure(parallel):
    @rs.Asset(partitions_def=DEFINED)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key == "c":
            leave()

    result = parallel(letter, workers=1).backfill(
        partition_range=ALL, max_concurrency=1, failure_policy="stop_on_failure"
    )
    assert (result.status, counts(result)) == ("failed", (2, 1, 5))
