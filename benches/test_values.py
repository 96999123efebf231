"""Values beside a file storage: what storing and loading them adds to runs of trivial functions."""

import contextlib
import functools
import tempfile

import polars as pl
import pytest
from support import EVERYTHING, Row, checked, grid, noop_asset, repository

import rivers as rs

pytestmark = pytest.mark.timeout(600)

SIZE = 300_000
DIMENSIONS = (300, 1000)


def number_asset():
    """An asset whose functions return an int."""

    @rs.Asset(name="number", partitions_def=grid(*DIMENSIONS))
    def number(context):
        return 5

    return number


def storing(make, max_concurrency):
    """Runs of one partition."""

    @contextlib.contextmanager
    def prepare():
        with repository(make()) as repo:

            def work():
                result = repo.backfill(partition_range=EVERYTHING, max_concurrency=max_concurrency)
                checked(result, SIZE)

            yield work

    return prepare


@contextlib.contextmanager
def loading():
    """Runs of one partition that each load the value of an earlier backfill."""

    @rs.Asset(name="taker", partitions_def=grid(*DIMENSIONS))
    def taker(number) -> None:
        pass

    with repository(number_asset(), taker) as repo:
        repo.backfill(partition_range=EVERYTHING, selection=["number"], max_concurrency=1)

        def work():
            result = repo.backfill(
                partition_range=EVERYTHING, selection=["taker"], max_concurrency=1
            )
            checked(result, SIZE)

        yield work


DAYS = rs.PartitionsDefinition.daily("1990-01-01", end="2017-05-19")


@functools.cache
def files_of_days():
    """A Parquet file for each of 10,000 days, by its key; the handler, and the folder, which is kept."""
    keys = DAYS.get_partition_keys()
    folder = tempfile.TemporaryDirectory()  # Removed when the process ends.
    handler = rs.ParquetIOHandler(folder.name, sync=False)
    frames = {key.key[0]: pl.DataFrame({"day": key.key * 3, "x": [1, 2, 3]}) for key in keys}
    partition = rs.PartitionContext(keys, DAYS)
    handler.handle_output(rs.OutputContext("days", partition=partition), frames)
    taking = rs.InputContext("days", "report", partition=partition, type_hint=pl.LazyFrame)
    return handler, taking, [f"{folder.name}/days/{key}.parquet" for key in keys], folder


@contextlib.contextmanager
def lazy_frame(*, plain=False):
    """All rows of 10,000 files, through one lazy frame; Polars with the list of files."""
    handler, taking, files, _ = files_of_days()

    def work():
        rows = (
            pl.scan_parquet(files, hive_partitioning=False, glob=False)
            if plain
            else handler.load_input(taking)
        )
        assert rows.collect().height == 3 * len(files)

    work()
    yield work


ROWS = [
    Row(
        "an int a run is stored, beside runs without a value", "150,000 runs/s",
        storing(number_asset, 1),
        storing(lambda: noop_asset(grid(*DIMENSIONS)), 1),
        runs=SIZE,
    ),
    Row(
        "an int a run is stored, max_concurrency=4", "150,000 runs/s",
        storing(number_asset, 4),
        storing(lambda: noop_asset(grid(*DIMENSIONS)), 4),
        runs=SIZE,
    ),
    Row("an int a run is loaded", "150,000 runs/s", loading, runs=SIZE),
    Row(
        "10,000 Parquet partitions as one lazy frame, beside Polars", "1.2 times",
        lazy_frame,
        functools.partial(lazy_frame, plain=True),
        rounds=9,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_values(measured, row):
    measured(row)
