"""`canary`: runs a few partitions first, and the rest only if those complete."""

import threading

import pytest
from tests.support import TIMEOUT, counts, run_script, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError

SIZE = 1_000
KEYS = [f"k{number:03}" for number in range(SIZE)]
MANY = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
FIRST = ["k125", "k375", "k625", "k875"]
"""The four canary partitions, spread over the selection."""


class Recorded:
    """An asset `work` that fails for some partitions; records which were executed."""

    def __init__(self, *bad, storage=None, is_async=False):
        self.calls = []

        def work(context):
            self.calls.append(context.partition.keys[0].key[0])
            if set(bad) & {key.key[0] for key in context.partition.keys}:
                raise ValueError("broken")

        def plain(context: rs.AssetExecutionContext):
            work(context)

        async def waits(context: rs.AssetExecutionContext):
            work(context)

        asset = rs.Asset(waits if is_async else plain, name="work", partitions_def=MANY)
        repo = rs.CodeRepository([asset])
        self.repo = repo.resolve(storage or rs.Storage.memory())

    def run(self, **options):
        return self.repo.backfill(**({"partition_range": ALL, "max_concurrency": 8} | options))


@pytest.mark.parametrize("is_async", [False, True])
def test_the_rest_follows_when_all_of_the_first_complete(is_async):
    work = Recorded("k999", is_async=is_async)
    result = work.run(canary=4)
    assert sorted(work.calls[:4]) == FIRST
    assert (result.status, counts(result)) == ("failed", (999, 1, 0))
    assert sorted(work.calls) == KEYS


def test_nothing_else_starts_while_one_of_them_is_on():
    gate = threading.Event()
    started = []

    @rs.Asset(partitions_def=MANY)
    def work(context: rs.AssetExecutionContext):
        started.append(context.partition_key)
        if context.partition_key == "k875":
            assert gate.wait(TIMEOUT)

    repo = rs.CodeRepository([work]).resolve(rs.Storage.memory())
    launched = repo.backfill(partition_range=ALL, max_concurrency=8, canary=4, block=False)
    wait_until(lambda: repo.get_backfill(launched.backfill_id).completed_partitions == 3)
    assert sorted(started) == FIRST
    gate.set()
    repo.close()
    assert repo.get_backfill(launched.backfill_id).completed_partitions == SIZE


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failure_of_the_first_cancels_the_rest_and_says_why(is_async):
    work = Recorded("k375", is_async=is_async)
    result = work.run(canary=4, max_concurrency=1)
    assert work.calls == FIRST[:2]
    assert (result.status, counts(result)) == ("failed", (1, 1, 998))
    error = work.repo.get_backfill(result.backfill_id).error
    told = "(1 of 1000 partitions failed; stopped since canary=4 failed, 998 canceled)"
    assert error.endswith(told)
    assert "k375" in error


def test_the_first_are_chosen_in_the_order_of_the_runs():
    work = Recorded()
    work.run(canary=3, order="reverse", max_concurrency=1)
    assert work.calls[:4] == ["k833", "k499", "k166", "k999"]


def test_runs_of_several_partitions():
    work = Recorded("k250")
    result = work.run(canary=2, strategy=rs.BackfillStrategy.chunked(100), max_concurrency=1)
    assert work.calls == ["k200"]
    assert counts(result) == (0, 100, 900)
    assert counts(work.run(canary=2, strategy=rs.BackfillStrategy.chunked(600)))[1] == 600


def test_more_than_there_are_is_all():
    work = Recorded()
    some = rs.PartitionKeyRange.single("k000", "k002")
    assert work.run(canary=9, partition_range=some).completed == 3


