"""How runs are executed, from dependency order to `mark_partition_failed`."""

import asyncio
import threading

import pytest
from tests.support import counts, keys, letters, repository, values

import rivers as rs
from rivers.exceptions import (
    ConfigurationError,
)

LETTERS = letters(4)
GRID = rs.PartitionsDefinition.multi(
    {
        "day": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04"),
        "region": rs.PartitionsDefinition.static_(["us", "eu"]),
    }
)
ALL = rs.PartitionKeyRange.single("a", "d")
ONE_RUN = rs.BackfillStrategy.single_run()


def test_dependency_order():
    called = []

    @rs.Asset(partitions_def=LETTERS)
    def last(middle, first):
        called.append(("last", middle, first))
        return 3

    @rs.Asset(partitions_def=LETTERS)
    def middle(first):
        called.append(("middle", first))
        return 2

    @rs.Asset(partitions_def=LETTERS, deps=["last"])
    def report():
        called.append(("report",))

    @rs.Asset(partitions_def=LETTERS)
    def first():
        called.append(("first",))
        return 1

    result = repository(last, report, middle, first).backfill(partition_keys=keys("b"))
    assert result.status == "completed"
    assert called == [("first",), ("middle", 1), ("last", 2, 1), ("report",)]


def test_order_holds_through_an_asset_that_is_not_selected():
    called = []

    @rs.Asset(partitions_def=LETTERS, deps=["between"])
    def end():
        called.append("end")

    @rs.Asset(partitions_def=LETTERS, deps=["start"])
    def between():
        called.append("between")

    @rs.Asset(partitions_def=LETTERS)
    def start():
        called.append("start")

    repo = repository(end, between, start)
    repo.backfill(selection=["end", "start"], partition_keys=keys("a"))
    assert called == ["start", "end"]


@pytest.mark.parametrize("strategy", [ONE_RUN, rs.BackfillStrategy.multi_run()])
def test_each_asset_is_called_once_a_run_with_all_its_partitions(strategy):
    calls = {"upper": [], "lower": []}

    @rs.Asset(partitions_def=LETTERS)
    def upper(context: rs.AssetExecutionContext):
        calls["upper"].append(values(context))

    @rs.Asset(partitions_def=LETTERS, deps=[upper])
    def lower(context: rs.AssetExecutionContext):
        calls["lower"].append(values(context))

    given = keys("c", "a", "b", "a")
    result = repository(upper, lower).backfill(
        partition_keys=given, strategy=strategy, max_concurrency=1
    )
    expected = [["a", "b", "c"]] if strategy == ONE_RUN else [["c"], ["a"], ["b"]]
    assert calls == {"upper": expected, "lower": expected}
    assert (result.num_partitions, result.num_runs) == (3, len(expected))
    assert counts(result) == (3, 0, 0)


def test_async_functions_and_plain_ones_together():
    loops = []

    @rs.Asset(partitions_def=LETTERS)
    async def fetched(context: rs.AssetExecutionContext):
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return context.partition_key.upper()

    @rs.Asset(partitions_def=LETTERS)
    def plain(fetched):
        return fetched * 2

    with repository(fetched, plain) as repo:
        assert counts(repo.backfill(partition_range=ALL)) == (4, 0, 0)
        assert repo.load_node("plain", keys("c")[0]) == "CC"
    assert len(set(loops)) == 1


def test_async_failure_fails_its_run_only():
    @rs.Asset(partitions_def=LETTERS)
    async def fetched(context: rs.AssetExecutionContext):
        await asyncio.sleep(0)
        if context.partition_key == "b":
            raise LookupError("no route")

    with repository(fetched) as repo:
        result = repo.backfill(partition_range=ALL)
        assert counts(result) == (3, 1, 0)
        assert "LookupError: no route" in repo.get_backfill(result.backfill_id).error


def test_functions_run_outside_the_main_thread():
    threads = set()

    @rs.Asset(partitions_def=LETTERS)
    def letter():
        threads.add(threading.current_thread() is threading.main_thread())

    repo = repository(letter)
    result = repo.backfill(partition_range=ALL)
    assert result.status == "completed"
    assert threads == {False}


@pytest.mark.parametrize("policy", ["contine", "", None, "STOP_ON_FAILURE"])
def test_failure_policy_anything_else_is_refused(policy):
    @rs.Asset(partitions_def=LETTERS)
    def letter():
        pytest.fail("executed")

    repo = repository(letter)
    with pytest.raises(ConfigurationError, match="stop_on_failure"):
        repo.backfill(partition_range=ALL, failure_policy=policy)
    with pytest.raises(ConfigurationError):
        repo.backfill(partition_range=ALL, failure_policy=policy, dry_run=True)
    assert repo.storage.get_runs() == []
