"""How soon what a user asks of a backfill applies on a Ray cluster, beside the same in threads."""

import contextlib
import functools
import itertools
import time

import pytest
from support import Row, folder, repository
from test_ray import SETTLE_SECONDS, WORKERS, Calls, on_ray

import rivers as rs

pytestmark = pytest.mark.timeout(600)

RUNS = 50_000
TIMEOUT = 0.2
FORCE_AFTER = 0.1


class Controlled:
    """A backfill in progress.

    Attributes:
        calls: The calls of its function.
        failing: A file; while it is there, each call raises.
    """

    def __init__(self, repo, backfill_id, calls, failing):
        self.repo = repo
        self.backfill_id = backfill_id
        self.calls = calls
        self.failing = failing

    def last_call(self):
        return max(at for _, _, at in self.calls.all())

    def end(self):
        self.repo.cancel_backfill(self.backfill_id)
        self.repo.wait_backfill(self.backfill_id)


@contextlib.contextmanager
def controlled(seconds, control, make_executor):
    """Gives what measures how soon a control applies to a backfill of runs that take some seconds."""
    keys = [str(number) for number in range(RUNS)]
    with folder() as path:
        calls, failing = Calls(path / "calls", seconds), path / "failing"

        def called(context):
            calls(context)
            if failing.exists():
                raise ValueError("it is to fail")

        asset = rs.Asset(called, partitions_def=rs.PartitionsDefinition.static_(keys))
        with repository(asset, default_executor=make_executor()) as repo:
            warm_up = rs.PartitionKeyRange.single(keys[0], keys[9])
            repo.backfill(partition_range=warm_up, max_concurrency=WORKERS)
            launched = repo.backfill(
                partition_range=rs.PartitionKeyRange.single(keys[0], keys[-1]),
                max_concurrency=WORKERS, failure_policy="stop_on_failure", block=False,
            )  # fmt: skip
            time.sleep(SETTLE_SECONDS)
            own = Controlled(repo, launched.backfill_id, calls, failing)
            yield lambda: max(control(own), 0.0)
            own.end()


def cancel(own):
    own.repo.cancel_backfill(own.backfill_id)
    returned = time.time()
    own.repo.wait_backfill(own.backfill_id)
    return own.last_call() - returned


def stop_on_failure(own):
    own.failing.touch()
    since = time.time()
    own.repo.wait_backfill(own.backfill_id)
    return own.last_call() - since


def pause(own):
    own.repo.pause_backfill(own.backfill_id)
    returned = time.time()
    time.sleep(SETTLE_SECONDS)
    return own.last_call() - returned


def one_at_a_time(own):
    """The last call that began while another one was made, once the backfill may have one run in flight."""
    own.repo.update_backfill(own.backfill_id, max_concurrency=1)
    returned = time.time()
    time.sleep(SETTLE_SECONDS)
    made = sorted(at for _, _, at in own.calls.all())
    return (
        max(at for before, at in itertools.pairwise(made) if at - before < own.calls.seconds)
        - returned
    )


@contextlib.contextmanager
def hanging(end, make_executor, **options):
    """Gives what measures how long it takes until a run that hangs has ended."""
    with folder() as path:
        calls = Calls(path / "calls", 0)

        def hangs(context):
            calls(context)
            deadline = time.monotonic() + 30
            while context.partition_key == "hangs" and time.monotonic() < deadline:
                time.sleep(0.01)

        defined = rs.PartitionsDefinition.static_(["ends", "hangs"])
        asset = rs.Asset(hangs, partitions_def=defined, **options)
        with repository(asset, default_executor=make_executor()) as repo:
            repo.backfill(partition_keys=[rs.PartitionKey.single("ends")])
            yield lambda: end(repo, calls)


def _hang(repo, calls):
    """Has the run hang; returns the backfill and when it began to."""
    launched = repo.backfill(partition_keys=[rs.PartitionKey.single("hangs")], block=False)
    while len(calls.all()) < 2:
        time.sleep(0.001)
    return launched.backfill_id, calls.all()[-1][-1]


def time_out(repo, calls):
    backfill_id, since = _hang(repo, calls)
    repo.wait_backfill(backfill_id)
    return time.time() - since


def force(repo, calls):
    backfill_id, _ = _hang(repo, calls)
    since = time.time()
    repo.cancel_backfill(backfill_id, force_after=FORCE_AFTER)
    repo.wait_backfill(backfill_id)
    return time.time() - since


def compared(what, prepare, *arguments, **options):
    """A row with Ray beside threads of this process."""
    return Row(
        f"{what}; plain: the same in threads",
        "plain + 100 ms",
        functools.partial(prepare, *arguments, on_ray, **options),
        functools.partial(prepare, *arguments, rs.Executor.in_process, **options),
    )


ROWS = [
    compared("cancel of runs of 1 ms: last call after its return", controlled, 0.001, cancel),
    compared("cancel of runs of 50 ms: the same", controlled, 0.05, cancel),
    compared("stop on failure, runs of 1 ms: last call after it", controlled, 0.001, stop_on_failure),
    compared("pause, runs of 1 ms: last call after its return", controlled, 0.001, pause),
    compared("pause, runs of 50 ms: the same", controlled, 0.05, pause),
    compared(
        "update to one run at a time, runs of 50 ms: last call that overlaps another",
        controlled, 0.05, one_at_a_time,
    ),
    compared("timeout of 200 ms: until the run has failed", hanging, time_out, timeout=TIMEOUT),
    compared("cancel by force after 100 ms: until the run has ended", hanging, force),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_ray_controls(measured, row):
    measured(row)
