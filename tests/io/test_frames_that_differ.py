"""Frames of one asset whose columns differ from partition to partition, in each handler of frames."""

import datetime as dt

import polars as pl
import pytest
from obstore.store import MemoryStore
from polars.testing import assert_frame_equal
from tests.io.contexts import loading, storing
from tests.support import keys

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError

KINDS = ["memory", "parquet", "objects", "delta"]


def make(kind, place, **options):
    if kind == "memory":
        return rs.InMemoryIOHandler(**options)
    if kind == "objects":
        return rs.ParquetIOHandler(store=MemoryStore(), partition_by="k", **options)
    handler = rs.ParquetIOHandler if kind == "parquet" else rs.DeltaIOHandler
    return handler(place, partition_by="k", **options)


@pytest.fixture(params=KINDS)
def handler(request, tmp_path):
    return make(request.param, tmp_path)


def store(handler, *frames):
    """Stores each frame as a partition of its own, in a run of its own."""
    parts = keys(*(str(number) for number in range(len(frames))))
    for key, frame in zip(parts, frames, strict=True):
        handler.handle_output(storing(key), frame.with_columns(k=pl.lit(key.key[0])))
    return loading(*parts, type_hint=pl.DataFrame)


def load(handler, *frames):
    """Stores frames, and returns what they are as one, sorted by columns, without keys."""
    loaded = handler.load_input(store(handler, *frames)).drop("k")
    return loaded.select(sorted(loaded.columns))


DAY, TIME = dt.date(2024, 1, 2), dt.datetime(2024, 1, 2)
ZONED = TIME.replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ([1], [2.5], [1.0, 2.5]),
        ([1.5], [2], [1.5, 2.0]),
        ([1], [None], [1, None]),
        ([None], [1], [None, 1]),
        ([None], ["x"], [None, "x"]),
        ([None], [None], [None, None]),
        (pl.Series([1], dtype=pl.Int8), pl.Series([300], dtype=pl.Int64), [1, 300]),
        (pl.Series([300], dtype=pl.Int64), pl.Series([1], dtype=pl.Int8), [300, 1]),
        (pl.Series([1], dtype=pl.UInt32), pl.Series([-1], dtype=pl.Int32), [1, -1]),
        (pl.Series([0.5], dtype=pl.Float32), [0.1], [0.5, 0.1]),
        ([DAY], [TIME], [TIME, TIME]),
        ([[1]], [[2.5, None]], [[1.0], [2.5, None]]),
        ([{"a": 1}], [{"b": "x", "a": 2.5}], [{"a": 1.0, "b": None}, {"a": 2.5, "b": "x"}]),
        (pl.Series(["x"], dtype=pl.Categorical), ["y"], ["x", "y"]),
        (pl.Series([TIME], dtype=pl.Datetime("ms")), [TIME], [TIME, TIME]),
        ([ZONED], [ZONED], [ZONED, ZONED]),
    ],
)
def test_a_column_gets_the_wider_type(handler, one, other, both):
    loaded = load(handler, pl.DataFrame({"x": one}), pl.DataFrame({"x": other}))
    assert loaded["x"].to_list() == both


def test_columns_come_and_go(handler):
    loaded = load(
        handler,
        pl.DataFrame({"a": [1]}),
        pl.DataFrame({"a": [2], "b": ["new"]}),
        pl.DataFrame({"c": [True]}),
    )
    expected = {"a": [1, 2, None], "b": [None, "new", None], "c": [None, None, True]}
    assert_frame_equal(loaded, pl.DataFrame(expected))


def test_columns_may_have_another_order(handler):
    loaded = load(handler, pl.DataFrame({"a": [1], "b": [2]}), pl.DataFrame({"b": [4], "a": [3]}))
    assert loaded.rows() == [(1, 2), (3, 4)]


def test_a_frame_without_rows_may_have_other_types(handler):
    loaded = load(handler, pl.DataFrame({"a": [1]}), pl.DataFrame({"a": []}))
    assert loaded.rows() == [(1,)]


