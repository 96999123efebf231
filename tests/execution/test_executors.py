"""What holds wherever runs are executed: in threads, in processes, on a Ray cluster."""

import logging
import os
import sys
import time

import cloudpickle
from tests.support import counts, key, keys, letters, wait_until

import rivers as rs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

EIGHT = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


def failing_at(*failing, notes=None):
    """Makes an asset whose function raises for some partitions."""

    def asset(context):
        if notes is not None:
            notes.add(context.partition_key)
        if context.partition_key in failing:
            raise ValueError(f"not {context.partition_key}")

    return rs.Asset(asset, partitions_def=EIGHT)


def test_each_partition_is_executed_once(on_each_executor, notes):
    defined = rs.PartitionsDefinition.static_([str(number) for number in range(1_000)])

    @rs.Asset(partitions_def=defined)
    def numbers(context):
        notes.add(context.partition_key)

    repo = on_each_executor(numbers)
    result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "999"))
    assert counts(result) == (1_000, 0, 0)
    assert sorted(int(line[0]) for line in notes.lines()) == list(range(1_000))


def test_one_run_at_a_time_starts_in_order(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT)
    def asset(context):
        notes.add("start", context.partition_key)
        time.sleep(0.005)
        notes.add("end", context.partition_key)

    on_each_executor(asset).backfill(partition_range=ALL, max_concurrency=1)
    expected = [[word, letter] for letter in "abcdefgh" for word in ("start", "end")]
    assert notes.lines() == expected


