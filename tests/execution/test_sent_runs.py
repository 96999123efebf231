"""An executor whose workers share no memory with the engine: ranges of runs are sent, reports come back.

It is what an executor on other machines does. Here the workers are threads that see only what was
pickled, or processes that are started for one range each.
"""

import os
import pickle
import subprocess
import sys
from collections import Counter

import cloudpickle
import pytest
from tests.support import counts, wait_until

import rivers as rs
from rivers._rivers import WorkerBatch
from rivers.exceptions import ExecutionError
from rivers.execution.runner import Program
from rivers.execution.worker import execute_batch
from rivers.execution.workers import Workers

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETTERS = ["a", "b", "c", "d", "e", "f", "g", "h"]
ALL_RUNS = (1 << 63) - 1


def execute_message(message):
    """Executes the runs that a worker was sent."""
    pickled, spec, sent, prior_attempts = pickle.loads(message)
    return execute_batch(Program.unpickle(pickled), WorkerBatch(spec, sent, prior_attempts))


def in_this_process(message):
    return execute_message(message)


def in_a_new_process(message):
    code = (
        "import sys, pickle; function, message = pickle.load(sys.stdin.buffer); "
        "sys.stdout.buffer.write(function(message))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=cloudpickle.dumps((execute_message, message)),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ChildProcessError(f"exit code {done.returncode}: {done.stderr.decode()}")
    return done.stdout


class Sending(rs.Executor):
    """Sends ranges of runs to `call`, which returns the report or raises if the worker died."""

    def __init__(self, call, capacity=2, isolation="process"):
        self._call, self._capacity, self._isolation = call, capacity, isolation
        self.sent = []

    @property
    def capacity(self):
        return self._capacity

    @property
    def isolation(self):
        return self._isolation

    def start(self, engine):
        return SendingWorkers(engine, self._call, self.sent)


class SendingWorkers(Workers):
    def __init__(self, engine, call, sent):
        super().__init__(engine)
        self._call, self._sent = call, sent

    def execute(self, batch, program):
        max_runs = ALL_RUNS
        while (sent := batch.send(max_runs)) is not None:
            self._sent.append(sent)
            message = pickle.dumps((program.pickled, batch.spec, sent, batch.prior_attempts()))
            try:
                report = self._call(message)
            except ChildProcessError as error:
                if batch.reclaim() is None:
                    max_runs = 1  # One after another, to find the run that the worker died of.
                elif (run := next(batch, None)) is not None:
                    program.fail_lost(run, program.layers[run.layer][0].index, error)
            else:
                batch.receive(report)

    def cancel(self, backfill_key):
        pass

    def close(self):
        pass


def letters(**options):
    return rs.Asset(partitions_def=rs.PartitionsDefinition.static_(LETTERS), **options)


@pytest.fixture
def sending():
    """Makes a repository whose runs are sent, and closes it."""
    made = []

    def make(*assets, call=in_this_process, **options):
        executor = Sending(call, **options)
        repo = rs.CodeRepository(list(assets), default_executor=executor).resolve(
            rs.Storage.memory()
        )
        made.append(repo)
        return repo, executor

    yield make
    for repo in made:
        repo.close()


@pytest.fixture
def calls(tmp_path):
    """A file to which functions append the keys that they are called for."""

    class Calls:
        path = tmp_path / "calls"

        def add(self, key):
            with self.path.open("a") as file:
                file.write(f"{key}\n")

        def keys(self):
            return self.path.read_text().split() if self.path.exists() else []

    return Calls()


def everything():
    return rs.PartitionKeyRange.single(LETTERS[0], LETTERS[-1])


def test_each_partition_is_executed_once(sending, calls):
    @rs.Asset(partitions_def=rs.PartitionsDefinition.static_([str(n) for n in range(3000)]))
    def numbers(context):
        calls.add(context.partition_key)

    repo, executor = sending(numbers)
    result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "2999"))
    assert counts(result) == (3000, 0, 0)
    assert Counter(calls.keys()) == Counter(str(n) for n in range(3000))
    assert max(end - first for first, end in executor.sent) > 1, "runs travel in ranges"


