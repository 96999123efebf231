"""A parameter receives a value or a dict by the mapping, never by how many partitions there are."""

import polars as pl
import pytest
from tests.support import key, keys, letters, repository

import rivers as rs
from rivers.io import ParquetIOHandler

MAPPING = rs.PartitionMapping
MONTHS = rs.PartitionsDefinition.time_window(
    "2024-01-01", cron_schedule="@monthly", fmt="%Y-%m", end="2024-03-01"
)


def days(start, end):
    return rs.PartitionsDefinition.daily(start, end=end)


def received(upstream, downstream, mapping, partition_key):
    """Runs all of an upstream and then one partition of a downstream; returns what it received."""
    got = []

    @rs.Asset(partitions_def=upstream)
    def source(context: rs.AssetExecutionContext):
        return context.partition_key

    deps = [rs.AssetDef.input("source", mapping)]

    @rs.Asset(partitions_def=downstream, deps=deps)
    def taker(source):
        got.append(source)

    repo = repository(source, taker)
    repo.backfill(["source"], partition_keys=upstream.get_partition_keys())
    if partition_key is None:
        repo.materialize(["taker"])
    else:
        repo.backfill(["taker"], partition_keys=[partition_key])
    return got[0]


def test_a_month_with_one_day_receives_a_dict():
    got = received(days("2024-01-31", "2024-02-01"), MONTHS, MAPPING.time_window(), key("2024-01"))
    assert got == {"2024-01-31": "2024-01-31"}


def test_a_month_that_needs_no_day_receives_an_empty_dict():
    got = received(days("2024-02-01", "2024-02-03"), MONTHS, MAPPING.time_window(), key("2024-01"))
    assert got == {}


def test_a_day_before_the_first_is_no_value():
    first = days("2024-01-01", "2024-01-03")
    assert received(first, first, MAPPING.time_window(-1), key("2024-01-01")) is None


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        (MAPPING.all_partitions(), {"a": "a"}),
        (MAPPING.specific_partitions(["a"]), {"a": "a"}),
        (MAPPING.static_({"x": "a"}), "a"),
        (MAPPING.static_({"x": ["a"]}), "a"),
    ],
)
def test_the_form_over_a_single_key_depends_on_the_mapping(mapping, expected):
    assert (
        received(letters(1), rs.PartitionsDefinition.static_(["x", "y"]), mapping, key("x"))
        == expected
    )


def test_static_gives_a_dict_for_every_key_if_one_key_needs_several():
    mapping = MAPPING.static_({"x": ["a"], "y": ["a", "b"]})
    downstream = rs.PartitionsDefinition.static_(["x", "y"])
    assert received(letters(2), downstream, mapping, key("x")) == {"a": "a"}


def test_one_day_of_the_day_before_is_a_value():
    definition = days("2024-01-01", "2024-01-03")
    got = received(
        definition, days("2024-01-02", "2024-01-03"), MAPPING.time_window(-1), key("2024-01-02")
    )
    assert got == "2024-01-01"


def test_a_day_of_hours_and_an_hour_of_a_day():
    hours = rs.PartitionsDefinition.hourly("2024-01-01T23:00", end="2024-01-02T00:00")
    day = days("2024-01-01", "2024-01-02")
    assert len(received(hours, day, MAPPING.time_window(), key("2024-01-01"))) == 1
    (hour,) = hours.get_partition_keys()
    assert received(day, hours, MAPPING.time_window(), hour) == "2024-01-01"


def test_days_that_start_at_another_hour_overlap_two_days():
    shifted = rs.PartitionsDefinition.time_window(
        "2024-01-01T06:00", interval_seconds=86400, end="2024-01-02T06:00"
    )
    plain = rs.PartitionsDefinition.time_window(
        "2024-01-01", interval_seconds=86400, end="2024-01-02"
    )
    (own,) = shifted.get_partition_keys()
    assert isinstance(received(plain, shifted, MAPPING.time_window(), own), dict)


def test_a_dimension_that_only_the_upstream_has_gives_a_dict():
    day = days("2024-01-01", "2024-01-02")
    both = rs.PartitionsDefinition.multi({"date": day, "region": letters(1)})
    only = rs.PartitionsDefinition.multi({"date": day})
    got = received(both, only, None, rs.PartitionKey.multi({"date": "2024-01-01"}))
    cell = rs.PartitionKey.multi({"date": "2024-01-01", "region": "a"})
    assert list(got) == [cell]


def test_an_unpartitioned_asset_receives_a_dict_of_one():
    assert received(letters(1), None, None, None) == {"a": "a"}


def test_a_run_of_several_partitions_receives_a_dict_of_the_one_that_is_left():
    got = []

    @rs.Asset(partitions_def=letters(3))
    def source(context: rs.AssetExecutionContext):
        for text in "ac":
            context.mark_partition_failed(text, "no")
        return dict.fromkeys(context.partition.keys, 1)

    @rs.Asset(partitions_def=letters(3))
    def taker(source):
        got.append(source)

    repository(source, taker).backfill(
        partition_keys=keys("a", "b", "c"), strategy=rs.BackfillStrategy.single_run()
    )
    assert got == [{"b": 1}]


def test_a_frame_handler_gives_one_frame_of_one_partition(tmp_path):
    got = []

    @rs.Asset(partitions_def=letters(1), io_handler=ParquetIOHandler(tmp_path))
    def source():
        return pl.DataFrame({"n": [1]})

    @rs.Asset(deps=["source"])
    def taker(source):
        got.append(source)

    repo = repository(source, taker)
    repo.backfill(["source"], partition_keys=keys("a"))
    repo.materialize(["taker"])
    assert got[0].to_dicts() == [{"n": 1}]
