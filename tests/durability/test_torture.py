"""Nothing is lost when the process is killed at any moment; see torture.py."""

import subprocess
import sys
from pathlib import Path

import pytest

SEED = 20240110


@pytest.mark.timeout(300)
def test_backfills_survive_fifty_kills():
    script = Path(__file__).with_name("torture.py")
    command = [sys.executable, str(script), "--kills", "50", "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was lost" in done.stdout