def test_the_workers_can_be_processes_that_share_nothing_else(sending, calls):
    @letters()
    def asset(context):
        calls.add(context.partition_key)

    repo, _ = sending(asset, call=in_a_new_process)
    assert counts(repo.backfill(partition_range=everything())) == (8, 0, 0)
    assert sorted(calls.keys()) == LETTERS


def test_a_failure_stops_the_backfill_and_the_runs_behind_it_do_not_start(sending, calls):
    @letters()
    def asset(context):
        calls.add(context.partition_key)
        if context.partition_key == "c":
            raise ValueError("no c")

    repo, _ = sending(asset, capacity=1)
    result = repo.backfill(partition_range=everything(), failure_policy="stop_on_failure")
    assert counts(result) == (2, 1, 5)
    assert calls.keys() == ["a", "b", "c"]


def test_a_retry_knows_the_attempts_before_it(sending, calls):
    @letters(retry=rs.RetryPolicy(max_retries=2))
    def asset(context):
        calls.add(f"{context.partition_key}{context.attempt}")
        if context.partition_key == "b" and context.attempt < 3:
            raise ValueError("not yet")

    repo, _ = sending(asset, capacity=1)
    assert counts(repo.backfill(partition_range=everything())) == (8, 0, 0)
    assert sorted(calls.keys()) == sorted([*(f"{key}1" for key in LETTERS), "b2", "b3"])


def test_a_run_that_kills_its_worker_fails_alone(sending, calls):
    @letters()
    def asset(context):
        calls.add(context.partition_key)

    died = []

    def call(message):
        """A worker that dies when it is sent the run of `f`, with whatever else it was sent."""
        _, _, (first, end), _ = pickle.loads(message)
        if first <= LETTERS.index("f") < end:
            died.append((first, end))
            raise ChildProcessError("it died")
        return execute_message(message)

    repo, _ = sending(asset, call=call, capacity=1)
    result = repo.backfill(partition_range=everything())
    assert counts(result) == (7, 1, 0)
    assert sorted(calls.keys()) == [key for key in LETTERS if key != "f"]
    assert died[-1] == (5, 6), "it was sent alone in the end"
    errors = repo.backfill_errors(result.backfill_id)
    assert errors["error_type"].to_list() == ["ChildProcessError"]


def test_a_process_that_exits_fails_the_run_that_it_executed(sending, calls):
    @letters()
    def asset(context):
        if context.partition_key == "d":
            os._exit(3)
        calls.add(context.partition_key)

    repo, _ = sending(asset, call=in_a_new_process, capacity=1)
    assert counts(repo.backfill(partition_range=everything())) == (7, 1, 0)
    assert set(calls.keys()) == set(LETTERS) - {"d"}


def test_a_cancel_ends_what_was_sent_and_starts_nothing_more(sending, calls):
    gate = calls.path.with_name("gate")

    @letters()
    def asset(context):
        import time

        calls.add(context.partition_key)
        while not gate.exists():
            time.sleep(0.005)

    repo, _ = sending(asset, capacity=1)
    result = repo.backfill(partition_range=everything(), block=False)
    wait_until(calls.keys)
    repo.cancel_backfill(result.backfill_id)
    gate.touch()
    wait_until(lambda: repo.get_backfill(result.backfill_id).status == "canceled")
    assert calls.keys() == ["a"]
    assert repo.get_backfill(result.backfill_id).completed_partitions == 1


def test_values_must_reach_as_far_as_the_workers_are_apart(sending, tmp_path):
    handler = rs.PickleIOHandler(tmp_path / "values")

    @letters(io_handler=handler)
    def up(context):
        return context.partition_key

    window = rs.PartitionMapping.all_partitions()

    @letters(deps=[rs.AssetDef.input("up", window)])
    def down(context, up):
        return None

    repo, _ = sending(up, down, isolation="machine")
    with pytest.raises(ExecutionError, match=r"keeps it on one machine.*all machines reach"):
        repo.backfill(partition_range=everything())
    handler.reach = "anywhere"
    assert repo.backfill(partition_range=everything()).failed == 0


def test_another_isolation_is_refused(sending):
    @letters()
    def asset(context):
        return None

    repo, _ = sending(asset, isolation="continent")
    with pytest.raises(ValueError, match='"none", "process" or "machine"'):
        repo.backfill(partition_range=everything())
