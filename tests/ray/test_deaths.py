"""Workers and nodes that die or freeze: what was lost is executed again, and recorded once."""

import os
import signal
import sys
import time

import cloudpickle
from tests.support import counts, letters, wait_until

import rivers as rs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

EIGHT = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


def test_a_run_that_kills_its_worker_fails_after_three_and_no_other_does(on_ray, notes):
    @rs.Asset(partitions_def=EIGHT)
    def asset(context):
        notes.add(context.partition_key)
        if context.partition_key == "f":
            os._exit(3)

    repo = on_ray(asset)
    result = repo.backfill(partition_range=ALL, max_concurrency=1)
    assert counts(result) == (7, 1, 0)
    calls = [line[0] for line in notes.lines()]
    assert calls.count("f") == 3
    assert set(calls) == set("abcdefgh")
    assert "worker process" in repo.get_backfill(result.backfill_id).error


def test_the_asset_that_killed_its_worker_is_named(on_ray):
    first = rs.Asset(lambda: None, name="first", partitions_def=EIGHT)
    second = rs.Asset(lambda: os._exit(3), name="second", partitions_def=EIGHT, deps=["first"])
    repo = on_ray(first, second, max_deaths=2)
    result = repo.backfill(partition_keys=[rs.PartitionKey.single("a")])
    assert counts(result) == (0, 1, 0)
    assert '"second"' in repo.get_backfill(result.backfill_id).error


def processes(notes):
    return {int(line[1]) for line in notes.lines()}


def noting(notes, count, seconds):
    """Makes an asset whose runs note their partition and their process."""

    def asset(context):
        notes.add(context.partition_key, os.getpid())
        time.sleep(seconds)

    defined = rs.PartitionsDefinition.static_([str(number) for number in range(count)])
    return rs.Asset(asset, partitions_def=defined)


def test_runs_of_a_worker_that_is_killed_continue_in_one_that_lives(on_ray, notes):
    repo = on_ray(noting(notes, 4_000, 0.001), max_workers=2)
    span = rs.PartitionKeyRange.single("0", "3999")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: len(processes(notes)) == 2 and len(notes.lines()) > 200)
    killed, other = sorted(processes(notes))
    os.kill(killed, signal.SIGKILL)
    status = repo.wait_backfill(launched.backfill_id)
    assert counts(status) == (4_000, 0, 0)
    calls = [(line[0], int(line[1])) for line in notes.lines()]
    lost = {key for key, process in calls if process == killed}
    taken_over = {process for key, process in calls if key in lost} - {killed}
    assert other in taken_over, "they have waited for a new worker"
    assert {key for key, _ in calls} == {str(number) for number in range(4_000)}


def test_a_worker_that_freezes_is_replaced(on_ray, notes, stopped):
    repo = on_ray(noting(notes, 40, 0.05))
    span = rs.PartitionKeyRange.single("0", "39")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: len(processes(notes)) == 2)
    frozen = processes(notes).pop()
    stopped.append(frozen)
    os.kill(frozen, signal.SIGSTOP)
    assert counts(repo.wait_backfill(launched.backfill_id)) == (40, 0, 0)
    assert {line[0] for line in notes.lines()} == {str(number) for number in range(40)}


def test_a_node_that_dies_takes_no_run_with_it(on_ray, notes, ray_cluster):
    node = ray_cluster.add_node(num_cpus=2, resources={"doomed": 2})
    asset = rs.Asset(
        noting(notes, 60, 0.05).step.fn, name="asset", compute={"resources": {"doomed": 1}},
        partitions_def=rs.PartitionsDefinition.static_([str(number) for number in range(60)]),
    )  # fmt: skip
    repo = on_ray(asset)
    span = rs.PartitionKeyRange.single("0", "59")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: len(notes.lines()) > 5)
    ray_cluster.cluster.remove_node(node, allow_graceful=False)
    other = ray_cluster.add_node(num_cpus=2, resources={"doomed": 2})
    try:
        assert counts(repo.wait_backfill(launched.backfill_id)) == (60, 0, 0)
    finally:
        ray_cluster.cluster.remove_node(other)
