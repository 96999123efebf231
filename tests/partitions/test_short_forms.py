"""Ends of ranges that are months, days, times relative to now, dates, or open."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

import rivers as rs

D = rs.PartitionsDefinition
NOW = dt.datetime(2024, 3, 5, 3, 30)
DAYS = D.daily("2024-01-10")
WEEKS = D.weekly("2024-01-01")
HOURS = D.hourly("2024-03-01")
NEW_YORK = D.daily("2024-01-10", timezone="America/New_York")


def ends(definition, first, last):
    keys = (
        rs.PartitionKeyRange.single(first, last)
        .to_polars(definition, now=NOW)["partition"]
        .to_list()
    )
    return len(keys), keys[0], keys[-1]


@pytest.mark.parametrize(
    ("definition", "first", "last", "expected"),
    [
        (DAYS, "2024-01", "2024-02", (51, "2024-01-10", "2024-02-29")),
        (DAYS, "2024", "2024-Q1", (56, "2024-01-10", "2024-03-05")),
        (DAYS, "2024-W05", "2024-W05", (7, "2024-01-29", "2024-02-04")),
        (DAYS, None, "2024-01-12", (3, "2024-01-10", "2024-01-12")),
        (DAYS, "2024-03-04", None, (2, "2024-03-04", "2024-03-05")),
        (DAYS, None, None, (56, "2024-01-10", "2024-03-05")),
        (DAYS, "today", "today", (1, "2024-03-05", "2024-03-05")),
        (DAYS, "yesterday", "today", (2, "2024-03-04", "2024-03-05")),
        (DAYS, "-7d", "yesterday", (7, "2024-02-27", "2024-03-04")),
        (DAYS, "-1w", None, (8, "2024-02-27", "2024-03-05")),
        (DAYS, "-90d", "today", (56, "2024-01-10", "2024-03-05")),
        (DAYS, dt.date(2024, 2, 1), dt.datetime(2024, 2, 3, 5), (3, "2024-02-01", "2024-02-03")),
        (HOURS, "2024-03-02", "2024-03-03", (48, "2024-03-02T00:00", "2024-03-03T23:00")),
        (
            HOURS,
            dt.date(2024, 3, 2),
            dt.date(2024, 3, 2),
            (24, "2024-03-02T00:00", "2024-03-02T23:00"),
        ),
        (HOURS, "-2h", "today", (3, "2024-03-05T01:00", "2024-03-05T03:00")),
        (HOURS, dt.datetime(2024, 3, 2, 5, 59), None, (71, "2024-03-02T05:00", "2024-03-05T03:00")),
        (WEEKS, "2024-02", "2024-02", (4, "2024-02-05", "2024-02-26")),
        (WEEKS, "today", "today", (1, "2024-03-04", "2024-03-04")),
        (WEEKS, dt.date(2024, 1, 3), dt.date(2024, 1, 9), (2, "2024-01-01", "2024-01-08")),
        # In New York, it is still the day before.
        (NEW_YORK, "today", None, (1, "2024-03-04", "2024-03-04")),
        (
            NEW_YORK,
            dt.datetime(2024, 2, 1, 3, tzinfo=dt.UTC),
            "2024-01-31",
            (1, "2024-01-31", "2024-01-31"),
        ),
        (
            DAYS,
            dt.datetime(2024, 1, 31, 22, tzinfo=ZoneInfo("America/New_York")),
            "2024-02-01",
            (1, "2024-02-01", "2024-02-01"),
        ),
        (D.static_(["a", "b", "c"]), "b", None, (2, "b", "c")),
    ],
)
def test_a_short_form_stands_for_its_windows(definition, first, last, expected):
    assert ends(definition, first, last) == expected


@pytest.mark.parametrize(
    ("definition", "first", "last", "message"),
    [
        (DAYS, "2023", None, '"2023" is before the start; the nearest valid keys: "2024-01-10"'),
        (DAYS, "2025", None, '"2025" is after the end'),
        (DAYS, dt.date(2025, 1, 1), None, "2025-01-01.* is after the end"),
        (DAYS, None, dt.date(2023, 1, 1), "2023-01-01.* is before the start"),
        (DAYS, "today", "yesterday", 'it starts at "today", which comes after its end "yesterday"'),
        (DAYS, "tomorow", None, "does not have the format"),
        (WEEKS, "2024-01-02", None, "is not on the grid"),
        (D.monthly("2024-01-01"), "2024-01-15", None, "does not have the format"),
        (D.static_(["a"]), dt.date(2024, 1, 1), None, "are not those of time windows"),
        (D.static_(["a"]), "today", None, "is not defined"),
    ],
)
def test_what_stands_for_no_window_is_refused(definition, first, last, message):
    with pytest.raises(rs.exceptions.PartitionValidationError, match=message):
        ends(definition, first, last)


def test_short_forms_in_products_sets_and_lists():
    grid = D.multi({"date": DAYS, "region": D.static_(["us", "eu"])})
    chosen = rs.PartitionKeyRange.multi({"date": ("2024-02", "-1d"), "region": ["us"]})
    assert chosen.to_polars(grid, now=NOW).height == 33
    listed = rs.PartitionKeyRange.multi({"date": ["2024-01", "2024-02-01"]})
    assert listed.to_polars(grid, now=NOW).height == (22 + 1) * 2
    assert grid.select(date=("2024-02", None)).count(now=NOW) == 34 * 2
    assert grid.select(date=rs.exclude((None, "2024-01"))).count(now=NOW) == 34 * 2


def test_ranges_with_times_compare_and_print():
    january = rs.PartitionKeyRange.single(dt.date(2024, 1, 1), None)
    assert january == rs.PartitionKeyRange.single(dt.date(2024, 1, 1), None)
    assert january != rs.PartitionKeyRange.single("2024-01-01", None)
    assert (
        repr(january) == "PartitionKeyRange.single(from_key=datetime.date(2024, 1, 1), to_key=None)"
    )
    assert len({january, january}) == 1
