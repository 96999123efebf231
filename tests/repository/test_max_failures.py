"""`max_failures`: a backfill with too many failures stops early and says why."""

import threading
import time

import pytest
from tests.support import TIMEOUT, counts, run_script, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError

SIZE = 2_000
KEYS = [f"k{number:04}" for number in range(SIZE)]
MANY = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])


def breaking(when=lambda number: True, *, is_async=False):
    """An asset that fails for the partitions whose number satisfies a condition."""

    def work(context):
        if when(int(context.partition_key[1:])):
            raise ValueError("broken")

    def plain(context: rs.AssetExecutionContext):
        work(context)

    async def waits(context: rs.AssetExecutionContext):
        work(context)

    return rs.Asset(waits if is_async else plain, name="breaking", partitions_def=MANY)


def repository(asset, *, storage=None, executor=None):
    repo = rs.CodeRepository([asset], default_executor=executor)
    return repo.resolve(storage or rs.Storage.memory())


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("when", "max_failures", "expected"),
    [
        (lambda number: True, 1, (0, 1, SIZE - 1)),
        (lambda number: True, 7, (0, 7, SIZE - 7)),
        (lambda number: number % 3 == 0, 100, (198, 100, SIZE - 298)),
        (lambda number: number < 7, 8, (SIZE - 7, 7, 0)),
        # A fraction applies only after 20 have ended.
        (lambda number: True, 0.5, (0, 20, SIZE - 20)),
        (lambda number: number >= 900, 0.1, (900, 100, SIZE - 1_000)),
        (lambda number: number % 3 == 0, 0.5, (1_333, 667, 0)),
    ],
)
def test_no_run_starts_after_the_last_failure_that_is_allowed(
    when, max_failures, expected, is_async
):
    repo = repository(breaking(when, is_async=is_async))
    result = repo.backfill(partition_range=ALL, max_concurrency=1, max_failures=max_failures)
    assert (result.status, counts(result)) == ("failed", expected)


def test_with_several_at_once_those_in_flight_end():
    repo = repository(breaking())
    result = repo.backfill(partition_range=ALL, max_concurrency=4, max_failures=50)
    assert 50 <= result.failed < 54
    assert (result.completed, result.canceled) == (0, SIZE - result.failed)


def test_in_worker_processes(tmp_path):
    asset = breaking(lambda number: number % 2 == 0)
    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    repo = repository(asset, storage=storage, executor=rs.Executor.parallel(1))
    result = repo.backfill(partition_range=ALL, max_concurrency=1, max_failures=10)
    repo.close()
    assert counts(result) == (9, 10, SIZE - 19)


def test_partitions_are_counted_not_runs():
    @rs.Asset(partitions_def=MANY)
    def marking(context: rs.AssetExecutionContext):
        for key in context.partition.keys[:3]:
            context.mark_partition_failed(key, "bad")

    strategy = rs.BackfillStrategy.chunked(10)
    result = repository(marking).backfill(
        partition_range=ALL, strategy=strategy, max_concurrency=1, max_failures=7
    )
    assert counts(result) == (21, 9, SIZE - 30)


def test_the_error_says_why_it_stopped_and_a_rerun_does_so_too(caplog):
    repo = repository(breaking(lambda number: number > 0))
    result = repo.backfill(partition_range=ALL, max_concurrency=1, max_failures=3)
    told = "(3 of 2000 partitions failed; stopped at max_failures=3, 1996 canceled)"
    assert repo.get_backfill(result.backfill_id).error.endswith(told)
    assert told in caplog.text
    again = repo.rerun_backfill(result.backfill_id)
    assert counts(again) == (0, again.failed, 1999 - again.failed)
    assert 3 <= again.failed < 7
    assert "stopped at max_failures=3, " in repo.get_backfill(again.backfill_id).error
    share = repo.backfill(partition_range=ALL, max_concurrency=1, max_failures=0.25)
    assert "; stopped at max_failures=0.25, " in repo.get_backfill(share.backfill_id).error


