"""Values beside a file storage: what storing and loading them adds to runs of trivial functions."""

import contextlib

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
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_values(measured, row):
    measured(row)
