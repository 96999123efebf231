"""`update_backfill`: changes to the limits and the priority of a running backfill."""

import asyncio
import threading
import time

import pytest
from tests.support import TIMEOUT, run_script, wait_until

import rivers as rs
from rivers.exceptions import BackfillNotFoundError, ConfigurationError, ExecutionError
from rivers.execution import workers

KEYS = [f"k{number:02}" for number in range(12)]
FEW = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])

OTHER_PROCESS = """
import sys
import rivers as rs

repo = rs.CodeRepository([rs.Asset(lambda: None, name="idle")])
repo.resolve(rs.Storage.embedded(sys.argv[1]))
repo.update_backfill(sys.argv[2], max_concurrency=int(sys.argv[3]))
"""

DIES_AFTER_A_CHANGE = """
import os, sys
import rivers as rs

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(list("abcdef")))
def steps(context: rs.AssetExecutionContext):
    if context.partition_key == "c":
        backfill_id = context.run_id.split(".")[0]
        repo.update_backfill(backfill_id, max_concurrency=3, priority=7)
        print(backfill_id, flush=True)
        os.kill(os.getpid(), 9)

repo = rs.CodeRepository([steps]).resolve(rs.Storage.embedded(sys.argv[1]))
everything = rs.PartitionKeyRange.single("a", "f")
tags = [("rivers/priority", "-3")]
repo.backfill(partition_range=everything, max_concurrency=1, tags=tags)
"""


class Gated:
    """A backfill whose runs wait for a gate each; counts how many are in flight."""

    def __init__(self, *, is_async=False, storage=None, executor=None, max_concurrency=1):
        self.gate = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.now = self.most = self.called = 0

        def begin():
            with self.lock:
                self.called += 1
                self.now += 1
                self.most = max(self.most, self.now)

        def end():
            with self.lock:
                self.now -= 1

        def plain(context: rs.AssetExecutionContext):
            begin()
            assert self.gate.acquire(timeout=TIMEOUT)
            end()

        async def waits(context: rs.AssetExecutionContext):
            begin()
            while not self.gate.acquire(blocking=False):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            end()

        work = waits if is_async else plain
        asset = rs.Asset(work, name="gated", partitions_def=FEW)
        repo = rs.CodeRepository([asset], default_executor=executor)
        self.repo = repo.resolve(storage or rs.Storage.memory())
        launched = repo.backfill(partition_range=ALL, max_concurrency=max_concurrency, block=False)
        self.id = launched.backfill_id
        wait_until(lambda: self.now == max_concurrency)

    def open(self, runs=12):
        self.gate.release(runs)

    def finish(self):
        self.open()
        self.repo.close()
        assert self.repo.get_backfill(self.id).status == "completed"
        assert self.called == len(KEYS)


@pytest.mark.parametrize("is_async", [False, True])
def test_more_run_at_once_as_soon_as_it_is_said(is_async):
    gated = Gated(is_async=is_async)
    gated.repo.update_backfill(gated.id, max_concurrency=3)
    wait_until(lambda: gated.now == 3)
    gated.finish()
    assert gated.most == 3


@pytest.mark.parametrize("is_async", [False, True])
def test_another_process_may_say_it_while_all_workers_are_busy(tmp_path, monkeypatch, is_async):
    monkeypatch.setattr(workers, "IDLE_TIMEOUT_SECONDS", 0.01)
    path = tmp_path / "rivers.db"
    gated = Gated(is_async=is_async, storage=rs.Storage.embedded(path))
    run_script(OTHER_PROCESS, path, gated.id, 3).check_returncode()
    wait_until(lambda: gated.now == 3)
    gated.finish()
    assert gated.most == 3


