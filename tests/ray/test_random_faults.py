"""Workers and nodes that are killed and frozen at random during a long backfill: each partition is recorded once."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import cloudpickle
import pytest
from tests.support import counts

import rivers as rs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

FAULTS = int(os.environ.get("RAY_FAULTS", "30"))
RUNS_PER_FAULT = 1_000
KINDS = {"kill a worker": 14, "freeze a worker": 2, "kill a node": 3, "freeze a node": 1}
"""The faults, and how likely each is."""


class Faults:
    """Kills and freezes workers and nodes of a cluster.

    Args:
        cluster: The cluster; nodes that die are replaced.
        notes: Where each run notes its process.
        chance: Where randomness comes from.
        stopped: Receives the processes that are stopped.
    """

    def __init__(self, cluster, notes, chance, stopped):
        self.cluster = cluster
        self.notes = notes
        self.chance = chance
        self.stopped = stopped
        self.frozen = []
        self.made = dict.fromkeys(KINDS, 0)

    def make(self):
        """Makes a fault; returns whether there was something to hit."""
        kind = self.chance.choices(list(KINDS), KINDS.values())[0]
        if not (self._hit_node if "node" in kind else self._hit_worker)(kind):
            return False
        self.made[kind] += 1
        return True

    def _hit_worker(self, kind):
        with self.notes.path.open("rb") as file:
            file.seek(max(self.notes.path.stat().st_size - 1_000, 0))
            recent = [int(line) for line in file.read().split(b"\n")[1:-1]]
        if not recent:
            return False
        process = self.chance.choice(recent)
        try:
            os.kill(process, signal.SIGSTOP if "freeze" in kind else signal.SIGKILL)
        except ProcessLookupError:
            return False
        if "freeze" in kind:
            self.stopped.append(process)
        return True

    def _hit_node(self, kind):
        nodes = self.cluster.nodes
        node = nodes.pop(self.chance.randrange(len(nodes)))
        if "freeze" in kind:
            raylet = node.all_processes["raylet"][0].process.pid
            for process in [raylet, *_children(raylet)]:
                os.kill(process, signal.SIGSTOP)
                self.stopped.append(process)
            self.frozen.append(node)
        else:
            self.cluster.cluster.remove_node(node, allow_graceful=False)
        nodes.append(self.cluster.add_node(num_cpus=2))
        return True

    def close(self):
        """Removes the nodes that are frozen."""
        for node in self.frozen:
            self.cluster.cluster.remove_node(node, allow_graceful=False)


def _children(process):
    return [
        int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


@pytest.mark.timeout(1_200)
def test_workers_and_nodes_that_are_killed_and_frozen_at_random_cost_no_run(
    on_ray, ray_cluster, notes, stopped, tmp_path
):
    """`RAY_FAULTS` sets the number of faults, `RAY_SEED` repeats what was printed."""
    seed = int(os.environ.get("RAY_SEED", random.randrange(2**32)))
    print("RAY_SEED", seed)
    count = RUNS_PER_FAULT * FAULTS
    gate = tmp_path / "gate"

    def noted(context):
        notes.add(os.getpid())
        time.sleep(0.001)
        if context.partition_key == str(count - 1):
            deadline = time.monotonic() + 600
            while not gate.exists() and time.monotonic() < deadline:
                time.sleep(0.01)

    defined = rs.PartitionsDefinition.static_([str(number) for number in range(count)])
    repo = on_ray(rs.Asset(noted, name="noted", partitions_def=defined), max_deaths=1_000)
    span = rs.PartitionKeyRange.single("0", str(count - 1))
    launched = repo.backfill(partition_range=span, max_concurrency=4, block=False)
    faults = Faults(ray_cluster, notes, random.Random(seed), stopped)
    made = 0
    try:
        while made < FAULTS:
            time.sleep(faults.chance.uniform(0.05, 0.4))
            made += notes.path.exists() and faults.make()
        print(faults.made)
        gate.touch()
        status = repo.wait_backfill(launched.backfill_id)
    finally:
        gate.touch()
        faults.close()
    assert counts(status) == (count, 0, 0)
    table = repo.backfill_partitions(launched.backfill_id)
    assert table["status"].to_list() == ["completed"] * count
