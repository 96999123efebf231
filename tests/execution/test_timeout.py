"""A call that takes longer than its timeout fails, and its slot is free."""

import asyncio
import sys
import threading
import time

import cloudpickle
import pytest
from tests.support import TIMEOUT, counts, key, letters, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DEFINED = letters(6)
ALL = rs.PartitionKeyRange.single("a", "f")


def hang(context):
    if context.partition_key in "be":
        time.sleep(TIMEOUT)


async def hang_async(context):
    if context.partition_key in "be":
        await asyncio.sleep(TIMEOUT)


async def ignore_async(context):
    end = time.monotonic() + TIMEOUT / 2
    while context.partition_key in "be" and time.monotonic() < end:
        try:
            await asyncio.sleep(TIMEOUT / 2)
        except asyncio.CancelledError:
            ignored.append(context.partition_key)


async def block_async(context):
    hang(context)


async def block_for_a_while(context):
    if context.partition_key in "be":
        time.sleep(0.5)  # noqa: ASYNC251  (it keeps the event loop to itself)


ignored = []


def failed_by_timeout(repository, result, word):
    assert counts(result) == (4, 2, 0)
    errors = repository.backfill_errors(result.backfill_id)
    assert errors["error_type"].to_list() == ["TimeoutError"]
    message = repository.get_backfill(result.backfill_id).error
    assert "'hangs'" in message
    assert "0.2 s" in message
    assert word in message


@pytest.mark.parametrize(
    ("fn", "word"),
    [
        (hang, "abandoned"), (hang_async, "canceled"), (ignore_async, "abandoned"),
        (block_for_a_while, "kept the event loop"),
    ],
)  # fmt: skip
def test_a_call_in_this_process(repo, fn, word):
    repository = repo(rs.Asset(fn, name="hangs", partitions_def=DEFINED, timeout=0.2))
    failed_by_timeout(repository, repository.backfill(partition_range=ALL), word)


@pytest.mark.parametrize(
    ("fn", "word"), [(hang, "killed"), (hang_async, "canceled"), (block_async, "killed")]
)
def test_a_call_in_a_worker_process(parallel, fn, word):
    repository = parallel(rs.Asset(fn, name="hangs", partitions_def=DEFINED, timeout=0.2))
    failed_by_timeout(repository, repository.backfill(partition_range=ALL), word)
    assert repository.backfill(partition_keys=[key("a")]).completed == 1


def yield_and_hang(context):
    for own in context.partition.keys:
        if own == key("c"):
            time.sleep(TIMEOUT)
        yield own, str(own)


async def yield_and_hang_async(context):
    for own in context.partition.keys:
        if own == key("c"):
            await asyncio.sleep(TIMEOUT)
        yield own, str(own)


@pytest.mark.parametrize("fn", [yield_and_hang, yield_and_hang_async])
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_what_a_generator_yielded_before_its_timeout_is_kept(
    repo, parallel, tmp_path, executor, fn
):
    make = parallel if executor == "processes" else repo
    handler = rs.PickleIOHandler(tmp_path / "values")
    hangs = rs.Asset(fn, name="hangs", partitions_def=DEFINED, timeout=0.5, io_handler=handler)
    repository = make(hangs)
    result = repository.backfill(partition_range=ALL, strategy=rs.BackfillStrategy.single_run())
    assert counts(result) == (2, 4, 0)
    assert "TimeoutError" in repository.get_backfill(result.backfill_id).error
    assert [repository.load_node("hangs", key(own)) for own in "ab"] == ["a", "b"]


def test_a_plain_function_beside_an_async_one(repo):
    async def beside():
        await asyncio.sleep(0)

    repository = repo(
        rs.Asset(hang, name="hangs", partitions_def=DEFINED, timeout=0.2),
        rs.Asset(beside, name="beside", partitions_def=DEFINED),
    )
    failed_by_timeout(repository, repository.backfill(partition_range=ALL), "abandoned")


@pytest.mark.parametrize("executor", ["threads", "loop", "processes"])
def test_a_timeout_is_retried_like_other_failures(repo, parallel, tmp_path, executor):
    def once(context):
        flag = tmp_path / context.partition_key
        if not flag.exists():
            flag.touch()
            return TIMEOUT
        return 0

    def slow(context):
        time.sleep(once(context))

    async def slow_async(context):
        await asyncio.sleep(once(context))

    fn = slow_async if executor == "loop" else slow
    make = parallel if executor == "processes" else repo
    asset = rs.Asset(
        fn, name="slow", partitions_def=letters(2), timeout=0.2, retry=rs.RetryPolicy(1)
    )
    result = make(asset).backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    assert counts(result) == (2, 0, 0)


def test_the_timeout_of_a_backfill_goes_before_that_of_an_asset_and_is_stored(repo):
    released = threading.Event()

    @rs.Asset(partitions_def=DEFINED, timeout=TIMEOUT)
    def hangs(context: rs.AssetExecutionContext):
        if context.partition_key == "b":
            released.wait(TIMEOUT)

    repository = repo(hangs)
    result = repository.backfill(partition_range=ALL, timeout=0.1)
    assert counts(result) == (5, 1, 0)
    again = repository.rerun_backfill(result.backfill_id)
    assert counts(again) == (0, 1, 0)
    released.set()


@pytest.mark.parametrize("executor", ["threads", "loop", "processes"])
def test_a_task_is_retried_in_place_after_its_timeout(repo, parallel, tmp_path, executor):
    def slow():
        flag = tmp_path / "called"
        if not flag.exists():
            flag.touch()
            time.sleep(TIMEOUT)
        return 3

    async def slow_async():
        flag = tmp_path / "called"
        if not flag.exists():
            flag.touch()
            await asyncio.sleep(TIMEOUT)
        return 3

    fn = slow_async if executor == "loop" else slow
    task = rs.Task(fn, name="slow", timeout=0.2, retry=rs.RetryPolicy(1))

    @rs.Asset.from_graph(io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def graph():
        return task()

    repository = (parallel if executor == "processes" else repo)(graph)
    assert repository.materialize().success
    assert repository.load_node("graph") == 3
    assert repository.materialize().success


def test_a_call_within_its_timeout_keeps_its_value_and_error(repo, tmp_path):
    def quick(context):
        if context.partition_key == "b":
            raise ValueError("own")
        return context.partition_key

    repository = repo(rs.Asset(quick, name="quick", partitions_def=DEFINED, timeout=TIMEOUT))
    result = repository.backfill(partition_range=ALL)
    assert counts(result) == (5, 1, 0)
    assert repository.load_node("quick", key("a")) == "a"
    assert "ValueError: own" in repository.get_backfill(result.backfill_id).error


@pytest.mark.parametrize("wrong", [0, -1, True, "1"])
def test_a_wrong_timeout_is_refused(repo, wrong):
    for make in (rs.Asset, rs.Task):
        with pytest.raises(ConfigurationError, match="timeout"):
            make(lambda: None, name="a", timeout=wrong)
    with pytest.raises(ConfigurationError, match="timeout"):
        repo(DEFINED).backfill(partition_range=ALL, timeout=wrong)


def test_the_slot_of_a_hung_call_is_free(repo):
    repository = repo(rs.Asset(hang, name="hangs", partitions_def=DEFINED, timeout=0.1))
    launched = repository.backfill(partition_range=ALL, max_concurrency=1, block=False)
    status = repository.wait_backfill(launched.backfill_id, timeout=TIMEOUT)
    assert counts(status) == (4, 2, 0)
    wait_until(lambda: repository.backfills()["status"].to_list() == ["failed"])
