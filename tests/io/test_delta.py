"""Delta Lake tables: a run replaces the rows of its partitions, even with concurrent writers."""

import datetime as dt
import os
import sys
from pathlib import Path

import cloudpickle
import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from tests.io.contexts import loading, multi, storing
from tests.support import keys

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError, PartitionValidationError
from rivers.io import DeltaIOHandler, OutputContext

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-31")
ALL = rs.PartitionKeyRange.single("2024-01-01", "2024-01-30")
FRAME = pl.DataFrame({"day": ["1", "2", "1"], "x": [1, 2, 3]})


@pytest.fixture
def delta(tmp_path):
    return DeltaIOHandler(tmp_path / "tables", partition_by="day")


@pytest.fixture
def grid(tmp_path):
    return DeltaIOHandler(tmp_path / "tables", partition_by={"day": "on"})


def test_an_asset_without_partitions_is_a_whole_table(delta, tmp_path):
    delta.handle_output(storing(), FRAME.lazy())
    assert_frame_equal(delta.load_input(loading()), FRAME, check_row_order=False)
    delta.handle_output(storing(), pl.DataFrame({"y": [1]}))
    assert delta.load_input(loading()).rows() == [(1,)]
    assert DeltaTable(tmp_path / "tables" / "a").version() == 1


def test_a_run_replaces_the_rows_of_its_partitions_in_one_commit(delta, tmp_path):
    one, two, three = keys("1", "2", "3")
    delta.handle_output(storing(one, two), FRAME)
    delta.handle_output(storing(two, three), pl.DataFrame({"day": ["3"], "x": [9]}))
    assert delta.load_input(loading(one)).rows() == [("1", 1), ("1", 3)]
    assert delta.load_input(loading(two)).height == 0
    assert delta.load_input(loading(three, one)).rows() == [("3", 9), ("1", 1), ("1", 3)]
    table = DeltaTable(tmp_path / "tables" / "a")
    assert (table.version(), table.metadata().partition_columns) == (1, ["day"])


def test_dimensions_have_columns_of_their_own(grid, tmp_path):
    frame = pl.DataFrame({"on": ["1", "1", "2"], "region": ["us", "eu", "eu"], "x": [1, 2, 3]})
    partitions = multi(("1", "us"), ("1", "eu"), ("2", "eu"))
    grid.handle_output(storing(*partitions), frame)
    grid.handle_output(
        storing(partitions[1]), pl.DataFrame({"on": ["1"], "region": ["eu"], "x": [7]})
    )
    assert grid.load_input(loading(*reversed(partitions)))["x"].to_list() == [3, 7, 1]
    sparse = pl.DataFrame({"on": ["1", "2"], "region": ["us", "eu"], "x": [8, 9]})
    grid.handle_output(storing(partitions[0], partitions[2]), sparse)
    assert grid.load_input(loading(*partitions))["x"].to_list() == [8, 7, 9]
    assert DeltaTable(tmp_path / "tables" / "a").metadata().partition_columns == ["on", "region"]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("day", [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]),
        pl.Series("day", ["2024-01-01", "2024-01-02"], dtype=pl.Categorical),
    ],
)
def test_keys_may_be_dates_or_categories(delta, column):
    partitions = keys("2024-01-01", "2024-01-02")
    delta.handle_output(storing(*partitions), pl.DataFrame({"day": column, "x": [1, 2]}))
    delta.handle_output(storing(partitions[0]), pl.DataFrame({"day": column[:1], "x": [5]}))
    assert delta.load_input(loading(*partitions))["x"].to_list() == [5, 2]


def test_keys_may_be_numbers(delta):
    one, two = keys("1", "2")
    delta.handle_output(storing(one, two), pl.DataFrame({"day": [2, 1], "x": [1, 2]}))
    delta.handle_output(storing(one), pl.DataFrame({"day": [1], "x": [5]}))
    assert delta.load_input(loading(two, one))["x"].to_list() == [1, 5]


