"""Backfills from async code: `backfill_async`, `watch`, and cancellation of the task."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.support import TIMEOUT, counts, letters, wait_until

import rivers as rs
from rivers.exceptions import (
    AssetNotFoundError,
    BackfillNotFoundError,
    ConfigurationError,
    ExecutionError,
)

LETTERS = letters(3)
ALL = rs.PartitionKeyRange.single("a", "c")


def held(repo):
    """Returns a repository whose asset waits for a gate, and its two events."""
    begun, gate = threading.Event(), threading.Event()

    def wait():
        begun.set()
        gate.wait(TIMEOUT)

    return repo(rs.Asset(wait, name="x", partitions_def=LETTERS)), begun, gate


async def until(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_it_is_awaited_while_the_loop_goes_on(repo):
    repository, begun, gate = held(repo)

    async def main():
        task = asyncio.create_task(
            repository.backfill_async(partition_range=ALL, max_concurrency=1)
        )
        await until(begun.is_set)
        assert not task.done()
        gate.set()
        return await task

    result = asyncio.run(main())
    assert (result.status, counts(result)) == ("completed", (3, 0, 0))
    assert [key.key for key in result.partition_keys] == [["a"], ["b"], ["c"]]


def test_two_at_once_and_a_dry_run(repo, recording):
    first, _ = recording(LETTERS, name="first")
    second, _ = recording(LETTERS, name="second")
    repository = repo(first, second)

    async def main():
        calls = [
            repository.backfill_async(selection=[name], partition_range=ALL, dry_run=dry)
            for name, dry in (("first", False), ("second", False), ("first", True))
        ]
        return await asyncio.gather(*calls)

    assert [result.status for result in asyncio.run(main())] == [
        "completed",
        "completed",
        "dry_run",
    ]


def test_what_is_refused(repo, recording):
    asset, _ = recording(LETTERS, name="x")
    repository = repo(asset)
    with pytest.raises(TypeError, match="leave 'block' out"):
        asyncio.run(repository.backfill_async(partition_range=ALL, block=True))
    with pytest.raises(AssetNotFoundError):
        asyncio.run(repository.backfill_async(selection=["y"], partition_range=ALL))
    assert repository.backfills().height == 0


def test_cancelling_the_task_cancels_the_rest(repo):
    repository, begun, gate = held(repo)

    async def main():
        task = asyncio.create_task(
            repository.backfill_async(partition_range=ALL, max_concurrency=1)
        )
        await until(begun.is_set)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()  # Runs in flight finish first.
        gate.set()
        await task

    with pytest.raises(asyncio.CancelledError, match="canceled; run the rest with rerun_backfill"):
        asyncio.run(main())
    (row,) = repository.backfills().iter_rows(named=True)
    assert (row["status"], row["completed"], row["canceled"]) == ("canceled", 1, 2)


def test_cancelling_it_twice_leaves_at_once_and_resumable(repo):
    repository, begun, gate = held(repo)

    async def main():
        task = asyncio.create_task(
            repository.backfill_async(partition_range=ALL, max_concurrency=1)
        )
        await until(begun.is_set)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError, match="continue it with resume_backfill"):
        asyncio.run(main())
    (row,) = repository.backfills().iter_rows(named=True)
    assert row["status"] == "in_progress"
    gate.set()
    result = repository.resume_backfill(row["backfill_id"])
    assert (result.status, counts(result)) == ("completed", (3, 0, 0))


def test_a_timeout_of_the_task_raises_timeout_error(repo):
    repository, begun, gate = held(repo)

    async def main():
        async with asyncio.timeout(None) as limit:
            task = asyncio.create_task(until(begun.is_set))
            task.add_done_callback(lambda _: (limit.reschedule(0), gate.set()))
            await repository.backfill_async(partition_range=ALL, max_concurrency=1)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_progress_is_reported_after_changes(repo):
    gates = {key: threading.Event() for key in "abc"}

    def wait(context):
        gates[context.partition_key].wait(TIMEOUT)

    repository = repo(rs.Asset(wait, name="x", partitions_def=LETTERS))
    launched = repository.backfill(partition_range=ALL, max_concurrency=1, block=False)

    async def main():
        seen = []
        async for status in repository.watch(launched.backfill_id, every=0.01):
            seen.append((status.status, status.completed_partitions))
            if status.status == "in_progress":
                gates["abc"[status.completed_partitions]].set()
        return seen

    assert asyncio.run(main()) == [
        ("in_progress", 0), ("in_progress", 1), ("in_progress", 2), ("completed", 3),
    ]  # fmt: skip


def test_watching_what_does_not_go_on(repo):
    repository, begun, gate = held(repo)

    async def follow(backfill_id, **options):
        async for _ in repository.watch(backfill_id, **options):
            pass

    with pytest.raises(BackfillNotFoundError):
        asyncio.run(follow("nothing"))
    with pytest.raises(ConfigurationError, match="every"):
        asyncio.run(follow("nothing", every=0))
    launched = repository.backfill(partition_range=ALL, max_concurrency=1, block=False)
    begun.wait(TIMEOUT)
    repository._runtime.abandon()
    gate.set()
    with pytest.raises(ExecutionError, match="its process is gone"):
        asyncio.run(follow(launched.backfill_id, every=0.01))


SCRIPT = """
import asyncio, pathlib, time, rivers as rs

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a", "b", "c"]))
def waits():
    pathlib.Path("begun").touch()
    while not pathlib.Path("gate").exists():
        time.sleep(0.01)

repo = rs.CodeRepository([waits])
everything = rs.PartitionKeyRange.single("a", "c")
asyncio.run(repo.backfill_async(partition_range=everything, max_concurrency=1))
"""


def test_ctrl_c_cancels_the_rest(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, stderr=subprocess.PIPE, encoding="utf-8",
        env={name: text for name, text in os.environ.items() if not name.startswith("RIVERS_")},
    )  # fmt: skip
    wait_until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # The cancel is applied now, which cannot be observed from here.
    (tmp_path / "gate").touch()
    _, err = process.communicate(timeout=TIMEOUT)
    assert "KeyboardInterrupt" in err
    (record,) = rs.Storage.embedded(tmp_path / ".rivers" / "rivers.db")._store.backfills()
    assert (record["status"], record["completed"], record["canceled"]) == ("canceled", 1, 2)
