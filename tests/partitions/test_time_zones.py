"""Time definitions with a time zone: keys, windows, errors, and what other definitions see of them."""

import datetime as dt
import os
import pickle
import subprocess
import sys
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import rivers as rs

D = rs.PartitionsDefinition
NEW_YORK = "America/New_York"
UTC = dt.UTC


def texts(definition, **given):
    return [str(key) for key in definition.get_partition_keys(**given)]


def window(definition, key):
    space = definition.resolve(dt.datetime(2030, 1, 1))
    return space.select_keys([rs.PartitionKey.single(key)]).time_window()


def length(definition, key):
    start, end = window(definition, key)
    return (end.astimezone(UTC) - start.astimezone(UTC)) / dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (NEW_YORK, "2024-11-03", 25),
        (NEW_YORK, "2024-03-10", 23),
        (NEW_YORK, "2024-03-11", 24),
        ("Australia/Lord_Howe", "2024-04-07", 24.5),
        ("Australia/Lord_Howe", "2024-10-06", 23.5),
        ("America/Sao_Paulo", "2018-11-04", 23),
        ("America/Sao_Paulo", "2018-02-17", 25),
        ("America/Havana", "2024-11-03", 25),
        ("Asia/Tokyo", "2024-03-10", 24),
    ],
)
def test_days_are_as_long_as_in_the_zone(zone, day, hours):
    assert length(D.daily("2010-01-01", timezone=zone), day) == hours


def test_a_day_that_the_clock_skips_has_no_partition():
    days = D.daily("2011-12-28", end="2012-01-02", timezone="Pacific/Apia")
    assert texts(days) == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]
    with pytest.raises(
        rs.exceptions.PartitionValidationError, match="the clock of Pacific/Apia skips"
    ):
        rs.PartitionKeyRange.single("2011-12-30", "2011-12-31").to_polars(days)


def test_an_hour_that_occurs_twice_has_two_keys():
    hours = D.hourly("2024-11-03T00:00", end="2024-11-03T03:00", timezone=NEW_YORK)
    assert texts(hours) == [
        "2024-11-03T00:00",
        "2024-11-03T01:00-04:00",
        "2024-11-03T01:00-05:00",
        "2024-11-03T02:00",
    ]
    assert window(hours, "2024-11-03T01:00-05:00")[0].astimezone(UTC).hour == 6
    assert not hours.validate_partition_key(rs.PartitionKey.single("2024-11-03T01:00"))
    with pytest.raises(rs.exceptions.PartitionValidationError) as refused:
        hours.resolve().select_keys([rs.PartitionKey.single("2024-11-03T01:00")])
    assert str(refused.value).endswith(
        "occurs twice, because the clock is put back; its keys end with an offset; the nearest valid keys: "
        '"2024-11-03T01:00-04:00", "2024-11-03T01:00-05:00"'
    )


def test_the_key_of_a_repeated_hour_does_not_depend_on_the_time():
    hours = D.hourly("2024-11-03T00:00", timezone=NEW_YORK)
    now = dt.datetime(2024, 11, 3, 5, 30, tzinfo=UTC)
    assert texts(hours, now=now)[-1] == "2024-11-03T01:00-04:00"


def test_an_hour_that_the_clock_skips_has_no_key():
    hours = D.hourly("2024-03-10T00:00", end="2024-03-10T05:00", timezone=NEW_YORK)
    assert [key[-5:] for key in texts(hours)] == ["00:00", "01:00", "03:00", "04:00"]


def test_half_hours_that_occur_twice_lengthen_an_hour_and_repeat_half_hours():
    given = {"end": "2024-04-07T03:00", "timezone": "Australia/Lord_Howe"}
    hours = D.hourly("2024-04-07T00:00", **given)
    assert texts(hours) == ["2024-04-07T00:00", "2024-04-07T01:00", "2024-04-07T02:00"]
    assert length(hours, "2024-04-07T01:00") == 1.5
    halves = D.time_window(
        "2024-04-07", cron_schedule="*/30 * * * *", fmt="%Y-%m-%dT%H:%M", **given
    )
    assert [key.removeprefix("2024-04-07T") for key in texts(halves)] == [
        "00:00",
        "00:30",
        "01:00",
        "01:30+11:00",
        "01:30+10:30",
        "02:00",
        "02:30",
    ]