def test_hostile_keys_and_names_are_only_texts(tmp_path):
    column = 'it"s; DROP'
    delta = DeltaIOHandler(tmp_path / "tables", partition_by=column)
    evil, other = keys("x' OR '1'='1", "../é %2E\n")
    frame = pl.DataFrame({column: ["x' OR '1'='1", "../é %2E\n"], "x": [1, 2]})
    delta.handle_output(storing(evil, other), frame)
    delta.handle_output(storing(evil), frame.head(1).with_columns(x=pl.lit(7, pl.Int64)))
    assert delta.load_input(loading(evil, other))["x"].to_list() == [7, 2]
    delta.handle_output(OutputContext(".."), FRAME)
    assert delta.load_input(loading(asset="..")).height == 3
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def test_rows_of_failed_partitions_are_left_out(delta):
    one, two = keys("1", "2")
    delta.handle_output(storing(one, two), FRAME)
    delta.handle_output(storing(one, failed=[two]), FRAME.with_columns(x=pl.lit(0, pl.Int64)))
    assert delta.load_input(loading(one, two))["x"].to_list() == [0, 0, 2]
    delta.handle_output(storing(failed=[one]), FRAME)
    assert delta.load_input(loading(one))["x"].to_list() == [0, 0]


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        (pl.DataFrame({"x": [1]}), PartitionValidationError, "without the column 'day'"),
        (FRAME, PartitionValidationError, "belong to none"),
        (
            FRAME.with_columns(day=pl.lit(None, pl.String)),
            PartitionValidationError,
            "belong to none",
        ),
        (pl.DataFrame({"day": [1.0]}), PartitionValidationError, "belong to none"),
        (pl.DataFrame({"day": []}, schema={"day": pl.Float64}), TypeError, "text, dates or whole"),
        (3, TypeError, "DeltaIOHandler cannot keep"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(delta, tmp_path, value, error, told):
    with pytest.raises(error, match=told):
        delta.handle_output(storing(*keys("1")), value)
    assert not (tmp_path / "tables").exists()


def test_partition_by_is_required_for_one_dimension(tmp_path):
    with pytest.raises(ConfigurationError, match="partition_by='day'"):
        DeltaIOHandler(tmp_path).handle_output(storing(*keys("1")), FRAME)
    with pytest.raises(TypeError, match="folder or at a URL"):
        DeltaIOHandler(3)


def test_a_missing_value_is_reported(delta):
    with pytest.raises(ExecutionError, match="nothing is stored of asset 'a' for partition '1'"):
        delta.load_input(loading(*keys("1")))


@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(2)])
def test_runs_beside_each_other_lose_nothing(repo, delta, executor):
    @rs.Asset(partitions_def=DAYS, io_handler=delta)
    def sales(context: rs.AssetExecutionContext):
        return pl.DataFrame({"day": [key.key[0] for key in context.partition.keys]}).with_columns(
            run=pl.lit(context.run_id)
        )

    repository = repo(sales, default_executor=executor)
    # Several runs create the table at once; then others overwrite it.
    for strategy in (rs.BackfillStrategy.multi_run(), rs.BackfillStrategy.chunked(4)):
        result = repository.backfill(partition_range=ALL, strategy=strategy, max_concurrency=6)
        error = repository.get_backfill(result.backfill_id).error
        assert result.status == "completed", error
        stored = delta.load_input(loading(*result.partition_keys, asset="sales"))
        assert stored.height == 30
        assert stored["run"].n_unique() == result.num_runs
        assert stored["run"].str.starts_with(result.backfill_id).all()


# -- what is missing -------------------------------------------------------------------------------


def missing_of(tmp_path, returned, **options):
    """What an asset is told of the partitions of `returned`; an exception fails its partition."""
    handler = rs.DeltaIOHandler(tmp_path, partition_by="key")
    letters = rs.PartitionsDefinition.static_(list(returned))

    @rs.Asset(partitions_def=letters, io_handler=handler)
    def source(context: rs.AssetExecutionContext) -> pl.DataFrame | None:
        rows = returned[context.partition_key]
        if isinstance(rows, Exception):
            raise rows
        keys = pl.Series("key", [context.partition_key] * (rows or 0), pl.String)
        return None if rows is None else keys.to_frame().with_columns(n=1)

    seen = []

    @rs.Asset(deps=[rs.AssetDef.input("source", allow_missing=True)])
    def taker(context: rs.AssetExecutionContext, source: pl.DataFrame) -> None:
        seen.append((source.height, context.missing_inputs))

    repository = rs.CodeRepository([source, taker]).resolve(rs.Storage.memory())
    everything = rs.PartitionKeyRange.single(None, None)
    repository.backfill(["source"], partition_range=everything)
    repository.materialize(["taker"])
    return seen[0]


