"""Tables: what happened to ten million partitions is one Polars frame away."""

import atexit
import contextlib
import functools
import itertools

import pytest
from support import EVERYTHING, Row, first, grid, noop_asset, once, per, repository

import rivers as rs

pytestmark = pytest.mark.timeout(600)


def half_done(*sizes, runs, strategy):
    """A backfill that its asset cancels after so many runs, and its repository."""
    count = itertools.count(1)

    @rs.Asset(partitions_def=grid(*sizes))
    def half(context):
        if next(count) == runs:
            repo.cancel_backfill(context.run_id.rpartition(".")[0])

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    repo = stack.enter_context(repository(half))
    result = repo.backfill(partition_range=EVERYTHING, strategy=strategy, max_concurrency=1)
    assert result.completed == result.num_partitions // result.num_runs * runs, result
    return repo, result


@functools.cache
def runs_of_1000():
    return half_done(10, 1000, 1000, runs=5_000, strategy=per("a", "b"))


@functools.cache
def runs_of_one():
    return half_done(20, 100, 1000, runs=1_000_000, strategy=rs.BackfillStrategy.multi_run())


@functools.cache
def a_tenth():
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    repo = stack.enter_context(repository(noop_asset(grid(10, 1000, 1000))))
    result = repo.backfill(partition_range=first("a", 1), max_concurrency=1)
    assert result.completed == 1_000_000
    return repo


@functools.cache
def all_failed():
    """A backfill of a million partitions that failed, each with a text of its own."""

    @rs.Asset(partitions_def=grid(1000, 1000))
    def failing(context):
        for key in context.partition.keys:
            context.mark_partition_failed(key, f"no data for {key}")

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    repo = stack.enter_context(repository(failing))
    by_row = rs.BackfillStrategy.per_dimension(multi_run=["a"], single_run=["b"])
    result = repo.backfill(partition_range=EVERYTHING, strategy=by_row)
    assert result.failed == 1_000_000
    return repo, result


def errors():
    repo, result = all_failed()

    def work():
        assert repo.backfill_errors(result.backfill_id)["count"].to_list() == [1_000_000]

    return once(work)


def drawn():
    """What `rivers grid` does."""
    repo, result = all_failed()

    def work():
        client = rs.BackfillClient(repo.storage)
        assert client.cells(result.backfill_id, width=100, height=30).totals["failed"] == 1_000_000

    return once(work)


def stands():
    repo, result = all_failed()
    return once(lambda: repo.get_backfill(result.backfill_id) and None)


def partitions(prepared, rows, **filters):
    repo, result = prepared()

    def work():
        assert repo.backfill_partitions(result.backfill_id, **filters).height == rows

    return once(work)


def runs(prepared, rows):
    repo, result = prepared()

    def work():
        assert repo.backfill_runs(result.backfill_id).height == rows

    return once(work)


def status(rows, **filters):
    repo = a_tenth()

    def work():
        assert repo.partition_status("noop", **filters).height == rows

    return once(work)


ROWS = [
    Row(
        "backfill_partitions, 10,000,000, half done in runs of 1,000",
        "0.5 s",
        lambda: partitions(runs_of_1000, 10_000_000),
    ),
    Row(
        "backfill_partitions, 2,000,000, half done in runs of one",
        "0.5 s",
        lambda: partitions(runs_of_one, 2_000_000),
    ),
    Row(
        "partition_status, 10,000,000, 1,000,000 materialized",
        "1 s",
        lambda: status(10_000_000),
    ),
    Row(
        "backfill_partitions, 2,000,000, only the completed",
        "",
        lambda: partitions(runs_of_one, 1_000_000, status="completed"),
    ),
    Row("backfill_errors, 1,000,000 failures, a text each", "1 s", errors),
    Row("grid, 1,000,000 partitions", "1 s", drawn),
    Row("get_backfill, 1,000,000 failures", "1 s", stands),
    Row("backfill_runs, 1,000,000", "", lambda: runs(runs_of_one, 1_000_000)),
    Row(
        "partition_status, 10,000,000, only the materialized",
        "",
        lambda: status(1_000_000, status="materialized"),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_tables(measured, row):
    measured(row)
