"""Partition sets, which are never expanded into lists, and tables used as sets."""

import re

import polars as pl
import pyarrow as pa
import pytest

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError, PartitionValidationError

GRID = rs.PartitionsDefinition.multi(
    {
        "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05"),
        "region": rs.PartitionsDefinition.static_(["us", "eu-west", "eu-east"]),
    }
)


def texts(partitions):
    return list(map(str, partitions.keys()))


def test_a_set_is_a_product_of_ranges_lists_patterns_and_exclusions():
    chosen = GRID.select(date=("2024-01-02", "2024-01-03"), region=re.compile("^eu-"))
    assert texts(chosen) == [
        "date=2024-01-02|region=eu-west",
        "date=2024-01-02|region=eu-east",
        "date=2024-01-03|region=eu-west",
        "date=2024-01-03|region=eu-east",
    ]
    outside = GRID.select({"date": rs.exclude(("2024-01-02", "2024-01-04"))}, region=["us"])
    assert texts(outside) == ["date=2024-01-01|region=us"]
    assert GRID.select(region=rs.exclude(re.compile("eu"))).count() == 4
    assert GRID.select().count() == 12
    assert GRID.select(region=re.compile("africa")).count() == 0


def test_sets_combine():
    us, first = GRID.select(region=["us"]), GRID.select(date=["2024-01-01"])
    assert ((us | first).count(), (us & first).count(), (us - first).count()) == (6, 1, 3)
    assert repr(us - first) == "(select(region=['us']) - select(date=['2024-01-01']))"


def test_sets_of_a_single_dimension_have_no_names():
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01")
    assert days.select(("2024-01-01", "2024-01-03")).count() == 3
    with pytest.raises(ConfigurationError, match="without a name"):
        days.select(date=["2024-01-01"])


def test_a_set_follows_dynamic_partitions():
    storage = rs.Storage.memory()
    customers = rs.PartitionsDefinition.dynamic("customers")
    everyone = customers.select()
    storage.add_dynamic_partitions("customers", ["ada"])
    assert everyone.count(storage=storage) == 1
    storage.add_dynamic_partitions("customers", ["bob"])
    assert everyone.count(storage=storage) == 2


@pytest.mark.parametrize(
    ("part", "error", "told"),
    [
        ({"date": "2024-01-01"}, TypeError, "tuple, a list of str"),
        ({"date": ("a", "b", "c")}, TypeError, "tuple, a list of str"),
        ({"region": [1]}, TypeError, "tuple, a list of str"),
        ({"regoin": ["us"]}, PartitionValidationError, 'did you mean "region"'),
        ({"region": ["uss"]}, PartitionValidationError, 'did you mean "us"'),
        ({"date": ("2024-01-04", "2024-01-01")}, PartitionValidationError, "inverted"),
    ],
)
def test_a_wrong_set_is_refused(part, error, told):
    with pytest.raises(error, match=told):
        GRID.select(part).count()


def test_partition_keys_takes_a_set(repo):
    repository = repo(GRID)
    result = repository.backfill(partition_keys=GRID.select(region=["us"]))
    assert (result.status, result.completed) == ("completed", 4)
    with pytest.raises(ExecutionError, match="empty"):
        repository.backfill(partition_keys=GRID.select(region=re.compile("x")))


def test_partition_keys_takes_what_a_table_was_filtered_to(repo):
    repository = repo(GRID)
    (name,) = repository.assets
    rows = repository.partition_status(name).filter(pl.col("region") == "us")
    for table in (rows, pa.table(rows)):
        result = repository.backfill(partition_keys=table.select(["region", "date"]), dry_run=True)
        assert [str(key) for key in result.partition_keys] == [
            f"date=2024-01-0{day}|region=us" for day in range(1, 5)
        ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (pl.DataFrame({"date": ["2024-01-01"]}), "no column 'region'"),
        (pl.DataFrame({"date": ["2024-01-01"], "region": ["mars"]}), '"mars"'),
        (pl.DataFrame({"date": ["2024-01-01"], "region": [None]}), "empty values"),
        (pl.DataFrame({"date": ["1.1.2024"], "region": ["us"]}), "format"),
    ],
)
def test_a_wrong_table_is_refused(repo, table, told):
    with pytest.raises(PartitionValidationError, match=told):
        repo(GRID).backfill(partition_keys=table)


def test_only_missing_leaves_out_what_is_materialized_for_each_asset(repo):
    @rs.Asset(partitions_def=GRID)
    def first():
        return 1

    @rs.Asset(partitions_def=GRID)
    def second():
        return 2

    repository = repo(first, second)
    everything = rs.PartitionKeyRange.multi({})
    repository.backfill(["first"], partition_keys=GRID.select(region=["us"]))
    repository.backfill(["second"], partition_keys=GRID.select(date=["2024-01-01"]))
    result = repository.backfill(partition_range=everything, only_missing=True, dry_run=True)
    assert result.num_partitions == 11
    assert (
        repository.backfill(["first"], partition_range=everything, only_missing=True).completed == 8
    )
    again = repository.backfill(["first"], partition_range=everything, only_missing=True)
    assert (again.status, again.num_partitions, again.num_runs) == ("completed", 0, 0)
