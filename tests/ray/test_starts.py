"""Workers that do not start: what is tried again, and what is final."""

import os

import pytest
from tests.support import counts, letters, wait_until

import rivers as rs
from rivers.exceptions import RiversError

ray_pool = pytest.importorskip("rivers.execution.ray_pool")

FOUR = letters(4)
ALL = rs.PartitionKeyRange.single("a", "d")

UNSTARTED = """
import importlib, os, sys, time

with open({notes!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
with open({notes!r}) as file:
    place = [int(line) for line in file].index(os.getpid())
if place < {count}:
    {end}
sys.path.remove({folder!r})
del sys.modules["rivers"]
importlib.import_module("rivers")
"""
"""What stands where workers look for our package: the first of them end while they start."""

END_PROCESS = "os._exit(3)"
END_NODE = "os.kill(os.getppid(), 9); time.sleep(60)"


@pytest.fixture
def unstarted(on_ray, notes, tmp_path):
    """Makes a repository on the cluster, of whose workers the first `count` end while they start."""

    def make(count, end, **compute):
        folder = tmp_path / "first"
        (folder / "rivers").mkdir(parents=True)
        text = UNSTARTED.format(notes=str(notes.path), count=count, end=end, folder=str(folder))
        (folder / "rivers" / "__init__.py").write_text(text)
        path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        asset = rs.Asset(lambda: None, name="a", partitions_def=FOUR, compute=compute)
        return on_ray(asset, runtime_env={"env_vars": {"PYTHONPATH": path}})

    return make


def test_workers_that_fail_together_count_once(unstarted, notes, monkeypatch):
    monkeypatch.setattr(ray_pool, "_MAX_START_FAILURES", 3)
    repo = unstarted(4, END_PROCESS)
    assert counts(repo.backfill(partition_range=ALL, max_concurrency=4)) == (4, 0, 0)
    assert len(notes.lines()) > 4


def test_workers_that_keep_failing_stop_the_backfill(unstarted, notes, monkeypatch):
    monkeypatch.setattr(ray_pool, "_MAX_START_FAILURES", 2)
    repo = unstarted(100, END_PROCESS)
    with pytest.raises(RiversError, match="a Ray worker could not be started: The actor died"):
        repo.backfill(partition_range=ALL, max_concurrency=1)
    assert len(notes.lines()) == 2


def test_workers_that_are_lost_with_their_nodes_do_not_count(
    unstarted, notes, ray_cluster, monkeypatch
):
    monkeypatch.setattr(ray_pool, "_MAX_START_FAILURES", 1)
    repo = unstarted(1, END_NODE, resources={"short": 1})
    node = ray_cluster.add_node(num_cpus=1, resources={"short": 1})
    try:
        launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
        wait_until(notes.lines)
        ray_cluster.cluster.remove_node(node, allow_graceful=False)
        node = ray_cluster.add_node(num_cpus=1, resources={"short": 1})
        assert counts(repo.wait_backfill(launched.backfill_id)) == (4, 0, 0)
    finally:
        ray_cluster.cluster.remove_node(node)
