"""Thousands of threads whose functions return together: none of them polls, and one is started at a time."""

import os
import subprocess
import sys
import threading
import time

import pytest
from tests.support import repository

import rivers as rs

NUM_THREADS = 400


def many(function, count=NUM_THREADS):
    keys = [f"{number:04}" for number in range(count)]
    return repository(
        rs.Asset(function, name="a", partitions_def=rs.PartitionsDefinition.static_(keys))
    )


def in_all_threads(repo):
    whole = rs.PartitionKeyRange.single("0000", f"{NUM_THREADS - 1:04}")
    return repo.backfill(partition_range=whole, max_concurrency=NUM_THREADS)


def wait_for_the_end_of_all_threads():
    ends = time.monotonic() + 60
    while any(thread.name == "rivers-worker" for thread in threading.enumerate()):
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture
def usual():
    wait_for_the_end_of_all_threads()
    before = sys.getswitchinterval()
    yield before
    wait_for_the_end_of_all_threads()
    sys.setswitchinterval(before)


def test_waiting_threads_wake_up_no_more_often_than_250_do(usual):
    together, intervals = threading.Barrier(NUM_THREADS), set()

    def work():
        together.wait()
        intervals.add(sys.getswitchinterval())

    assert in_all_threads(many(work)).completed == NUM_THREADS
    assert max(intervals) >= NUM_THREADS * usual / 250 * 0.99
    wait_for_the_end_of_all_threads()
    assert sys.getswitchinterval() == usual


def test_the_interval_of_few_threads_is_that_of_the_program(usual):
    sys.setswitchinterval(0.001)
    intervals = set()
    repo = many(lambda: intervals.add(sys.getswitchinterval()), count=40)
    repo.backfill(partition_range=rs.PartitionKeyRange.single("0000", "0039"), max_concurrency=20)
    assert intervals == {0.001}


def test_an_interval_that_the_program_sets_meanwhile_stays(usual):
    together = threading.Barrier(NUM_THREADS, action=lambda: sys.setswitchinterval(0.5))
    assert in_all_threads(many(together.wait)).completed == NUM_THREADS
    wait_for_the_end_of_all_threads()
    assert sys.getswitchinterval() == 0.5


FORKS = """
import os, sys, threading, rivers as rs
before = sys.getswitchinterval()
keys = [f"{n:04}" for n in range(400)]
def fork_once(together=threading.Barrier(400)):
    if together.wait() == 0:
        child = os.fork()
        if child == 0:
            os._exit(sys.getswitchinterval() != before)
        assert os.waitpid(child, 0)[1] == 0
asset = rs.Asset(fork_once, name="a", partitions_def=rs.PartitionsDefinition.static_(keys))
repo = rs.CodeRepository([asset]).resolve(rs.Storage.memory())
whole = rs.PartitionKeyRange.single("0000", "0399")
assert repo.backfill(partition_range=whole, max_concurrency=400).completed == 400
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_the_usual_interval():
    subprocess.run([sys.executable, "-c", FORKS], check=True, timeout=60)


def test_threads_are_started_one_at_a_time(monkeypatch):
    """Each of thousands that ends a run would start one more, and all would wait for the interpreter."""
    real, starting, most = threading.Thread.start, [0], [0]

    def start(thread):
        if thread.name != "rivers-worker":
            return real(thread)
        starting[0] += 1
        most[0] = max(most[0], starting[0])
        time.sleep(0.005)
        starting[0] -= 1
        return real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    repo = many(lambda: time.sleep(0.002))
    whole = rs.PartitionKeyRange.single("0000", f"{NUM_THREADS - 1:04}")
    assert repo.backfill(partition_range=whole, max_concurrency=50).completed == NUM_THREADS
    assert most == [1]


def test_an_interrupt_before_the_thread_is_there_keeps_no_other_from_starting(monkeypatch):
    real, interrupts = threading.Thread.start, [KeyboardInterrupt()]

    def start(thread):
        if thread.name == "rivers-worker" and interrupts:
            raise interrupts.pop()
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    repo = many(lambda: None, count=4)
    whole = rs.PartitionKeyRange.single("0000", "0003")
    with pytest.raises(KeyboardInterrupt):
        repo.backfill(partition_range=whole, block=False)
    assert repo.backfill(partition_range=whole).completed == 4
