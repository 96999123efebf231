"""Types of columns that a handler does not store as they are, or whose values are not there yet."""

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from tests.io.contexts import loading, storing
from tests.io.test_frames_that_differ import handler, load, make, store  # noqa: F401  (a fixture)
from tests.support import keys

import rivers as rs
from rivers.exceptions import ExecutionError
from rivers.io import InputContext, OutputContext

pytest.importorskip("deltalake")
PAIRS = pl.Array(pl.Int64, 2)
TRIPLES = pl.Array(pl.Int64, 3)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pl.Series([[1, 2]], dtype=PAIRS), pl.Series([[3, 4]], dtype=PAIRS), [[1, 2], [3, 4]]),
        (pl.Series([[1, 2]], dtype=PAIRS), pl.Series([[1, 2, 3]], dtype=TRIPLES), [[1, 2], [1, 2, 3]]),
        (pl.Series([[1, 2]], dtype=PAIRS), pl.Series([[3]]), [[1, 2], [3]]),
        (pl.Series([[0.5]]), pl.Series([[1, 2]], dtype=PAIRS), [[0.5], [1.0, 2.0]]),
        (pl.Series([[]], dtype=pl.List(pl.Null)), pl.Series([[1]]), [[], [1]]),
        (pl.Series([[1]]), pl.Series([[] ], dtype=pl.List(pl.Null)), [[1], []]),
        (pl.Series([[None]]), pl.Series([[1.5]]), [[None], [1.5]]),
        (pl.Series([{"a": None}]), pl.Series([{"a": 1}]), [{"a": None}, {"a": 1}]),
        (pl.Series([{"a": 1}]), pl.Series([{"a": None}]), [{"a": 1}, {"a": None}]),
        (
            pl.Series([[{"a": None, "b": 1}]]),
            pl.Series([[{"a": dt.date(2024, 1, 1)}]]),
            [[{"a": None, "b": 1}], [{"a": dt.date(2024, 1, 1), "b": None}]],
        ),
        (
            pl.Series(["x"], dtype=pl.Enum(["x", "y"])),
            pl.Series(["z"], dtype=pl.Enum(["z"])),
            ["x", "z"],
        ),
        (pl.Series([Decimal("1.50")]), pl.Series([2]), [Decimal("1.50"), Decimal("2.00")]),
    ],
)  # fmt: skip
def test_columns_are_combined(handler, one, other, both):  # noqa: F811
    assert (
        load(handler, pl.DataFrame({"x": one}), pl.DataFrame({"x": other}))["x"].to_list() == both
    )


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["x"], dtype=pl.Categorical),
        pl.Series(["x"], dtype=pl.Enum(["x"])),
        pl.Series([None]),
        pl.Series([[None]]),
        pl.Series([[1, 2]], dtype=PAIRS),
        pl.Series([{"a": None}]),
        pl.Series([1], dtype=pl.UInt32),
    ],
    ids=lambda column: str(column.dtype),
)
def test_a_table_without_partitions_holds_any_column(tmp_path, column):
    deltas = rs.DeltaIOHandler(tmp_path)
    for _ in range(2):
        deltas.handle_output(OutputContext("a"), pl.DataFrame({"x": column}))
        loaded = deltas.load_input(InputContext("a", "b", type_hint=pl.DataFrame))
        assert loaded["x"].to_list() == column.to_list()


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([dt.time(1)], "'x' holds Time in partition '0', which Delta Lake does not have"),
        ([dt.timedelta(1)], "'x' holds Duration"),
        ([[dt.timedelta(1)]], "'x' holds Duration"),
        ([{"a": dt.time(1)}], "'x' holds Time"),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), "in partition '0': .*18446744073709551615"),
    ],
)
def test_what_a_table_cannot_hold_is_refused_by_name(tmp_path, column, reason):
    with pytest.raises(ExecutionError, match=f"(?s)asset 'a'.*{reason}"):
        store(make("delta", tmp_path), pl.DataFrame({"x": column}))


def test_columns_that_differ_in_case_alone_are_refused_by_name(tmp_path):
    deltas = make("delta", tmp_path)
    with pytest.raises(ExecutionError, match="'x' and 'X' of asset 'a'"):
        store(deltas, pl.DataFrame({"x": [1]}), pl.DataFrame({"X": [1]}))
    with pytest.raises(ExecutionError, match="'y' and 'Y' of asset 'a'"):
        store(deltas, pl.DataFrame({"y": [1], "Y": [1]}))


def test_a_frame_without_columns_has_no_rows_of_any_partition(handler):  # noqa: F811
    both = keys("0", "1")
    handler.handle_output(storing(*both), pl.DataFrame())
    assert handler.load_input(loading(*both, type_hint=pl.DataFrame)).height == 0
    assert handler.load_input(loading(both[0], type_hint=pl.DataFrame)).height == 0
    handler.handle_output(storing(both[0]), pl.DataFrame({"k": ["0"], "x": [1]}))
    assert handler.load_input(loading(*both, type_hint=pl.DataFrame))["x"].to_list() == [1]
    handler.handle_output(storing(both[0]), pl.DataFrame())
    assert handler.load_input(loading(*both, type_hint=pl.DataFrame)).height == 0


def test_a_table_without_columns_is_refused(tmp_path):
    with pytest.raises(ExecutionError, match="without columns"):
        rs.DeltaIOHandler(tmp_path).handle_output(OutputContext("a"), pl.DataFrame())
