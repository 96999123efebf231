"""Workers and nodes that die or freeze: what was lost is executed again, and recorded once."""

import logging
import os
import signal
import socket
import sys
import time

import cloudpickle
import psutil  # type: ignore[import-untyped]
import ray
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


def test_runs_of_a_worker_that_is_killed_continue_in_the_least_urgent_that_lives(
    on_ray, notes, ray_cluster
):
    fast = 2_000
    names = [str(number) for number in range(2 * fast)]

    # Runs are sent many at a time since the first were short; those behind them are not.
    def asset(context):
        notes.add(context.asset_name, context.partition_key, os.getpid())
        time.sleep(0.1 if int(context.partition_key) >= fast else 0)

    needed = {"num_cpus": 0, "resources": {"place": 1}}
    node = ray_cluster.add_node(num_cpus=1, resources={"place": 3})
    # What is asked for first gets the place of the worker that is killed, so that none replaces it.
    elsewhere = ray.remote(num_cpus=0, resources={"place": 1})(type("Elsewhere", (), {}))
    priorities = {"low": "1", "middle": "5", "high": "9"}
    assets = [
        rs.Asset(
            asset, name=name, compute=needed, partitions_def=rs.PartitionsDefinition.static_(names)
        )
        for name in priorities
    ]
    repo = on_ray(*assets)
    span = rs.PartitionKeyRange.single("0", names[-1])

    def calls(name):
        return [(key, int(process)) for own, key, process in notes.lines() if own == name]

    launched = [
        repo.backfill(
            [name],
            partition_range=span,
            max_concurrency=1,
            block=False,
            tags=[("rivers/priority", priority)],
        )
        for name, priority in priorities.items()
    ]
    try:
        wait_until(lambda: all(len(calls(name)) > fast for name in priorities))
        (_, killed), (_, low) = calls("middle")[-1], calls("low")[-1]
        competing = elsewhere.remote()  # noqa: F841  (Ray ends it once nothing refers to it)
        os.kill(killed, signal.SIGKILL)
        before = len(calls("middle"))
        later = lambda: [call for call in calls("middle")[before:] if call[1] != killed]  # noqa: E731
        wait_until(later)
        again, process = later()[0]
        assert process == low
        assert (again, killed) in calls("middle")
    finally:
        for each in launched:
            repo.cancel_backfill(each.backfill_id)
        ray_cluster.cluster.remove_node(node)


def cut_off(process):
    """Closes the connections between this process and another; each of them lives on."""
    ends = {each.laddr for each in psutil.Process(process).net_connections("tcp")}
    for each in psutil.Process().net_connections("tcp"):
        if each.raddr in ends:
            connection = socket.socket(fileno=each.fd)
            connection.shutdown(socket.SHUT_RDWR)
            connection.detach()


def test_a_worker_that_is_out_of_reach_is_ended_and_its_runs_are_executed_elsewhere(
    on_ray, notes, caplog
):
    repo = on_ray(noting(notes, 100, 0.02))
    span = rs.PartitionKeyRange.single("0", "99")
    with caplog.at_level(logging.INFO, logger="rivers"):
        launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
        wait_until(lambda: len(processes(notes)) == 2)
        unreachable = processes(notes).pop()
        cut_off(unreachable)
        assert counts(repo.wait_backfill(launched.backfill_id)) == (100, 0, 0)
    assert "The actor is temporarily unavailable" in caplog.text
    assert {line[0] for line in notes.lines()} == {str(number) for number in range(100)}
    wait_until(lambda: not psutil.pid_exists(unreachable))


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
