"""Limits that the system sets for a process: memory, open files, the size of files. Nothing is said to have failed."""

import json

import pytest

COUNT = 200

SCRIPT = f"""
import json
import resource
import threading

from rivers.exceptions import RiversError

keys = rs.PartitionsDefinition.static_([f"k{{number:03}}" for number in range({COUNT})])
whole = rs.PartitionKeyRange.single("k000", "k{COUNT - 1:03}")


@rs.Asset(partitions_def=keys)
def plain(context):
    time.sleep(0.005)
    context.add_output_metadata({{"text": context.partition_key * 500}})


@rs.Asset(partitions_def=keys)
async def looping():
    pass


EXECUTORS = {{"threads": rs.Executor.in_process(), "processes": rs.Executor.parallel(2)}}
name, executor, limit = sys.argv[2:5]
repo = rs.CodeRepository([plain, looping], default_executor=EXECUTORS[executor]).resolve(
    rs.Storage.embedded(folder / "rivers.db")
)
repo.backfills()
number = getattr(resource, limit)
usual = resource.getrlimit(number)
if limit == "RLIMIT_AS":
    status = Path("/proc/self/status").read_text()
    used = int(status.split("VmSize:")[1].split()[0]) * 1024
    low = used + (700 << 20)
    threading.stack_size(256 << 20)  # Two threads, and enough memory for all else.
elif limit == "RLIMIT_NOFILE":
    low = max(int(entry) for entry in os.listdir("/proc/self/fd")) + 2
else:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # As Python does.
    low = 512 << 10
resource.setrlimit(number, (low, usual[1]))
error = None
try:
    repo.backfill([name], partition_range=whole, max_concurrency=100)
except RiversError as raised:
    error = f"{{type(raised).__name__}}: {{raised}}"
resource.setrlimit(number, usual)
if repo.backfills().is_empty():
    assert "ExecutionError: no worker process can be started" in error, error
    repo.backfill([name], partition_range=whole)
(backfill_id,) = repo.backfills()["backfill_id"]
before = repo.get_backfill(backfill_id)
if before.status == "in_progress":
    assert repo.resume_backfill(backfill_id).status == "completed"
after = repo.get_backfill(backfill_id)
print(json.dumps([error, before.failed_partitions, after.status, after.completed_partitions]))
"""


@pytest.mark.parametrize(
    ("name", "executor", "limit"),
    [
        ("plain", "threads", "RLIMIT_AS"),
        ("plain", "threads", "RLIMIT_NOFILE"),
        ("looping", "threads", "RLIMIT_NOFILE"),
        ("plain", "processes", "RLIMIT_NOFILE"),
        ("plain", "threads", "RLIMIT_FSIZE"),
    ],
)
def test_a_limit_of_the_system_fails_no_run(processes, name, executor, limit):
    said = processes.end(processes.start(SCRIPT, name, executor, limit))
    error, failed, status, completed = json.loads(said)
    assert failed == 0, f"no function failed: {error}"
    # With fewer threads or files it went on, or it stopped, said why, and went on without the limit.
    assert (status, completed) == ("completed", COUNT)
    processes.check_integrity()
