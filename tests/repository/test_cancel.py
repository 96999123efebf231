"""`cancel_backfill`: in this process, in another one, and without a live owner."""

import threading
import time

import pytest
from tests.support import TIMEOUT, counts, run_script

import rivers as rs
from rivers.exceptions import BackfillNotFoundError, ExecutionError

KEYS = [f"k{number:05}" for number in range(20_000)]
MANY = rs.PartitionsDefinition.static_(KEYS)
ALL = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
FEW = rs.PartitionKeyRange.single(KEYS[0], KEYS[9])

OTHER_PROCESS = """
import sys
import rivers as rs

@rs.Asset
def idle():
    pass

repo = rs.CodeRepository([idle]).resolve(rs.Storage.embedded(sys.argv[1]))
status = repo.get_backfill(sys.argv[2])
print(status.status, repo.cancel_backfill(sys.argv[2]))
"""


class Held:
    """A repository whose runs wait until the gate is opened; the second one then fails."""

    def __init__(self, storage=None):
        self.started, self.gate = [], threading.Event()
        self.two = threading.Barrier(3)

        @rs.Asset(partitions_def=MANY)
        def held(context: rs.AssetExecutionContext):
            self.started.append(context.partition_key)
            if len(self.started) <= 2:
                self.two.wait(TIMEOUT)
            assert self.gate.wait(TIMEOUT)
            if context.partition_key == KEYS[1]:
                raise ValueError("boom")

        self.repo = rs.CodeRepository([held]).resolve(storage or rs.Storage.memory())

    def begin(self, **kwargs):
        """Starts a backfill and returns once two of its runs are in flight."""
        kwargs = {"partition_range": FEW, "max_concurrency": 2, "block": False, **kwargs}
        self.id = self.repo.backfill(**kwargs).backfill_id
        self.two.wait(TIMEOUT)
        return self.id

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gate.set()
        self.repo.close()


def test_cancel_live_in_this_process():
    with Held() as held:
        backfill_id = held.begin()
        assert held.repo.cancel_backfill(backfill_id) is True
        assert held.repo.get_backfill(backfill_id).status == "in_progress"
        assert held.repo.cancel_backfill(backfill_id) is True
    status = held.repo.get_backfill(backfill_id)
    assert sorted(held.started) == KEYS[:2]
    assert (status.status, counts(status)) == ("failed", (1, 1, 8))
    runs = [held.repo.storage.get_run(run).status for run in status.run_ids]
    assert runs == ["completed", "failed", *["canceled"] * 8]


def test_cancel_without_a_failure_ends_as_canceled():
    with Held() as held:
        backfill_id = held.begin(partition_range=rs.PartitionKeyRange.single(KEYS[2], KEYS[9]))
        assert held.repo.cancel_backfill(backfill_id) is True
    status = held.repo.get_backfill(backfill_id)
    assert (status.status, counts(status), status.error) == ("canceled", (2, 0, 6), None)


def test_cancel_of_the_last_run_in_flight_leaves_a_completed_backfill():
    with Held() as held:
        backfill_id = held.begin(partition_range=rs.PartitionKeyRange.single(KEYS[2], KEYS[3]))
        assert held.repo.cancel_backfill(backfill_id) is True
    status = held.repo.get_backfill(backfill_id)
    assert (status.status, counts(status)) == ("completed", (2, 0, 0))


@pytest.mark.parametrize("ends_as", ["completed", "failed", "canceled"])
def test_cancel_ended_changes_nothing(ends_as):
    with Held() as held:
        keys = rs.PartitionKeyRange.single(*(KEYS[:2] if ends_as == "failed" else KEYS[2:4]))
        backfill_id = held.begin(partition_range=FEW if ends_as == "canceled" else keys)
        if ends_as == "canceled":
            held.repo.cancel_backfill(backfill_id)
        held.gate.set()
        while (before := held.repo.get_backfill(backfill_id)).status == "in_progress":
            time.sleep(0.005)
        assert held.repo.cancel_backfill(backfill_id) is False
        assert held.repo.get_backfill(backfill_id) == before


