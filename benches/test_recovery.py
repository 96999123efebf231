"""Recovery: how soon a large backfill goes on after its process was killed halfway."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import EVERYTHING, Row, checked, folder, grid

import rivers as rs

pytestmark = pytest.mark.timeout(600)

RUNS = 1_000_000


def main(path, backfill_id=None):
    """A process that backfills until it is killed, or resumes: it prints the seconds until the first call."""
    first_call = []

    @rs.Asset(partitions_def=grid(1000, 1000))
    def visited():
        if not first_call:
            first_call.append(time.perf_counter())

    repo = rs.CodeRepository([visited]).resolve(rs.Storage.embedded(Path(path) / "rivers.db"))
    if backfill_id is None:
        repo.backfill(partition_range=EVERYTHING)
        return
    began = time.perf_counter()
    checked(repo.resume_backfill(backfill_id), RUNS)
    sys.stdout.write(f"{first_call[0] - began}\n")


def _look(path):
    """Id and completed runs of the backfill, once it is there."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(
                "SELECT id, (SELECT max(completed) FROM segment) FROM backfill"
            ).fetchone() or ("", 0)
    except sqlite3.OperationalError:  # There is no table yet, or no file.
        return "", 0


@contextlib.contextmanager
def killed_halfway():
    with folder() as path:
        database = path / "rivers.db"
        command = [sys.executable, __file__, str(path)]
        process = subprocess.Popen(command)
        while _look(database)[1] < RUNS // 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        backfill_id, completed = _look(database)
        assert completed < RUNS

        def work():
            done = subprocess.run([*command, backfill_id], stdout=subprocess.PIPE, check=True)
            return float(done.stdout)

        yield work


ROWS = [
    Row(
        "1,000,000 no-op runs killed halfway: from resume_backfill to the first call",
        "1 s",
        killed_halfway,
    )
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_recovery(measured, row):
    measured(row)


if __name__ == "__main__":
    main(*sys.argv[1:])
