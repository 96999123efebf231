"""Concurrency: how many runs are in flight, and in which order they start."""

import sys
import threading
import time
from contextlib import closing, contextmanager
from multiprocessing.connection import Client, Listener

import cloudpickle
import pytest
from tests.support import TIMEOUT, counts, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

KEYS = [f"k{number:03}" for number in range(200)]
MANY = rs.PartitionsDefinition.static_(KEYS)


class Meeting:
    """Counts the calls that are inside at once; with a `party`, a call waits until that many are inside."""

    def __init__(self, party=1):
        self.lock, self.inside, self.peak, self.entered = threading.Lock(), 0, 0, []
        self.barrier = threading.Barrier(party)

    def enter(self, key):
        with self.lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            self.entered.append(key)
        self.barrier.wait(TIMEOUT)

    def leave(self, key):
        with self.lock:
            self.inside -= 1


class Away:
    """A meeting used from another process: it sends requests to the process that has the meeting."""

    def __init__(self, address):
        self.address = address

    def enter(self, key):
        with Client(self.address) as connection:
            connection.send(("enter", key))
            assert connection.recv() == "done"

    def leave(self, key):
        with Client(self.address) as connection:
            connection.send(("leave", key))
            assert connection.recv() == "done"


@contextmanager
def served(meeting):
    def answer(connection):
        with connection:
            verb, key = connection.recv()
            getattr(meeting, verb)(key)
            connection.send("done")

    def serve():
        while True:
            connection = listener.accept()
            if stopped.is_set():
                return connection.close()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    stopped = threading.Event()
    with closing(Listener(family="AF_UNIX")) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield Away(listener.address)
        stopped.set()
        Client(listener.address).close()
        server.join()


@pytest.fixture(params=["threads", "processes"])
def hold(request):
    """Runs partitions in a meeting, in this process or in others, and returns the result."""

    def backfill(meeting, number, function=None, workers=8, **kwargs):
        def letter(context: rs.AssetExecutionContext):
            key = context.partition_key
            there.enter(key)
            try:
                if function is not None:
                    function(key)
            finally:
                there.leave(key)

        asset = rs.Asset(letter, partitions_def=MANY)
        executor = None if request.param == "threads" else rs.Executor.parallel(workers)
        kwargs.setdefault("partition_range", rs.PartitionKeyRange.single(KEYS[0], KEYS[number - 1]))
        with served(meeting) as there:
            if executor is None:
                there = meeting  # noqa: PLW2901  (threads meet here)
            with rs.CodeRepository([asset], default_executor=executor).resolve(
                rs.Storage.memory()
            ) as repo:
                return repo.backfill(**kwargs)

    backfill.threads = request.param == "threads"
    return backfill


@pytest.mark.parametrize("most", [1, 2, 4])
def test_max_concurrency_is_the_number_in_flight(hold, most):
    meeting = Meeting(party=most)
    result = hold(meeting, 12, max_concurrency=most)
    assert counts(result) == (12, 0, 0)
    assert meeting.peak == most


@pytest.mark.parametrize("most", [8, 100])
def test_max_concurrency_is_the_number_in_flight_for_threads(most):
    meeting = Meeting(party=most)

    @rs.Asset(partitions_def=MANY)
    def letter(context: rs.AssetExecutionContext):
        meeting.enter(context.partition_key)
        meeting.leave(context.partition_key)

    repo = rs.CodeRepository([letter]).resolve(rs.Storage.memory())
    keys = rs.PartitionKeyRange.single(KEYS[0], KEYS[2 * most - 1])
    assert repo.backfill(partition_range=keys, max_concurrency=most).completed == 2 * most
    assert meeting.peak == most


def test_max_concurrency_holds_when_runs_are_too_short_to_meet(hold):
    meeting = Meeting()
    result = hold(meeting, 200, max_concurrency=3)
    assert counts(result) == (200, 0, 0)
    assert meeting.peak <= 3


def test_workers_bound_a_larger_max_concurrency(hold):
    if hold.threads:
        pytest.skip("threads are not bounded")
    meeting = Meeting(party=2)
    assert counts(hold(meeting, 8, workers=2, max_concurrency=8)) == (8, 0, 0)
    assert meeting.peak == 2


