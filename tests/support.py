"""Helpers that tests of several folders share; `conftest.py` has the fixtures."""

import time

TIMEOUT = 30  # Seconds. Reached only by a test that fails.


def wait_until(condition):
    """Polls until `condition()` holds; fails after `TIMEOUT` seconds."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)
