"""How many workers there are: as many as allowed, none when nothing is left, more when nodes join."""

import sys
import time

import cloudpickle
import ray
from tests.support import counts, letters, wait_until

import rivers as rs
from rivers.execution import ray_pool

cloudpickle.register_pickle_by_value(sys.modules[__name__])

EIGHT = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


def where():
    """The node and the process of a worker, and what Ray calls its task."""
    import os

    import ray

    context = ray.get_runtime_context()
    return context.get_node_id(), os.getpid(), context.get_task_name()


def test_there_are_at_most_as_many_workers_as_allowed(on_ray, notes):
    asset = rs.Asset(lambda: notes.add(where()[1]), name="a", partitions_def=EIGHT)
    repo = on_ray(asset, max_workers=1)
    assert counts(repo.backfill(partition_range=ALL, max_concurrency=4)) == (8, 0, 0)
    assert len({line[0] for line in notes.lines()}) == 1


def test_batches_have_names_in_the_dashboard(on_ray, notes):
    asset = rs.Asset(lambda: notes.add(where()[2]), name="sales", partitions_def=EIGHT)
    result = on_ray(asset).backfill(partition_range=ALL, max_concurrency=1)
    names = {" ".join(line) for line in notes.lines()}
    assert names
    assert all(name.startswith("sales: runs ") for name in names)
    assert all(name.endswith(result.backfill_id) for name in names)


def test_there_are_as_many_workers_as_runs_and_none_when_these_have_ended(
    on_ray, notes, tmp_path, monkeypatch
):
    monkeypatch.setattr(ray_pool, "IDLE_SECONDS", 0.5)
    gate = tmp_path / "gate"

    def waits():
        notes.add(where()[1])
        deadline = time.monotonic() + 60
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def used():
        return ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0)

    wait_until(lambda: used() == 0)
    repo = on_ray(rs.Asset(waits, name="a", partitions_def=EIGHT))
    three = rs.PartitionKeyRange.single("a", "c")
    launched = repo.backfill(partition_range=three, max_concurrency=6, block=False)
    wait_until(lambda: len({line[0] for line in notes.lines()}) == 3)
    wait_until(lambda: used() == 3)
    gate.touch()
    assert counts(repo.wait_backfill(launched.backfill_id)) == (3, 0, 0)
    wait_until(lambda: used() == 0)


def test_a_node_that_joins_is_used(on_ray, notes, ray_cluster, tmp_path):
    gate = tmp_path / "gate"

    def asset():
        notes.add(where()[0])
        deadline = time.monotonic() + 60
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    options = {"num_cpus": 1, "resources": {"joining": 1}}
    nodes = [ray_cluster.add_node(**options)]
    repo = on_ray(
        rs.Asset(asset, name="a", partitions_def=EIGHT, compute={"resources": {"joining": 1}})
    )
    try:
        launched = repo.backfill(partition_range=ALL, max_concurrency=2, block=False)
        wait_until(lambda: len(notes.lines()) == 1)
        nodes.append(ray_cluster.add_node(**options))
        wait_until(lambda: len({line[0] for line in notes.lines()}) == 2)
        gate.touch()
        assert counts(repo.wait_backfill(launched.backfill_id)) == (8, 0, 0)
    finally:
        gate.touch()
        for node in nodes:
            ray_cluster.cluster.remove_node(node)