def test_partitions_that_failed_are_missing_those_without_rows_are_not(tmp_path):
    height, missing = missing_of(
        tmp_path, {"a": 2, "b": 0, "c": None, "d": ValueError("no"), "e": 1}
    )
    assert height == 3
    assert missing == {"source": [rs.PartitionKey.single("d")]}


def test_all_partitions_of_a_table_that_was_never_made_are_missing(tmp_path):
    height, missing = missing_of(tmp_path, {"a": ValueError("no"), "b": ValueError("no")})
    assert height == 0
    assert missing == {"source": keys("a", "b")}


def test_a_partition_is_no_longer_missing_once_it_has_rows_or_is_stored_without(tmp_path):
    handler = rs.DeltaIOHandler(tmp_path, partition_by="k")
    wanted = loading(*keys("a", "b"))
    rows = pl.DataFrame({"k": ["a"], "n": [1]})
    assert handler._absent(wanted) == keys("a", "b")
    handler.handle_output(storing(*keys("a")), rows)
    assert handler._absent(wanted) == keys("b")
    handler.handle_output(storing(*keys("b")), rows.clear())
    assert handler._absent(wanted) == []
    handler.handle_output(storing(*keys("a")), None)
    assert handler._absent(wanted) == []
    handler.handle_output(storing(*keys("a")), rows)
    assert handler.load_input(wanted).equals(rows)


# -- durability ------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch):
    """The names of the files and folders that are synced, in order."""
    names = []
    fsync = os.fsync

    def recording(descriptor):
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    return names


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
def test_all_files_of_a_commit_are_synced_with_the_log_and_the_folders(tmp_path, synced):
    handler = rs.DeltaIOHandler(tmp_path / "new" / "tables", partition_by="k")
    table = tmp_path / "new" / "tables" / "a"
    both = pl.DataFrame({"k": ["a", "b c"], "n": [1, 2]})
    handler.handle_output(storing(*keys("a", "b c")), both)
    written = {path for path in table.rglob("*") if path.is_file()}
    assert written
    assert written <= set(synced)
    folders = {path for path in table.rglob("*") if path.is_dir()}
    assert folders | {table, table.parent, table.parent.parent, tmp_path} <= set(synced)
    synced.clear()
    handler.handle_output(storing(*keys("a")), both.head(1))
    again = {path for path in table.rglob("*") if path.is_file()} - written
    assert again <= set(synced)
    assert not written & set(synced)
    synced.clear()
    handler.handle_output(storing(*keys("a")), None)
    assert {path.parent.name for path in synced if path.suffix == ".json"} == {"_delta_log"}


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
def test_a_checkpoint_is_synced_with_the_file_that_names_it(tmp_path, synced):
    handler = rs.DeltaIOHandler(tmp_path, partition_by="k")
    rows = pl.DataFrame({"k": ["a"], "n": [1]})
    handler.handle_output(storing(*keys("a")), rows)
    table = DeltaTable(tmp_path / "a")
    for _ in range(120):
        table.delete("k = 'b'")  # Commits nothing, or an empty commit.
        handler.handle_output(storing(*keys("a")), rows)
        if (tmp_path / "a" / "_delta_log" / "_last_checkpoint").exists():
            break
    names = {path.name for path in synced}
    assert "_last_checkpoint" in names
    assert any(name.endswith(".checkpoint.parquet") for name in names)


def test_syncs_of_tables_can_be_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("synced"))
    handler = rs.DeltaIOHandler(tmp_path, partition_by="k", sync=False)
    handler.handle_output(storing(*keys("a")), pl.DataFrame({"k": ["a"], "n": [1]}))
    assert handler.load_input(loading(*keys("a"))).height == 1


def test_a_sync_that_fails_fails_the_run(tmp_path, monkeypatch):
    handler = rs.DeltaIOHandler(tmp_path, partition_by="k")

    def fails(descriptor):
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="input/output"):
        handler.handle_output(storing(*keys("a")), pl.DataFrame({"k": ["a"], "n": [1]}))
