"""A test that hangs ends, and the stacks of all threads are printed."""

import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = Path(__file__).parents[2] / "pyproject.toml"

HANGS = """
import ctypes
import threading

gate = threading.Event()


def wait_in_a_thread():
    gate.wait()


def hang_in_python():
    gate.wait()


def hang_in_native_code():
    mutex = ctypes.create_string_buffer(128)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)  # Never returns, and signals do not interrupt it.


def test_hangs():
    threading.Thread(target=wait_in_a_thread, daemon=True).start()
    HANG()


def test_next():
    pass
"""


def run_hanging(folder, hang, *options):
    """Runs two tests, of which the first hangs, with the settings of this project."""
    test = folder / "test_hangs.py"
    test.write_text(HANGS.replace("HANG()", f"{hang}()"))
    command = [sys.executable, "-m", "pytest", "-c", SETTINGS, "--rootdir", folder, test, *options]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_test_that_hangs_in_python_fails_and_the_others_run(tmp_path):
    done = run_hanging(tmp_path, "hang_in_python", "-o", "timeout=1")
    assert "1 failed, 1 passed" in done.stdout
    assert "in wait_in_a_thread" in done.stdout + done.stderr
    assert "in hang_in_python" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="locks a mutex of POSIX threads")
def test_a_test_that_hangs_in_native_code_ends_the_run(tmp_path):
    options = ("-o", "timeout=1", "-o", "faulthandler_timeout=3")
    done = run_hanging(tmp_path, "hang_in_native_code", *options)
    assert done.returncode == 1
    assert "passed" not in done.stdout
    for function in ("wait_in_a_thread", "hang_in_native_code", "test_hangs"):
        assert f"in {function}" in done.stderr


def test_the_settings_have_both_limits(pytestconfig):
    limit = float(pytestconfig.getini("timeout"))
    assert 0 < limit < float(pytestconfig.getini("faulthandler_timeout"))
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