def test_worker_processes_grow_in_number(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    gate = tmp_path / "gate"

    def wait(context: rs.AssetExecutionContext):
        (notes / context.partition_key).touch()
        while not gate.exists():
            time.sleep(0.01)

    asset = rs.Asset(wait, partitions_def=FEW)
    repo = rs.CodeRepository([asset], default_executor=rs.Executor.parallel(2))
    repo.resolve(rs.Storage.embedded(tmp_path / "rivers.db"))
    backfill_id = repo.backfill(partition_range=ALL, max_concurrency=1, block=False).backfill_id
    wait_until(lambda: len(list(notes.iterdir())) == 1)
    # The executor has only two workers.
    repo.update_backfill(backfill_id, max_concurrency=9)
    wait_until(lambda: len(list(notes.iterdir())) == 2)
    gate.touch()
    repo.close()
    assert repo.get_backfill(backfill_id).status == "completed"


def test_fewer_run_at_once_when_what_is_in_flight_has_ended():
    gated = Gated(max_concurrency=4)
    gated.repo.update_backfill(gated.id, max_concurrency=1)
    gated.open(4)
    wait_until(lambda: gated.called == 5)
    wait_until(lambda: gated.now == 1)
    gated.most = 1
    gated.finish()
    assert gated.most == 1


SIZE = 4_000
NAMES = [f"k{number:04}" for number in range(SIZE)]
MANY = rs.PartitionsDefinition.static_(NAMES)
EACH = rs.PartitionKeyRange.single(NAMES[0], NAMES[-1])


def test_another_priority_goes_before_what_a_worker_has_taken_and_not_begun():
    calls = []

    @rs.Asset(partitions_def=MANY)
    def first(context: rs.AssetExecutionContext):
        calls.append("first")
        if len(calls) == SIZE // 2:
            repo.update_backfill(later, priority=5)

    @rs.Asset(partitions_def=MANY)
    def second(context: rs.AssetExecutionContext):
        calls.append("second")

    gate = threading.Event()

    @rs.Asset
    def holds():
        assert gate.wait(TIMEOUT)

    repo = rs.CodeRepository([first, second, holds], run_queue=rs.RunQueueConfig(1))
    repo.resolve(rs.Storage.memory())
    repo.submit(["holds"])
    earlier, later = (
        repo.backfill([name], partition_range=EACH, block=False).backfill_id
        for name in ("first", "second")
    )
    gate.set()
    repo.close()
    half = SIZE // 2
    assert calls == ["first"] * half + ["second"] * SIZE + ["first"] * half
    assert repo.get_backfill(earlier).status == "completed"


def test_a_change_survives_the_death_of_the_process_and_is_kept_by_a_rerun(tmp_path):
    path = tmp_path / "rivers.db"
    died = run_script(DIES_AFTER_A_CHANGE, path)
    backfill_id = died.stdout.strip()
    gate = threading.Event()
    waiting = []

    @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(list("abcdef")))
    def steps(context: rs.AssetExecutionContext):
        waiting.append(context.partition_key)
        assert gate.wait(TIMEOUT)
        raise ValueError

    repo = rs.CodeRepository([steps]).resolve(rs.Storage.embedded(path))
    repo.resume_backfill(backfill_id, block=False)
    wait_until(lambda: len(waiting) == 3)
    gate.set()
    repo.close()
    assert repo.get_backfill(backfill_id).tags == [("rivers/priority", "7")]
    again = repo.rerun_backfill(backfill_id)
    record = repo.storage._store.backfill(again.backfill_id)
    assert (record["max_concurrency"], record["priority"]) == (3, 7)
    assert ("rivers/priority", "7") in record["tags"]


def test_what_cannot_be_done_is_refused():
    asset = rs.Asset(lambda: None, name="idle", partitions_def=FEW)
    repo = rs.CodeRepository([asset]).resolve(rs.Storage.memory())
    ended = repo.backfill(partition_range=ALL).backfill_id
    with pytest.raises(BackfillNotFoundError, match="backfills"):
        repo.update_backfill("nonsense", max_concurrency=2)
    with pytest.raises(ExecutionError, match=r"has ended \(completed\).*changed.*rerun_backfill"):
        repo.update_backfill(ended, max_concurrency=2)
    with pytest.raises(ConfigurationError, match="there is nothing to change; give"):
        repo.update_backfill(ended)
    for bad in (0, -1, True, 2.5, "4", 1 << 32):
        with pytest.raises(
            ConfigurationError, match="max_concurrency must be an int of at least 1"
        ):
            repo.update_backfill(ended, max_concurrency=bad)
    for bad in (True, 2.5, "4", 1 << 63):
        with pytest.raises(ConfigurationError, match="priority must be an int"):
            repo.update_backfill(ended, priority=bad)
