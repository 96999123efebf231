"""`pause_backfill` and `unpause_backfill`."""

import threading
import time

import pytest
from tests.support import run_script, wait_until

import rivers as rs
from rivers.exceptions import BackfillNotFoundError, ExecutionError
from rivers.execution import workers

KEYS = [f"k{number:02}" for number in range(12)]
FEW = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])

OTHER_PROCESS = """
import sys
import rivers as rs

repo = rs.CodeRepository([rs.Asset(lambda: None, name="idle")])
repo.resolve(rs.Storage.embedded(sys.argv[1]))
getattr(repo, sys.argv[2])(sys.argv[3])
"""

DIES_WHILE_PAUSED = """
import os, sys
import rivers as rs

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(list("abcdef")))
def steps(context: rs.AssetExecutionContext):
    if context.partition_key == "c":
        backfill_id = context.run_id.split(".")[0]
        repo.pause_backfill(backfill_id)
        print(backfill_id, flush=True)
        os.kill(os.getpid(), 9)

repo = rs.CodeRepository([steps]).resolve(rs.Storage.embedded(sys.argv[1]))
repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "f"), max_concurrency=1)
"""


def in_another_process(path, verb, backfill_id):
    run_script(OTHER_PROCESS, path, verb, backfill_id).check_returncode()


class Paused:
    """A backfill that is paused, by the function `pause`, during its third run."""

    def __init__(self, pause, storage=None, *, is_async=False, executor=None):
        self.started = []

        def work(context):
            self.started.append(context.partition_key)
            if len(self.started) == 3:
                pause(self.repo, context.run_id.split(".")[0])

        def plain(context: rs.AssetExecutionContext):
            work(context)

        async def waits(context: rs.AssetExecutionContext):
            work(context)

        asset = rs.Asset(waits if is_async else plain, name="stepwise", partitions_def=FEW)
        repo = rs.CodeRepository([asset], default_executor=executor)
        self.repo = repo.resolve(storage or rs.Storage.memory())
        self.id = repo.backfill(partition_range=ALL, max_concurrency=1, block=False).backfill_id
        wait_until(lambda: self.status().completed_partitions >= 3)

    def status(self):
        return self.repo.get_backfill(self.id)


def pause_here(repo, backfill_id):
    repo.pause_backfill(backfill_id)


@pytest.mark.parametrize("is_async", [False, True])
def test_nothing_starts_while_it_is_paused_and_all_that_is_left_afterwards(monkeypatch, is_async):
    monkeypatch.setattr(workers, "IDLE_TIMEOUT_SECONDS", 0.01)
    held = Paused(pause_here, is_async=is_async)
    # Much longer than an idle worker stays: one must be started when the backfill continues.
    threading.Event().wait(0.3)
    status = held.status()
    assert (status.status, status.paused, status.completed_partitions) == ("in_progress", True, 3)
    assert "in_progress, paused" in repr(status)
    assert held.repo.backfills()["paused"].to_list() == [True]
    assert held.started == KEYS[:3]
    held.repo.pause_backfill(held.id)
    held.repo.unpause_backfill(held.id)
    held.repo.close()
    status = held.status()
    assert (status.status, status.paused, status.completed_partitions) == ("completed", False, 12)
    assert held.repo.backfills()["paused"].to_list() == [None]
    assert held.started == KEYS


def test_another_process_may_pause_and_unpause(tmp_path):
    path = tmp_path / "rivers.db"

    def pause_there(repo, backfill_id):
        in_another_process(path, "pause_backfill", backfill_id)
        time.sleep(1.5)  # The pause is applied within a second, which cannot be observed from here.

    held = Paused(pause_there, rs.Storage.embedded(path))
    status = held.status()
    assert (status.status, status.paused) == ("in_progress", True)
    assert held.started == KEYS[:3]
    in_another_process(path, "unpause_backfill", held.id)
    held.repo.close()
    assert (held.status().status, held.started) == ("completed", KEYS)


def test_a_backfill_in_processes_can_be_paused(tmp_path):
    notes = tmp_path / "notes"

    def note(context: rs.AssetExecutionContext):
        with notes.open("a") as file:
            file.write(context.partition_key + "\n")
        time.sleep(0.02)

    asset = rs.Asset(note, partitions_def=FEW)
    repo = rs.CodeRepository([asset], default_executor=rs.Executor.parallel(1))
    repo.resolve(rs.Storage.embedded(tmp_path / "rivers.db"))
    backfill_id = repo.backfill(partition_range=ALL, max_concurrency=1, block=False).backfill_id
    wait_until(notes.exists)
    repo.pause_backfill(backfill_id)
    wait_until(lambda: repo.backfill_runs(backfill_id, status="running").is_empty())
    before = notes.read_text().split()
    assert len(before) < len(KEYS)
    assert repo.get_backfill(backfill_id).paused
    repo.unpause_backfill(backfill_id)
    repo.close()
    assert notes.read_text().split() == KEYS


def test_a_paused_backfill_can_be_canceled():
    held = Paused(pause_here)
    assert held.repo.cancel_backfill(held.id) is True
    held.repo.close()
    status = held.status()
    assert (status.status, status.paused, status.canceled_partitions) == ("canceled", False, 9)
    assert held.started == KEYS[:3]


def test_a_pause_survives_the_death_of_the_process(tmp_path):
    path = tmp_path / "rivers.db"
    died = run_script(DIES_WHILE_PAUSED, path)
    backfill_id = died.stdout.strip()
    started = []

    @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(list("abcdef")))
    def steps(context: rs.AssetExecutionContext):
        started.append(context.partition_key)

    repo = rs.CodeRepository([steps]).resolve(rs.Storage.embedded(path))
    assert repo.get_backfill(backfill_id).paused
    assert repo.resume_backfill(backfill_id, block=False).status == "in_progress"
    # Longer than the interval in which control requests are polled.
    threading.Event().wait(0.5)
    assert (started, repo.get_backfill(backfill_id).paused) == ([], True)
    repo.unpause_backfill(backfill_id)
    repo.close()
    assert repo.get_backfill(backfill_id).status == "completed"
    assert started[-4:] == list("cdef")


@pytest.mark.parametrize("verb", ["pause_backfill", "unpause_backfill"])
def test_unknown_and_ended_backfills_are_refused(verb):
    asset = rs.Asset(lambda: None, name="idle", partitions_def=FEW)
    repo = rs.CodeRepository([asset]).resolve(rs.Storage.memory())
    call = getattr(repo, verb)
    with pytest.raises(BackfillNotFoundError, match="backfills"):
        call("nonsense")
    ended = repo.backfill(partition_range=ALL).backfill_id
    with pytest.raises(ExecutionError, match=r"has ended \(completed\).*rerun_backfill"):
        call(ended)
    assert not repo.get_backfill(ended).paused
