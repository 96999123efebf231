"""The coordinator and the head of the cluster: what is left when one of them dies."""

import os
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest
from tests.ray.scripts import coordinator
from tests.support import TIMEOUT, counts, wait_until

import rivers as rs

cloudpickle.register_pickle_by_value(coordinator)


@pytest.fixture
def storage(tmp_path):
    """A storage that several processes use."""
    return rs.Storage.embedded(tmp_path / "rivers.db")


@pytest.fixture
def start(storage, notes):
    """Starts a coordinator in a process of its own."""
    started = []

    def make(address):
        command = [sys.executable, coordinator.__file__, storage.path, str(notes.path), address]
        folder = Path(__file__).parent.parent.parent
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        }
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        )
        return started[-1]

    yield make
    for process in started:
        process.kill()
        process.communicate()


def resumed(on_ray, storage, notes):
    """Resumes the backfill on the cluster; returns its table."""
    repo = on_ray(coordinator.noting(notes.path), storage=storage)
    (backfill_id,) = repo.backfills()["backfill_id"].to_list()
    result = repo.resume_backfill(backfill_id)
    assert counts(result) == (coordinator.COUNT, 0, 0)
    return repo.backfill_partitions(backfill_id)


def test_a_coordinator_that_was_killed_is_resumed_and_repeats_no_recorded_run(
    on_ray, ray_cluster, storage, notes, start
):
    process = start(ray_cluster.cluster.address)
    client = rs.BackfillClient(storage)
    wait_until(lambda: any(view.completed > 20 for view in client.list_views()))
    process.kill()
    process.wait()
    recorded = client.list_views()[0].completed
    table = resumed(on_ray, storage, notes)
    assert table["status"].to_list() == ["completed"] * coordinator.COUNT
    calls = [line[0] for line in notes.lines()]
    assert set(calls) == {str(number) for number in range(coordinator.COUNT)}
    # Only what had not been recorded may have been called twice.
    assert len(calls) <= 2 * coordinator.COUNT - recorded


@pytest.mark.timeout(180)
def test_a_head_that_dies_stops_the_backfill_which_can_be_resumed(on_ray, storage, notes, start):
    process = start("-")
    out, _ = process.communicate(timeout=2 * TIMEOUT)
    assert "the head of the Ray cluster has not answered" in out
    assert process.returncode == 0
    table = resumed(on_ray, storage, notes)
    assert table["status"].to_list() == ["completed"] * coordinator.COUNT