def test_cancel_from_inside_an_asset():
    started = []

    @rs.Asset(partitions_def=MANY)
    def letter(context: rs.AssetExecutionContext):
        started.append(context.partition_key)
        if len(started) == 4:
            assert repo.cancel_backfill(context.run_id.split(".")[0]) is True

    repo = rs.CodeRepository([letter]).resolve(rs.Storage.memory())
    result = repo.backfill(partition_range=FEW, max_concurrency=1)
    assert started == KEYS[:4]
    assert (result.status, counts(result)) == ("canceled", (4, 0, 6))


def test_cancel_while_blocked_from_another_thread():
    with Held() as held:
        results = []
        waiter = threading.Thread(
            target=lambda: results.append(
                held.repo.backfill(partition_range=FEW, max_concurrency=2)
            )
        )
        waiter.start()
        held.two.wait(TIMEOUT)
        backfill_id = held.repo.storage._store.backfills()[0]["backfill_id"]
        assert held.repo.cancel_backfill(backfill_id) is True
        held.gate.set()
        waiter.join(TIMEOUT)
    assert counts(results[0]) == (1, 1, 8)


def test_cancel_seen_by_the_owner_in_another_process_within_a_second(tmp_path):
    path = tmp_path / "rivers.db"

    @rs.Asset(partitions_def=MANY)
    def slow():
        time.sleep(0.005)

    repo = rs.CodeRepository([slow]).resolve(rs.Storage.embedded(path))
    backfill_id = repo.backfill(partition_range=ALL, block=False).backfill_id
    told = run_script(OTHER_PROCESS, path, backfill_id)
    before = time.monotonic()
    assert (told.stdout.split(), told.stderr) == (["in_progress", "False"], "")
    while (status := repo.get_backfill(backfill_id)).status == "in_progress":
        assert time.monotonic() < before + 5
        time.sleep(0.01)
    done = counts(status)
    assert status.status == "canceled"
    assert sum(done) == len(KEYS)
    assert done[2] > 0
    assert len(repo.storage.get_materialized_partitions("slow")) == done[0]
    repo.close()


def test_cancel_in_another_repository_of_the_same_storage(tmp_path):
    with Held(rs.Storage.embedded(tmp_path / "rivers.db")) as held:
        backfill_id = held.begin()
        same = rs.Asset(lambda: None, name="held", partitions_def=MANY)
        other = rs.CodeRepository([same]).resolve(rs.Storage.embedded(tmp_path / "rivers.db"))
        assert other.cancel_backfill(backfill_id) is False
        assert other.get_backfill(backfill_id).status == "in_progress"
        with pytest.raises(ExecutionError, match="running"):
            other.resume_backfill(backfill_id)


@pytest.mark.parametrize("unknown", ["", "nonsense", "01a20619-0000-7000-8000-000000000000"])
def test_unknown_backfill(unknown):
    with Held() as held:
        for call in ("cancel_backfill", "rerun_backfill", "resume_backfill"):
            with pytest.raises(BackfillNotFoundError) as caught:
                getattr(held.repo, call)(unknown)
            assert isinstance(caught.value, KeyError)
            assert isinstance(caught.value, ExecutionError)
            assert repr(unknown) in str(caught.value)
        assert held.repo.get_backfill(unknown) is None


def test_a_manual_run_is_no_backfill():
    once = rs.Asset(lambda: None, name="once")
    repo = rs.CodeRepository([once]).resolve(rs.Storage.memory())
    run_of = repo.materialize().run_id.split(".")[0]
    for call in (repo.cancel_backfill, repo.rerun_backfill, repo.resume_backfill):
        with pytest.raises(BackfillNotFoundError):
            call(run_of)


def test_resume_refused_while_the_owner_lives_and_when_it_has_ended():
    with Held() as held:
        backfill_id = held.begin()
        with pytest.raises(ExecutionError, match="cancel_backfill"):
            held.repo.resume_backfill(backfill_id)
        held.repo.cancel_backfill(backfill_id)
        held.gate.set()
        while held.repo.get_backfill(backfill_id).status == "in_progress":
            time.sleep(0.005)
        with pytest.raises(ExecutionError, match="rerun_backfill"):
            held.repo.resume_backfill(backfill_id)
