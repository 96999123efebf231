"""`BackfillClient`: reads, waits for and controls backfills without their assets."""

import asyncio
import subprocess
import sys
import threading

import pytest
from tests.support import TIMEOUT, wait_until

import rivers as rs
from rivers.client import BackfillClient
from rivers.exceptions import (
    BackfillNotFoundError,
    ConfigurationError,
    ExecutionError,
)

KEYS = ["a", "b", "c"]
LETTERS = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single("a", "c")

DIES = """
import os, sys
import rivers as rs

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a", "b", "c"]))
def steps(context: rs.AssetExecutionContext):
    if context.partition_key == "b":
        os.kill(os.getpid(), 9)

repo = rs.CodeRepository([steps]).resolve(rs.Storage.embedded(sys.argv[1]))
repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "c"), max_concurrency=1)
"""


class Held:
    """A backfill in progress whose runs wait for `gate`, one at a time."""

    def __init__(self, storage):
        self.begun, self.gate = threading.Event(), threading.Event()

        def wait():
            self.begun.set()
            self.gate.wait(TIMEOUT)

        asset = rs.Asset(wait, name="held", partitions_def=LETTERS)
        self.repo = rs.CodeRepository([asset]).resolve(storage)
        launched = self.repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
        self.id = launched.backfill_id
        assert self.begun.wait(TIMEOUT)

    def close(self):
        self.gate.set()
        self.repo.close()


@pytest.fixture
def held(tmp_path):
    made = Held(rs.Storage.embedded(tmp_path / "rivers.db"))
    yield made
    made.close()


@pytest.fixture
def client(tmp_path):
    """A client of the storage of `held`, which knows nothing of its repository."""
    return BackfillClient(tmp_path / "rivers.db")


@pytest.fixture
def dead(tmp_path):
    """The id of a backfill whose process was killed."""
    path = tmp_path / "rivers.db"
    command = [sys.executable, "-c", DIES, str(path)]
    subprocess.run(command, check=False, timeout=TIMEOUT)
    return BackfillClient(path).list_views(limit=1)[0].backfill_id


def test_it_takes_a_storage_or_the_path_of_one(tmp_path):
    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    assert BackfillClient(storage).storage is storage
    assert BackfillClient(str(tmp_path / "rivers.db")).storage.path == storage.path
    with pytest.raises(TypeError, match="storage must be a Storage or the path of one, got 3"):
        BackfillClient(3)


def test_it_reads_what_a_repository_reads(repo, held, client):
    ran = held.repo.get_backfill(held.id)
    assert repr(client.get_backfill(held.id)) == repr(ran)
    assert client.backfills().drop("rate").equals(held.repo.backfills().drop("rate"))
    for table in ("backfill_partitions", "backfill_runs", "backfill_errors"):
        read = getattr(client, table)(held.id)
        assert read.equals(getattr(held.repo, table)(held.id))
    assert client.get_backfill("0190") is None
    assert client.get_view("0190") is None


def test_reading_leaves_no_trace_of_an_owner(held, client, tmp_path):
    files = {path.name for path in tmp_path.iterdir()}
    client.backfills()
    client.get_view(held.id)
    client.list_views()
    assert {path.name for path in tmp_path.iterdir()} == files


def test_runs_are_listed_and_failures_are_shown(tmp_path):
    @rs.Asset(partitions_def=LETTERS)
    def fails(context: rs.AssetExecutionContext):
        raise ValueError(f"no {context.partition_key}")

    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    with rs.CodeRepository([fails]).resolve(storage) as repo:
        done = repo.backfill(partition_range=ALL, max_concurrency=1)
    client = BackfillClient(storage)
    assert [run.status for run in client.get_runs(2)] == ["failed", "failed"]
    assert "no a" in client.get_error(done.backfill_id)
    view = client.get_view(done.backfill_id)
    assert (view.state, view.failed, view.num_ended, view.eta) == ("failed", 3, 3, None)
    assert view.duration >= 0


