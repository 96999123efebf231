"""Functions that Rust calls: whatever they do, it has the same effect as if Python called them."""

import asyncio
import logging
import random
import sys

import pytest
from tests.support import TIMEOUT

import rivers as rs
from rivers.execution import log_context
from rivers.execution.direct import OFF
from rivers.execution.runner import Program

KEYS = [f"k{number:02}" for number in range(40)]
LETTERS = rs.PartitionsDefinition.static_(KEYS)


def skip(context, key):
    raise rs.Skip("closed")


def fail(context, key):
    raise ValueError(f"bad {key}")


def leave(context, key):
    raise SystemExit(3)


def log(context, key):
    context.log.info("about %s", key)
    raise KeyError("logged")


def mark_and_return(context, key):
    context.mark_partition_failed(key, OSError("lost"))
    return 1


def look(context, key):
    assert context.run_id.endswith(f".{KEYS.index(key)}")
    assert context.attempt == 1
    assert [str(each) for each in context.partition.keys] == [key]


HOWS = {
    "nothing": lambda context, key: None,
    "value": lambda context, key: key,
    "fail": fail,
    "leave": leave,
    "skip": skip,
    "mark": lambda context, key: context.mark_partition_failed(key, "wrong"),
    "mark and return": mark_and_return,
    "skip a partition": lambda context, key: context.skip_partition(key, "nothing there"),
    "facts": lambda context, key: context.add_output_metadata({"rows": 3}),
    "log": log,
    "look": look,
    "output": lambda context, key: rs.Output(5, metadata={"n": 1}),
    "materialization": lambda context, key: rs.Materialization(metadata={"n": 2}),
    "generator": lambda context, key: (number for number in [1]),
}
"""What a function may do in a run."""


def plain(hows, inner):
    def function(context: rs.AssetExecutionContext):
        inner.append(sys._getframe(1).f_code.co_name)
        return HOWS[hows[context.partition_key]](context, context.partition_key)

    return function


def on_a_loop(hows, inner):
    async def function(context: rs.AssetExecutionContext):
        inner.append(sys._getframe(1).f_code.co_name)
        if hows[context.partition_key] in {"value", "fail", "facts"}:
            await asyncio.sleep(0.001)
        return HOWS[hows[context.partition_key]](context, context.partition_key)

    return function


def recorded(make, hows, executor):
    """What a backfill of two assets leaves behind, and which function of the package called theirs."""
    callers = []
    first = rs.Asset(make(hows, callers), partitions_def=LETTERS, name="first")
    second = rs.Asset(
        make(dict.fromkeys(KEYS, "nothing"), callers), partitions_def=LETTERS, name="second",
        deps=[first],
    )  # fmt: skip
    storage = rs.Storage.memory()
    with rs.CodeRepository([first, second], default_executor=executor).resolve(storage) as repo:
        result = repo.backfill(
            partition_range=rs.PartitionKeyRange.single(KEYS[0], KEYS[-1]), max_concurrency=2
        )
        events = [
            (name, event.event_type, str(event.partition_key), dict(event.metadata or {}))
            for name in ("first", "second")
            for event in storage.get_events_for_asset(name, limit=1_000)
        ]
        errors = repo.backfill_errors(result.backfill_id)
        columns = ["error_type", "message", "asset"]
        shown = [column for column in columns if column in errors.columns]
        tables = [
            repo.partition_status(name, metadata=True).drop(
                "backfill_id", "updated_at", strict=False
            )
            for name in ("first", "second")
        ]
        status = result.status, result.completed, result.failed
        statuses = [table.select(["status"]).rows() for table in tables]
        return (
            status,
            sorted(map(repr, events)),
            sorted(errors.select(shown).rows()),
            statuses,
            callers,
        )


@pytest.fixture(autouse=True)
def no_filters(monkeypatch):
    """Forgets filters of other tests and examples, for which runs would be followed in Python."""
    monkeypatch.setattr(log_context, "filters", set())


@pytest.mark.parametrize("make", [plain, on_a_loop])
@pytest.mark.parametrize("seed", range(3))
def test_both_ways_to_call_a_function_leave_the_same_behind(make, seed, monkeypatch):
    chosen = random.Random(seed)
    hows = {key: chosen.choice(list(HOWS)) for key in KEYS}
    monkeypatch.delenv(OFF, raising=False)
    direct = recorded(make, hows, rs.Executor.in_process())
    monkeypatch.setenv(OFF, "1")
    python = recorded(make, hows, rs.Executor.in_process())
    for one, other in zip(direct[:-1], python[:-1], strict=True):
        assert one == other
    assert "_runs" in direct[-1]
    assert "_runs" not in python[-1]


