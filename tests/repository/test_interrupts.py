"""Ctrl-C, interpreter exit and killed processes, with real processes and real signals."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support import TIMEOUT

import rivers as rs

COUNT = 20
KEYS = [f"k{number:02}" for number in range(COUNT)]

SCRIPT = Path(__file__).parent / "scripts" / "interrupted.py"


class Script:
    """`scripts/interrupted.py` in its own process group, as a terminal would start it."""

    def __init__(self, folder, executor):
        self.folder, self.executor = folder, executor
        (folder / "script.py").write_text(SCRIPT.read_text())
        self.storage = rs.Storage.embedded(folder / "rivers.db")
        idle = rs.Asset(lambda: None, name="idle")
        self.repo = rs.CodeRepository([idle]).resolve(self.storage)
        self.process, self.groups = None, []

    def start(self, mode, *more):
        command = [sys.executable, "script.py", str(self.folder), mode, self.executor, *more]
        with (self.folder / "out").open("w") as out, (self.folder / "err").open("w") as err:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=out, stderr=err, start_new_session=True
            )
        self.groups.append(self.process.pid)

    def open_gate(self):
        (self.folder / "gate").touch()

    def end(self):
        self.process.wait(TIMEOUT)
        return (self.folder / "out").read_text(), (self.folder / "err").read_text()

    def run(self, mode, *more):
        self.start(mode, *more)
        out, err = self.end()
        assert (self.process.returncode, "Traceback" in err) == (0, False), err
        return out.strip()

    def notes(self, start=""):
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted(line.removeprefix(start) for line in lines if line.startswith(start))

    def status(self):
        (record, *_) = self.storage._store.backfills() or [None]
        return record and self.repo.get_backfill(record["backfill_id"])

    def until(self, condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert self.process.poll() is None, (self.folder / "err").read_text()
            assert time.monotonic() < deadline, (self.notes(), self.status())
            time.sleep(0.01)

    def counts(self):
        status = self.status()
        return (
            status and status.status,
            status and status.completed_partitions,
            status and status.canceled_partitions,
        )

    def interrupt(self, mode="wait"):
        """Sends SIGINT and waits until the process has received it."""
        before = len(self.notes(f"{mode} interrupted"))
        os.killpg(self.process.pid, signal.SIGINT)
        self.until(lambda: len(self.notes(f"{mode} interrupted")) == before + 1)
        time.sleep(0.1)  # The cancel is applied now, which cannot be observed from here.

    def begin(self, mode="wait"):
        """Starts the script and waits until six runs have ended and two are in flight."""
        self.start(mode)
        self.until(lambda: len(self.notes(f"{mode} started")) == 8)
        return self.status().backfill_id

    def recorded(self):
        """Returns the keys of the runs that are recorded as completed."""
        runs = map(self.storage.get_run, self.status().run_ids)
        return {run.partition_keys[0].key[0] for run in runs if run.status == "completed"}


@pytest.fixture(params=["threads", "processes", "async"])
def script(request, tmp_path):
    executor = request.param
    if executor == "ray":
        executor = request.getfixturevalue("ray_cluster").cluster.address
    script = Script(tmp_path, executor)
    yield script
    script.open_gate()
    for group in script.groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    script.process.wait(TIMEOUT)


EVERYWHERE = pytest.mark.parametrize(
    "script", ["threads", "processes", "async", "ray"], indirect=True
)


@EVERYWHERE
def test_sigint_once_cancels_the_rest(script):
    backfill_id = script.begin()
    script.interrupt()
    script.open_gate()
    out, err = script.end()
    assert "Traceback" not in err
    assert out.startswith("interrupted: ")
    assert f"rerun_backfill('{backfill_id}')" in out
    assert script.counts() == ("canceled", 8, 12)
    assert len(script.notes("wait started")) == len(script.notes("wait ended")) == 8


@pytest.mark.parametrize("script", ["threads"], indirect=True)
def test_sigint_once_ends_with_a_traceback_that_says_how_to_go_on(script):
    text = (
        (script.folder / "script.py")
        .read_text()
        .replace("except KeyboardInterrupt", "except ZeroDivisionError")
    )
    (script.folder / "script.py").write_text(text)
    backfill_id = script.begin()
    script.interrupt()
    script.open_gate()
    _, err = script.end()
    assert script.process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert f"KeyboardInterrupt: canceled; run the rest with rerun_backfill('{backfill_id}')" in err


@EVERYWHERE
def test_sigint_twice_stops_at_once_and_leaves_it_resumable(script):
    backfill_id = script.begin()
    script.interrupt()
    os.killpg(script.process.pid, signal.SIGINT)
    out, _ = script.end()
    assert out.startswith("interrupted: ")
    assert f"resume_backfill('{backfill_id}')" in out
    assert script.counts() == ("in_progress", len(before := script.recorded()), 0)
    assert len(script.notes("wait ended")) == 6
    script.open_gate()
    assert script.run("resume", backfill_id) == "completed"
    assert set(script.notes("resume ended ")) == set(KEYS) - before
    assert script.counts() == ("completed", COUNT, 0)


def test_a_second_sigint_is_handled_at_any_point_of_the_first(repo):
    waiting, gate = threading.Event(), threading.Event()

    def wait():
        waiting.wait(TIMEOUT)
        signal.raise_signal(signal.SIGINT)  # Python handles the signal in the main thread.
        gate.wait(TIMEOUT)

    def interrupt_cancel(frame, event, called):
        if event == "c_call" and called.__qualname__ == "Engine.wait":
            waiting.set()
        if event == "c_call" and called.__qualname__ == "Engine.cancel":
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    definition = rs.PartitionsDefinition.static_(["a", "b"])
    repository = repo(rs.Asset(wait, name="waits", partitions_def=definition))
    whole = rs.PartitionKeyRange.single("a", "b")
    sys.setprofile(interrupt_cancel)
    try:
        with pytest.raises(
            KeyboardInterrupt, match="left at once; continue it with resume_backfill"
        ):
            repository.backfill(partition_range=whole, max_concurrency=1)
    finally:
        sys.setprofile(None)
        gate.set()
    (record,) = repository.storage._store.backfills()
    assert repository.get_backfill(record["backfill_id"]).status == "in_progress"


def test_leaving_the_interpreter_waits_for_the_background(script):
    script.begin("leave")
    assert script.process.poll() is None
    script.open_gate()
    out, err = script.end()
    assert (out, err, script.process.returncode) == ("in_progress\n", "", 0)
    assert script.counts() == ("completed", COUNT, 0)


def test_sigint_while_leaving_leaves_it_resumable_or_canceled(script):
    backfill_id = script.begin("leave")
    script.interrupt("leave")
    script.open_gate()
    script.end()
    if script.counts()[0] == "in_progress":
        assert script.run("resume", backfill_id) == "completed"
    status, completed, canceled = script.counts()
    assert status in ("completed", "canceled")
    assert completed + canceled == COUNT


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_resume_finishes_exactly_what_was_not_recorded(script, number):
    backfill_id = script.begin()
    os.kill(script.process.pid, number)
    script.process.wait(TIMEOUT)
    assert script.counts() == ("in_progress", len(script.recorded()), 0)
    expected = sorted(set(KEYS) - script.recorded())
    script.open_gate()
    assert script.run("resume", backfill_id) == "completed"
    assert script.notes("resume started ") == script.notes("resume ended ") == expected
    assert script.counts() == ("completed", COUNT, 0)
    assert script.status().backfill_id == backfill_id


def test_nothing_is_left_behind_by_a_process_that_died(script):
    script.begin()
    os.kill(script.process.pid, signal.SIGKILL)
    script.process.wait(TIMEOUT)
    script.open_gate()
    deadline = time.monotonic() + TIMEOUT
    with suppress(ProcessLookupError):
        while True:
            os.killpg(script.process.pid, 0)
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_cancel_without_a_live_owner_ends_it_at_once(script):
    backfill_id = script.begin()
    os.kill(script.process.pid, signal.SIGKILL)
    script.process.wait(TIMEOUT)
    done = len(script.recorded())
    assert script.run("cancel", backfill_id) == "False"
    assert script.counts() == ("canceled", done, COUNT - done)
    assert script.run("cancel", backfill_id) == "False"
    runs = [script.storage.get_run(run).status for run in script.status().run_ids]
    assert sorted(runs) == [*["canceled"] * (COUNT - done), *["completed"] * done]
