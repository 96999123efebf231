"""A cancel that ends runs in flight by force, and interrupts that belong to a cancel."""

import asyncio
import os
import sys
import threading
import time

import cloudpickle
import pytest
from tests.support import TIMEOUT, counts, letters, repository, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DEFINED = letters(6)
ALL = rs.PartitionKeyRange.single("a", "f")


def begin(repo, **options):
    """Launches a backfill whose last runs hang, and waits until it has come there."""
    launched = repo.backfill(
        partition_range=ALL, block=False, max_concurrency=2,
        retry=rs.RetryPolicy(3), **options,
    )  # fmt: skip
    wait_until(lambda: repo.get_backfill(launched.backfill_id).completed_partitions == 2)
    return launched.backfill_id


def check_canceled(repo, backfill_id):
    status = repo.wait_backfill(backfill_id, timeout=TIMEOUT)
    assert (status.status, counts(status)) == ("canceled", (2, 0, 4))
    assert repo.backfill_errors(backfill_id).is_empty()
    return status


def test_a_hung_thread_is_abandoned():
    released = threading.Event()

    @rs.Asset(partitions_def=DEFINED)
    def hangs(context: rs.AssetExecutionContext):
        if context.partition_key not in "ab":
            released.wait(TIMEOUT)

    repo = repository(hangs)
    backfill_id = begin(repo)
    assert repo.cancel_backfill(backfill_id, force_after=0.1) is True
    check_canceled(repo, backfill_id)
    # The slots are free; what the abandoned functions return is dropped.
    other = repo.backfill(partition_keys=[rs.PartitionKey.single("a")])
    released.set()
    assert other.status == "completed"
    rerun = repo.rerun_backfill(backfill_id)
    assert counts(rerun) == (4, 0, 0)
    repo.close()
    assert counts(repo.get_backfill(backfill_id)) == (2, 0, 4)


@pytest.mark.parametrize("obeys", [True, False])
def test_a_hung_coroutine_is_canceled(obeys):
    released, canceled = threading.Event(), []

    @rs.Asset(partitions_def=DEFINED)
    async def hangs(context: rs.AssetExecutionContext):
        while context.partition_key not in "ab" and not released.is_set():
            try:
                await asyncio.sleep(0.01 if canceled else TIMEOUT)
            except asyncio.CancelledError:
                canceled.append(context.partition_key)
                if obeys:
                    raise

    with repository(hangs) as repo:
        backfill_id = begin(repo)
        repo.cancel_backfill(backfill_id, force_after=0)
        check_canceled(repo, backfill_id)
        wait_until(lambda: len(canceled) == 2)
        released.set()
        assert repo.rerun_backfill(backfill_id).status == "completed"


def test_a_coroutine_that_blocks_the_loop_keeps_no_later_run_from_it():
    released = threading.Event()

    @rs.Asset(partitions_def=DEFINED)
    async def hangs(context: rs.AssetExecutionContext):
        if context.partition_key not in "ab":
            released.wait(TIMEOUT)

    @rs.Asset(partitions_def=DEFINED)
    async def other():
        await asyncio.sleep(0)

    with repository(hangs, other) as repo:
        launched = repo.backfill(["hangs"], partition_range=ALL, block=False, max_concurrency=1)
        wait_until(lambda: repo.get_backfill(launched.backfill_id).completed_partitions == 2)
        repo.cancel_backfill(launched.backfill_id, force_after=0)
        check_canceled(repo, launched.backfill_id)
        time.sleep(1.2)
        assert repo.backfill(["other"], partition_range=ALL).completed == 6
        released.set()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_hung_process_is_killed(parallel, tmp_path, asynchronous):
    def hang(context):
        (tmp_path / f"{context.partition_key}-{os.getpid()}").touch()
        if context.partition_key not in "ab":
            time.sleep(TIMEOUT)

    async def hang_async(context):
        hang(context)

    hangs = hang_async if asynchronous else hang
    repo = parallel(rs.Asset(hangs, name="hangs", partitions_def=DEFINED))
    backfill_id = begin(repo)
    repo.cancel_backfill(backfill_id, force_after=0)
    check_canceled(repo, backfill_id)
    hung = {int(path.name[2:]) for path in tmp_path.iterdir() if path.name[0] not in "ab"}

    def alive(process):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        return True

    wait_until(lambda: not any(map(alive, hung)))
    assert repo.backfill(partition_keys=[rs.PartitionKey.single("a")]).status == "completed"


def test_a_cancel_by_force_reaches_the_process_that_runs_the_backfill(tmp_path):
    released = threading.Event()

    @rs.Asset(partitions_def=DEFINED)
    def hangs(context: rs.AssetExecutionContext):
        if context.partition_key not in "ab":
            released.wait(TIMEOUT)

    with repository(hangs, storage=rs.Storage.embedded(tmp_path / "storage.db")) as repo:
        backfill_id = begin(repo)
        client = rs.BackfillClient(tmp_path / "storage.db")
        assert client.cancel_backfill(backfill_id) is False
        assert client.cancel_backfill(backfill_id, force_after=0.1) is False
        check_canceled(repo, backfill_id)
        released.set()


def test_without_force_runs_in_flight_count_with_their_own_outcome():
    released = threading.Event()

    @rs.Asset(partitions_def=DEFINED)
    def hangs(context: rs.AssetExecutionContext):
        if context.partition_key not in "ab":
            released.wait(TIMEOUT)

    with repository(hangs) as repo:
        backfill_id = begin(repo)
        repo.cancel_backfill(backfill_id)
        released.set()
        assert counts(repo.wait_backfill(backfill_id)) == (4, 0, 2)


@pytest.mark.parametrize("wrong", [-1, True, "1", float("nan")])
def test_a_wrong_force_after_is_refused(repo, wrong):
    with pytest.raises(ConfigurationError, match="force_after"):
        repo(DEFINED).cancel_backfill("any", force_after=wrong)


@pytest.mark.parametrize("executor", ["threads", "loop", "processes"])
@pytest.mark.parametrize("first", [False, True])
def test_an_interrupt_during_a_cancel_counts_as_that_cancel(
    repo, parallel, tmp_path, executor, first
):
    def interrupted(context):
        if context.partition_key in "ab":
            return
        flag = tmp_path / "canceled"
        while not flag.exists():
            time.sleep(0.001)
        raise KeyboardInterrupt

    async def interrupted_async(context):
        await asyncio.to_thread(interrupted, context)

    fn = interrupted_async if executor == "loop" else interrupted
    made = parallel if executor == "processes" else repo
    repository_ = made(rs.Asset(fn, name="interrupted", partitions_def=DEFINED))
    backfill_id = begin(repository_)
    # Ctrl-C reaches a library and the calling thread in either order.
    if first:
        (tmp_path / "canceled").touch()
        time.sleep(0.05)
    repository_.cancel_backfill(backfill_id)
    (tmp_path / "canceled").touch()
    check_canceled(repository_, backfill_id)


def test_an_interrupt_without_a_cancel_is_a_failure(repo):
    def interrupted():
        raise KeyboardInterrupt

    repository_ = repo(rs.Asset(interrupted, name="interrupted", partitions_def=DEFINED))
    result = repository_.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    assert counts(result) == (0, 2, 0)