def test_worker_processes_call_functions_both_ways(monkeypatch, tmp_path):
    def leave(key):
        (tmp_path / key).touch()

    @rs.Asset(partitions_def=LETTERS)
    def visited(context: rs.AssetExecutionContext) -> None:
        leave(f"{context.partition_key}-{sys._getframe(1).f_code.co_name}")

    def names():
        with rs.CodeRepository([visited], default_executor=rs.Executor.parallel(2)).resolve(
            rs.Storage.memory()
        ) as repo:
            repo.backfill(partition_range=rs.PartitionKeyRange.single(KEYS[0], KEYS[-1]))
        found = sorted(path.name for path in tmp_path.iterdir())
        for path in tmp_path.iterdir():
            path.unlink()
        return found

    monkeypatch.delenv(OFF, raising=False)
    assert names() == [f"{key}-_runs" for key in KEYS]
    monkeypatch.setenv(OFF, "1")
    assert names() == [f"{key}-execute" for key in KEYS]


def test_a_context_that_is_kept_still_describes_its_run():
    kept = []

    @rs.Asset(partitions_def=LETTERS)
    def keeping(context: rs.AssetExecutionContext) -> None:
        kept.append(context)

    with rs.CodeRepository([keeping]).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(partition_range=rs.PartitionKeyRange.single(KEYS[0], KEYS[-1]))
    assert sorted(context.partition_key for context in kept) == KEYS
    numbers = sorted(int(context.run_id.rpartition(".")[2]) for context in kept)
    assert numbers == list(range(len(KEYS)))
    assert {context.run_id.rpartition(".")[0] for context in kept} == {result.backfill_id}


def test_what_a_kept_context_marks_after_its_run_changes_nothing():
    kept = []

    @rs.Asset(partitions_def=LETTERS)
    def keeping(context: rs.AssetExecutionContext) -> None:
        for old in kept:
            old.mark_partition_failed(old.partition_key, "too late")
        kept[:] = [context]

    with rs.CodeRepository([keeping]).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(partition_range=rs.PartitionKeyRange.single(KEYS[0], KEYS[-1]))
    assert (result.completed, result.failed) == (len(KEYS), 0)


def test_a_log_record_of_a_worker_names_the_run_of_a_function_called_from_rust(caplog):
    @rs.Asset(partitions_def=LETTERS)
    def logging_asset() -> None:
        logging.getLogger("mine").warning("hello")

    with (
        caplog.at_level(logging.WARNING, "mine"),
        rs.CodeRepository([logging_asset], default_executor=rs.Executor.parallel(1)).resolve(
            rs.Storage.memory()
        ) as repo,
    ):
        repo.backfill(partition_range=rs.PartitionKeyRange.single(KEYS[0], KEYS[-1]))
    records = [record for record in caplog.records if record.name == "mine"]
    assert sorted(record.partition for record in records) == KEYS
    assert {record.asset for record in records} == {"logging_asset"}


def test_a_coroutine_that_waits_can_be_timed_out_by_its_own_code():
    seen = []

    @rs.Asset(partitions_def=LETTERS)
    async def waiting(context: rs.AssetExecutionContext) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(TIMEOUT)
        except TimeoutError:
            seen.append(context.partition_key)

    with rs.CodeRepository([waiting]).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(
            partition_range=rs.PartitionKeyRange.single(KEYS[0], KEYS[3]), max_concurrency=2
        )
    assert (result.completed, sorted(seen)) == (4, KEYS[:4])


def test_the_next_attempt_of_a_run_is_called_from_rust_unless_the_last_one_left_something(
    monkeypatch,
):
    in_python = []
    step = Program._step

    def counted(self, own, run):
        in_python.append(own.name)
        return step(self, own, run)

    monkeypatch.setattr(Program, "_step", counted)
    attempts = []

    @rs.Asset(partitions_def=LETTERS, retry=rs.RetryPolicy(max_retries=2))
    def stumbling(context):
        attempts.append((context.partition_key, context.attempt))
        if context.attempt == 1:
            raise ValueError

    @rs.Asset(partitions_def=LETTERS)
    def first():
        pass

    @rs.Asset(partitions_def=LETTERS, deps=["first"], retry=rs.RetryPolicy(max_retries=1))
    def second(context):
        if context.attempt == 1:
            raise ValueError

    def backfilled(*assets):
        with rs.CodeRepository(list(assets)).resolve(rs.Storage.memory()) as repo:
            result = repo.backfill(partition_range=rs.PartitionKeyRange.single(KEYS[0], KEYS[-1]))
            assert (result.status, result.failed) == ("completed", 0)

    backfilled(stumbling)
    assert sorted(attempts) == [(key, attempt) for key in KEYS for attempt in (1, 2)]
    assert not in_python
    backfilled(first, second)  # The second attempt of a run leaves out its first step.
    assert {"first", "second"} >= set(in_python) > set()
