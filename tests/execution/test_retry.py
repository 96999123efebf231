"""Retries: when, how often, and which parts of a run."""

import asyncio
import os
import sys

import cloudpickle
import pytest
from tests.support import letters, wait_until

import rivers as rs
from rivers.exceptions import AssetDefinitionError, ConfigurationError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETTERS = letters(3)
ALL = rs.PartitionKeyRange.single("a", "c")
TWICE = rs.RetryPolicy(2)


class AwayError(ConnectionError):
    pass


def note(path, text):
    with path.open("a") as file:
        file.write(f"{text}\n")
    return path.read_text().splitlines().count(text)


def statuses(repository, result):
    return repository.backfill_runs(result.backfill_id)["status"].to_list()


def attempts(repository, result):
    runs = repository.backfill_runs(result.backfill_id)["attempts"].to_list()
    assert repository.backfill_partitions(result.backfill_id)["attempts"].to_list() == runs
    return runs


def executors():
    return [rs.Executor.in_process(), rs.Executor.parallel(2)]


# -- the policy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (rs.Backoff.constant(3), [3, 3, 3]),
        (rs.Backoff.linear(10), [10, 20, 30]),
        (rs.Backoff.linear(10, initial=5, max_delay=20), [15, 20, 20]),
        (rs.Backoff.exponential(1), [1, 2, 4]),
        (rs.Backoff.exponential(2, factor=3, max_delay=10), [2, 6, 10]),
        (rs.Backoff.fixed([1, 60]), [1, 60, 60]),
    ],
)
def test_a_backoff_says_how_long_to_wait(backoff, waits):
    assert [backoff.seconds(failures) for failures in (1, 2, 3)] == waits


def test_a_backoff_stays_finite_and_jitter_within_its_share():
    assert rs.Backoff.exponential(1, factor=1e6).seconds(4_000_000_000) == 366 * 86_400
    waits = {rs.Backoff.constant(10, jitter=0.5).seconds(1) for _ in range(200)}
    assert len(waits) > 1
    assert 5 <= min(waits) < max(waits) <= 15


@pytest.mark.parametrize(
    "make",
    [
        lambda: rs.Backoff.constant(-1),
        lambda: rs.Backoff.constant("1"),
        lambda: rs.Backoff.constant(float("nan")),
        lambda: rs.Backoff.linear(1, jitter=2),
        lambda: rs.Backoff.exponential(1, max_delay=-1),
        lambda: rs.Backoff.fixed([]),
        lambda: rs.RetryPolicy(-1),
        lambda: rs.RetryPolicy(1.5),
        lambda: rs.RetryPolicy(1, backoff=5),
        lambda: rs.RetryPolicy(1, retry_on=[]),
        lambda: rs.RetryPolicy(1, retry_on=ValueError),
        lambda: rs.RetryPolicy(1, retry_on=[3]),
        lambda: rs.CodeRepository([], default_retry_policy=3),
    ],
)
def test_what_is_no_policy_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def test_a_retry_that_is_no_policy_is_refused(repo):
    with pytest.raises(AssetDefinitionError, match="RetryPolicy"):
        rs.Asset(lambda: None, name="a", retry=3)
    with pytest.raises(ConfigurationError, match="RetryPolicy"):
        repo(LETTERS).backfill(partition_range=ALL, retry=3)


def test_a_policy_covers_subclasses_by_name_and_comes_back_from_json():
    policy = rs.RetryPolicy(3, rs.Backoff.fixed([1, 2]), retry_on=[OSError])
    again = rs.RetryPolicy.from_json(policy.to_json())
    assert again == policy
    assert [again.wait(AwayError(), failures) for failures in (1, 2, 3, 4)] == [1, 2, 2, None]
    assert again.wait(ValueError(), 1) is None
    assert rs.RetryPolicy().wait(SystemExit(), 1) is None


# -- attempts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", executors(), ids=["threads", "processes"])
def test_a_run_is_attempted_until_it_completes(repo, tmp_path, executor):
    calls = tmp_path / "calls"

    @rs.Asset(partitions_def=LETTERS, retry=TWICE)
    def flaky(context: rs.AssetExecutionContext):
        seen = note(calls, context.partition_key)
        assert context.attempt == seen
        if context.partition_key == "b" and seen < 3:
            raise AwayError

    repository = repo(flaky, default_executor=executor)
    result = repository.backfill(partition_range=ALL)
    assert (result.status, result.completed) == ("completed", 3)
    assert attempts(repository, result) == [1, 3, 1]


def test_async_functions_are_attempted_again(repo):
    calls = []

    @rs.Asset(partitions_def=LETTERS, retry=rs.RetryPolicy(1, rs.Backoff.constant(0.01)))
    async def flaky(context: rs.AssetExecutionContext):
        await asyncio.sleep(0)
        calls.append(context.partition_key)
        if calls.count(context.partition_key) < 2:
            raise AwayError

    repository = repo(flaky)
    result = repository.backfill(partition_range=ALL)
    assert attempts(repository, result) == [2, 2, 2]
    assert result.status == "completed"


