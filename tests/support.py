"""Helpers that tests of several folders share; `conftest.py` has the fixtures."""

import subprocess
import sys
import time

import rivers as rs

TIMEOUT = 60  # Seconds. Only a test that fails waits this long.


def letters(count):
    """Defines the partitions "a", "b" and so on, `count` of them."""
    return rs.PartitionsDefinition.static_([chr(ord("a") + index) for index in range(count)])


def key(text):
    return rs.PartitionKey.single(text)


def keys(*texts):
    return [rs.PartitionKey.single(text) for text in texts]


def values(context):
    """Returns the texts of the keys of a run over one dimension."""
    return [key.key[0] for key in context.partition.keys]


def counts(result):
    """Returns how many partitions have completed, failed and been canceled."""
    if isinstance(result, rs.BackfillStatus):
        return result.completed_partitions, result.failed_partitions, result.canceled_partitions
    return result.completed, result.failed, result.canceled


def repository(*assets, storage=None, **options):
    """Makes a repository; without a `storage` it is in memory. The fixture `repo` also closes it."""
    return rs.CodeRepository(list(assets), **options).resolve(storage or rs.Storage.memory())


def wait_until(condition):
    """Polls until `condition()` holds; fails after `TIMEOUT` seconds."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def run_script(code, *arguments):
    """Runs Python code in a process of its own and returns what it printed and how it ended."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
