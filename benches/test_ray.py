"""Runs on a Ray cluster, beside the same runs in as many processes of this machine (loky)."""

import atexit
import contextlib
import functools
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from support import EVERYTHING, Row, checked, duration, folder, grid, noop_asset, repository

import rivers as rs

sys.path.insert(0, str(Path(__file__).parent.parent))

pytestmark = pytest.mark.timeout(600)

MILLION = 1_000_000
WORKERS = 2
SETTLE_SECONDS = 1.0
"""Time for which runs are executed before something happens to a worker."""
SAMPLE_SECONDS = 0.02


@functools.cache
def cluster():
    """One cluster for all rows: a head, and a node for each worker."""
    from tests.ray_cluster import TestCluster

    logging.getLogger("rivers").setLevel(logging.ERROR)
    made = TestCluster(num_nodes=WORKERS, num_cpus=1)
    atexit.register(made.close)
    return made


def on_ray():
    cluster()
    return rs.Executor.ray(max_workers=WORKERS)


def in_processes():
    return rs.Executor.parallel(max_workers=WORKERS)


@contextlib.contextmanager
def backfill(asset, runs, make_executor, warm_up):
    """A backfill of everything in workers that have started."""
    with repository(asset, default_executor=make_executor()) as repo:
        repo.backfill(partition_range=warm_up, max_concurrency=WORKERS)

        def work():
            result = repo.backfill(partition_range=EVERYTHING, max_concurrency=WORKERS)
            checked(result, runs)

        yield work


def one(*sizes):
    """The first keys of the first dimensions, and all of the last."""
    return rs.PartitionKeyRange.multi(
        {name: [f"{name}0000"] for name, _ in zip("abc", sizes[:-1], strict=False)}
    )


def noop(make_executor):
    sizes = (10, 100, 1000)
    return backfill(noop_asset(grid(*sizes)), MILLION, make_executor, one(*sizes))


def waiting(seconds, runs, make_executor):
    def waits():
        time.sleep(seconds)

    sizes = (runs // 20, 20)
    return backfill(rs.Asset(waits, partitions_def=grid(*sizes)), runs, make_executor, one(*sizes))


def compared(what, runs, prepare, reach):
    """A row with Ray beside processes of this machine; the figure is runs a second."""
    return Row(
        f"{runs:,} {what}, {WORKERS} workers; plain: the same in {WORKERS} processes",
        reach,
        functools.partial(prepare, on_ray),
        functools.partial(prepare, in_processes),
        runs=runs,
    )


@contextlib.contextmanager
def bytes_in_the_store():
    """The most that Ray's object store holds while a million runs are executed."""
    with noop(on_ray) as work:
        import ray

        def used():
            names = [each.get("object_store_memory", 0.0) for each in
                     (ray.cluster_resources(), ray.available_resources())]  # fmt: skip
            return names[0] - names[1]

        def highest():
            seen, ended = [], threading.Event()

            def sample():
                while not ended.wait(SAMPLE_SECONDS):
                    seen.append(used())

            sampling = threading.Thread(target=sample)
            sampling.start()
            work()
            ended.set()
            sampling.join()
            return max(seen)

        kept = ray.put(bytes(MILLION))
        deadline = time.monotonic() + 5
        while used() < MILLION and time.monotonic() < deadline:
            time.sleep(SAMPLE_SECONDS)
        if used() < MILLION:
            raise AssertionError("what is in the store is not seen")
        del kept
        while used() > 0 and time.monotonic() < deadline:
            time.sleep(SAMPLE_SECONDS)
        yield highest


# -- what happens to workers ---------------------------------------------------------------------


class Calls:
    """The calls of a function in workers: partition, process and time, in a file that all write to."""

    def __init__(self, path, seconds):
        self.path = path
        self.seconds = seconds

    def __call__(self, context):
        with self.path.open("a") as file:
            file.write(f"{context.partition_key} {os.getpid()} {time.time()}\n")
        time.sleep(self.seconds)

    def all(self):
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        calls = [line.split() for line in lines]
        return [(key, int(process), float(at)) for key, process, at in calls]


@contextlib.contextmanager
def disturbed(seconds, runs, strike):
    """Gives what measures the time from the strike to the first call, by another worker, of a run that was lost."""
    defined = rs.PartitionsDefinition.static_([str(number) for number in range(runs)])
    with folder() as path:
        calls = Calls(path / "calls", seconds)

        def called(context):
            calls(context)

        asset = rs.Asset(called, partitions_def=defined)
        with repository(asset, default_executor=on_ray()) as repo:
            everything = rs.PartitionKeyRange.single("0", str(runs - 1))
            launched = repo.backfill(
                partition_range=everything, max_concurrency=WORKERS, block=False
            )
            while len({process for _, process, _ in calls.all()}) < WORKERS:
                time.sleep(0.01)
            time.sleep(SETTLE_SECONDS)

            def work():
                victim = calls.all()[-1][1]
                undo = strike(victim)
                began = time.time()
                try:
                    return called_elsewhere(calls, victim) - began
                finally:
                    repo.cancel_backfill(launched.backfill_id)
                    repo.wait_backfill(launched.backfill_id)
                    undo()

            yield work


def called_elsewhere(calls, victim):
    """When the first of the victim's runs was called by another worker."""
    while True:
        made = calls.all()
        his = {key for key, process, _ in made if process == victim}
        again = [at for key, process, at in made if process != victim and key in his]
        if again:
            return min(again)
        time.sleep(0.005)


def signal_worker(number, process):
    os.kill(process, number)
    return lambda: None


def _node_of(process):
    for node in cluster().nodes:
        raylet = node.all_processes["raylet"][0].process.pid
        text = Path(f"/proc/{raylet}/task/{raylet}/children").read_text(encoding="ascii")
        members = [int(each) for each in text.split()]
        if process in members:
            return node, [raylet, *members]
    raise LookupError(process)


def signal_node(number, process):
    """Sends a signal to all processes of a node; returns what replaces the node."""
    node, members = _node_of(process)
    for each in members:
        os.kill(each, number)

    def replace():
        made = cluster()
        made.nodes.remove(node)
        made.cluster.remove_node(node, allow_graceful=False)
        made.nodes.append(made.add_node(num_cpus=1))

    return replace


def struck(what, number, strike, seconds, runs, reach, **options):
    """A row for what happens to the worker that made the last call, or to its node."""
    return Row(
        f"{what}, runs of {duration(seconds)}: until a run of its is called elsewhere",
        reach,
        functools.partial(disturbed, seconds, runs, functools.partial(strike, number)),
        **options,
    )


ROWS = [
    compared("no-op runs", MILLION, noop, "200,000 runs/s, 1 / 0.8 x plain"),
    compared("runs of 1 ms", 2_000, functools.partial(waiting, 0.001, 2_000), "1 / 0.95 x plain"),
    compared("runs of 50 ms", 100, functools.partial(waiting, 0.05, 100), "1 / 0.95 x plain"),
    Row(
        "1,000,000 no-op runs: most bytes in Ray's object store",
        "0 B", bytes_in_the_store, is_size=True, rounds=1,
    ),
    struck("worker killed", signal.SIGKILL, signal_worker, 0.001, 20_000, "50 ms", rounds=5),
    struck("worker killed", signal.SIGKILL, signal_worker, 0.05, 1_000, "50 ms", rounds=5),
    struck("node killed", signal.SIGKILL, signal_node, 0.05, 1_000, "3 s", rounds=1),
    struck("node frozen", signal.SIGSTOP, signal_node, 0.05, 1_000, "10 s", rounds=1),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_ray(measured, row):
    measured(row)
