"""Failures: which partitions and downstream assets fail, and which do not."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from tests.support import counts, keys, letters, repository

import rivers as rs
from rivers.io import InMemoryIOHandler

LETTERS = letters(4)
GRID = rs.PartitionsDefinition.multi(
    {"letter": LETTERS, "digit": rs.PartitionsDefinition.static_(["1", "2"])}
)
ALL = rs.PartitionKeyRange.single("a", "d")
ONE_RUN = rs.BackfillStrategy.single_run()


def test_an_exception_fails_all_partitions_of_the_run():
    @rs.Asset(partitions_def=GRID)
    def cell(context: rs.AssetExecutionContext):
        if "b" in context.partition.key.keys["letter"]:
            raise ValueError("boom")

    repo = repository(cell)
    strategy = rs.BackfillStrategy.per_dimension(multi_run=["letter"], single_run=["digit"])
    result = repo.backfill(partition_range=rs.PartitionKeyRange.multi({}), strategy=strategy)
    assert (result.status, result.num_runs, result.num_partitions) == ("failed", 4, 8)
    assert counts(result) == (6, 2, 0)
    statuses = [repo.storage.get_run(run).status for run in result.run_ids]
    assert statuses == ["completed", "failed", "completed", "completed"]


def test_message_and_traceback_are_kept(tmp_path):
    @rs.Asset(partitions_def=LETTERS)
    def letter():
        def line_that_breaks():
            raise ValueError("boom: été")

        line_that_breaks()

    path = tmp_path / "rivers.db"
    repo = repository(letter, storage=rs.Storage.embedded(path))
    result = repo.backfill(partition_keys=keys("b"))
    error = repo.storage.get_run(result.run_ids[0]).error
    assert all(part in error for part in ('"letter"', '"b"', "ValueError: boom: été"))
    with closing(sqlite3.connect(path)) as connection:
        causes = connection.execute("SELECT error_type, message, traceback FROM cause").fetchall()
    ((kind, message, traceback),) = causes
    assert (kind, message) == ("ValueError", "boom: été")
    assert "line_that_breaks" in traceback
    assert __file__ in traceback


def test_downstream_is_skipped_and_unrelated_assets_still_run():
    called = []

    @rs.Asset(partitions_def=LETTERS)
    def source():
        raise ValueError("boom")

    @rs.Asset(partitions_def=LETTERS)
    def near(source):
        called.append("near")

    @rs.Asset(partitions_def=LETTERS, deps=["near"])
    def far():
        called.append("far")

    @rs.Asset(partitions_def=LETTERS)
    def unrelated():
        called.append("unrelated")

    repo = repository(source, near, far, unrelated)
    result = repo.backfill(partition_keys=keys("a"))
    assert called == ["unrelated"]
    assert counts(result) == (0, 1, 0)
    assert repo.storage.get_materialized_partitions("unrelated") == keys("a")
    assert repo.storage.get_materialized_partitions("far") == []


def test_error_names_the_first_failure_and_how_many():
    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key in "bd":
            raise ValueError(f"boom {context.partition_key}")

    repo = repository(letter)
    result = repo.backfill(partition_range=ALL, max_concurrency=1)
    error = repo.get_backfill(result.backfill_id).error
    assert all(part in error for part in ('"letter"', '"b"', "boom b", "2 of 4"))
    assert repo.get_backfill(repo.backfill(partition_keys=keys("a")).backfill_id).error is None


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        MemoryError("full"),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        GeneratorExit(),
        StopIteration(1),
    ],
    ids=repr,
)
def test_system_exit_or_memory_error_fails_that_run_only(error, kind):
    def fail(context):
        if context.partition_key == "b":
            raise error

    async def fail_later(context):
        fail(context)

    letter = rs.Asset(
        fail if kind == "plain" else fail_later, name="letter", partitions_def=LETTERS
    )
    with repository(letter) as repo:
        result = repo.backfill(partition_range=ALL)
        assert counts(result) == (3, 1, 0)
        told = (
            "RuntimeError"
            if (kind, type(error)) == ("async", StopIteration)
            else type(error).__name__
        )
        assert told in repo.get_backfill(result.backfill_id).error


def test_recursion_and_huge_messages_fail_that_run_only():
    endless = type("Endless", (), {"__repr__": lambda self: repr(self)})()  # noqa: PLW0108

    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key == "a":
            raise ValueError("x" * 1_000_000)
        if context.partition_key == "b":
            repr(endless)

    assert counts(repository(letter).backfill(partition_range=ALL)) == (2, 2, 0)


def test_an_exception_that_cannot_be_shown_fails_that_run_only():
    class SilentError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key == "a":
            raise SilentError

    repo = repository(letter)
    result = repo.backfill(partition_range=ALL)
    assert counts(result) == (3, 1, 0)
    assert "SilentError" in repo.get_backfill(result.backfill_id).error


def test_a_handler_that_cannot_keep_the_value_fails_the_run():
    class Full(InMemoryIOHandler):
        def handle_output(self, context, value):
            raise OSError(28, "No space left on device")

    @rs.Asset(partitions_def=LETTERS, io_handler=Full())
    def letter(context: rs.AssetExecutionContext):
        return context.partition_key

    repo = repository(letter)
    result = repo.backfill(partition_range=ALL)
    assert counts(result) == (0, 4, 0)
    assert "No space left" in repo.get_backfill(result.backfill_id).error


def test_an_exception_with_texts_that_are_no_unicode_fails_that_run_only():
    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        if context.partition_key == "a":
            raise ValueError("file \udcff not found")
        if context.partition_key == "b":
            context.mark_partition_failed("b", "file \udcff not found")

    assert counts(repository(letter).backfill(partition_range=ALL)) == (2, 2, 0)
