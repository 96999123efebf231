"""The cluster: what no node has, workers with another version, and how soon a cancel applies."""

import logging
import sys
import time

import cloudpickle
import pytest
from tests.support import counts, letters, wait_until

import rivers as rs
from rivers.exceptions import RiversError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

EIGHT = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


def test_what_no_node_has_is_reported_and_used_once_a_node_joins(on_ray, ray_cluster, caplog):
    asset = rs.Asset(
        lambda: None, name="a", partitions_def=EIGHT, compute={"resources": {"rare": 1}}
    )
    repo = on_ray(asset)
    with caplog.at_level(logging.WARNING, logger="rivers"):
        launched = repo.backfill(partition_range=ALL, block=False)
        start = time.monotonic()
        wait_until(lambda: "of 4 nodes none has 1 CPU, 1 rare" in caplog.text)
    print(f"reported after {time.monotonic() - start:.1f} s")
    node = ray_cluster.add_node(num_cpus=1, resources={"rare": 1})
    try:
        assert counts(repo.wait_backfill(launched.backfill_id)) == (8, 0, 0)
    finally:
        ray_cluster.cluster.remove_node(node)


def test_a_backfill_that_waits_for_what_no_node_has_can_be_canceled(on_ray):
    asset = rs.Asset(lambda: None, name="a", partitions_def=EIGHT, compute={"num_gpus": 8})
    repo = on_ray(asset)
    launched = repo.backfill(partition_range=ALL, block=False)
    assert repo.cancel_backfill(launched.backfill_id)
    assert counts(repo.wait_backfill(launched.backfill_id, timeout=20)) == (0, 0, 8)


def test_a_worker_with_another_version_is_reported_in_one_sentence(on_ray, monkeypatch):
    from rivers.execution import ray_actor

    monkeypatch.setattr(ray_actor, "version", lambda name: "99.9")
    repo = on_ray(rs.Asset(lambda: None, name="a", partitions_def=EIGHT))
    with pytest.raises(RiversError, match=r"has rivers .*, but this process has 99\.9; install"):
        repo.backfill(partition_range=ALL)


def test_nothing_starts_long_after_a_cancel_has_returned(on_ray, notes):
    defined = rs.PartitionsDefinition.static_([str(number) for number in range(20_000)])

    @rs.Asset(partitions_def=defined)
    def asset():
        notes.add(time.time())
        time.sleep(0.001)

    repo = on_ray(asset)
    span = rs.PartitionKeyRange.single("0", "19999")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: len(notes.lines()) > 500)
    repo.cancel_backfill(launched.backfill_id)
    returned = time.time()
    status = repo.wait_backfill(launched.backfill_id)
    calls = [float(line[0]) for line in notes.lines()]
    print(f"the last call began {1000 * (max(calls) - returned):.0f} ms after the cancel")
    assert status.status == "canceled"
    assert status.completed_partitions == len(calls)


def test_a_run_that_logs_nothing_ends_when_it_ends(on_ray, monkeypatch):
    from rivers.execution import ray_actor

    # Time for which a worker waits for a log record.
    monkeypatch.setattr(ray_actor, "_BEAT_SECONDS", 60.0)
    repo = on_ray(rs.Asset(lambda: time.sleep(0.3), name="a", partitions_def=EIGHT))
    launched = repo.backfill(
        partition_range=rs.PartitionKeyRange.single("a", "b"), max_concurrency=1, block=False
    )
    assert counts(repo.wait_backfill(launched.backfill_id, timeout=40)) == (2, 0, 0)


def test_a_run_is_reported_while_the_next_one_is_executed(on_ray, monkeypatch, tmp_path):
    from rivers.execution import ray_actor

    monkeypatch.setattr(ray_actor, "_BEAT_SECONDS", 60.0)
    gate = tmp_path / "gate"

    def waits(context: rs.AssetExecutionContext) -> None:
        time.sleep(0.3)
        while context.partition_key == "b" and not gate.exists():
            time.sleep(0.01)

    repo = on_ray(rs.Asset(waits, name="a", partitions_def=EIGHT))
    launched = repo.backfill(
        partition_range=rs.PartitionKeyRange.single("a", "b"), max_concurrency=1, block=False
    )
    wait_until(lambda: repo.get_backfill(launched.backfill_id).completed_partitions == 1)
    gate.touch()
    assert counts(repo.wait_backfill(launched.backfill_id)) == (2, 0, 0)


def test_a_worker_does_not_wait_for_records_of_a_range_that_is_over():
    from rivers.execution.ray_worker import RayWorker

    worker = RayWorker()
    with pytest.raises(KeyError):
        worker.execute(1, (1, 1), (0, 1), b"", b"", announces_steps=False)  # There is no program.
    assert worker.beat(1, 60.0) == []
    began = time.monotonic()
    assert worker.beat(2, 0.1) == []
    assert time.monotonic() - began > 0.09
