"""Starts `rivers` as a shell does, in a folder that contains only the module `grid.py`."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from tests.postgres_server import VARIABLE, in_a_server
from tests.support import TIMEOUT, wait_until

import rivers as rs

MODULE = Path(__file__).parent / "scripts" / "grid.py"


def on_terminal(words, folder, environment, columns=80):
    """Runs a command on a terminal with a window size; returns what it shows, and its exit code."""
    # Not on every system.
    import fcntl
    import pty
    import termios

    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "rivers", *words],
        cwd=folder, env=environment | {"TERM": "xterm"}, stdin=side, stdout=side, stderr=side,
    )  # fmt: skip
    os.close(side)
    out = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    os.close(main)
    return out.decode(errors="replace"), process.wait(TIMEOUT)


class Shell:
    def __init__(self, folder):
        self.folder = folder
        shutil.copy(MODULE, folder)
        self.started = []
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("RIVERS_")
        } | {"COLUMNS": "100", "LINES": "30"}
        if in_a_server():
            self.environment["RIVERS_STORAGE"] = f"{os.environ[VARIABLE]}?schema=t_{uuid4().hex}"

    def start(self, *words, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "rivers", *map(str, words)],
            cwd=self.folder, env=self.environment | environment, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    def end(self, process, code):
        out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, "Traceback" in err) == (code, False), out + err
        return out, err

    def run(self, *words, code=0, **environment):
        """Runs a command; returns its output, or its errors in one line if it is refused."""
        out, err = self.end(self.start(*words, **environment), code)
        return " ".join(err.split()) if code == 2 else out

    def storage(self, name=None):
        """A file in the folder, by default the storage that commands find."""
        url = None if name else self.environment.get("RIVERS_STORAGE")
        return rs.Storage.open(url or self.folder / (name or ".rivers/rivers.db"))

    def records(self, name=None):
        return self.storage(name)._store.backfills()

    def begin_slow(self):
        """Starts a backfill and waits until two runs are in flight; they wait for `open_gate`."""
        process = self.start(
            "backfill", "grid.py", "--assets", "slow", "--only-missing", "--max-concurrency", 2
        )
        assert "10 partitions in 10 runs of slow" in process.stdout.readline()
        wait_until(lambda: len(self.waiting()) == 2)
        return process

    def waiting(self):
        return list(self.folder.glob("started-*"))

    def open_gate(self):
        (self.folder / "gate").touch()

    def close(self):
        self.open_gate()
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