def test_an_interval_is_elapsed_time():
    quarters = D.time_window(
        "2024-11-02",
        interval_seconds=6 * 3600,
        end="2024-11-04",
        fmt="%Y-%m-%dT%H",
        timezone=NEW_YORK,
    )
    assert [key[8:] for key in texts(quarters)][3:7] == ["02T18", "03T00", "03T05", "03T11"]


def test_a_cron_schedule_follows_the_wall_clock():
    days = D.time_window(
        "2024-03-08",
        cron_schedule="30 2 * * *",
        end="2024-03-13",
        fmt="%Y-%m-%d",
        timezone=NEW_YORK,
    )
    assert texts(days) == ["2024-03-08", "2024-03-09", "2024-03-10", "2024-03-11", "2024-03-12"]
    # 02:30 does not occur on the 10th: the window starts when the clock changes.
    assert window(days, "2024-03-10")[0].astimezone(UTC) == dt.datetime(2024, 3, 10, 7, tzinfo=UTC)
    assert window(days, "2024-03-11")[0].astimezone(UTC) == dt.datetime(
        2024, 3, 11, 6, 30, tzinfo=UTC
    )


def test_windows_are_aware_with_a_zone_and_naive_without():
    start, end = window(D.daily("2024-01-01", timezone=NEW_YORK), "2024-07-01")
    assert (start.tzinfo, start.hour, start.utcoffset()) == (
        ZoneInfo(NEW_YORK),
        0,
        -dt.timedelta(hours=4),
    )
    assert end == dt.datetime(2024, 7, 2, tzinfo=ZoneInfo(NEW_YORK))
    assert window(D.daily("2024-01-01"), "2024-07-01")[0].tzinfo is None
    assert window(D.daily("2024-01-01", timezone="UTC"), "2024-07-01")[0].tzinfo is not None


def test_the_current_window_is_that_of_the_zone():
    evening = dt.datetime(2024, 1, 10, 3)
    assert texts(D.daily("2024-01-01"), now=evening)[-1] == "2024-01-10"
    assert texts(D.daily("2024-01-01", timezone=NEW_YORK), now=evening)[-1] == "2024-01-09"
    assert texts(D.daily("2024-01-01", timezone="Asia/Tokyo"), now=evening)[-1] == "2024-01-10"
    aware = evening.replace(tzinfo=dt.timezone(dt.timedelta(hours=5)))
    assert texts(D.daily("2024-01-01"), now=aware)[-1] == "2024-01-09"


@pytest.mark.parametrize(
    ("clock", "last"),
    [
        (lambda: dt.datetime(2024, 1, 10, 3), "2024-01-10"),
        (lambda: dt.datetime(2024, 1, 10, 3, tzinfo=ZoneInfo("Asia/Tokyo")), "2024-01-09"),
    ],
)
def test_a_clock_is_aware_or_in_utc(clock, last):
    asset = rs.Asset(lambda: 1, name="a", partitions_def=D.daily("2024-01-01"))
    repo = rs.CodeRepository([asset], clock=clock).resolve(rs.Storage.memory())
    chosen = repo.backfill(partition_range=rs.PartitionKeyRange.single("today", None), dry_run=True)
    assert [str(key) for key in chosen.partition_keys] == [last]