def test_two_runs_at_a_time_are_two_and_never_more(on_each_executor, notes, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()

    @rs.Asset(partitions_def=EIGHT)
    def asset(context):
        own = inside / context.partition_key
        own.touch()
        deadline = time.monotonic() + 1
        most = 0
        while time.monotonic() < deadline and most < 2:
            most = max(most, len(list(inside.iterdir())))
            time.sleep(0.002)
        notes.add(most)
        time.sleep(0.01)
        own.unlink()

    on_each_executor(asset).backfill(partition_range=ALL, max_concurrency=2)
    assert max(int(line[0]) for line in notes.lines()) == 2


def test_a_value_passes_within_a_run(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT)
    def up(context):
        return context.partition_key * 2

    @rs.Asset(partitions_def=EIGHT)
    def down(up):
        notes.add(up)

    assert counts(on_each_executor(up, down).backfill(partition_range=ALL)) == (8, 0, 0)
    assert sorted(line[0] for line in notes.lines()) == [letter * 2 for letter in "abcdefgh"]


def test_a_failure_fails_its_partition_and_those_that_need_it(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT, deps=["asset"])
    def down(context):
        notes.add(context.partition_key)

    repo = on_each_executor(failing_at("c", "f"), down)
    result = repo.backfill(partition_range=ALL)
    assert counts(result) == (6, 2, 0)
    assert sorted(line[0] for line in notes.lines()) == list("abdegh")
    errors = repo.backfill_errors(result.backfill_id)
    assert errors["error_type"].to_list() == ["ValueError"]
    assert "ValueError: not" in repo.get_backfill(result.backfill_id).error
    assert counts(repo.rerun_backfill(result.backfill_id)) == (0, 2, 0)


def test_the_first_failure_stops_the_backfill(on_each_executor, notes):
    repo = on_each_executor(failing_at("c", notes=notes))
    result = repo.backfill(partition_range=ALL, max_concurrency=1, failure_policy="stop_on_failure")
    assert counts(result) == (2, 1, 5)
    assert [line[0] for line in notes.lines()] == ["a", "b", "c"]


def test_too_many_failures_stop_the_backfill(on_each_executor, notes):
    repo = on_each_executor(failing_at("b", "d", notes=notes))
    result = repo.backfill(partition_range=ALL, max_concurrency=1, max_failures=2)
    assert counts(result) == (2, 2, 4)
    assert [line[0] for line in notes.lines()] == ["a", "b", "c", "d"]


def test_partitions_of_a_run_are_marked_as_failed(on_each_executor):
    @rs.Asset(partitions_def=EIGHT, backfill_strategy=rs.BackfillStrategy.single_run())
    def asset(context):
        context.mark_partition_failed(key("b"), "bad")

    repo = on_each_executor(asset)
    result = repo.backfill(partition_range=ALL)
    assert counts(result) == (7, 1, 0)
    assert "bad" in repo.get_backfill(result.backfill_id).error


def test_skips_and_metadata_are_recorded(on_each_executor):
    # A value would be in the memory of a worker process, so that its partition would be missing.
    @rs.Asset(partitions_def=EIGHT)
    def asset(context) -> None:
        if context.partition_key == "b":
            raise rs.Skip("nothing there")
        context.add_output_metadata({"rows": 5})

    repo = on_each_executor(asset)
    result = repo.backfill(partition_range=ALL)
    assert counts(result) == (8, 0, 0)
    table = repo.backfill_partitions(result.backfill_id)
    assert table["status"].to_list().count("skipped") == 1
    facts = repo.partition_status("asset", metadata=True)["metadata"].to_list()
    assert sum("5" in str(each) for each in facts) == 7


def test_a_generator_yields_a_value_for_each_partition(on_each_executor):
    @rs.Asset(partitions_def=EIGHT, backfill_strategy=rs.BackfillStrategy.single_run())
    def asset(context):
        for number, own in enumerate(context.partition.keys):
            if number == 5:
                raise ValueError("no more")
            yield own, number

    assert counts(on_each_executor(asset).backfill(partition_range=ALL)) == (5, 3, 0)


def test_a_run_is_retried_and_knows_its_attempt(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT, retry=rs.RetryPolicy(max_retries=2))
    def asset(context):
        notes.add(context.partition_key, context.attempt)
        if context.partition_key == "b" and context.attempt < 3:
            raise ValueError("not yet")

    assert counts(on_each_executor(asset).backfill(partition_range=ALL)) == (8, 0, 0)
    assert sorted(line[1] for line in notes.lines() if line[0] == "b") == ["1", "2", "3"]
    assert len(notes.lines()) == 10


def test_a_pool_bounds_the_runs_of_two_backfills(on_each_executor, notes, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()

    def use(context):
        own = inside / f"{context.asset_name}-{context.partition_key}"
        own.touch()
        time.sleep(0.01)
        notes.add(len(list(inside.iterdir())))
        own.unlink()

    one, two = (
        rs.Asset(use, name=name, partitions_def=EIGHT, pool="db") for name in ("one", "two")
    )
    repo = on_each_executor(one, two, pool_limits={"db": 1})
    launched = [repo.backfill([name], partition_range=ALL, block=False) for name in ("one", "two")]
    for each in launched:
        assert counts(repo.wait_backfill(each.backfill_id)) == (8, 0, 0)
    assert {line[0] for line in notes.lines()} == {"1"}


def waiting(notes, gate):
    """Makes an asset whose runs wait for a file."""

    def asset(context):
        notes.add(context.partition_key)
        deadline = time.monotonic() + 30
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.002)

    return rs.Asset(asset, partitions_def=EIGHT)


def test_a_cancel_lets_runs_in_flight_end_and_starts_none(on_each_executor, notes, tmp_path):
    gate = tmp_path / "gate"
    repo = on_each_executor(waiting(notes, gate))
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(lambda: notes.path.exists() and notes.lines())
    assert repo.cancel_backfill(launched.backfill_id)
    time.sleep(0.1)
    gate.touch()
    status = repo.wait_backfill(launched.backfill_id)
    assert (status.status, counts(status)) == ("canceled", (1, 0, 7))
    assert [line[0] for line in notes.lines()] == ["a"]


def test_a_cancel_by_force_ends_runs_in_flight(on_each_executor, notes, tmp_path):
    repo = on_each_executor(waiting(notes, tmp_path / "never"))
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(lambda: notes.path.exists() and notes.lines())
    repo.cancel_backfill(launched.backfill_id, force_after=0.1)
    status = repo.wait_backfill(launched.backfill_id, timeout=20)
    assert (status.status, counts(status)) == ("canceled", (0, 0, 8))
    (tmp_path / "never").touch()


def test_a_pause_lets_runs_in_flight_end_and_starts_none(on_each_executor, notes):
    @rs.Asset(partitions_def=rs.PartitionsDefinition.static_([str(n) for n in range(200)]))
    def slow(context):
        notes.add(context.partition_key)
        time.sleep(0.01)

    repo = on_each_executor(slow)
    span = rs.PartitionKeyRange.single("0", "199")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: notes.path.exists() and len(notes.lines()) > 5)
    repo.pause_backfill(launched.backfill_id)
    time.sleep(0.25)
    before = len(notes.lines())
    time.sleep(0.25)
    assert len(notes.lines()) == before < 200
    repo.unpause_backfill(launched.backfill_id)
    assert counts(repo.wait_backfill(launched.backfill_id)) == (200, 0, 0)
    assert len(notes.lines()) == 200


