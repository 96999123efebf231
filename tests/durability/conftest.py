"""Starts, stops and kills processes, and reads what they have written."""

import json
import signal
import subprocess
import sys

import pytest
from tests.segments import unpacked
from tests.support import TIMEOUT, wait_until

PRELUDE = """
import os
import sys
import time
from pathlib import Path

import rivers as rs

folder = Path(sys.argv[1])


def note(text):
    file = os.open(folder / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, (text + "\\n").encode())
    os.close(file)


def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.001)
"""


class Processes:
    """Runs scripts in separate processes, which share a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, script, *arguments):
        """Runs a script after `PRELUDE`; its arguments begin at `sys.argv[2]`."""
        command = [sys.executable, "-c", PRELUDE + script, str(self.folder), *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )
        self.started.append(process)
        return process

    def end(self, process):
        """Waits for a script, which must succeed, and returns what it printed."""
        out, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, err
        return out.strip()

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()

    def notes(self):
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_notes(self, count):
        wait_until(lambda: len(self.notes()) >= count)

    def sql(self, query, name="rivers.db"):
        """Queries the storage from another process, because two copies of SQLite in one process break each
        other's file locks.
        """
        code = "import json, sqlite3, sys; rows = sqlite3.connect(sys.argv[1]).execute(sys.argv[2]); print(json.dumps(rows.fetchall(), default=bytes.hex))"
        command = [sys.executable, "-c", code, str(self.folder / name), query]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def recorded_runs(self, name="rivers.db"):
        """The numbers of the runs that are recorded as ended, backfill by backfill."""
        bodies = self.sql("SELECT body FROM segment ORDER BY backfill, seq", name)
        return [run for (body,) in bodies for run, *_ in unpacked(bytes.fromhex(body))]

    def check_integrity(self, name="rivers.db"):
        assert self.sql("PRAGMA integrity_check", name) == [["ok"]]


@pytest.fixture
def processes(tmp_path):
    """Starts scripts, and ends those that still run."""
    made = Processes(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()
