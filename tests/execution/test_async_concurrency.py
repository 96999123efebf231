"""Runs of `async` functions, which are in flight on one event loop."""

import asyncio
import itertools
import threading

import pytest
from tests.support import TIMEOUT, counts

import rivers as rs

KEYS = [f"k{number:03}" for number in range(200)]
MANY = rs.PartitionsDefinition.static_(KEYS)


@pytest.mark.parametrize("most", [1, 3, 50])
def test_max_concurrency_of_async_functions_on_one_loop(most):
    inside, peaks, loops = set(), [], set()
    parties = {}

    @rs.Asset(partitions_def=MANY)
    async def letter(context: rs.AssetExecutionContext):
        loop = asyncio.get_running_loop()
        loops.add(loop)
        inside.add(context.partition_key)
        peaks.append(len(inside))
        await asyncio.wait_for(parties.setdefault(loop, asyncio.Barrier(most)).wait(), TIMEOUT)
        inside.discard(context.partition_key)

    keys = rs.PartitionKeyRange.single(KEYS[0], KEYS[3 * most - 1])
    with rs.CodeRepository([letter]).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(partition_range=keys, max_concurrency=most)
    assert counts(result) == (3 * most, 0, 0)
    assert (max(peaks), len(loops)) == (most, 1)


def slow_run_among_others(slow):
    left = []

    @rs.Asset(partitions_def=MANY)
    async def letter(context: rs.AssetExecutionContext):
        if context.partition_key == slow:
            event = asyncio.Event()
            left.append(event)
            await asyncio.wait_for(event.wait(), TIMEOUT)
        else:
            left.append(context.partition_key)
        if len(left) == 200:
            next(event for event in left if isinstance(event, asyncio.Event)).set()

    keys = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
    with rs.CodeRepository([letter]).resolve(rs.Storage.memory()) as repo:
        assert repo.backfill(partition_range=keys, max_concurrency=2).completed == 200


def test_a_slow_async_run_does_not_hold_back_others():
    slow_run_among_others("k100")


def test_a_plain_function_beside_an_async_one_does_not_hold_back_others():
    barrier = threading.Barrier(2)

    @rs.Asset(partitions_def=MANY)
    async def fetched():
        await asyncio.sleep(0)
        return 1

    @rs.Asset(partitions_def=MANY)
    def computed(fetched):
        barrier.wait(5)

    keys = rs.PartitionKeyRange.single(KEYS[0], KEYS[1])
    with rs.CodeRepository([fetched, computed]).resolve(rs.Storage.memory()) as repo:
        assert repo.backfill(partition_range=keys, max_concurrency=2).completed == 2


@pytest.mark.parametrize(
    "slow", KEYS[20:120:10]
)  # Some have other runs behind them in their batch.
def test_a_slow_async_run_does_not_hold_back_others_after_a_while(slow, monkeypatch):
    # The idle worker thread has ended long before the slow run.
    monkeypatch.setattr("rivers.execution.workers.IDLE_TIMEOUT_SECONDS", 0.001)
    slow_run_among_others(slow)


def test_async_functions_that_never_wait_leave_the_loop_to_others_after_each_batch():
    calls, turns = [0], [0]
    thousand = rs.PartitionsDefinition.static_([str(number) for number in range(1000)])
    grid = rs.PartitionsDefinition.multi({"a": thousand, "b": thousand})

    def turn(loop):
        turns.append(calls[0])
        if calls[0] < 1_000_000:
            loop.call_soon(turn, loop)

    @rs.Asset(partitions_def=grid)
    async def busy():
        calls[0] += 1
        if calls[0] == 1:
            loop = asyncio.get_running_loop()
            loop.call_soon(turn, loop)

    with rs.CodeRepository([busy]).resolve(rs.Storage.memory()) as repo:
        repo.backfill(partition_range=rs.PartitionKeyRange.multi({}), max_concurrency=1)
    longest = max(later - sooner for sooner, later in itertools.pairwise(turns))
    assert longest <= 8_192, "that is more than one batch can hold"
