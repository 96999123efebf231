"""Preemption: urgent requests proceed while other functions compute. Counted, not timed."""

import contextlib
import itertools
import sys
import threading
import time

import pytest

import rivers as rs

LONG_TURN = 0.1
"""Seconds that a thread computes before another thread gets the GIL: long enough to make a difference."""
FEW_CALLS = 50

SQUARE = rs.PartitionsDefinition.multi(
    {name: rs.PartitionsDefinition.static_([f"{name}{n}" for n in range(10_000)]) for name in "ab"}
)


@pytest.fixture
def long_turns():
    """Makes every thread that releases the GIL wait long until it gets it back."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(LONG_TURN)
    yield
    sys.setswitchinterval(before)


@contextlib.contextmanager
def endless(repo):
    """Returns the id of a backfill that runs until the end of the test."""
    result = repo.backfill(["visited"], partition_range=rs.PartitionKeyRange.multi({}), block=False)
    try:
        yield result.backfill_id
    finally:
        repo.cancel_backfill(result.backfill_id)


@pytest.mark.parametrize("slots", [4, 16])
def test_nothing_of_a_backfill_starts_between_the_call_of_materialize_and_its_run(
    tmp_path, long_turns, slots
):
    calls, seen = itertools.count(), []
    visited = rs.Asset(lambda: next(calls) and None, name="visited", partitions_def=SQUARE)
    urgent = rs.Asset(lambda: seen.append(next(calls)), name="urgent")
    queue = rs.RunQueueConfig(max_concurrent_runs=slots)
    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    with (
        rs.CodeRepository([visited, urgent], run_queue=queue).resolve(storage) as repo,
        endless(repo) as backfill_id,
    ):
        while next(calls) < 100_000:
            time.sleep(0.001)
        for _ in range(5):
            before = next(calls)
            repo.materialize(["urgent"])
            assert seen.pop() - before < FEW_CALLS
        assert repo.get_backfill(backfill_id).status == "in_progress"


def test_the_status_of_a_live_backfill_does_not_wait_for_the_interpreter(long_turns):
    visited = rs.Asset(lambda: None, name="visited", partitions_def=SQUARE)
    turns, done = [0], threading.Event()

    def take_turns():
        while not done.is_set():
            turns[0] += 1
            time.sleep(0.0001)

    other = threading.Thread(target=take_turns)
    with (
        rs.CodeRepository([visited]).resolve(rs.Storage.memory()) as repo,
        endless(repo) as backfill_id,
    ):
        repo.pause_backfill(backfill_id)
        # While what has ended is being recorded, the status waits for that.
        before, completed = None, -1
        while before != completed:
            time.sleep(0.1)
            before, completed = completed, repo.get_backfill(backfill_id).completed_partitions
        other.start()
        try:
            for _ in range(20):
                waiting = time.perf_counter() + 0.002
                while time.perf_counter() < waiting:
                    pass  # The other thread is now waiting for its turn.
                before = turns[0]
                status = repo.get_backfill(backfill_id)
                assert turns[0] == before, "it gave up the interpreter"
                assert (status.status, status.paused) == ("in_progress", True)
        finally:
            done.set()
            other.join()