def test_the_order_of_partitions_is_that_of_the_context(handler):
    store(
        handler, pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2.5]}), pl.DataFrame({"a": [None]})
    )
    context = loading(*keys("2", "1", "0"), type_hint=pl.DataFrame)
    assert handler.load_input(context)["a"].to_list() == [None, 2.5, 1.0]


def test_a_partition_can_be_replaced_by_one_that_fits_the_others(handler):
    frames = pl.DataFrame({"a": [1.5]}), pl.DataFrame({"a": [2.5], "b": [1]})
    assert load(handler, *frames).rows() == [(1.5, None), (2.5, 1)]
    assert load(handler, frames[0], pl.DataFrame({"a": [3]})).select("a").rows() == [(1.5,), (3.0,)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], ["x"]),
        ([True], ["x"]),
        ([DAY], [1]),
        ([TIME], [ZONED]),
        ([[1]], [1]),
        ([["x"]], [[1]]),
    ],
)
def test_what_cannot_be_combined_names_asset_column_and_both_partitions(kind, one, other, tmp_path):
    handler = make(kind, tmp_path)
    with pytest.raises(ExecutionError) as caught:
        handler.load_input(store(handler, pl.DataFrame({"x": one}), pl.DataFrame({"x": other})))
    for part in ("asset 'a'", "column 'x'", "partition '0'", "partition '1'"):
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "objects", "delta"])
def test_frames_of_one_run_that_cannot_be_combined_are_refused_when_stored(kind, tmp_path):
    handler = make(kind, tmp_path)
    value = {
        "0": pl.DataFrame({"k": ["0"], "x": [1]}),
        "1": pl.DataFrame({"k": ["1"], "x": ["text"]}),
    }
    with pytest.raises(ExecutionError, match=r"'x'.*partition '0'.*partition '1'"):
        handler.handle_output(storing(*keys("0", "1")), value)
    with pytest.raises(ExecutionError, match="nothing is stored"):
        handler.load_input(loading(*keys("0")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({"a": [1]}, {"a": [1], "b": [1]}, "'b' exists in partition '1', but not in|'b' exists"),
        ({"a": [1], "b": [1]}, {"a": [1]}, "'b' exists"),
        ({"a": [1]}, {"a": [1.5]}, "'a' holds Int64 in .* and Float64 in partition '1'"),
    ],
)
def test_a_strict_schema_refuses_frames_that_differ(kind, one, other, reason, tmp_path):
    handler = make(kind, tmp_path, schema="strict")
    with pytest.raises(ExecutionError, match=reason) as caught:
        handler.load_input(store(handler, pl.DataFrame(one), pl.DataFrame(other)))
    assert "asset 'a'" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_strict_schema_takes_frames_that_are_alike(kind, tmp_path):
    handler = make(kind, tmp_path, schema="strict")
    assert load(handler, pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})).rows() == [(1,), (2,)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_rule_is_refused(kind, tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'strict'"):
        make(kind, tmp_path, schema="stric")


def test_frames_that_differ_in_a_backfill(repo, handler):
    days = rs.PartitionsDefinition.daily("2024-01-01", "2024-01-05")

    @rs.Asset(partitions_def=days, io_handler=handler)
    def sales(context):
        day = context.partition_key
        extra = {"late": ["yes"]} if day > "2024-01-02" else {}
        return pl.DataFrame({"k": [day], "sold": [1 if day < "2024-01-02" else 1.5], **extra})

    got = []

    @rs.Asset
    def report(sales: pl.DataFrame):
        got.append(sales)

    repository = repo(sales, report)
    four = rs.PartitionKeyRange.single("2024-01-01", "2024-01-04")
    assert repository.backfill(["sales"], partition_range=four).completed == 4
    assert repository.materialize(["report"]).success
    assert got[0]["sold"].to_list() == [1.0, 1.5, 1.5, 1.5]
    assert got[0]["late"].to_list() == [None, None, "yes", "yes"]
