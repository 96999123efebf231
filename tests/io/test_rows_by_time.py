"""Rows are split, replaced and loaded by the windows of a column of dates or datetimes."""

import datetime as dt

import polars as pl
import pytest

import rivers as rs
from rivers.exceptions import PartitionValidationError
from rivers.io import InputContext, OutputContext

DAYS = rs.PartitionsDefinition.daily("2024-01-01", "2024-02-01")
HOURS = rs.PartitionsDefinition.hourly("2024-01-01", "2024-01-03")
MONTHS = rs.PartitionsDefinition.time_window("2024-01-01", cron_schedule="0 0 1 * *", fmt="%Y-%m")
KINDS = pytest.mark.parametrize("kind", [rs.ParquetIOHandler, rs.DeltaIOHandler])


def contexts(definition, *texts):
    keys = [rs.PartitionKey.single(text) for text in texts]
    partition = rs.PartitionContext(keys, definition)
    return OutputContext("a", partition=partition), InputContext("a", None, partition=partition)


def at(text, zone=None):
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone)


@KINDS
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_datetimes_belong_to_the_window_that_holds_them(kind, unit, zone, tmp_path):
    handler = kind(tmp_path, partition_by="ts")
    times = ["2024-01-01T00:00", "2024-01-01T23:59:59.999", "2024-01-02T00:00", "2024-01-03T12:00"]
    column = pl.Series("ts", [at(text) for text in times]).dt.cast_time_unit(unit)
    if zone is not None:
        column = column.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    store, load = contexts(DAYS, "2024-01-01", "2024-01-02", "2024-01-03")
    handler.handle_output(store, pl.DataFrame({"x": [1, 2, 3, 4], "ts": column}))
    assert handler.load_input(load)["x"].to_list() == [1, 2, 3, 4]
    for text, rows in [("2024-01-01", [1, 2]), ("2024-01-02", [3]), ("2024-01-03", [4])]:
        assert handler.load_input(contexts(DAYS, text)[1])["x"].to_list() == rows


@KINDS
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_days_of_a_zone_have_the_hours_of_its_clock(kind, zone, tmp_path):
    days = rs.PartitionsDefinition.daily("2024-11-02", "2024-11-05", timezone="America/New_York")
    handler = kind(tmp_path, partition_by="ts")
    first, last = at("2024-11-02T04:00"), at("2024-11-05T05:00")  # Midnight in New York.
    hours = pl.datetime_range(first, last, "1h", closed="left", eager=True)
    column = hours.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).alias("ts")
    texts = ["2024-11-02", "2024-11-03", "2024-11-04"]
    store, load = contexts(days, *texts)
    handler.handle_output(store, pl.DataFrame([column]))
    assert handler.load_input(load).height == 73
    heights = [handler.load_input(contexts(days, text)[1]).height for text in texts]
    assert heights == [24, 25, 24]
    # A run replaces one of them.
    store, load = contexts(days, "2024-11-03")
    handler.handle_output(store, pl.DataFrame([column[24:25]]))
    assert handler.load_input(load).height == 1
    assert handler.load_input(contexts(days, *texts)[1]).height == 49


@KINDS
def test_a_run_replaces_the_rows_of_its_windows_alone(kind, tmp_path):
    handler = kind(tmp_path, partition_by="ts")
    frame = pl.DataFrame({"x": [1, 2, 3], "ts": [at(f"2024-01-0{day}T05:30") for day in (1, 2, 3)]})
    handler.handle_output(contexts(DAYS, "2024-01-01", "2024-01-02", "2024-01-03")[0], frame)
    new = pl.DataFrame({"x": [7, 8], "ts": [at("2024-01-02T00:00"), at("2024-01-02T23:00")]})
    handler.handle_output(contexts(DAYS, "2024-01-02")[0], new)
    load = contexts(DAYS, "2024-01-01", "2024-01-02", "2024-01-03")[1]
    assert handler.load_input(load)["x"].to_list() == [1, 7, 8, 3]
    # In the order of the context, whatever that is.
    load = contexts(DAYS, "2024-01-03", "2024-01-01")[1]
    assert handler.load_input(load)["x"].to_list() == [3, 1]
    handler.handle_output(contexts(DAYS, "2024-01-02")[0], None)
    assert handler.load_input(contexts(DAYS, "2024-01-02")[1]) is None
    assert handler.load_input(contexts(DAYS, "2024-01-01")[1])["x"].to_list() == [1]