def test_max_concurrency_is_each_backfills_own():
    meetings = {"one": Meeting(), "two": Meeting()}
    both = threading.Barrier(5)

    def body(context: rs.AssetExecutionContext):
        meeting = meetings[context.asset_name]
        meeting.enter(context.partition_key)
        both.wait(TIMEOUT)
        meeting.leave(context.partition_key)

    assets = [rs.Asset(body, name=name, partitions_def=MANY) for name in meetings]
    with rs.CodeRepository(assets).resolve(rs.Storage.memory()) as repo:
        for name, most in (("one", 2), ("two", 3)):
            keys = rs.PartitionKeyRange.single(KEYS[0], KEYS[10 * most - 1])
            repo.backfill([name], partition_range=keys, max_concurrency=most, block=False)
    assert [meetings[name].peak for name in ("one", "two")] == [2, 3]


@pytest.mark.parametrize("wrong", [0, -1, 1.0, "4", None, True, 1 << 40])
@pytest.mark.parametrize("dry_run", [False, True])
def test_max_concurrency_below_1_or_not_an_int_is_refused(wrong, dry_run):
    letter = rs.Asset(lambda: None, name="letter", partitions_def=MANY)
    repo = rs.CodeRepository([letter]).resolve(rs.Storage.memory())
    keys = rs.PartitionKeyRange.single(KEYS[0], KEYS[1])
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        repo.backfill(partition_range=keys, max_concurrency=wrong, dry_run=dry_run)
    assert repo.storage.get_runs() == []


def test_runs_start_in_order(hold):
    meeting = Meeting()

    def tarry(key):
        if key in ("k030", "k031", "k120"):
            time.sleep(0.05)  # Long enough that a run counts as slow.

    hold(meeting, 200, tarry, max_concurrency=1)
    assert meeting.entered == KEYS


def test_runs_of_explicit_keys_start_in_the_order_given(hold):
    meeting = Meeting()
    given = [KEYS[number * 37 % 60] for number in range(60)]
    keys = [rs.PartitionKey.single(key) for key in given]
    hold(meeting, 60, partition_range=None, partition_keys=keys, max_concurrency=1)
    assert meeting.entered == given


def test_a_slow_run_does_not_hold_back_others(hold):
    class Waiting(Meeting):
        others = threading.Semaphore(0)

        def leave(self, key):
            if key == "k100":
                for _ in range(199):
                    assert self.others.acquire(timeout=TIMEOUT)
            else:
                self.others.release()
            super().leave(key)

    assert counts(hold(Waiting(), 200, max_concurrency=2)) == (200, 0, 0)


def test_stop_on_failure_nothing_new_starts(hold):
    meeting = Meeting()

    def fail(key):
        if key == "k100":
            raise ValueError("boom")

    result = hold(meeting, 200, fail, max_concurrency=1, failure_policy="stop_on_failure")
    assert meeting.entered == KEYS[:101]
    assert (result.status, counts(result)) == ("failed", (100, 1, 99))


def test_stop_on_failure_what_is_in_flight_ends():
    started, seen = [], threading.Event()

    @rs.Asset(partitions_def=MANY)
    def letter(context: rs.AssetExecutionContext):
        started.append(context.partition_key)
        if len(started) == 2:
            seen.set()
            raise ValueError("boom")
        assert seen.wait(TIMEOUT)
        backfill_id = context.run_id.split(".")[0]
        while not repo.get_backfill(backfill_id).failed_partitions:
            time.sleep(0.005)

    keys = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
    with rs.CodeRepository([letter]).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(
            partition_range=keys, max_concurrency=2, failure_policy="stop_on_failure"
        )
    assert len(started) == 2
    assert (result.status, counts(result)) == ("failed", (1, 1, 198))


def test_continue_counts_add_up(hold):
    def fail(key):
        if int(key[1:]) % 7 == 0:
            raise ValueError("boom")

    result = hold(Meeting(), 200, fail, max_concurrency=4)
    assert (result.status, counts(result)) == ("failed", (171, 29, 0))


def test_few_threads_wait_for_more_runs(repo, monkeypatch):
    monkeypatch.setattr("rivers.execution.workers.IDLE_TIMEOUT_SECONDS", 1000.0)
    num_runs = 150
    together = threading.Barrier(num_runs)
    keys = [str(number) for number in range(num_runs)]
    waiting = rs.Asset(
        lambda: together.wait(60), name="w", partitions_def=rs.PartitionsDefinition.static_(keys)
    )
    repository = repo(waiting)
    result = repository.backfill(
        partition_range=rs.PartitionKeyRange.single(keys[0], keys[-1]), max_concurrency=num_runs
    )
    assert result.completed == num_runs
    # Each of them wakes up at its timeout, beside what else the process does by then.
    wait_until(lambda: sum(own.name == "rivers-worker" for own in threading.enumerate()) <= 64)
