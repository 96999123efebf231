"""A program written for the package `rivers` 0.6 runs here without a change."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import TIMEOUT

pytest.importorskip("obstore")


def test_a_program_of_0_6_runs_unchanged():
    program = Path(__file__).with_name("program_of_0_6.py")
    ended = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["done"]), ended.stderr
