"""The Polars tables of a repository: their columns, dtypes, rows and filters."""

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import rivers as rs
from rivers.exceptions import AssetNotFoundError, BackfillNotFoundError, ConfigurationError

GRID = rs.PartitionsDefinition.multi(
    {
        "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-03"),
        "region": rs.PartitionsDefinition.static_(["us", "eu"]),
    }
)
ALL = rs.PartitionKeyRange.multi({})


@pytest.fixture
def backfilled(repo):
    """Returns a repository and the id of a backfill with one failed partition."""

    @rs.Asset(partitions_def=GRID, code_version="7")
    def sales(context: rs.AssetExecutionContext):
        if context.partition_key == "date=2024-01-02|region=us":
            msg = "no data"
            raise ValueError(msg)

    repository = repo(sales)
    return repository, repository.backfill(partition_range=ALL).backfill_id


def test_backfill_partitions_has_a_row_per_partition(backfilled):
    repository, backfill_id = backfilled
    table = repository.backfill_partitions(backfill_id)
    assert dict(table.schema) == {
        "date": pl.Categorical,
        "date_start": pl.Datetime("us"),
        "region": pl.Enum(["us", "eu"]),
        "status": pl.Enum(["pending", "running", "completed", "failed", "canceled", "skipped"]),
        "run": pl.UInt64,
        "attempts": pl.UInt32,
        "started_at": pl.Datetime("us", "UTC"),
        "ended_at": pl.Datetime("us", "UTC"),
        "error": pl.String,
    }
    assert table["status"].to_list() == ["completed", "completed", "failed", "completed"]
    assert table["run"].to_list() == [0, 1, 2, 3]
    assert table["error"].to_list() == [None, None, "no data", None]
    assert (table["ended_at"] >= table["started_at"]).all()


def test_backfill_partitions_filters_by_status_and_shows_run_ids_on_request(backfilled):
    repository, backfill_id = backfilled
    table = repository.backfill_partitions(backfill_id, status="failed", run_id=True)
    assert table["run_id"].to_list() == [f"{backfill_id}.2"]
    assert repository.backfill_partitions(backfill_id, status=["failed", "completed"]).height == 4
    with pytest.raises(ConfigurationError, match="done"):
        repository.backfill_partitions(backfill_id, status="done")
    with pytest.raises(BackfillNotFoundError):
        repository.backfill_partitions("nothing")


def test_backfill_runs_has_a_row_per_run_that_has_started(backfilled):
    repository, backfill_id = backfilled
    table = repository.backfill_runs(backfill_id)
    assert table.columns == [
        "run", "run_id", "status", "num_partitions", "attempts", "started_at", "ended_at", "duration",
        "error",
    ]  # fmt: skip
    assert table["run_id"].to_list() == repository.get_backfill(backfill_id).run_ids
    assert table.filter(pl.col("status") == "failed")["run"].to_list() == [2]
    assert (table["duration"] == table["ended_at"] - table["started_at"]).all()


def test_backfills_has_a_row_per_backfill_the_newest_first(backfilled):
    repository, backfill_id = backfilled
    rerun = repository.rerun_backfill(backfill_id)
    table = repository.backfills()
    assert table["backfill_id"].to_list() == [rerun.backfill_id, backfill_id]
    assert table["num_partitions"].to_list() == [1, 4]
    assert table["failed"].to_list() == [1, 1]
    assert table["assets"].to_list() == [["sales"], ["sales"]]
    assert table["tags"].to_list()[0] == [{"key": "rivers/rerun_of", "value": backfill_id}]
    assert repository.backfills(limit=1).height == 1
    assert repository.backfills(status="completed").height == 0


def test_partition_status_has_a_row_per_partition_of_the_asset(backfilled):
    repository, backfill_id = backfilled
    table = repository.partition_status("sales")
    assert table["status"].to_list() == ["materialized", "materialized", "failed", "materialized"]
    assert table["backfill_id"].to_list() == [backfill_id, backfill_id, None, backfill_id]
    assert table["code_version"].to_list() == ["7", "7", None, "7"]
    assert repository.partition_status("sales", status="failed").height == 1
    with pytest.raises(AssetNotFoundError):
        repository.partition_status("sale")


def test_sets_of_partitions_are_tables(backfilled):
    repository, _ = backfilled
    planned = repository.backfill(partition_range=ALL, dry_run=True).to_polars()
    columns = {
        "date": pl.Categorical,
        "date_start": pl.Datetime("us"),
        "region": pl.Enum(["us", "eu"]),
    }
    assert dict(planned.schema) == columns
    for table in (GRID.to_polars(), ALL.to_polars(GRID), GRID.select().to_polars()):
        assert table.equals(planned)


def test_the_arrow_interface_serves_other_readers(backfilled):
    repository, backfill_id = backfilled
    partitions = repository.backfill_partitions(backfill_id)
    assert pa.table(partitions)["run"].to_pylist() == [0, 1, 2, 3]
    found = duckdb.sql("SELECT count(*) FROM partitions WHERE status = 'failed'").fetchall()
    assert found == [(1,)]
