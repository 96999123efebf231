"""`max_starts_per_second`: the number of runs that start per second, whatever the concurrency."""

import time

import pytest
from tests.support import run_script, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError
from rivers.execution import workers

KEYS = [f"k{number:02}" for number in range(12)]
FEW = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
NEVER = 1e-6


def work(is_async):
    def plain():
        pass

    async def waits():
        pass

    return rs.Asset(waits if is_async else plain, name="limited", partitions_def=FEW)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_starts_are_spread(monkeypatch, is_async):
    monkeypatch.setattr(workers, "IDLE_TIMEOUT_SECONDS", 0.01)
    repo = rs.CodeRepository([work(is_async)]).resolve(rs.Storage.memory())
    result = repo.backfill(partition_range=ALL, max_concurrency=8, max_starts_per_second=20)
    assert (result.status, result.completed) == ("completed", 12)
    last = repo.backfill_runs(result.backfill_id)["started_at"].max()
    begun = repo.backfills()["created_at"].item()
    # The first may start immediately, each other one 1/20 s after the previous one.
    assert (last - begun).total_seconds() >= 11 / 20


@pytest.mark.parametrize("is_async", [False, True])
def test_what_may_not_start_waits_and_can_be_canceled(is_async):
    repo = rs.CodeRepository([work(is_async)]).resolve(rs.Storage.memory())
    launched = repo.backfill(partition_range=ALL, max_starts_per_second=NEVER, block=False)
    wait_until(lambda: repo.get_backfill(launched.backfill_id).completed_partitions == 1)
    time.sleep(0.1)
    repo.cancel_backfill(launched.backfill_id)
    repo.close()
    status = repo.get_backfill(launched.backfill_id)
    assert (status.completed_partitions, status.canceled_partitions) == (1, 11)


def test_another_backfill_goes_past_one_that_waits():
    repo = rs.CodeRepository([work(False)], run_queue=rs.RunQueueConfig(1))
    repo.resolve(rs.Storage.memory())
    slow = repo.backfill(
        partition_range=ALL,
        max_starts_per_second=NEVER,
        tags=[("rivers/priority", "5")],
        block=False,
    )
    assert repo.backfill(partition_range=ALL).completed == 12
    repo.cancel_backfill(slow.backfill_id)
    repo.close()


def test_in_worker_processes(tmp_path):
    repo = rs.CodeRepository([work(False)], default_executor=rs.Executor.parallel(2))
    repo.resolve(rs.Storage.embedded(tmp_path / "rivers.db"))
    launched = repo.backfill(partition_range=ALL, max_starts_per_second=NEVER, block=False)
    wait_until(lambda: repo.get_backfill(launched.backfill_id).completed_partitions == 1)
    repo.cancel_backfill(launched.backfill_id)
    repo.close()
    assert repo.get_backfill(launched.backfill_id).canceled_partitions == 11


DIES = """
import os, sys
import rivers as rs

KEYS = [f"k{number:02}" for number in range(12)]

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(KEYS))
def limited():
    os.kill(os.getpid(), 9)

repo = rs.CodeRepository([limited]).resolve(rs.Storage.embedded(sys.argv[1]))
everything = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
repo.backfill(partition_range=everything, max_starts_per_second=1e-6)
"""


def test_a_resume_and_a_rerun_keep_it(tmp_path):
    path = tmp_path / "rivers.db"
    assert run_script(DIES, path).returncode == -9
    repo = rs.CodeRepository([work(False)]).resolve(rs.Storage.embedded(path))
    (backfill_id,) = repo.backfills()["backfill_id"]
    repo.resume_backfill(backfill_id, block=False)
    starts_one_and_waits(repo, backfill_id)
    again = repo.rerun_backfill(backfill_id, block=False)
    starts_one_and_waits(repo, again.backfill_id)
    repo.close()


def starts_one_and_waits(repo, backfill_id):
    wait_until(lambda: repo.get_backfill(backfill_id).completed_partitions == 1)
    time.sleep(0.05)
    repo.cancel_backfill(backfill_id)
    wait_until(lambda: repo.get_backfill(backfill_id).status == "canceled")
    assert repo.get_backfill(backfill_id).completed_partitions == 1


def test_what_is_no_rate_is_refused():
    repo = rs.CodeRepository([work(False)]).resolve(rs.Storage.memory())
    for bad in (0, -1, True, "5", float("nan"), float("inf")):
        with pytest.raises(
            ConfigurationError, match="max_starts_per_second must be a number above 0"
        ):
            repo.backfill(partition_range=ALL, max_starts_per_second=bad)
    assert repo.backfills().is_empty()
