"""What holds wherever runs are executed: in threads, in processes, on a Ray cluster."""

import logging
import os
import sys
import time

import cloudpickle
import pydantic
from tests.support import counts, key, keys, letters

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


class Limits(pydantic.BaseModel):
    rows: int


def test_functions_get_their_config(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT)
    def asset(context: rs.AssetExecutionContext[Limits]):
        notes.add(context.config.rows + 1)

    repo = on_each_executor(asset)
    result = repo.backfill(partition_keys=keys("a"), config={"asset": {"rows": 5}})
    assert counts(result) == (1, 0, 0)
    assert notes.lines() == [["6"]]


def test_a_multi_asset_stores_each_output_where_others_load_it(on_each_executor, tmp_path):
    def asset(fn, name, deps=()):
        handler = rs.PickleIOHandler(tmp_path / name, shared=True)
        return rs.Asset(fn, name=name, partitions_def=EIGHT, io_handler=handler, deps=list(deps))

    outputs = [
        rs.AssetDef(name, io_handler=rs.PickleIOHandler(tmp_path / name, shared=True))
        for name in ("left", "right")
    ]

    @rs.Asset.from_multi(output_defs=outputs, partitions_def=EIGHT)
    def halves(context):
        yield rs.Output(f"left {context.partition_key}", "left")
        if context.partition_key != "c":
            yield rs.Output(f"right {context.partition_key}", "right")

    # It waits for all partitions, so the values come from other runs.
    mapping = rs.PartitionMapping.all_partitions()
    deps = [rs.AssetDef.input("left", mapping)]
    total = asset(lambda left: sorted(left.values()), "total", deps)
    repo = on_each_executor(halves, total)
    result = repo.backfill(partition_range=ALL)
    assert (result.completed, result.failed) == (15, 1), repo.get_backfill(result.backfill_id).error
    assert "right" in repo.get_backfill(result.backfill_id).error
    assert repo.load_node("right", partition_key=key("b")) == "right b"
    assert repo.load_node("total", partition_key=key("b")) == [f"left {own}" for own in "abcdefgh"]


def test_hooks_are_called_where_the_run_is_executed(on_each_executor, notes):
    @rs.Hook.success
    def done(context):
        notes.add("done", context.partition.key, context.output, os.getpid())

    @rs.Hook.failure
    def failed(context):
        notes.add("failed", context.partition.key, context.error.replace(" ", ""), os.getpid())

    @rs.Asset(hooks=[done, failed], partitions_def=EIGHT)
    def asset(context):
        notes.add("called", context.partition_key, "", os.getpid())
        if context.partition_key == "c":
            raise ValueError("boom")
        return 7

    result = on_each_executor(asset).backfill(partition_keys=keys("a", "b", "c"))
    assert counts(result) == (2, 1, 0)
    lines = [line for line in notes.lines() if line[0] != "called"]
    assert sorted(line[:3] for line in lines) == [
        ["done", "a", "7"], ["done", "b", "7"], ["failed", "c", "ValueError:boom"],
    ]  # fmt: skip
    called = {line[1]: line[-1] for line in notes.lines() if line[0] == "called"}
    assert {line[1]: line[-1] for line in lines} == called


def test_an_exit_and_a_lack_of_memory_fail_their_run_only(on_each_executor):
    @rs.Asset(partitions_def=EIGHT)
    def asset(context):
        if context.partition_key in "be":
            raise {"b": SystemExit, "e": MemoryError}[context.partition_key]

    repo = on_each_executor(asset)
    result = repo.backfill(partition_range=ALL, max_concurrency=1)
    assert counts(result) == (6, 2, 0)
    types = repo.backfill_errors(result.backfill_id)["error_type"].to_list()
    assert sorted(types) == ["MemoryError", "SystemExit"]


def test_single_runs_are_executed_too(on_each_executor):
    @rs.Asset
    def asset():
        return 1

    repo = on_each_executor(asset)
    assert repo.materialize().success
    assert repo.submit().wait().success
