"""Worker processes briefly outlive a killed parent: no process resumes before they have ended."""

import os
import signal

import pytest
from tests.support import wait_until

KEYS = ["a", "b", "c", "d"]

SCRIPT = f"""
import ctypes

from rivers.exceptions import ExecutionError

keys, (task, how) = {KEYS}, sys.argv[2:4]
holds_the_interpreter = (task, how) == ("start", "held")


def visit(context):
    note(f"{{context.partition_key}} {{os.getpid()}}")
    if holds_the_interpreter:
        ctypes.PyDLL(None).pause()
    for _ in range(500):
        time.sleep(0.001)
        note(f"{{context.partition_key}} {{os.getpid()}}")


visited = rs.Asset(visit, name="visited", partitions_def=rs.PartitionsDefinition.static_(keys))
executor = rs.Executor.parallel(2) if task == "start" else rs.Executor.in_process()
repo = rs.CodeRepository([visited], default_executor=executor).resolve(rs.Storage.embedded(folder / "rivers.db"))
if task == "start":
    repo.backfill(partition_range=rs.PartitionKeyRange.single(keys[0], keys[-1]), max_concurrency=2)
(folder / "ready").touch()
wait_for("dead")
try:
    (orphan,) = repo.backfills()["backfill_id"]
    print(repo.resume_backfill(orphan).status)
except ExecutionError as refused:
    print("refused:", refused)
"""


def _calls(processes):
    """Returns process and key of each line that a function has written, in order."""
    return [tuple(line.split()) for line in processes.notes()]


def _kill_in_a_function(processes, how):
    """Kills the parent while both workers are in a function; returns the workers' processes."""
    parent = processes.start(SCRIPT, "start", how)
    wait_until(lambda: len({pid for _, pid in _calls(processes)}) == 2)
    resuming = processes.start(SCRIPT, "resume", how)
    wait_until((processes.folder / "ready").exists)
    processes.kill(parent)
    (processes.folder / "dead").touch()
    return {int(pid) for _, pid in _calls(processes)}, resuming


@pytest.mark.parametrize("attempt", range(3))
def test_no_function_is_called_again_while_a_worker_of_a_dead_process_is_in_it(processes, attempt):
    _, resuming = _kill_in_a_function(processes, "free")
    assert processes.end(resuming) == "completed"
    last = {}
    for key, pid in _calls(processes):
        seen = last.setdefault(key, [])
        assert pid not in seen[:-1], f"{key} was executed twice at the same time"
        if pid not in seen:
            seen.append(pid)
    assert sorted(last) == KEYS
    assert any(len(pids) > 1 for pids in last.values()), "some were in flight"
    assert list(processes.folder.glob("*-workers")) == []
    processes.check_integrity()


def test_a_worker_of_a_dead_process_that_does_not_leave_keeps_others_out(processes):
    workers, resuming = _kill_in_a_function(processes, "held")
    try:
        said = processes.end(resuming)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
    assert said.startswith("refused: ")
    assert "worker process" in said
    assert processes.end(processes.start(SCRIPT, "resume", "held")) == "completed"
    processes.check_integrity()
