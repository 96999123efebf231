"""Backfills on a Ray cluster in a process of its own, until this process or the head of the cluster dies.

Usage: coordinator.py STORAGE NOTES ADDRESS, or `-` as the address for a cluster of its own, whose head is killed.
"""

import sys
import time
from pathlib import Path

import rivers as rs

COUNT = 400
ALL = rs.PartitionKeyRange.single("0", str(COUNT - 1))


def noting(notes):
    """Makes an asset whose runs note their partition and the address of their node.

    They wait while there is a file `hold` beside the notes.
    """

    def noted(context):
        import ray

        with Path(notes).open("a") as file:
            file.write(f"{context.partition_key} {ray.util.get_node_ip_address()}\n")
        time.sleep(0.02)
        deadline = time.monotonic() + 90
        while Path(notes).with_name("hold").exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    defined = rs.PartitionsDefinition.static_([str(number) for number in range(COUNT)])
    return rs.Asset(noted, name="noted", partitions_def=defined)


def main(storage, notes, address):
    cluster = None
    if address == "-":
        from tests.ray_cluster import TestCluster

        from rivers.execution import ray_monitor

        ray_monitor.HEAD_SECONDS = 4.0
        cluster = TestCluster(num_nodes=1, num_cpus=2)
        address = cluster.cluster.address
    executor = rs.Executor.ray(address)
    repo = rs.CodeRepository([noting(notes)], default_executor=executor)
    repo = repo.resolve(rs.Storage.open(storage))
    launched = repo.backfill(partition_range=ALL, max_concurrency=2, block=False)
    if cluster is not None:
        while not Path(notes).exists():
            time.sleep(0.01)
        cluster.cluster.head_node.kill_gcs_server()
    try:
        repo.wait_backfill(launched.backfill_id)
    except rs.exceptions.RiversError as error:
        print(type(error).__name__, error, flush=True)
    repo.close()
    if cluster is not None:
        cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