@pytest.mark.parametrize("executor", executors(), ids=["threads", "processes"])
def test_after_the_last_attempt_the_run_has_failed(repo, tmp_path, executor):
    calls = tmp_path / "calls"

    @rs.Asset(partitions_def=LETTERS, retry=TWICE)
    def flaky(context: rs.AssetExecutionContext):
        msg = f"attempt {note(calls, context.partition_key)}"
        raise AwayError(msg)

    repository = repo(flaky, default_executor=executor)
    result = repository.backfill(partition_range=ALL)
    assert (result.status, result.failed) == ("failed", 3)
    assert attempts(repository, result) == [3, 3, 3]
    runs = repository.backfill_runs(result.backfill_id)
    assert runs["error"].to_list() == ["attempt 3"] * 3
    # Failures of earlier attempts are not counted as errors.
    assert repository.backfill_errors(result.backfill_id)["count"].to_list() == [3]


def test_other_exceptions_are_not_tried_again(repo):
    @rs.Asset(partitions_def=LETTERS, retry=rs.RetryPolicy(2, retry_on=[AwayError]))
    def wrong():
        raise ConnectionError

    repository = repo(wrong)
    result = repository.backfill(partition_range=ALL)
    assert (result.failed, attempts(repository, result)) == (3, [1, 1, 1])


def test_the_call_goes_before_the_asset_and_that_before_the_repository(repo):
    def fail():
        raise AwayError

    own = rs.Asset(fail, name="own", partitions_def=LETTERS, retry=rs.RetryPolicy(1))
    without = rs.Asset(fail, name="without", partitions_def=LETTERS)
    repository = repo(own, without, default_retry_policy=TWICE)
    for names, retry, expected in (
        (["own"], None, 2),
        (["without"], None, 3),
        (["own"], rs.RetryPolicy(3), 4),
        (["without"], rs.RetryPolicy(0), 1),
    ):
        result = repository.backfill(names, partition_range=ALL, retry=retry)
        assert attempts(repository, result) == [expected] * 3


def test_a_rerun_keeps_the_policy_of_the_call(repo):
    calls = []

    @rs.Asset(partitions_def=LETTERS)
    def flaky():
        calls.append(1)
        if len(calls) < 8:
            raise AwayError

    repository = repo(flaky)
    first = repository.backfill(partition_range=ALL, retry=rs.RetryPolicy(1), max_concurrency=1)
    assert (first.failed, len(calls)) == (3, 6)
    again = repository.rerun_backfill(first.backfill_id)
    assert (again.completed, sum(attempts(repository, again))) == (3, 4)


def test_materialize_tries_again(repo):
    calls = []

    @rs.Asset(retry=TWICE)
    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise AwayError
        return len(calls)

    repository = repo(flaky)
    assert repository.materialize().success
    assert repository.load_node("flaky") == 3


# -- waiting ---------------------------------------------------------------------------------------


@pytest.mark.timeout(30)
def test_a_run_that_waits_holds_no_slot_and_can_be_canceled(repo):
    done = []

    @rs.Asset(partitions_def=LETTERS, retry=rs.RetryPolicy(1, rs.Backoff.constant(3_600)))
    def flaky(context: rs.AssetExecutionContext):
        if context.partition_key == "a":
            msg = "later"
            raise AwayError(msg)
        done.append(context.partition_key)

    repository = repo(flaky)
    result = repository.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(
        lambda: len(done) == 2 and statuses(repository, result) == ["waiting"] + ["completed"] * 2
    )
    runs = repository.backfill_runs(result.backfill_id, status="waiting")
    assert runs.select("run", "attempts", "error").rows() == [(0, 1, "later")]
    partitions = repository.backfill_partitions(result.backfill_id)
    assert partitions["status"].to_list() == ["pending", "completed", "completed"]
    assert partitions["attempts"].to_list() == [1, 1, 1]
    assert repository.cancel_backfill(result.backfill_id)
    wait_until(lambda: repository.get_backfill(result.backfill_id).status == "canceled")
    assert statuses(repository, result)[0] == "canceled"


def test_a_failure_that_is_tried_again_stops_nothing(repo):
    calls = []

    @rs.Asset(partitions_def=LETTERS, retry=TWICE)
    def flaky(context: rs.AssetExecutionContext):
        calls.append(context.partition_key)
        if context.partition_key == "b" or calls.count("a") < 2:
            raise AwayError

    repository = repo(flaky)
    result = repository.backfill(
        partition_range=ALL, max_concurrency=1, failure_policy="stop_on_failure"
    )
    assert calls.count("a") == 2
    assert calls.count("b") <= 3
    assert (result.status, result.failed >= 1) == ("failed", True)