def test_what_has_stopped_by_itself_says_nothing_of_a_limit():
    repo = repository(breaking(lambda number: number == SIZE - 1))
    result = repo.backfill(partition_range=ALL, max_concurrency=1, max_failures=1)
    error = repo.get_backfill(result.backfill_id).error
    assert error.endswith("(1 of 2000 partitions failed)")


DIES = """
import os, sys, threading, time
import rivers as rs

begun = threading.Event()

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_([f"k{number:04}" for number in range(2000)]))
def breaking(context: rs.AssetExecutionContext):
    if context.partition_key == "k0000":
        begun.set()
        time.sleep(60)
    begun.wait(60)
    raise ValueError("broken")

repo = rs.CodeRepository([breaking]).resolve(rs.Storage.embedded(sys.argv[1]))
everything = rs.PartitionKeyRange.single("k0000", "k1999")
launched = repo.backfill(
    partition_range=everything, max_concurrency=2, max_failures=float(sys.argv[2]) or 5, block=False
)
print(launched.backfill_id, flush=True)
failed = int(sys.argv[3])
while repo.get_backfill(launched.backfill_id).failed_partitions < failed:
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("share", "failed"), [("0", 5), ("0.97", 20)])
def test_what_had_stopped_before_its_process_died_starts_nothing_when_it_is_resumed(
    tmp_path, share, failed
):
    path = tmp_path / "rivers.db"
    died = run_script(DIES, path, share, failed)
    backfill_id = died.stdout.strip()
    called = []

    @rs.Asset(partitions_def=MANY)
    def breaking(context: rs.AssetExecutionContext):
        called.append(context.partition_key)

    repo = repository(breaking, storage=rs.Storage.embedded(path))
    result = repo.resume_backfill(backfill_id)
    assert (called, counts(result)) == ([], (0, failed, SIZE - failed))
    limit = share if share != "0" else "5"
    assert f"stopped at max_failures={limit}" in repo.get_backfill(backfill_id).error


def test_a_resume_counts_the_failures_from_before(tmp_path):
    path = tmp_path / "rivers.db"
    script = DIES.replace('raise ValueError("broken")', """
    if context.partition_key > "k0003":
        time.sleep(60)
    raise ValueError("broken")""")  # fmt: skip
    died = run_script(script, path, 0, 3)
    repo = repository(breaking(), storage=rs.Storage.embedded(path))
    result = repo.resume_backfill(died.stdout.strip())
    assert 5 <= result.failed < 7
    assert result.canceled == SIZE - result.failed


def test_it_can_be_set_on_a_backfill_that_runs():
    gate = threading.Event()
    failed = []

    @rs.Asset(partitions_def=MANY)
    def breaking(context: rs.AssetExecutionContext):
        failed.append(context.partition_key)
        if len(failed) > 10:
            assert gate.wait(TIMEOUT)
        raise ValueError("broken")

    repo = repository(breaking)
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(lambda: repo.get_backfill(launched.backfill_id).failed_partitions == 10)
    repo.update_backfill(launched.backfill_id, max_failures=12)
    gate.set()
    repo.close()
    assert repo.get_backfill(launched.backfill_id).failed_partitions == 12


def test_fewer_than_have_failed_already_stop_it_at_once():
    late = threading.Event()

    @rs.Asset(partitions_def=MANY)
    def waits(context: rs.AssetExecutionContext):
        if context.partition_key == KEYS[10]:
            assert late.wait(TIMEOUT)
        if context.partition_key < KEYS[10]:
            raise ValueError("broken")
        time.sleep(0.001)

    repo = repository(waits)
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(lambda: repo.get_backfill(launched.backfill_id).failed_partitions == 10)
    repo.update_backfill(launched.backfill_id, max_failures=10)
    late.set()
    repo.close()
    status = repo.get_backfill(launched.backfill_id)
    assert (status.completed_partitions, status.canceled_partitions) == (1, SIZE - 11)


def test_what_is_neither_a_count_nor_a_fraction_is_refused():
    repo = repository(breaking())
    for bad in (0, -1, True, 0.0, 1.0, 2.5, "10", 1 << 63, float("nan")):
        with pytest.raises(ConfigurationError, match="an int of at least 1, or a fraction"):
            repo.backfill(partition_range=ALL, max_failures=bad)
    assert repo.backfills().is_empty()