def test_a_slow_run_holds_back_none_of_those_behind_it(on_each_executor, notes, tmp_path):
    defined = rs.PartitionsDefinition.static_([str(number) for number in range(300)])
    gate = tmp_path / "gate"

    @rs.Asset(partitions_def=defined)
    def asset(context):
        if context.partition_key == "150":
            deadline = time.monotonic() + 30
            while not gate.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
        notes.add(context.partition_key)

    repo = on_each_executor(asset)
    span = rs.PartitionKeyRange.single("0", "299")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: notes.path.exists() and len(notes.lines()) == 299)
    gate.touch()
    assert counts(repo.wait_backfill(launched.backfill_id)) == (300, 0, 0)


def test_an_urgent_backfill_starts_before_the_rest_of_another(on_each_executor, notes):
    def note(context):
        notes.add(context.asset_name)
        time.sleep(0.01)

    many = rs.PartitionsDefinition.static_([str(number) for number in range(200)])
    long = rs.Asset(note, name="long", partitions_def=many)
    urgent = rs.Asset(note, name="urgent", partitions_def=EIGHT)
    queue = rs.RunQueueConfig(max_concurrent_runs=2)
    repo = on_each_executor(long, urgent, run_queue=queue)
    span = rs.PartitionKeyRange.single("0", "199")
    launched = repo.backfill(["long"], partition_range=span, block=False)
    wait_until(lambda: notes.path.exists() and notes.lines())
    result = repo.backfill(["urgent"], partition_range=ALL, tags=[("rivers/priority", "5")])
    assert counts(result) == (8, 0, 0)
    assert len(notes.lines()) < 150
    repo.cancel_backfill(launched.backfill_id)
    repo.wait_backfill(launched.backfill_id)


def test_a_call_that_takes_too_long_fails(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT, timeout=0.3)
    def hangs(context):
        notes.add(context.partition_key)
        if context.partition_key in "be":
            time.sleep(20)

    repo = on_each_executor(hangs)
    result = repo.backfill(partition_range=ALL, max_concurrency=2)
    assert counts(result) == (6, 2, 0)
    assert repo.backfill_errors(result.backfill_id)["error_type"].to_list() == ["TimeoutError"]
    assert "0.3 s" in repo.get_backfill(result.backfill_id).error


def test_async_functions_are_awaited(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT)
    async def asset(context):
        import asyncio

        await asyncio.sleep(0.001)
        notes.add(context.partition_key)

    assert counts(on_each_executor(asset).backfill(partition_range=ALL)) == (8, 0, 0)
    assert len(notes.lines()) == 8


class Collect(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def test_log_records_arrive_with_what_they_are_about(on_each_executor):
    @rs.Asset(partitions_def=EIGHT)
    def sales(context):
        logging.getLogger("user.module").warning("for %s", context.partition_key)

    handler = Collect()
    logging.getLogger("user").addHandler(handler)
    result = on_each_executor(sales).backfill(partition_range=ALL)
    logging.getLogger("user").removeHandler(handler)
    assert sorted(record.getMessage() for record in handler.records) == [
        f"for {letter}" for letter in "abcdefgh"
    ]
    if not hasattr(handler.records[0], "backfill"):
        return  # In a thread, only the records of `context.log` have them.
    first = min(handler.records, key=lambda record: record.getMessage())
    assert (first.backfill, first.asset, first.partition, first.run) == (
        result.backfill_id, "sales", "a", result.run_ids[0],
    )  # fmt: skip


def test_functions_see_variables_that_were_just_set(on_each_executor, notes, monkeypatch):
    @rs.Asset(partitions_def=EIGHT)
    def asset():
        notes.add(os.environ.get("RIVERS_TEST_WORD", "none"))

    repo = on_each_executor(asset)
    monkeypatch.setenv("RIVERS_TEST_WORD", "first")
    repo.backfill(partition_keys=keys("a"))
    monkeypatch.setenv("RIVERS_TEST_WORD", "second")
    repo.backfill(partition_keys=keys("b"))
    monkeypatch.delenv("RIVERS_TEST_WORD")
    repo.backfill(partition_keys=keys("c"))
    assert notes.lines() == [["first"], ["second"], ["none"]]


def test_single_runs_are_executed_too(on_each_executor):
    @rs.Asset
    def asset():
        return 1

    repo = on_each_executor(asset)
    assert repo.materialize().success
    assert repo.submit().wait().success
