"""Whatever ends the event loop, or its threads, fails no run but the one that did it."""

import asyncio
import sys

import cloudpickle
import pytest
from tests.support import TIMEOUT, counts, letters, run_script

import rivers as rs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DEFINED = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


@pytest.fixture(params=["threads", "processes"])
def make(request, repo, parallel):
    return repo if request.param == "threads" else parallel


async def leave():
    raise SystemExit(3)


async def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("end", [leave, interrupt])
def test_a_task_that_ends_the_loop_fails_its_run_only(make, end):
    @rs.Asset(partitions_def=DEFINED)
    async def letter(context: rs.AssetExecutionContext):
        if context.partition_key in "be":
            await asyncio.gather(asyncio.sleep(0.01), end())
        await asyncio.sleep(0.01)

    repository = make(letter)
    result = repository.backfill(partition_range=ALL)
    assert counts(result) == (6, 2, 0)
    assert counts(repository.backfill(partition_range=ALL)) == (6, 2, 0)


def test_a_loop_that_is_stopped_goes_on(make):
    @rs.Asset(partitions_def=DEFINED)
    async def letter(context: rs.AssetExecutionContext):
        if context.partition_key in "be":
            asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)

    assert counts(make(letter).backfill(partition_range=ALL)) == (8, 0, 0)


def test_a_task_left_behind_that_ends_the_loop_fails_no_run(make):
    @rs.Asset(partitions_def=DEFINED)
    async def letter(context: rs.AssetExecutionContext):
        if context.partition_key == "b":
            letter.left = asyncio.create_task(leave())
        await asyncio.sleep(0.05)

    assert counts(make(letter).backfill(partition_range=ALL)) == (8, 0, 0)


def test_a_function_that_cancels_all_tasks_of_the_loop_ends_no_backfill_early(make):
    @rs.Asset(partitions_def=DEFINED)
    async def letter(context: rs.AssetExecutionContext):
        if context.partition_key == "b":
            for task in asyncio.all_tasks():
                task.cancel()
        await asyncio.sleep(0.01)

    result = make(letter).backfill(partition_range=ALL)
    completed, failed, canceled = counts(result)
    assert (completed + failed, canceled) == (8, 0)
    assert failed >= 1


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, GeneratorExit, SystemExit])
def test_a_plain_function_beside_an_async_one_may_raise_anything(make, error):
    @rs.Asset(partitions_def=DEFINED)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key in "be":
            raise error("gone")

    @rs.Asset(partitions_def=DEFINED)
    async def beside():
        await asyncio.sleep(0)

    repository = make(letter, beside)
    result = repository.backfill(partition_range=ALL)
    assert counts(result) == (6, 2, 0)
    assert repository.backfill_errors(result.backfill_id)["error_type"].to_list() == [
        error.__name__
    ]


def test_a_plain_task_of_an_async_graph_asset_may_raise_stop_iteration(repo):
    @rs.Task
    def first():
        return next(iter([]))

    @rs.Task
    async def second(value):
        return value

    @rs.Asset.from_graph
    def graph():
        return second(first())

    result = repo(graph).materialize(raise_on_error=False)
    assert not result.success


NO_THREADS = """
import asyncio, resource, threading
import rivers as rs
DEFINED = rs.PartitionsDefinition.static_([str(i) for i in range(8)])

@rs.Asset(partitions_def=DEFINED)
async def one():
    await asyncio.sleep(0)

@rs.Asset(partitions_def=DEFINED)
def two():
    pass

real = threading.Thread.start
def start(thread):
    if thread.name.startswith("rivers-plain"):
        raise RuntimeError("can't start new thread")
    real(thread)
threading.Thread.start = start
repo = rs.CodeRepository([one, two]).resolve(rs.Storage.embedded("storage.db"))
try:
    repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "7"))
except rs.exceptions.RiversError as error:
    print(type(error).__name__, error)
threading.Thread.start = real
[left] = repo.backfills()["backfill_id"]
print(repo.get_backfill(left).status, repo.get_backfill(left).failed_partitions)
print(repo.resume_backfill(left).status)
"""


def test_a_thread_that_cannot_be_started_fails_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_script(NO_THREADS)
    assert "can't start new thread" in done.stdout, (done.stdout, done.stderr, TIMEOUT)
    assert done.stdout.splitlines()[1:] == ["in_progress 0", "completed"]