def test_an_attempt_that_fails_is_no_failure():
    tries = []

    @rs.Asset(partitions_def=MANY, retry=rs.RetryPolicy(1))
    def work(context: rs.AssetExecutionContext):
        if context.partition_key == "k500" and context.attempt == 1:
            tries.append(context.partition_key)
            raise ValueError

    repo = rs.CodeRepository([work]).resolve(rs.Storage.memory())
    result = repo.backfill(partition_range=ALL, canary=1)
    assert (result.status, result.completed, tries) == ("completed", SIZE, ["k500"])


def test_in_worker_processes(tmp_path):
    storage = rs.Storage.embedded(tmp_path / "rivers.db")

    def work(context: rs.AssetExecutionContext):
        if context.partition_key == "k875":
            raise ValueError("broken")

    asset = rs.Asset(work, partitions_def=MANY)
    repo = rs.CodeRepository([asset], default_executor=rs.Executor.parallel(1)).resolve(storage)
    result = repo.backfill(partition_range=ALL, max_concurrency=1, canary=4)
    repo.close()
    assert counts(result) == (3, 1, 996)


def test_a_rerun_begins_with_a_few_too():
    work = Recorded("k125", "k373")
    first = work.run(canary=4, max_concurrency=1)
    assert counts(first) == (0, 1, 999)
    # No partition has completed, so the same ones run first.
    again = work.repo.rerun_backfill(first.backfill_id)
    assert counts(again) == (0, 1, 999)


DIES = """
import os, sys
import rivers as rs

KEYS = [f"k{number:03}" for number in range(1000)]

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(KEYS))
def work(context: rs.AssetExecutionContext):
    if context.partition_key == "k625":
        while repo.get_backfill(context.run_id.split(".")[0]).completed_partitions < 2:
            pass
        os.kill(os.getpid(), 9)

repo = rs.CodeRepository([work]).resolve(rs.Storage.embedded(sys.argv[1]))
everything = rs.PartitionKeyRange.single("k000", "k999")
repo.backfill(partition_range=everything, max_concurrency=1, canary=4)
"""


@pytest.mark.parametrize("bad", [(), ("k625",)])
def test_a_resume_goes_on_with_the_first(tmp_path, bad):
    path = tmp_path / "rivers.db"
    assert run_script(DIES, path).returncode == -9
    work = Recorded(*bad, storage=rs.Storage.embedded(path))
    (backfill_id,) = work.repo.backfills()["backfill_id"]
    result = work.repo.resume_backfill(backfill_id)
    if bad:
        assert (work.calls, counts(result)) == (["k625"], (2, 1, 997))
        assert "stopped since canary=4 failed" in work.repo.get_backfill(backfill_id).error
    else:
        assert (work.calls[:3], result.completed) == (["k625", "k875", "k000"], SIZE)


def test_what_cannot_be_is_refused():
    work = Recorded()
    for bad in (0, -1, True, 2.5, "3"):
        with pytest.raises(ConfigurationError, match="canary must be an int of at least 1"):
            work.run(canary=bad)
    with pytest.raises(ConfigurationError, match="at most 1000 partitions, got 1001"):
        work.run(canary=1_001)
    for options in ({}, {"dry_run": True}):
        with pytest.raises(ExecutionError, match="executes all partitions in one; use chunked"):
            work.run(canary=2, strategy=rs.BackfillStrategy.single_run(), **options)
    assert work.repo.backfills().is_empty()


def test_runs_that_need_others_cannot_have_one():
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-09")
    before = rs.AssetDef.input("first", partition_mapping=rs.PartitionMapping.time_window(-1))
    assets = [
        rs.Asset(lambda: 1, name="first", partitions_def=days),
        rs.Asset(lambda first: first, name="second", partitions_def=days, deps=[before]),
    ]
    repo = rs.CodeRepository(assets).resolve(rs.Storage.memory())
    some = rs.PartitionKeyRange.single("2024-01-02", "2024-01-08")
    with pytest.raises(ExecutionError, match="runs that need nothing of each other"):
        repo.backfill(partition_range=some, canary=2)
    assert repo.backfill(["first"], partition_range=some, canary=2).completed == 7
