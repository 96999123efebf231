"""Weeks, months, quarters and years, schedules by name, and windows that are left out."""

import datetime as dt

import pytest

import rivers as rs

D = rs.PartitionsDefinition


def texts(definition, **given):
    return [str(key) for key in definition.get_partition_keys(**given)]


def slow_months(first, last, every, first_month):
    """The first days of windows, found by looking at each day."""
    day, found = first, []
    while day < last:
        if day.day == 1 and (day.month - first_month) % every == 0:
            found.append(day)
        day += dt.timedelta(days=1)
    return found


@pytest.mark.parametrize("first_month", range(1, 13))
def test_months_quarters_and_years_are_what_a_walk_finds(first_month):
    first, last = dt.date(2019, 11, 5), dt.date(2026, 2, 3)
    given = {"end": last, "fmt": "%Y-%m-%d"}
    grids = {
        1: D.monthly(first, **given),
        3: D.quarterly(first, first_month=first_month, **given),
        12: D.yearly(first, first_month=first_month, **given),
    }
    for every, grid in grids.items():
        assert texts(grid) == [str(day) for day in slow_months(first, last, every, first_month)]


@pytest.mark.parametrize("day", range(7))
def test_weeks_start_on_any_day(day):
    name = f"{dt.date(2024, 1, 1) + dt.timedelta(days=day):%A}".lower()
    start = dt.date(2024, 2, 28)
    days = [start + dt.timedelta(days=n) for n in range(60)]
    expected = [str(at) for at in days if at.weekday() == day]
    grid = D.weekly(start, end=start + dt.timedelta(days=60), first_day=name)
    assert texts(grid) == expected
    windows = grid.resolve().all().time_window()
    assert windows[1] - windows[0] == dt.timedelta(days=7 * len(expected))


def test_default_keys():
    assert texts(D.weekly("2024-01-01", end="2024-01-09")) == ["2024-01-01", "2024-01-08"]
    assert texts(D.monthly("2024-01-01", end="2024-02-02")) == ["2024-01", "2024-02"]
    assert texts(D.quarterly("2024-01-01", end="2024-04-02")) == ["2024-Q1", "2024-Q2"]
    assert texts(D.yearly("2024-01-01", end="2025-01-02")) == ["2024", "2025"]


def test_a_business_year_is_named_by_the_year_in_which_it_starts():
    quarters = D.quarterly("2024-04-01", end="2025-04-02", first_month=4)
    assert texts(quarters) == ["2024-Q1", "2024-Q2", "2024-Q3", "2024-Q4", "2025-Q1"]
    last = quarters.resolve().select_keys([rs.PartitionKey.single("2024-Q4")]).time_window()
    assert last == (dt.datetime(2025, 1, 1), dt.datetime(2025, 4, 1))
    assert texts(D.yearly("2024-01-01", end="2025-10-01", first_month=10)) == ["2024"]


def test_quarters_and_iso_weeks_in_formats():
    assert texts(D.daily("2020-12-31", end="2021-01-02", fmt="%G-W%V-%u")) == [
        "2020-W53-4",
        "2020-W53-5",
    ]
    assert texts(D.weekly("2020-12-28", end="2021-01-05", fmt="%G-W%V")) == ["2020-W53", "2021-W01"]
    by_cron = D.time_window(
        "2024-01-01", cron_schedule="@quarterly", end="2025-01-01", fmt="Q%q %Y"
    )
    assert texts(by_cron) == ["Q1 2024", "Q2 2024", "Q3 2024", "Q4 2024"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@quarterly", "0 0 1 */3 *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@Daily", "0 0 * * *"),
    ],
)
def test_schedules_have_names(name, fields):
    named, spelled = (
        D.time_window("2023-01-01", cron_schedule=cron, end="2024-06-01") for cron in (name, fields)
    )
    assert texts(named) == texts(spelled)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: D.weekly("2024-01-01", first_day="mondy"), 'did you mean "monday"'),
        (lambda: D.quarterly("2024-01-01", first_month=13), "first_month must be 1 to 12"),
        (lambda: D.yearly("2024-01-01", first_month=0), "first_month must be 1 to 12"),
        (lambda: D.monthly("2024-01-01", fmt="%Y"), 'the fmt "%Y" cannot tell the windows apart'),
        (lambda: D.time_window("2024-01-01", cron_schedule="@often"), "or one of @hourly, @daily"),
        (lambda: D.daily("2024-01-01", exclude=["25.12.2024"]), "neither a key in the format"),
        (
            lambda: D.daily("2024-01-01", exclude=[("2024-02-01", "2024-01-01")]),
            "ends before it starts",
        ),
    ],
)
def test_what_is_wrong_is_refused(make, message):
    with pytest.raises(rs.exceptions.PartitionDefinitionError, match="(?s)" + message):
        make()


