"""A system that starts no more threads: fewer of them work, and without any the backfill stops, resumable."""

import threading
import time

import pytest
from tests.support import counts, letters, repository

import rivers as rs
from rivers.exceptions import RiversError

DEFINED = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


@pytest.fixture
def allow(monkeypatch):
    """Lets only so many worker threads start."""
    real, started = threading.Thread.start, []

    def make(count):
        def start(thread):
            if thread.name.startswith("rivers-worker"):
                if len(started) >= count:
                    raise RuntimeError("can't start new thread")
                started.append(thread)
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)

    return make


def test_fewer_threads_do_all_the_work(allow):
    repo = repository(rs.Asset(lambda: time.sleep(0.01), name="slow", partitions_def=DEFINED))
    allow(2)
    assert counts(repo.backfill(partition_range=ALL, max_concurrency=8)) == (8, 0, 0)


def test_without_a_thread_the_backfill_stops_resumable(allow, monkeypatch):
    repo = repository(rs.Asset(lambda: None, name="slow", partitions_def=DEFINED))
    allow(0)
    with pytest.raises(RiversError, match="can't start new thread"):
        repo.backfill(partition_range=ALL)
    monkeypatch.undo()
    [left] = repo.backfills()["backfill_id"]
    assert counts(repo.resume_backfill(left)) == (8, 0, 0)
