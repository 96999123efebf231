"""A process that wakes up after it was suspended for longer than its lease."""

import signal
import subprocess
import sys
import time

import pytest

import rivers as rs
from rivers.exceptions import ExecutionError

COUNT = 24
LEASE = 2.0

SCRIPT = f"""
from rivers.exceptions import ExecutionError


def visit(context):
    note(f"{{sys.argv[2]}} {{context.partition_key}}")
    time.sleep(0.3)  # Long enough that on a slow disk, too, there is no commit most of the time.


keys = [f"k{{number:02}}" for number in range({COUNT})]
visited = rs.Asset(visit, name="visited", partitions_def=rs.PartitionsDefinition.static_(keys))
storage = rs.Storage.embedded(folder / "rivers.db")
repo = rs.CodeRepository([visited], lease_seconds={LEASE}).resolve(storage)
whole = rs.PartitionKeyRange.single(keys[0], keys[-1])
try:
    if sys.argv[2] == "first":
        result = repo.backfill(partition_range=whole, max_concurrency=2)
    else:
        result = repo.resume_backfill(sys.argv[3])
    print(result.status)
except ExecutionError as error:
    print("ExecutionError:", error)
"""


def _repo(processes):
    keys = [f"k{number:02}" for number in range(COUNT)]
    definition = rs.PartitionsDefinition.static_(keys)
    visited = rs.Asset(pytest.fail, name="visited", partitions_def=definition)
    storage = rs.Storage.embedded(processes.folder / "rivers.db")
    return rs.CodeRepository([visited]).resolve(storage)


def _calls(processes, whose):
    return [line.split()[1] for line in processes.notes() if line.startswith(whose)]


def _records(processes):
    return [processes.sql(f"SELECT * FROM {table}") for table in ("segment", "failure", "backfill")]


def _suspend(processes, process):
    """Stops a process between two commits. In the middle of one it would hold SQLite's lock, so that
    nobody could write, and nobody could take over, until it wakes up or dies.
    """
    code = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.1).execute('BEGIN IMMEDIATE')"
    )
    command = [sys.executable, "-c", code, str(processes.folder / "rivers.db")]
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    pytest.fail("the process was always found in the middle of a commit")


def test_a_process_that_wakes_up_after_its_lease_records_nothing_more(processes):
    repo = _repo(processes)  # Before, since on a busy machine it takes as long as a lease.
    first = processes.start(SCRIPT, "first")
    processes.wait_for_notes(6)
    (backfill_id,) = repo.backfills()["backfill_id"]
    _suspend(processes, first)
    with pytest.raises(ExecutionError, match="is running"):
        repo.resume_backfill(backfill_id)
    ended = repo.backfill_partitions(backfill_id, status="completed")
    recorded_first = set(ended["partition"])

    time.sleep(LEASE + 0.3)
    assert processes.end(processes.start(SCRIPT, "second", backfill_id)) == "completed"
    recorded, before = _records(processes), _calls(processes, "first")
    first.send_signal(signal.SIGCONT)
    said = processes.end(first)

    assert said.startswith("ExecutionError: ")
    assert "lost the lease" in said
    assert _calls(processes, "first") == before, "it starts nothing more"
    assert _records(processes) == recorded, "it records nothing more"
    assert recorded_first
    assert not recorded_first & set(_calls(processes, "second"))
    partitions = _repo(processes).backfill_partitions(backfill_id)
    assert partitions["status"].to_list() == ["completed"] * COUNT
    processes.check_integrity()


def test_a_process_that_wakes_up_in_time_goes_on(processes):
    first = processes.start(SCRIPT, "first")
    processes.wait_for_notes(6)
    _suspend(processes, first)
    time.sleep(LEASE / 4)
    first.send_signal(signal.SIGCONT)
    assert processes.end(first) == "completed"
    assert len(_calls(processes, "first")) == COUNT
    processes.check_integrity()


def test_a_process_suspended_past_its_lease_continues_if_no_other_took_over(processes):
    first = processes.start(SCRIPT, "first")
    processes.wait_for_notes(6)
    _suspend(processes, first)
    time.sleep(LEASE + 0.3)
    first.send_signal(signal.SIGCONT)
    assert processes.end(first) == "completed"
    assert len(_calls(processes, "first")) == COUNT
    processes.check_integrity()
