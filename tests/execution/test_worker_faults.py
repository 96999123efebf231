"""What keeps worker processes from working, and is no fault of a run, fails no run."""

import contextlib
import errno
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import cloudpickle
import pytest
from loky import ProcessPoolExecutor
from tests.support import counts, run_script, wait_until

import rivers as rs
from rivers.exceptions import RiversError
from rivers.execution import worker_process

cloudpickle.register_pickle_by_value(sys.modules[__name__])

KEYS = [f"k{number:03}" for number in range(60)]
DEFINED = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])


def children():
    """Returns the worker processes of this process."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
            if int(status[1]) == os.getpid() and b"popen_loky" in command and status[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Puts the files that processes share into a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_idle_workers_that_are_killed_fail_no_run(parallel):
    repository = parallel(rs.Asset(lambda: None, name="a", partitions_def=DEFINED))
    for _ in range(4):
        assert counts(repository.backfill(partition_range=ALL)) == (60, 0, 0)
        for process in children():
            os.kill(process, signal.SIGKILL)


def test_workers_that_are_killed_between_batches_fail_no_run(parallel):
    @rs.Asset(partitions_def=DEFINED)
    def quick():
        time.sleep(0.02)

    repository = parallel(quick)
    launched = repository.backfill(partition_range=ALL, block=False)
    wait_until(lambda: repository.get_backfill(launched.backfill_id).completed_partitions > 5)
    for process in children():
        os.kill(process, signal.SIGSTOP)
        os.kill(process, signal.SIGKILL)
    status = repository.wait_backfill(launched.backfill_id)
    # The process may have been inside of a run: then it died of no other.
    assert status.failed_partitions <= 2
    assert status.completed_partitions == 60 - status.failed_partitions


class _Broken(io.StringIO):
    def flush(self):
        raise OSError(errno.ENOSPC, "no space left on device")


@pytest.mark.parametrize("stream", [None, _Broken()], ids=["absent", "broken"])
def test_standard_streams_that_cannot_be_flushed_fail_nothing(parallel, monkeypatch, stream):
    repository = parallel(rs.Asset(lambda: None, name="a", partitions_def=DEFINED))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        result = repository.backfill(partition_range=ALL)
        assert sys.stderr is stream
    assert counts(result) == (60, 0, 0)


def test_a_cleaned_temporary_folder_fails_no_run(parallel, temporary):
    @rs.Asset(partitions_def=DEFINED)
    def slow():
        time.sleep(0.01)

    repository = parallel(slow)
    launched = repository.backfill(partition_range=ALL, block=False, max_concurrency=2)
    for _ in range(20):
        for folder in temporary.glob("rivers-*"):
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)
    status = repository.wait_backfill(launched.backfill_id)
    assert (status.status, status.completed_partitions) == ("completed", 60)
    other = rs.Asset(lambda: None, name="slow", partitions_def=DEFINED)
    assert counts(parallel(other).backfill(partition_range=ALL)) == (60, 0, 0)


def refuse_processes(monkeypatch, times):
    real, refused = ProcessPoolExecutor._adjust_process_count, []

    def adjust(pool):
        if len(refused) < times:
            refused.append(pool)
            raise OSError(11, "Resource temporarily unavailable")
        real(pool)

    monkeypatch.setattr(ProcessPoolExecutor, "_adjust_process_count", adjust)
    return refused


def test_a_process_that_cannot_be_started_once_fails_no_run(parallel, monkeypatch):
    monkeypatch.setattr(worker_process, "_FIRST_DELAY_SECONDS", 0.001)
    repository = parallel(rs.Asset(lambda: None, name="a", partitions_def=DEFINED))
    assert counts(repository.backfill(partition_range=ALL)) == (60, 0, 0)
    for process in children():
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: not children())
    refused = refuse_processes(monkeypatch, 2)
    assert counts(repository.backfill(partition_range=ALL)) == (60, 0, 0)
    assert len(refused) == 2


def test_processes_that_can_never_be_started_stop_the_backfill_resumable(parallel, monkeypatch):
    monkeypatch.setattr(worker_process, "_FIRST_DELAY_SECONDS", 0.001)

    @rs.Asset(partitions_def=DEFINED)
    def slow():
        time.sleep(0.01)

    repository = parallel(slow)
    launched = repository.backfill(partition_range=ALL, block=False)
    wait_until(lambda: repository.get_backfill(launched.backfill_id).completed_partitions > 2)
    with monkeypatch.context() as refusing:
        refuse_processes(refusing, 10_000)
        for process in children():
            os.kill(process, signal.SIGKILL)
        with pytest.raises(RiversError, match="temporarily unavailable"):
            repository.wait_backfill(launched.backfill_id)
    left = repository.get_backfill(launched.backfill_id)
    assert left.status == "in_progress"
    assert left.failed_partitions <= 2
    resumed = repository.resume_backfill(launched.backfill_id)
    assert resumed.completed == 60 - resumed.failed


def test_a_program_that_a_worker_cannot_read_stops_the_backfill_resumable(parallel, monkeypatch):
    monkeypatch.setattr(worker_process, "_FIRST_DELAY_SECONDS", 0.001)

    def not_here():
        raise ImportError("no such module in this process")

    class Unreadable:
        def __reduce__(self):
            return not_here, ()

        def __call__(self):
            return None

    repository = parallel(rs.Asset(Unreadable(), name="a", partitions_def=DEFINED))
    with pytest.raises(RiversError, match="no such module"):
        repository.backfill(partition_range=ALL)
    [left] = repository.backfills()["backfill_id"]
    status = repository.get_backfill(left)
    assert (status.status, status.failed_partitions) == ("in_progress", 0)


def test_programs_are_dropped_when_their_backfills_end(parallel, temporary):
    @rs.Asset(partitions_def=DEFINED, io_handler=rs.PickleIOHandler(temporary / "values"))
    def count_programs():
        from rivers.execution import parallel_worker

        return len(parallel_worker._worker.programs)

    repository = parallel(count_programs, workers=1)
    for _ in range(3):
        repository.backfill(partition_range=ALL)
        assert repository.load_node("count_programs", rs.PartitionKey.single(KEYS[-1])) == 1
        assert list(temporary.glob("rivers-*/program-*")) == []


SIGINT = """
import os, signal, sys, threading, time
import rivers as rs

keys = [str(number) for number in range(40)]

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(keys))
def slow():
    time.sleep(0.005)

def interrupt():
    # Ctrl-C at a terminal reaches the whole group, workers that are just starting included.
    while not done:
        time.sleep(0.002)
        os.killpg(0, signal.SIGINT)

os.setpgid(0, 0)
done = []
signal.signal(signal.SIGINT, lambda *_: None)
threading.Thread(target=interrupt, daemon=True).start()
for _ in range(3):
    with rs.CodeRepository([slow], default_executor=rs.Executor.parallel(4)).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "39"))
        print(result.completed, result.failed)
done.append(True)
"""


def test_ctrl_c_while_workers_start_kills_none_of_them():
    done = run_script(SIGINT)
    assert done.stdout.split("\n") == ["40 0"] * 3 + [""], done.stderr[-2000:]
    assert "Traceback" not in done.stderr
