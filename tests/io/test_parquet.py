"""The handler that keeps frames as Parquet files."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.io.contexts import loading, multi, storing
from tests.support import keys

from rivers import exceptions
from rivers.io import (
    ParquetIOHandler,
)


@pytest.fixture
def parquet(tmp_path):
    return ParquetIOHandler(tmp_path / "store", partition_by="day")


@pytest.fixture
def hive(tmp_path):
    return ParquetIOHandler(tmp_path / "store")


FRAME = pl.DataFrame({"day": [date(2024, 1, 2), date(2024, 1, 1)], "x": [2, 1]})


def test_round_trip(parquet):
    parquet.handle_output(storing(), FRAME.lazy())
    assert_frame_equal(parquet.load_input(loading()), FRAME)


def test_one_frame_is_split(parquet):
    first, second, third = keys("2024-01-01", "2024-01-02", "2024-01-03")
    parquet.handle_output(storing(first, second, third), FRAME)
    assert_frame_equal(parquet.load_input(loading(first)), FRAME[1:])
    assert_frame_equal(parquet.load_input(loading(third)), FRAME.clear())
    assert_frame_equal(parquet.load_input(loading(third, second, first)), FRAME)


def test_files_have_readable_names(parquet, hive, tmp_path):
    parquet.handle_output(storing(), FRAME)
    parquet.handle_output(storing(*keys("2024-01-01")), FRAME)
    hive.handle_output(storing(*multi(("2024-01-01", "us"))), FRAME)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")}
    assert names == {
        "store/a.parquet",
        "store/a/2024-01-01.parquet",
        "store/a/day=2024-01-01/region=us/data.parquet",
    }


def test_path_gives_no_column(hive):
    (key,) = multi(("2024-01-01", "us"))
    hive.handle_output(storing(key), pl.DataFrame({"x": [1]}))
    assert hive.load_input(loading(key)).columns == ["x"]


def test_only_dimensions_that_vary_need_a_column(hive):
    us, eu = multi(("1", "us"), ("1", "eu"))
    hive.handle_output(storing(us, eu), pl.DataFrame({"region": ["eu", "us", "eu"]}))
    assert hive.load_input(loading(eu)).height == 2


def test_columns_may_be_renamed_and_runs_sparse(tmp_path):
    handler = ParquetIOHandler(tmp_path, partition_by={"region": "r"})
    x, y = multi(("1", "us"), ("2", "eu"))
    handler.handle_output(storing(x, y), pl.DataFrame({"day": [1, 2], "r": ["us", "eu"]}))
    assert handler.load_input(loading(y)).rows() == [(2, "eu")]
    with pytest.raises(exceptions.PartitionValidationError, match="day, r is '1, eu'"):
        handler.handle_output(storing(x, y), pl.DataFrame({"day": [1], "r": ["eu"]}))


def test_rows_of_no_partition_are_refused(parquet, tmp_path):
    partitions = keys("2024-01-01", "2024-01-05")
    with pytest.raises(exceptions.PartitionValidationError, match="day is '2024-01-02'"):
        parquet.handle_output(storing(*partitions), FRAME)
    with pytest.raises(ValueError, match=r"rows \(1\) that belong to none.*'None'"):
        parquet.handle_output(storing(*partitions), pl.DataFrame({"day": ["2024-01-01", None]}))
    assert not list(tmp_path.rglob("*.parquet"))


def test_rows_of_failed_partitions_are_left_out(parquet):
    first, second = keys("2024-01-01", "2024-01-02")
    parquet.handle_output(storing(first, failed=[second]), FRAME)
    assert_frame_equal(parquet.load_input(loading(first)), FRAME[1:])
    with pytest.raises(exceptions.ExecutionError, match="'2024-01-02'"):
        parquet.load_input(loading(second))


def test_missing_column_is_refused(hive, parquet):
    with pytest.raises(exceptions.PartitionValidationError, match=r"'day'.*it has"):
        parquet.handle_output(storing(*keys("1", "2")), pl.DataFrame({"x": [1]}))
    with pytest.raises(exceptions.PartitionValidationError, match="'region'"):
        hive.handle_output(storing(*multi(("1", "us"), ("1", "eu"))), pl.DataFrame({"x": [1]}))


def test_single_dimension_needs_a_column_name(hive):
    with pytest.raises(exceptions.ConfigurationError, match="partition_by='day'"):
        hive.handle_output(storing(*keys("1", "2")), FRAME)


def test_partition_by_must_fit_the_dimensions(parquet, tmp_path):
    partitions = multi(("1", "us"), ("1", "eu"))
    unknown = ParquetIOHandler(tmp_path, partition_by={"hour": "h"})
    clash = ParquetIOHandler(tmp_path, partition_by={"day": "region"})
    with pytest.raises(exceptions.ConfigurationError, match=r"\['day', 'region'\]"):
        parquet.handle_output(storing(*partitions), FRAME)
    with pytest.raises(exceptions.ConfigurationError, match="hour"):
        unknown.handle_output(storing(*partitions), FRAME)
    with pytest.raises(exceptions.ConfigurationError, match="same column"):
        clash.handle_output(storing(*multi(("1", "us"), ("2", "eu"))), FRAME)


def test_partition_by_is_checked(tmp_path):
    with pytest.raises(TypeError, match="not 3"):
        ParquetIOHandler(tmp_path, partition_by=3)
    with pytest.raises(exceptions.ConfigurationError, match="same column"):
        ParquetIOHandler(tmp_path, partition_by={"a": "x", "b": "x"})


@pytest.mark.parametrize("count", [1, 2])
def test_dict_of_frames(parquet, count):
    partitions = keys("a", "b")[:count]
    parquet.handle_output(storing(*partitions), {key.key[0]: FRAME for key in partitions})
    assert parquet.load_input(loading(*partitions)).height == 2 * count


def test_dict_that_does_not_fit_is_refused(parquet):
    partitions = keys("a", "b")
    for value, message in [({}, "no value for 'a', 'b'"), ({"c": FRAME}, "run: 'c'")]:
        with pytest.raises(exceptions.PartitionValidationError, match=message):
            parquet.handle_output(storing(*partitions), value)


@pytest.mark.parametrize("value", [1, {"a": 1}, [FRAME]])
def test_other_values_are_refused(parquet, value):
    with pytest.raises(TypeError, match="DataFrame or LazyFrame"):
        parquet.handle_output(storing(*keys("a")), value)


def test_folder_with_a_pattern_in_its_name(tmp_path):
    handler = ParquetIOHandler(tmp_path / "[x]*?")
    handler.handle_output(storing(), FRAME)
    assert_frame_equal(handler.load_input(loading()), FRAME)