def test_a_view_says_what_runs_is_paused_or_was_interrupted(held, client, dead):
    client.pause_backfill(held.id)
    views = {view.backfill_id: view for view in client.list_views()}
    assert {backfill_id: view.state for backfill_id, view in views.items()} == {
        held.id: "paused",
        dead: "interrupted",
    }
    assert views[held.id].is_running
    assert not views[dead].is_running
    assert client.get_view(dead) == views[dead]
    client.unpause_backfill(held.id)
    assert client.get_view(held.id).state == "in_progress"


def test_views_are_filtered_and_limited(held, client, dead):
    assert len(client.list_views(limit=1)) == 1
    assert client.list_views(status="completed") == []
    assert len(client.list_views(status=["completed", "in_progress"])) == 2
    with pytest.raises(ConfigurationError, match="status is one of in_progress, completed"):
        client.list_views(status="done")


def test_waiting_returns_how_it_ended(held, client):
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.01 seconds"):
        client.wait_backfill(held.id, timeout=0.01)
    held.gate.set()
    status = client.wait_backfill(held.id, timeout=TIMEOUT)
    assert (status.status, status.completed_partitions) == ("completed", 3)
    assert client.wait_backfill(held.id).status == "completed"


def test_the_repository_that_runs_it_waits_too(held):
    with pytest.raises(TimeoutError):
        held.repo.wait_backfill(held.id, timeout=0.01)
    held.gate.set()
    assert held.repo.wait_backfill(held.id, timeout=TIMEOUT).status == "completed"


def test_waiting_for_a_backfill_whose_process_is_dead_is_refused(client, dead):
    with pytest.raises(ExecutionError, match="its process is gone; continue it with") as refused:
        client.wait_backfill(dead)
    assert refused.value.remedy == ("resume", dead)


@pytest.mark.parametrize("timeout", [0, -1, "soon", True])
def test_a_timeout_is_a_positive_number_of_seconds(client, dead, timeout):
    with pytest.raises(ConfigurationError, match="timeout must be a positive number of seconds"):
        client.wait_backfill(dead, timeout)


def test_watching_ends_with_the_backfill(held, client):
    async def follow():
        seen = []
        async for status in client.watch(held.id, every=0.01):
            seen.append(status.completed_partitions)
            held.gate.set()
        return seen

    seen = asyncio.run(follow())
    assert (seen[0], seen[-1]) == (0, 3)


def test_a_backfill_of_another_owner_is_changed_paused_and_canceled(held, client):
    client.update_backfill(held.id, max_concurrency=2, priority=5)
    view = client.get_view(held.id)
    assert (view.max_concurrency, view.priority) == (2, 5)
    client.pause_backfill(held.id)
    wait_until(lambda: held.repo.get_backfill(held.id).paused)
    assert client.cancel_backfill(held.id) is False
    held.gate.set()
    assert client.wait_backfill(held.id, TIMEOUT).status == "canceled"


def test_canceling_a_backfill_whose_process_is_dead_ends_it(client, dead):
    assert client.cancel_backfill(dead) is False
    assert client.get_backfill(dead).status == "canceled"


def test_a_control_request_leaves_no_owner_behind(held, client, tmp_path):
    files = {path.name for path in tmp_path.iterdir()}
    client.pause_backfill(held.id)
    wait_until(lambda: {path.name for path in tmp_path.iterdir()} == files)
    client.unpause_backfill(held.id)


def test_refusals_carry_the_remedy_as_data(held, client):
    held.close()
    for refused in (client.pause_backfill, client.unpause_backfill):
        with pytest.raises(ExecutionError, match="has ended") as raised:
            refused(held.id)
        assert raised.value.remedy == ("rerun", held.id)
    with pytest.raises(ExecutionError, match="has ended"):
        client.update_backfill(held.id, priority=1)
    with pytest.raises(ConfigurationError, match="there is nothing to change"):
        client.update_backfill(held.id)
    with pytest.raises(
        BackfillNotFoundError, match="there is no backfill '0190'; backfills"
    ) as raised:
        client.cancel_backfill("0190")
    assert raised.value.remedy == ("list",)
