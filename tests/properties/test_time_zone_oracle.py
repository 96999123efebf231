"""Zoned grids are what a slow walk over the clock finds, minute by minute, with `zoneinfo`.

The walk knows nothing of how grids are computed: it looks at what the wall clock shows at each minute.
"""

import datetime as dt
import os
import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rivers as rs

UTC = dt.UTC
MINUTE = dt.timedelta(minutes=1)

# A zone, and a day near which its clock changes.
ODD_ZONES = [
    ("America/New_York", "2024-03-10"),
    ("America/New_York", "2024-11-03"),
    ("Europe/Dublin", "2024-10-27"),
    ("Australia/Lord_Howe", "2024-04-07"),
    ("Australia/Lord_Howe", "2024-10-06"),
    ("Pacific/Apia", "2011-12-30"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2018-02-17"),
    ("Asia/Beirut", "2024-03-31"),
    ("Asia/Beirut", "2024-10-26"),
    ("America/Havana", "2024-11-03"),
    ("America/Havana", "2024-03-10"),
    ("America/St_Johns", "2006-10-29"),
    ("America/Toronto", "1919-03-30"),
    ("Asia/Kathmandu", "1986-01-01"),
    ("Africa/Casablanca", "2024-03-10"),
    ("America/Godthab", "2024-03-30"),
    ("Antarctica/Troll", "2024-03-31"),
    ("Europe/Moscow", "2014-10-26"),
    ("Asia/Tokyo", "2024-01-01"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("America/New_York", "2090-03-12"),
    ("UTC", "2024-01-01"),
]


def instant(text, zone):
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def offset_of(wall):
    minutes = int(wall.utcoffset().total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def walk_hours(zone, start, end):
    """The start and the key of each hour: the clock shows a full hour, or jumps over one."""
    found, before, at = [], None, start
    while at < end:
        wall = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        jumped = before is not None and wall - before > MINUTE
        if wall.minute == 0 or (jumped and wall.hour != before.hour):
            found.append((at, f"{wall:%Y-%m-%dT%H:00}"))
        before, at = wall, at + MINUTE
    texts = [text for _, text in found]
    offset = lambda at: offset_of(at.astimezone(ZoneInfo(zone)))  # noqa: E731
    return [(at, text + offset(at) * (texts.count(text) > 1)) for at, text in found]


def walk_days(zone, start, end):
    """The start and the key of each day: the clock shows a later date than ever before."""
    found, at = [], start
    while at < end:
        date = f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d}"
        if not found or date > found[-1][1]:
            found.append((at, date))
        at += MINUTE
    return found


WALKS = {"hourly": walk_hours, "daily": walk_days}


def windows_of(definition):
    """The start and the end of each window, in UTC, and its key."""
    found = []
    space = definition.resolve()
    for key in definition.get_partition_keys():
        start, end = space.select_keys([key]).time_window()
        found.append((start.astimezone(UTC), end.astimezone(UTC), str(key)))
    return found


@pytest.mark.parametrize("grid", ["hourly", "daily"])
@pytest.mark.parametrize(("zone", "day"), ODD_ZONES)
def test_windows_are_those_of_a_walk_over_the_clock(zone, day, grid):
    middle = dt.date.fromisoformat(day)
    first, last = middle - dt.timedelta(days=3), middle + dt.timedelta(days=4)
    definition = getattr(rs.PartitionsDefinition, grid)(first, end=last, timezone=zone)
    start, end = instant(f"{first}T00:00", zone), instant(f"{last}T00:00", zone)
    expected = WALKS[grid](zone, start, end)
    found = windows_of(definition)
    assert [(at, key) for at, _, key in found] == expected
    # Windows follow each other without a gap, to the end.
    assert [until for _, until, _ in found] == [at for at, _, _ in found[1:]] + [end]


@given(
    zone=st.sampled_from(sorted({zone for zone, _ in ODD_ZONES})),
    year=st.integers(1890, 2095),
    day=st.integers(1, 366),
    grid=st.sampled_from(["hourly", "daily"]),
)
@settings(deadline=None, max_examples=60)
def test_any_day_has_the_windows_of_the_walk(zone, year, day, grid):
    first = dt.date(year, 1, 1) + dt.timedelta(days=day)
    start, end = (
        instant(f"{first}T00:00", zone),
        instant(f"{first + dt.timedelta(days=2)}T00:00", zone),
    )
    if any(at.astimezone(ZoneInfo(zone)).utcoffset().seconds % 60 for at in (start, end)):
        return  # The walk takes whole minutes.
    definition = getattr(rs.PartitionsDefinition, grid)(
        first, end=first + dt.timedelta(days=2), timezone=zone
    )
    assert [(at, key) for at, _, key in windows_of(definition)] == WALKS[grid](zone, start, end)


SCRIPT = """
import datetime as dt, rivers as rs
zoned = rs.PartitionsDefinition.hourly("2024-11-02", end="2024-11-05", timezone="America/New_York")
plain = rs.PartitionsDefinition.daily("2024-01-01")
now = dt.datetime.now(dt.timezone.utc)
assert str(plain.get_partition_keys()[-1]) == str(now.date())
print(len(zoned.get_partition_keys()), zoned.resolve().all().time_window(), hash(zoned))
"""


def test_partitions_do_not_depend_on_the_zone_of_the_machine():
    printed = set()
    for local in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"):
        env = {**os.environ, "TZ": local}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
        )
        printed.add(done.stdout)
    assert len(printed) == 1
    assert printed.pop().startswith("73 ")
