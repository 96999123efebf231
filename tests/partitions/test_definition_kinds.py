"""The classes of definitions, and what each shows of its declaration."""

import datetime as dt
import pickle
from zoneinfo import ZoneInfo

import pytest

from rivers import PartitionsDefinition

START = dt.datetime(2024, 1, 1)
REGIONS = PartitionsDefinition.static_(["us", "eu"])
DAYS = PartitionsDefinition.daily("2024-01-01")
KINDS: dict[type[PartitionsDefinition], list[PartitionsDefinition]] = {
    PartitionsDefinition.Static: [REGIONS],
    PartitionsDefinition.TimeWindow: [
        DAYS,
        PartitionsDefinition.hourly("2024-01-01"),
        PartitionsDefinition.time_window("2024-01-01", interval_seconds=60),
        PartitionsDefinition.time_window("2024-01-01", "0 9 * * MON"),
    ],
    PartitionsDefinition.Multi: [PartitionsDefinition.multi({"region": REGIONS, "day": DAYS})],
    PartitionsDefinition.Dynamic: [PartitionsDefinition.dynamic("customers")],
}
ATTRIBUTES = [
    "keys",
    "cron_schedule",
    "interval_seconds",
    "start",
    "end",
    "fmt",
    "dimensions",
    "name",
]


@pytest.mark.parametrize(
    ("definition", "kind"), [(each, kind) for kind, several in KINDS.items() for each in several]
)
def test_a_definition_is_an_instance_of_its_kind_only(definition, kind):
    for same in (definition, pickle.loads(pickle.dumps(definition))):
        assert isinstance(same, PartitionsDefinition)
        assert [each for each in KINDS if isinstance(same, each)] == [kind]
        assert same == definition


def test_attributes_belong_to_one_kind():
    own = {
        kind: {name for name in ATTRIBUTES if hasattr(several[0], name)}
        for kind, several in KINDS.items()
    }
    assert own == {
        PartitionsDefinition.Static: {"keys"},
        PartitionsDefinition.TimeWindow: {
            "cron_schedule", "interval_seconds", "start", "end", "fmt",
        },
        PartitionsDefinition.Multi: {"dimensions"},
        PartitionsDefinition.Dynamic: {"name"},
    }  # fmt: skip


def test_a_definition_shows_what_was_declared():
    assert REGIONS.keys == ["us", "eu"]
    assert PartitionsDefinition.dynamic("customers").name == "customers"
    product = PartitionsDefinition.multi({"region": REGIONS, "day": DAYS})
    assert product.dimensions == [("region", REGIONS), ("day", DAYS)]
    assert isinstance(product.dimensions[1][1], PartitionsDefinition.TimeWindow)


@pytest.mark.parametrize(
    ("definition", "shown"),
    [
        (DAYS, ("0 0 * * *", None, START, None, "%Y-%m-%d")),
        (
            PartitionsDefinition.daily("2024-01-01", end="2024-02-01", fmt="%d.%m.%Y"),
            ("0 0 * * *", 86_400.0, START, dt.datetime(2024, 2, 1), "%d.%m.%Y"),
        ),
        (
            PartitionsDefinition.daily("2024-01-01T06:30"),
            ("30 6 * * *", None, dt.datetime(2024, 1, 1, 6, 30), None, "%Y-%m-%d"),
        ),
        (
            PartitionsDefinition.hourly("2024-01-01"),
            ("0 * * * *", None, START, None, "%Y-%m-%dT%H:%M"),
        ),
        (
            PartitionsDefinition.time_window("2024-01-01", interval_seconds=60),
            (None, 60.0, START, None, "%Y-%m-%dT%H:%M:%S"),
        ),
        (
            PartitionsDefinition.time_window("2024-01-01", interval_seconds=86_400),
            (None, 86_400.0, START, None, "%Y-%m-%dT%H:%M:%S"),
        ),
        (
            PartitionsDefinition.time_window(START, "0 9 * * MON", fmt="%G-W%V"),
            ("0 9 * * MON", None, START, None, "%G-W%V"),
        ),
        (
            PartitionsDefinition.weekly("2024-01-01", first_day="sunday"),
            ("0 0 * * SUN", None, dt.datetime(2024, 1, 7), None, "%Y-%m-%d"),
        ),
        (
            PartitionsDefinition.monthly("2024-01-01"),
            ("0 0 1 * *", None, START, None, "%Y-%m"),
        ),
        (
            PartitionsDefinition.quarterly("2024-01-01", first_month=2),
            ("0 0 1 2,5,8,11 *", None, START, None, "%Y-Q%q"),
        ),
        (
            PartitionsDefinition.yearly("2024-01-01"),
            ("0 0 1 1 *", None, START, None, "%Y"),
        ),
        (
            PartitionsDefinition.daily("2024-01-01", timezone="Asia/Tokyo"),
            ("0 0 * * *", None, START.replace(tzinfo=ZoneInfo("Asia/Tokyo")), None, "%Y-%m-%d"),
        ),
    ],
)
def test_a_grid_shows_its_schedule_or_its_interval(definition, shown):
    assert isinstance(definition, PartitionsDefinition.TimeWindow)
    assert (
        definition.cron_schedule,
        definition.interval_seconds,
        definition.start,
        definition.end,
        definition.fmt,
    ) == shown
    assert isinstance(definition.interval_seconds, float | None)
