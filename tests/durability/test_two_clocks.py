"""Machines whose clocks are hours apart compete for a backfill over a server: leases follow the server's clock."""

import time
import uuid

import pytest
from tests.postgres_server import running_server
from tests.stepped_clock import needs_compiler, preload

import rivers as rs

pytestmark = needs_compiler
KEYS = [f"k{number:02}" for number in range(40)]
LEASE = 4.0

MACHINE = f"""
from rivers.exceptions import ExecutionError

url, backfill_id, offset = sys.argv[2:]

def work(context):
    note(f"{{offset}} {{context.partition_key}}")
    if offset == "0" and context.partition_key == "k05":
        time.sleep(60)  # Until it is killed.

keys = {KEYS}
asset = rs.Asset(work, name="work", partitions_def=rs.PartitionsDefinition.static_(keys))
repo = rs.CodeRepository([asset], lease_seconds={LEASE}).resolve(rs.Storage.open(url))
if backfill_id == "new":
    repo.backfill(partition_range=rs.PartitionKeyRange.single(keys[0], keys[-1]), max_concurrency=1)
began, refusals = time.monotonic(), 0
while time.monotonic() - began < 40:
    try:
        repo.resume_backfill(backfill_id)
        break
    except ExecutionError as error:
        refusals += 1
        if refusals == 1:
            note(f"{{offset}} refused")
        if repo.get_backfill(backfill_id).status == "completed":
            break
        time.sleep(0.05)
print(abs(time.time() - float((folder / "now").read_text())) > 3000)
"""


@pytest.fixture(scope="module")
def running():
    with running_server() as url:
        yield url


def test_a_lease_is_as_long_on_every_machine(running, processes, tmp_path, monkeypatch):
    """Two machines, an hour ahead and an hour behind, want what a third runs; they wait until its lease has expired."""
    preload(tmp_path, monkeypatch)
    url = f"{running}?schema=s{uuid.uuid4().hex}"
    client = rs.BackfillClient(rs.Storage.open(url))
    (tmp_path / "now").write_text(str(time.time()))

    def machine(offset, backfill_id):
        # Of a process on another machine only its lease is known.
        (own := tmp_path / f"machine{offset}").mkdir()
        (own / "step").write_text(str(offset))
        monkeypatch.setenv("CLOCK_STEP", str(own / "step"))
        monkeypatch.setenv("TMPDIR", str(own))
        return processes.start(MACHINE, url, backfill_id, offset)

    first = machine(0, "new")
    processes.wait_for_notes(2)
    (backfill_id,) = client.backfills()["backfill_id"]
    others = [machine(offset, backfill_id) for offset in (3600, -3600)]
    # Six calls and two refusals.
    processes.wait_for_notes(8)
    assert client.get_backfill(backfill_id).completed_partitions == 5
    processes.kill(first)
    assert [processes.end(other) for other in others] == ["True", "True"]
    calls = [note.split() for note in processes.notes() if "refused" not in note]
    (winner,) = {offset for offset, _ in calls} - {"0"}
    assert [key for offset, key in calls if offset == winner] == KEYS[5:]
    assert [key for offset, key in calls if offset == "0"] == KEYS[:6]
    assert client.get_backfill(backfill_id).status == "completed"
    assert client.storage.check() == []
