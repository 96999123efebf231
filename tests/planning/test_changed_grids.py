"""A time partition is its window and its key's text: other grids have other partitions."""

import datetime as dt

import pytest
from tests.support import repository

import rivers as rs

NOW = dt.datetime(2024, 1, 20)
DAILY = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-15")


def window(start, seconds, fmt="%Y-%m-%d", end="2024-01-15"):
    return rs.PartitionsDefinition.time_window(start, interval_seconds=seconds, fmt=fmt, end=end)


def left_to_do(before, after, dims=None):
    """Materializes all partitions of one definition; returns how many of another one are missing."""
    storage = rs.Storage.memory()

    def of(definition):
        @rs.Asset(partitions_def=definition)
        def asset():
            return 1

        return repository(asset, storage=storage, clock=lambda: NOW)

    of(before).backfill(partition_keys=before.get_partition_keys())
    repo = of(after)
    keys = after.get_partition_keys()
    missing = repo.backfill(partition_keys=keys, only_missing=True, dry_run=True).num_partitions
    table = repo.partition_status("asset")
    assert table.filter(table["status"] == "missing").height == missing
    return missing, len(keys)


@pytest.mark.parametrize(
    "after",
    [
        window("2024-01-01", 7 * 86400),
        window("2024-01-01T06:00", 86400, end="2024-01-15T06:00"),
        window("2024-01-01", 86400, fmt="%Y/%m/%d"),
        rs.PartitionsDefinition.weekly("2024-01-01", end="2024-01-15"),
        rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-15", timezone="America/New_York"),
    ],
    ids=["width", "offset", "fmt", "weekly", "zone"],
)
def test_another_grid_is_missing(after):
    missing, all_of_them = left_to_do(DAILY, after)
    assert missing == all_of_them


@pytest.mark.parametrize(
    ("after", "new"),
    [
        (rs.PartitionsDefinition.daily("2024-01-05", end="2024-01-15"), 0),
        (rs.PartitionsDefinition.daily("2023-12-30", end="2024-01-16"), 3),
        (window("2024-01-01", 86400), 0),
    ],
    ids=["later", "longer", "written otherwise"],
)
def test_a_moved_start_or_end_keeps_what_is_materialized(after, new):
    assert left_to_do(DAILY, after)[0] == new


def test_in_a_product():
    letters = rs.PartitionsDefinition.static_(["a", "b"])
    before = rs.PartitionsDefinition.multi({"date": DAILY, "letter": letters})
    weeks = window("2024-01-01", 7 * 86400)
    other = rs.PartitionsDefinition.multi({"date": weeks, "letter": letters})
    assert left_to_do(before, other) == (4, 4)
    shorter = rs.PartitionsDefinition.daily("2024-01-03", end="2024-01-15")
    turned = rs.PartitionsDefinition.multi({"letter": letters, "date": shorter})
    assert left_to_do(before, turned)[0] == 0


def test_other_names_in_another_order_are_the_same():
    definition = rs.PartitionsDefinition.static_
    assert left_to_do(definition(["a", "b"]), definition(["c", "b", "a"]))[0] == 1