# -- what of a run -------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", executors(), ids=["threads", "processes"])
def test_the_next_attempt_executes_what_failed_and_what_needs_it(repo, tmp_path, executor):
    calls = tmp_path / "calls"
    pickles = rs.PickleIOHandler(tmp_path / "values")

    def make(name, needs=(), fails=0):
        def fn(context: rs.AssetExecutionContext):
            if note(calls, name) <= fails:
                raise AwayError

        return rs.Asset(fn, name=name, partitions_def=LETTERS, deps=needs, io_handler=pickles)

    assets = [
        make("first"),
        make("flaky", ["first"], fails=2),
        make("after", ["flaky"]),
        make("broken", fails=9),
        make("behind", ["broken"]),
        make("beside"),
    ]
    repository = repo(*assets, default_executor=executor)
    result = repository.backfill(
        partition_keys=[rs.PartitionKey.single("a")], retry=rs.RetryPolicy(3)
    )
    count = calls.read_text().splitlines().count
    names = ["first", "flaky", "after", "broken", "behind", "beside"]
    assert [count(name) for name in names] == [1, 3, 1, 4, 0, 1]
    assert (result.status, attempts(repository, result)) == ("failed", [4])
    materialized = {
        name: repository.partition_status(name, status="materialized").height for name in names
    }
    assert materialized == {name: int(name not in ("broken", "behind")) for name in names}


def test_a_value_that_a_process_forgets_is_made_again(repo, tmp_path):
    calls = tmp_path / "calls"

    @rs.Asset(partitions_def=LETTERS)
    def source(context: rs.AssetExecutionContext):
        return note(calls, context.partition_key)

    @rs.Asset(partitions_def=LETTERS, retry=TWICE)
    def flaky(source):
        if source < 3:
            raise AwayError

    repository = repo(source, flaky, default_executor=rs.Executor.parallel(2))
    result = repository.backfill(partition_range=ALL)
    assert (result.completed, attempts(repository, result)) == (3, [3, 3, 3])


def test_marks_of_a_failed_attempt_do_not_stay(repo):
    seen = []

    @rs.Asset(partitions_def=LETTERS, retry=TWICE)
    def flaky(context: rs.AssetExecutionContext):
        seen.append(context.partition.keys)
        if len(seen) == 1:
            context.mark_partition_failed("a", "not yet")
            raise AwayError
        context.mark_partition_failed("c", "never")

    result = repo(flaky).backfill(partition_range=ALL, strategy=rs.BackfillStrategy.single_run())
    assert (result.completed, result.failed) == (2, 1)
    assert [len(keys) for keys in seen] == [3, 3]


def test_a_run_whose_process_died_is_attempted_again(repo, tmp_path):
    calls = tmp_path / "calls"

    @rs.Asset(partitions_def=LETTERS, retry=rs.RetryPolicy(1))
    def deadly(context: rs.AssetExecutionContext):
        if note(calls, context.partition_key) == 1 and context.partition_key == "b":
            os._exit(3)

    repository = repo(deadly, default_executor=rs.Executor.parallel(1))
    result = repository.backfill(partition_range=ALL)
    assert (result.completed, attempts(repository, result)) == (3, [1, 2, 1])


# -- at its time -----------------------------------------------------------------------------------

NUMBERS = rs.PartitionsDefinition.static_([f"{number:04d}" for number in range(1_000)])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["threads", "processes", "async"])
def test_an_attempt_does_not_wait_for_the_slow_run_behind_it(repo, tmp_path, kind):
    again = tmp_path / "again"

    def visit(context):
        if context.partition_key == "0900" and context.attempt == 1:
            raise AwayError
        if context.partition_key == "0900":
            again.touch()
        return context.partition_key == "0901"

    def fn(context: rs.AssetExecutionContext):
        if visit(context):
            wait_until(again.exists)

    async def later(context: rs.AssetExecutionContext):
        if visit(context):
            while not again.exists():  # noqa: ASYNC110  (another process may make it)
                await asyncio.sleep(0.001)

    asset = rs.Asset(
        later if kind == "async" else fn,
        name="visited",
        partitions_def=NUMBERS,
        retry=rs.RetryPolicy(1, rs.Backoff.constant(0.01)),
    )
    executor = rs.Executor.parallel(2) if kind == "processes" else rs.Executor.in_process()
    repository = repo(asset, default_executor=executor)
    everything = rs.PartitionKeyRange.single("0000", "0999")
    assert repository.backfill(partition_range=everything, max_concurrency=2).completed == 1_000


def test_a_manual_run_takes_a_retry_policy_by_its_name(repo):
    calls = []

    @rs.Asset
    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError("not yet")
        return len(calls)

    quick = rs.RetryPolicy(5, rs.Backoff.constant(0.001))
    made = repo(flaky, retries={"net": quick})
    assert made.materialize(retry="net").success
    assert len(calls) == 3
    with pytest.raises(rs.exceptions.ConfigurationError, match="net"):
        made.materialize(retry="nett")
