"""Several processes share one embedded storage."""

import time

import pytest

import rivers as rs

COUNT = 24

RESUME = f"""
from rivers.exceptions import ExecutionError


def visit(context):
    note(f"start {{context.partition_key}} {{os.getpid()}}")
    time.sleep(0.02)
    note(f"end {{context.partition_key}} {{os.getpid()}}")


keys = [f"k{{number:02}}" for number in range({COUNT})]
visited = rs.Asset(visit, name="visited", partitions_def=rs.PartitionsDefinition.static_(keys))
repo = rs.CodeRepository([visited]).resolve(rs.Storage.embedded(folder / "rivers.db"))
if sys.argv[2] == "start":
    repo.backfill(partition_range=rs.PartitionKeyRange.single(keys[0], keys[-1]), max_concurrency=2)
else:
    note("ready")
    wait_for("gate")
    try:
        print(repo.resume_backfill(sys.argv[2]).status)
    except ExecutionError as refused:
        print("refused:", refused)
"""

WRITER = """
days = rs.PartitionsDefinition.static_([f"d{number}" for number in range(1_000)])
names = rs.PartitionsDefinition.static_([f"n{number}" for number in range(20_000)])
grid = rs.PartitionsDefinition.multi({"day": days, "name": names})
idle = rs.Asset(lambda: None, name="idle", partitions_def=grid)
repo = rs.CodeRepository([idle]).resolve(rs.Storage.embedded(folder / "rivers.db"))
result = repo.backfill(partition_range=rs.PartitionKeyRange.multi({}), block=False)
note(result.backfill_id)
repo.close()
print(repo.get_backfill(result.backfill_id).status)
"""

READER = """
days = rs.PartitionsDefinition.static_([f"d{number}" for number in range(1_000)])
idle = rs.Asset(lambda: None, name="idle", partitions_def=days)
repo = rs.CodeRepository([idle]).resolve(rs.Storage.embedded(folder / "rivers.db"))
backfill_id, looks, last = sys.argv[2], 0, -1
while not (folder / "enough").exists():
    status = repo.get_backfill(backfill_id)
    assert status.completed_partitions >= last
    last = status.completed_partitions
    assert repo.backfills()["owner_alive"].to_list() in ([True], [None])
    repo.backfill_runs(backfill_id, status="failed")
    repo.storage.get_runs(limit=5)
    repo.storage.add_dynamic_partitions(f"from {os.getpid()}", [f"k{looks}"])
    looks += 1
note("looked")
assert len(repo.storage.get_dynamic_partitions(f"from {os.getpid()}")) == looks
print(looks)
"""


@pytest.fixture
def interrupted(processes):
    """Returns the id of a backfill whose process was killed."""
    process = processes.start(RESUME, "start")
    processes.wait_for_notes(8)
    processes.kill(process)
    (orphan,) = _repo(processes).backfills(status="in_progress")["backfill_id"]
    return orphan


def _repo(processes):
    idle = rs.Asset(lambda: None, name="idle")
    return rs.CodeRepository([idle]).resolve(rs.Storage.embedded(processes.folder / "rivers.db"))


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_processes_that_resume_at_once_one_wins(processes, interrupted, attempt):
    before = len(processes.notes())
    both = [processes.start(RESUME, interrupted) for _ in range(2)]
    processes.wait_for_notes(before + 2)
    (processes.folder / "gate").touch()
    said = sorted(processes.end(process) for process in both)
    assert said[0] == "completed"
    assert said[1].startswith("refused: ")
    assert interrupted in said[1]

    running, owners = set(), set()
    for line in processes.notes()[before:]:
        if line == "ready":
            continue
        event, key, pid = line.split()
        owners.add(pid)
        if event == "start":
            assert key not in running, f"{key} was executed twice at the same time"
            running.add(key)
        else:
            running.remove(key)
    assert len(owners) == 1
    partitions = _repo(processes).backfill_partitions(interrupted)
    assert partitions["status"].to_list() == ["completed"] * COUNT
    processes.check_integrity()


def test_others_look_and_write_while_one_writes_at_full_speed(processes):
    writer = processes.start(WRITER)
    processes.wait_for_notes(1)
    (backfill_id,) = processes.notes()
    readers = [processes.start(READER, backfill_id) for _ in range(2)]
    time.sleep(4)
    (processes.folder / "enough").touch()
    processes.wait_for_notes(3)
    assert all(int(processes.end(reader)) > 0 for reader in readers)

    repo = _repo(processes)
    assert repo.get_backfill(backfill_id).status == "in_progress"
    assert repo.cancel_backfill(backfill_id) is False
    asked = time.monotonic()
    assert processes.end(writer) == "canceled"
    assert time.monotonic() - asked < 5
    status = repo.get_backfill(backfill_id)
    assert status.completed_partitions > 0
    assert status.completed_partitions + status.canceled_partitions == status.total_partitions
    processes.check_integrity()