@pytest.mark.parametrize("given", ["2024-01-01", ("2024-01-01", "2024-02-01"), [5], 5])
def test_other_types_of_exclude_are_type_errors(given):
    with pytest.raises(TypeError):
        D.daily("2024-01-01", exclude=given)


EXCLUDED = {
    "a date": dt.date(2024, 1, 3),
    "the text of a date": "2024-01-03",
    "a datetime": dt.datetime(2024, 1, 3),
    "a key": rs.PartitionKey.single("2024-01-03"),
    "a window": ("2024-01-02T12:00", dt.date(2024, 1, 4)),
}


@pytest.mark.parametrize("form", EXCLUDED)
def test_a_window_is_left_out_however_it_is_named(form):
    plain, holidays = (
        D.daily("2024-01-01", end="2024-01-06", exclude=exclude)
        for exclude in (None, [EXCLUDED[form]])
    )
    assert texts(holidays) == ["2024-01-01", "2024-01-02", "2024-01-04", "2024-01-05"]
    assert holidays == D.daily("2024-01-01", end="2024-01-06", exclude=["2024-01-03"])
    key = rs.PartitionKey.single("2024-01-02")
    # The window before it does not become longer.
    windows = [one.resolve().select_keys([key]).time_window() for one in (plain, holidays)]
    assert windows[0] == windows[1]
    with pytest.raises(rs.exceptions.PartitionValidationError) as refused:
        rs.PartitionKeyRange.single("2024-01-03", None).to_polars(holidays)
    assert (
        'is excluded from the definition; the nearest valid keys: "2024-01-02", "2024-01-04"'
        in str(refused.value)
    )


def test_dates_outside_the_grid_are_ignored_and_months_leave_out_all_their_windows():
    exclude = ["2023-12-25", "2024-02", dt.date(2030, 1, 1), "2024-01-01"]
    days = D.daily("2024-01-01", end="2024-03-03", exclude=exclude)
    assert texts(days) == [f"2024-01-{day:02}" for day in range(2, 32)] + [
        "2024-03-01",
        "2024-03-02",
    ]
    hours = D.hourly("2024-01-01", end="2024-01-03", exclude=["2024-01-01"])
    assert len(texts(hours)) == 24


def test_without_an_end_the_current_window_may_be_left_out():
    days = D.daily("2024-01-01", exclude=["2024-01-03"])
    assert texts(days, now=dt.datetime(2024, 1, 3, 12))[-1] == "2024-01-02"
    assert texts(days, now=dt.datetime(2024, 1, 4, 12))[-1] == "2024-01-04"


def test_a_backfill_over_workdays_runs_no_holiday():
    seen = []

    @rs.Asset(
        partitions_def=D.daily("2024-12-23", end="2024-12-29", exclude=["2024-12-25", "2024-12-26"])
    )
    def sales(context: rs.AssetExecutionContext) -> None:
        seen.append(context.partition_key)

    repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
    done = repo.backfill(partition_range=rs.PartitionKeyRange.single("2024-12", "2024-12"))
    assert done.completed == 4
    assert sorted(seen) == ["2024-12-23", "2024-12-24", "2024-12-27", "2024-12-28"]
    again = repo.backfill(
        partition_keys=rs.PartitionsDefinition.select(sales.partitions_def), only_missing=True
    )
    assert again.num_partitions == 0


def days_in(definition, key):
    days = D.daily("2023-12-01", end="2025-02-01")
    one = definition.resolve().select_keys([rs.PartitionKey.single(key)])
    return one.upstream(days.resolve(), rs.PartitionMapping.time_window()).num_partitions


def test_mappings_between_calendars():
    assert days_in(D.weekly("2024-01-01", end="2024-03-01"), "2024-01-08") == 7
    assert days_in(D.monthly("2024-01-01", end="2024-03-01"), "2024-02") == 29
    assert days_in(D.quarterly("2024-01-01", end="2024-12-01"), "2024-Q1") == 91
    assert days_in(D.yearly("2024-01-01", end="2024-12-01"), "2024") == 366
    months = D.monthly("2024-01-01", end="2025-01-01")
    quarters = D.quarterly("2024-01-01", end="2025-01-01")
    one = quarters.resolve().select_keys([rs.PartitionKey.single("2024-Q2")])
    needed = one.upstream(months.resolve(), rs.PartitionMapping.time_window(-1))
    assert [str(key) for key in needed.keys()] == ["2024-01", "2024-02", "2024-03"]  # noqa: SIM118