def test_start_and_end_may_be_aware():
    start = dt.datetime(2024, 1, 1, 5, tzinfo=UTC)
    days = D.daily(start, end=dt.datetime(2024, 1, 3, 5, tzinfo=UTC), timezone=NEW_YORK)
    assert days == D.daily("2024-01-01", end="2024-01-03", timezone=ZoneInfo(NEW_YORK))
    second = dt.datetime(2024, 11, 3, 6, tzinfo=UTC)
    with pytest.raises(rs.exceptions.PartitionDefinitionError, match="the second of two times"):
        D.hourly(second, timezone=NEW_YORK)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("america/new_york", "did you mean 'America/New_York'?"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("../../etc/passwd", "there is no time zone"),
        ("", "there is no time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_close_spellings(zone, hint):
    with pytest.raises(rs.exceptions.PartitionDefinitionError) as refused:
        D.daily("2024-01-01", timezone=zone)
    assert hint in str(refused.value)


def test_another_type_of_zone_is_a_type_error():
    with pytest.raises(TypeError, match="timezone must be the name of a time zone"):
        D.daily("2024-01-01", timezone=5)


@pytest.mark.parametrize("make", [D.daily, D.hourly, D.weekly, D.monthly, D.quarterly, D.yearly])
def test_zoned_definitions_compare_pickle_and_print(make):
    zoned = make("2023-01-01", timezone=NEW_YORK, end="2025-01-01", exclude=["2024-01-01"])
    assert zoned == make("2023-01-01", timezone=NEW_YORK, end="2025-01-01", exclude=["2024-01-01"])
    assert zoned != make(
        "2023-01-01", timezone="America/Detroit", end="2025-01-01", exclude=["2024-01-01"]
    )
    assert zoned != make("2023-01-01", timezone=NEW_YORK, end="2025-01-01")
    again = pickle.loads(pickle.dumps(zoned))
    assert again == zoned
    assert hash(again) == hash(zoned)
    assert texts(again) == texts(zoned)
    if make is not D.hourly:  # It shows the first of 24 excluded hours.
        assert eval(repr(zoned), {"PartitionsDefinition": D}) == zoned
    space = pickle.loads(pickle.dumps(zoned.resolve()))
    assert [str(key) for key in space.all().keys()] == texts(zoned)  # noqa: SIM118


# Definitions and spaces as the first version pickled them.
EARLIER = [
    (
        D.daily("2024-01-01", end="2024-03-01"),
        "0001808290d90c0180ea88de0c0080a3050825592d256d2d2564",
    ),
    (D.hourly("2024-01-01T06:00"), "0001c0d392d90c0000901c0e25592d256d2d25645425483a254d"),
    (
        D.time_window("2024-01-01", cron_schedule="0 9 * * MON", fmt="%Y-%m-%d"),
        "0001808290d90c00010b302039202a202a204d4f4e0825592d256d2d2564",
    ),
]


@pytest.mark.parametrize(("definition", "stored"), EARLIER)
def test_definitions_without_a_zone_are_stored_as_before(definition, stored):
    decode, (data,) = definition.__reduce__()
    assert data.hex() == stored
    assert decode(bytes.fromhex(stored)) == definition


def test_tables_have_zoned_columns():
    days = D.daily("2024-03-09", end="2024-03-12", timezone=NEW_YORK)
    asset = rs.Asset(lambda: 1, name="a", partitions_def=days)
    repo = rs.CodeRepository([asset]).resolve(rs.Storage.memory())
    backfill = repo.backfill(partition_range=rs.PartitionKeyRange.single(None, None))
    for table in (
        days.to_polars(),
        repo.backfill_partitions(backfill.backfill_id),
        repo.partition_status("a"),
    ):
        column = table["partition_start"]
        assert column.dtype == pl.Datetime("us", NEW_YORK)
        assert column.dt.hour().to_list() == [0, 0, 0]


def test_an_asset_sees_its_zoned_window():
    seen = []

    @rs.Asset(partitions_def=D.hourly("2024-11-03", end="2024-11-04", timezone=NEW_YORK))
    def hour(context: rs.AssetExecutionContext) -> None:
        seen.append(context.partition.time_window())

    repo = rs.CodeRepository([hour]).resolve(rs.Storage.memory())
    twice = rs.PartitionKeyRange.single("2024-11-03T01:00", "2024-11-03T01:00")
    assert repo.backfill(partition_range=twice).completed == 2
    starts = sorted(start.astimezone(UTC).hour for start, _ in seen)
    assert starts == [5, 6]
    assert {start.hour for start, _ in seen} == {1}


def needed(downstream, upstream, key, mapping=None):
    mapping = mapping or rs.PartitionMapping.time_window()
    down = downstream.resolve().select_keys([rs.PartitionKey.single(key)])
    return [str(key) for key in down.upstream(upstream.resolve(), mapping).keys()]  # noqa: SIM118


def test_a_day_needs_the_hours_of_its_zone():
    days = D.daily("2024-11-01", end="2024-11-06", timezone=NEW_YORK)
    hours = D.hourly("2024-11-01", end="2024-11-06", timezone=NEW_YORK)
    utc_hours = D.hourly("2024-11-01", end="2024-11-06")
    assert len(needed(days, hours, "2024-11-03")) == 25
    found = needed(days, utc_hours, "2024-11-03")
    assert (len(found), found[0], found[-1]) == (25, "2024-11-03T04:00", "2024-11-04T04:00")
    assert needed(utc_hours, days, "2024-11-03T03:00") == ["2024-11-02"]
    assert needed(utc_hours, days, "2024-11-03T04:00") == ["2024-11-03"]
    tokyo = D.daily("2024-11-01", end="2024-11-06", timezone="Asia/Tokyo")
    assert needed(days, tokyo, "2024-11-03") == ["2024-11-03", "2024-11-04"]


def test_offsets_count_windows_of_the_downstream_zone():
    days = D.daily("2024-11-03", end="2024-11-06", timezone=NEW_YORK)
    hours = D.hourly("2024-11-01", end="2024-11-06")
    before = rs.PartitionMapping.time_window(-1)
    assert len(needed(days, hours, "2024-11-04", before)) == 25
    # The grid continues before its start.
    found = needed(days, hours, "2024-11-03", before)
    assert (len(found), found[0]) == (24, "2024-11-02T04:00")


def test_a_month_of_cron_windows_needs_days_before_its_first():
    months = D.time_window("2024-06-01", cron_schedule="@monthly", end="2024-08-01", fmt="%Y-%m")
    days = D.daily("2024-05-01", end="2024-08-01")
    found = needed(months, days, "2024-06", rs.PartitionMapping.time_window(-1))
    assert (len(found), found[0]) == (31, "2024-05-01")


def test_windows_that_are_left_out_are_not_needed():
    workdays = D.daily("2024-01-01", end="2024-01-20", exclude=[("2024-01-06", "2024-01-08")])
    hours = D.hourly("2024-01-01", end="2024-01-20")
    weeks = D.weekly("2024-01-01", end="2024-01-20")
    assert len(needed(weeks, workdays, "2024-01-01")) == 5
    assert needed(hours, workdays, "2024-01-06T05:00") == []
    assert needed(hours, workdays, "2024-01-05T23:00") == ["2024-01-05"]
    assert len(needed(workdays, hours, "2024-01-05")) == 24
    down = workdays.resolve().all()
    assert (
        down.upstream(hours.resolve(), rs.PartitionMapping.time_window()).num_partitions == 17 * 24
    )
    up = hours.resolve().all()
    mapping = rs.PartitionMapping.time_window()
    assert up.downstream(workdays.resolve(), mapping).num_partitions == 17
    all_days = workdays.resolve().all()
    assert all_days.downstream(hours.resolve(), mapping).num_partitions == 17 * 24


def test_zones_come_from_the_package_tzdata_where_the_system_has_none():
    pytest.importorskip("tzdata")
    script = (
        "import rivers as rs, zoneinfo\n"
        "assert zoneinfo.TZPATH == ()\n"
        "days = rs.PartitionsDefinition.daily('2024-11-03', end='2024-11-04', timezone='America/New_York')\n"
        "start, end = days.resolve().all().time_window()\n"
        "print(end.timestamp() - start.timestamp())\n"
    )
    env = {**os.environ, "PYTHONTZPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "90000.0\n"
