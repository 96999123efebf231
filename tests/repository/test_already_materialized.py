"""An asset is not executed again for a partition for which it is materialized, if its value can be loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

import rivers as rs
from rivers import BackfillStrategy, Executor, PartitionKey, PartitionsDefinition

LETTERS = PartitionsDefinition.static_(["a", "b", "c", "d"])
ALL = [PartitionKey.single(["a", "b", "c", "d"])]
EXECUTORS = [Executor.in_process(), Executor.parallel(max_workers=1)]


def key(text):
    return PartitionKey.single(text)


class Calls:
    """Counts calls in a file, which worker processes share."""

    def __init__(self, path):
        self.path = path

    def add(self, name, keys):
        with self.path.open("a") as file:
            file.write("".join(f"{name}{own.key[0]} " for own in keys))

    def take(self):
        calls = self.path.read_text().split() if self.path.exists() else []
        self.path.unlink(missing_ok=True)
        return sorted(calls)


def assets(calls, broken, handler=None):
    @rs.Asset(partitions_def=LETTERS, io_handler=handler)
    def first(context: rs.AssetExecutionContext):
        calls.add("first-", context.partition.keys)
        return dict.fromkeys(context.partition.keys, 1)

    @rs.Asset(partitions_def=LETTERS, io_handler=handler)
    def second(context: rs.AssetExecutionContext, first):
        calls.add("second-", context.partition.keys)
        for own in context.partition.keys:
            if own.key[0] in broken.read_text():
                context.mark_partition_failed(own, "broken")
        return dict.fromkeys(context.partition.keys, 2)

    return [first, second]


@pytest.fixture
def calls(tmp_path):
    return Calls(tmp_path / "calls")


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken"
    path.write_text("bd")
    return path


STRATEGIES = [BackfillStrategy.multi_run(), BackfillStrategy.single_run()]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
@pytest.mark.parametrize("again", ["rerun", "only_missing"])
@pytest.mark.parametrize("executor", EXECUTORS, ids=repr)
def test_only_the_asset_that_failed_is_executed_again(
    executor, again, strategy, calls, broken, tmp_path
):
    handler = rs.PickleIOHandler(tmp_path / "values")
    repo = rs.CodeRepository(assets(calls, broken, handler), default_executor=executor)
    with repo.resolve(rs.Storage.memory()):
        result = repo.backfill(partition_keys=ALL, strategy=strategy)
        assert (result.completed, result.failed) == (2, 2)
        before = repo.partition_status("first")
        calls.take()
        broken.write_text("")
        if again == "rerun":
            second = repo.rerun_backfill(result.backfill_id)
        else:
            second = repo.backfill(partition_keys=ALL, strategy=strategy, only_missing=True)
        assert (second.num_partitions, second.completed) == (2, 2)
        assert calls.take() == ["second-b", "second-d"]
        assert repo.partition_status("second")["status"].to_list() == ["materialized"] * 4
        # The earlier materialization of the first asset stays its last.
        assert repo.partition_status("first").equals(before)


def test_a_rerun_of_a_rerun_knows_what_the_original_materialized(calls, broken):
    repo = rs.CodeRepository(assets(calls, broken)).resolve(rs.Storage.memory())
    result = repo.backfill(partition_keys=ALL)
    rerun = repo.rerun_backfill(result.backfill_id)
    assert rerun.failed == 2
    calls.take()
    broken.write_text("")
    assert repo.rerun_backfill(rerun.backfill_id).completed == 2
    assert calls.take() == ["second-b", "second-d"]


def test_a_rerun_executes_what_only_other_backfills_materialized(calls, broken):
    repo = rs.CodeRepository(assets(calls, broken)).resolve(rs.Storage.memory())
    repo.backfill(["first"], partition_keys=ALL)
    canceled = repo.backfill(
        partition_keys=ALL, failure_policy="stop_on_failure", max_concurrency=1
    )
    assert canceled.canceled == 2
    calls.take()
    broken.write_text("")
    repo.rerun_backfill(canceled.backfill_id)
    # `b` was materialized by the backfill itself; `c` and `d` only by an earlier one.
    assert calls.take() == ["first-c", "first-d", "second-b", "second-c", "second-d"]


@pytest.mark.parametrize("again", ["rerun", "only_missing"])
def test_values_in_another_memory_are_executed_again(again, calls, broken):
    storage = rs.Storage.memory()
    result = rs.CodeRepository(assets(calls, broken)).resolve(storage).backfill(partition_keys=ALL)
    calls.take()
    broken.write_text("")
    repo = rs.CodeRepository(assets(calls, broken)).resolve(storage)
    if again == "rerun":
        second = repo.rerun_backfill(result.backfill_id)
    else:
        second = repo.backfill(partition_keys=ALL, only_missing=True)
    assert second.completed == 2
    assert calls.take() == ["first-b", "first-d", "second-b", "second-d"]


def test_an_asset_without_a_value_is_not_executed_again(calls, broken):
    @rs.Asset(partitions_def=LETTERS)
    def first(context: rs.AssetExecutionContext) -> None:
        calls.add("first-", context.partition.keys)

    second = assets(calls, broken)[1]
    storage = rs.Storage.memory()
    result = rs.CodeRepository([first, second]).resolve(storage).backfill(partition_keys=ALL)
    assert result.failed == 2
    calls.take()
    broken.write_text("")
    repo = rs.CodeRepository([first, second]).resolve(storage)
    assert repo.rerun_backfill(result.backfill_id).completed == 2
    assert calls.take() == ["second-b", "second-d"]


def test_an_output_of_a_multi_asset_is_not_stored_again(tmp_path):
    stored = []

    class Recording(rs.InMemoryIOHandler):
        def handle_output(self, context, value):
            stored.append((context.asset_name, value))
            super().handle_output(context, value)

    fails = True

    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("x"), rs.AssetDef("y")],
        partitions_def=LETTERS,
        io_handler=Recording(),
    )
    def both():
        yield rs.Output(1, "x")
        if fails:
            raise ValueError("no y")
        yield rs.Output(2, "y")

    repo = rs.CodeRepository([both]).resolve(rs.Storage.memory())
    result = repo.backfill(partition_keys=[key("a")])
    assert (result.failed, stored) == (1, [("x", 1)])
    fails = False
    assert repo.rerun_backfill(result.backfill_id).completed == 1
    assert stored == [("x", 1), ("y", 2)]


def test_a_resumed_backfill_knows_what_was_materialized_before_it(tmp_path):
    script = Path(__file__).parent / "scripts" / "materialized_and_die.py"
    database = tmp_path / "rivers.db"

    def run(*words):
        done = subprocess.run(
            [sys.executable, script, database, *words], check=False, timeout=60, capture_output=True
        )
        return done.stdout.split()

    run("fail", "pickle")
    run("die", "pickle")
    assert run("resume", "pickle") == [b"second-b", b"second-d", b"completed"]


def test_a_resumed_backfill_executes_what_only_a_dead_process_has(tmp_path):
    script = Path(__file__).parent / "scripts" / "materialized_and_die.py"
    database = tmp_path / "rivers.db"
    one = subprocess.run(
        [sys.executable, script, database, "fail-and-die", "memory"],
        check=False, timeout=60, capture_output=True,
    )  # fmt: skip
    assert one.returncode == 9
    two = subprocess.run(
        [sys.executable, script, database, "resume", "memory"],
        check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    calls = [b"first-b", b"second-b", b"first-d", b"second-d", b"completed"]
    assert two.stdout.split() == calls


def test_a_rerun_leaves_out_what_its_origin_left_out(calls, broken):
    repo = rs.CodeRepository(assets(calls, broken)).resolve(rs.Storage.memory())
    repo.backfill(["first"], partition_keys=ALL)
    result = repo.backfill(partition_keys=ALL, only_missing=True)
    assert result.failed == 2
    again = repo.rerun_backfill(result.backfill_id)
    assert again.failed == 2
    calls.take()
    broken.write_text("")
    assert repo.rerun_backfill(again.backfill_id).completed == 2
    assert calls.take() == ["second-b", "second-d"]
