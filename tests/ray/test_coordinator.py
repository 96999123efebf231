"""The coordinator and the head of the cluster: what is left when one of them dies."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import cloudpickle
import pytest
from tests.postgres_server import running_server
from tests.ray.scripts import coordinator
from tests.support import TIMEOUT, counts, wait_until

import rivers as rs

cloudpickle.register_pickle_by_value(coordinator)


@pytest.fixture
def start(notes):
    """Starts a coordinator in a process of its own."""
    started = []

    def make(location, address):
        command = [sys.executable, coordinator.__file__, location, str(notes.path), address]
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


def resumed(on_ray, location, notes):
    """Resumes the backfill on the cluster; returns its table."""
    repo = on_ray(coordinator.noting(notes.path), storage=rs.Storage.open(location))
    (backfill_id,) = repo.backfills()["backfill_id"].to_list()
    result = repo.resume_backfill(backfill_id)
    assert counts(result) == (coordinator.COUNT, 0, 0)
    return repo.backfill_partitions(backfill_id)


def test_what_a_killed_coordinator_recorded_in_a_server_is_resumed_and_repeats_nothing(
    on_ray, ray_cluster, notes, start
):
    with running_server() as server:
        url = f"{server}?schema=s{uuid.uuid4().hex}"
        process = start(url, ray_cluster.cluster.address)
        client = rs.BackfillClient(rs.Storage.open(url))
        wait_until(lambda: any(view.completed > 20 for view in client.list_views()))
        process.kill()
        process.wait()
        recorded = client.list_views()[0].completed
        table = resumed(on_ray, url, notes)
    assert table["status"].to_list() == ["completed"] * coordinator.COUNT
    calls = [line[0] for line in notes.lines()]
    assert set(calls) == {str(number) for number in range(coordinator.COUNT)}
    # Only what had not been recorded may have been called twice.
    assert len(calls) <= 2 * coordinator.COUNT - recorded


@pytest.mark.timeout(180)
def test_a_head_that_dies_stops_the_backfill_which_can_be_resumed(on_ray, notes, start, tmp_path):
    location = str(tmp_path / "rivers.db")
    process = start(location, "-")
    out, _ = process.communicate(timeout=2 * TIMEOUT)
    assert "the head of the Ray cluster has not answered" in out
    assert process.returncode == 0
    table = resumed(on_ray, location, notes)
    assert table["status"].to_list() == ["completed"] * coordinator.COUNT
