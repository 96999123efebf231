"""The log: one line when a backfill starts, ends or stops, and what assets log."""

import logging
import threading

import pytest
from tests.support import TIMEOUT, letters, wait_until

import rivers as rs
from rivers.exceptions import ExecutionError

LETTERS = letters(3)
ALL = rs.PartitionKeyRange.single("a", "c")


@pytest.fixture
def lines(caplog):
    """Returns the library's log lines so far, without ids and durations."""
    caplog.set_level(logging.INFO, "rivers")

    def read(backfill_id="of which"):
        found = [
            (record.levelname, record.getMessage().replace(backfill_id, "ID"))
            for record in caplog.records
            if record.name == "rivers"
        ]
        return [(level, text.partition(", 0.")[0]) for level, text in found]

    return read


def test_a_line_when_a_backfill_starts_and_when_it_ends(repo, recording, lines):
    asset, _ = recording(LETTERS, name="x")
    result = repo(asset).backfill(partition_range=ALL)
    assert lines(result.backfill_id) == [
        ("INFO", "backfill ID started: 3 partitions in 3 runs of x"),
        ("INFO", "backfill ID completed: 3 completed of 3 partitions"),
    ]


def test_a_failed_backfill_is_a_warning_with_the_first_failure(repo, caplog):
    def fail():
        raise ValueError("no")

    repository = repo(rs.Asset(fail, name="x", partitions_def=LETTERS))
    repository.backfill(partition_range=ALL, max_concurrency=1, failure_policy="stop_on_failure")
    (line,) = caplog.records
    text = line.getMessage()
    assert line.levelname == "WARNING"
    assert " failed: 0 completed, 1 failed, 2 canceled of 3 partitions, " in text
    assert 'the asset "x" failed for the partition "a": ValueError: no' in text


def test_the_end_of_a_background_backfill_is_logged_once(repo, recording, lines):
    asset, _ = recording(LETTERS, name="x")
    repository = repo(asset)
    launched = repository.backfill(partition_range=ALL, block=False)
    wait_until(lambda: len(lines()) == 2)
    assert lines(launched.backfill_id)[1:] == [
        ("INFO", "backfill ID completed: 3 completed of 3 partitions")
    ]
    repository.close()
    assert len(lines()) == 2


def test_a_canceled_backfill_is_logged_before_close_returns(repo, lines):
    gate, begun = threading.Event(), threading.Event()

    def wait():
        begun.set()
        gate.wait(TIMEOUT)

    repository = repo(rs.Asset(wait, name="x", partitions_def=LETTERS))
    launched = repository.backfill(partition_range=ALL, max_concurrency=1, block=False)
    begun.wait(TIMEOUT)
    repository.cancel_backfill(launched.backfill_id)
    gate.set()
    repository.close()
    assert lines(launched.backfill_id)[1:] == [
        ("INFO", "backfill ID canceled: 1 completed, 2 canceled of 3 partitions")
    ]


def test_a_backfill_of_nothing_and_a_single_run(repo, recording, lines):
    asset, _ = recording(LETTERS, name="x")
    repository = repo(asset)
    repository.materialize(partition_key=rs.PartitionKey.single("a"))
    assert lines() == []
    keys = [rs.PartitionKey.single("a")]
    result = repository.backfill(partition_keys=keys, only_missing=True)
    assert [text for _, text in lines(result.backfill_id)] == [
        "backfill ID started: 0 partitions in 0 runs of x",
        "backfill ID completed: 0 completed of 0 partitions",
    ]


def test_a_backfill_that_is_taken_over(repo, lines):
    begun, gate = threading.Event(), threading.Event()

    def wait():
        begun.set()
        gate.wait(TIMEOUT)

    repository = repo(rs.Asset(wait, name="x", partitions_def=LETTERS))
    launched = repository.backfill(partition_range=ALL, max_concurrency=1, block=False)
    begun.wait(TIMEOUT)
    repository._runtime.abandon()
    gate.set()
    repository.resume_backfill(launched.backfill_id)
    assert lines(launched.backfill_id)[1:] == [
        ("INFO", "backfill ID taken over, its process is gone: 3 of 3 partitions are left"),
        ("INFO", "backfill ID completed: 3 completed of 3 partitions"),
    ]


def test_what_breaks_a_backfill_off_is_an_error(repo, lines):
    def name_itself(context):
        repository._runtime.engine.abort(key, "a worker broke off: no reason")

    repository = repo(rs.Asset(name_itself, name="x", partitions_def=LETTERS))
    key = 1
    with pytest.raises(ExecutionError, match="a worker broke off"):
        repository.backfill(partition_range=ALL, max_concurrency=1)
    (level, text) = lines()[-1]
    assert level == "ERROR"
    assert text.endswith("stopped here: a worker broke off: no reason")


def log_and_fail(context):
    for number in range(30):
        context.log.info("step %d", number)
    context.log.warning("odd: %s", context.partition_key)
    if context.partition_key != "a":
        raise ValueError("no")


async def log_and_fail_later(context):
    log_and_fail(context)


@pytest.mark.parametrize("fn", [log_and_fail, log_and_fail_later])
@pytest.mark.parametrize("processes", [False, True])
def test_the_last_lines_of_a_failed_run_stand_below_its_traceback(tmp_path, fn, processes):
    executor = rs.Executor.parallel(1) if processes else None
    asset = rs.Asset(fn, name="x", partitions_def=LETTERS)
    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    with rs.CodeRepository([asset], default_executor=executor).resolve(storage) as repository:
        result = repository.backfill(partition_keys=[rs.PartitionKey.single("b")])
        (trace,) = repository.backfill_errors(result.backfill_id)["traceback"]
    before, _, after = trace.partition("\nThe last lines of its log:\n")
    assert before.rstrip().endswith("ValueError: no")
    assert after.splitlines() == [
        *(f"  INFO: step {number}" for number in range(11, 30)),
        "  WARNING: odd: b",
    ]


def test_log_records_of_an_asset_have_its_source_position(repo, caplog):
    caplog.set_level(logging.WARNING)
    asset = rs.Asset(log_and_fail, name="x", partitions_def=LETTERS)
    repo(asset).backfill(partition_keys=[rs.PartitionKey.single("a")])
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("rivers.assets.x", "odd: a")
    assert record.funcName == "log_and_fail"


def test_a_line_that_cannot_be_shown_does_not_hide_the_failure(repo):
    def fail(context):
        context.log.debug("%d", "no number")
        raise ValueError("no")

    asset = rs.Asset(fail, name="x", partitions_def=LETTERS)
    repository = repo(asset)
    with pytest.raises(ExecutionError, match="ValueError: no"):
        repository.materialize(partition_key=rs.PartitionKey.single("a"))
