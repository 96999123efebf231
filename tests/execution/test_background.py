"""Backfills in the background of this process."""

import threading
import time

from tests.support import TIMEOUT

import rivers as rs

COUNT = 20
KEYS = [f"k{number:02}" for number in range(COUNT)]


def test_the_context_manager_waits():
    gate, ended = threading.Event(), []
    letters = rs.PartitionsDefinition.static_(["a", "b", "c"])

    @rs.Asset(partitions_def=letters)
    def held(context: rs.AssetExecutionContext):
        assert gate.wait(TIMEOUT)
        ended.append(context.partition_key)

    with rs.CodeRepository([held]).resolve(rs.Storage.memory()) as repo:
        whole = rs.PartitionKeyRange.single("a", "c")
        result = repo.backfill(partition_range=whole, max_concurrency=1, block=False)
        assert (result.status, result.completed) == ("in_progress", 0)
        gate.set()
    assert ended == ["a", "b", "c"]
    assert repo.get_backfill(result.backfill_id).status == "completed"


def test_what_has_ended_is_recorded_while_the_run_behind_it_goes_on():
    gate, started = threading.Event(), []
    letters = rs.PartitionsDefinition.static_(KEYS)

    @rs.Asset(partitions_def=letters)
    def held(context: rs.AssetExecutionContext):
        started.append(context.partition_key)
        if context.partition_key == KEYS[9]:
            assert gate.wait(TIMEOUT)

    with rs.CodeRepository([held]).resolve(rs.Storage.memory()) as repo:
        whole = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
        backfill_id = repo.backfill(
            partition_range=whole, max_concurrency=1, block=False
        ).backfill_id
        deadline = time.monotonic() + 3
        while (
            repo.get_backfill(backfill_id).completed_partitions != 9 and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        status = repo.get_backfill(backfill_id)
        gate.set()
    assert (status.completed_partitions, len(started)) == (9, COUNT)