@KINDS
def test_dates_belong_to_wider_windows(kind, tmp_path):
    handler = kind(tmp_path, partition_by="day")
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 31), dt.date(2024, 2, 1), dt.date(2024, 3, 5)]
    store, load = contexts(MONTHS, "2024-01", "2024-02", "2024-03")
    handler.handle_output(store, pl.DataFrame({"x": [1, 2, 3, 4], "day": days}))
    assert handler.load_input(load)["x"].to_list() == [1, 2, 3, 4]
    assert handler.load_input(contexts(MONTHS, "2024-01")[1])["x"].to_list() == [1, 2]
    handler.handle_output(
        contexts(MONTHS, "2024-01")[0], pl.DataFrame({"x": [9], "day": days[1:2]})
    )
    assert handler.load_input(load)["x"].to_list() == [9, 3, 4]


@KINDS
def test_hours_beside_another_dimension(kind, tmp_path):
    grid = rs.PartitionsDefinition.multi(
        {"hour": HOURS, "region": rs.PartitionsDefinition.static_(["us", "eu"])}
    )
    points = [("2024-01-01T05:00", "us"), ("2024-01-01T05:00", "eu"), ("2024-01-02T00:00", "us")]
    keys = [rs.PartitionKey.multi({"hour": hour, "region": region}) for hour, region in points]
    frame = pl.DataFrame(
        {
            "ts": [at("2024-01-01T05:59"), at("2024-01-01T05:00"), at("2024-01-02T00:30")],
            "region": ["us", "eu", "us"],
            "x": [1, 2, 3],
        }
    )
    handler = kind(tmp_path, partition_by={"hour": "ts"})
    handler.handle_output(OutputContext("a", partition=rs.PartitionContext(keys, grid)), frame)

    def load(*chosen):
        partition = rs.PartitionContext(list(chosen), grid)
        return handler.load_input(InputContext("a", None, partition=partition))["x"].to_list()

    assert [load(key) for key in keys] == [[1], [2], [3]]
    assert load(*reversed(keys)) == [3, 2, 1]
    new = frame[:1].with_columns(x=pl.lit(7, pl.Int64))
    handler.handle_output(OutputContext("a", partition=rs.PartitionContext(keys[:1], grid)), new)
    assert load(*keys) == [7, 2, 3]


@KINDS
@pytest.mark.parametrize("text", ["2024-01-03T00:00", "2023-12-31T23:59:59", None])
def test_rows_outside_the_windows_of_the_run_are_refused(kind, text, tmp_path):
    handler = kind(tmp_path, partition_by="ts")
    times = [at("2024-01-01T05:00"), text and at(text)]
    with pytest.raises(PartitionValidationError, match=r"rows \(1\) that belong to none.*ts is"):
        handler.handle_output(
            contexts(DAYS, "2024-01-01", "2024-01-02")[0], pl.DataFrame({"ts": times, "x": [1, 2]})
        )
    assert not list(tmp_path.rglob("*.parquet"))


def test_rows_keep_their_order_and_times(tmp_path):
    handler = rs.ParquetIOHandler(tmp_path, partition_by="ts")
    times = [at("2024-01-01T09:00"), at("2024-01-02T08:00"), at("2024-01-01T07:00")]
    store, load = contexts(DAYS, "2024-01-01", "2024-01-02")
    handler.handle_output(store, pl.DataFrame({"ts": times}))
    assert handler.load_input(load)["ts"].to_list() == [times[0], times[2], times[1]]
