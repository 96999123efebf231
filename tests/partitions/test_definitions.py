"""Partition definitions: static, by time, by several dimensions, dynamic."""

import datetime as dt
import pickle
import re

import pytest

import rivers as rs
from rivers import PartitionKey, PartitionKeyRange, PartitionsDefinition
from rivers.exceptions import AssetDefinitionError, PartitionDefinitionError

DAYS = PartitionsDefinition.daily("2024-01-01", end="2024-01-04")
EVERY = PartitionKeyRange.multi({})
REGIONS = PartitionsDefinition.static_(["us", "eu", "asia"])


def texts(definition, **options):
    return [str(key) for key in definition.get_partition_keys(**options)]


def at(text):
    return dt.datetime.fromisoformat(text)


daily, hourly = PartitionsDefinition.daily, PartitionsDefinition.hourly
time_window = PartitionsDefinition.time_window


def refused(told):
    return pytest.raises(PartitionDefinitionError, match=told)


def test_static_has_the_order_given():
    assert texts(REGIONS) == ["us", "eu", "asia"]
    assert texts(PartitionsDefinition.static_(str(n) for n in range(9, 0, -1))) == list("987654321")


def test_daily():
    assert texts(DAYS) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    for start in (dt.date(2024, 1, 1), at("2024-01-01"), "2024-01-01T00:00"):
        assert daily(start, end="2024-01-04") == DAYS


DAY, SEVEN = "2024-01-01", "2024-01-01T07:00"
WINDOWS = {
    "2024-01-01T22:00 2024-01-01T23:00": hourly("2024-01-01T22:00", end="2024-01-02"),
    "20240101-00 20240101-12": time_window(DAY, None, 43_200, "2024-01-02", "%Y%m%d-%H"),
    "2024-01-01T06:00:00 2024-01-08T06:00:00": time_window(DAY, "0 6 * * 1", end="2024-01-15"),
    "2024-01-01T06:30:00 2024-01-01T06:30:30": time_window(DAY, "*/30 30 6 * * *", end=SEVEN),
}


@pytest.mark.parametrize("keys", WINDOWS)
def test_time_windows(keys):
    assert texts(WINDOWS[keys]) == keys.split()


REFUSED = {
    'the key "a" is given twice, as number 1 and number 3; keys must be distinct': (
        lambda: PartitionsDefinition.static_(["a", "b", "a"])
    ),
    "a static definition needs at least one key, got none": lambda: PartitionsDefinition.static_(
        []
    ),
    "time_window() takes either cron_schedule or interval_seconds": lambda: time_window(
        "2024-01-01"
    ),
    "time_window() takes either cron_schedule or interval_seconds$": (
        lambda: time_window("2024-01-01", "0 * * * *", 60)
    ),
    "interval_seconds must be between 1e-9, a nanosecond, and 4294967295, got 0": (
        lambda: time_window("2024-01-01", interval_seconds=0)
    ),
    "interval_seconds must be between 1e-9, a nanosecond, and 4294967295, got -1": (
        lambda: time_window("2024-01-01", interval_seconds=-1)
    ),
    "interval_seconds must be between 1e-9, a nanosecond, and 4294967295, got nan": (
        lambda: time_window("2024-01-01", interval_seconds=float("nan"))
    ),
    "interval_seconds must be between 1e-9, a nanosecond, and 4294967295, got inf": (
        lambda: time_window("2024-01-01", interval_seconds=float("inf"))
    ),
    "start=2024-01-01 00:00:00+00:00 has a time zone, and the definition has none, so that it is in UTC; pass timezone=, or start.astimezone(UTC).replace(tzinfo=None)": (
        lambda: daily(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    ),
    "the end 2024-01-02T00:00:00 is not after the start 2024-01-02T00:00:00": (
        lambda: daily("2024-01-02", end="2024-01-02")
    ),
    'the fmt "%Q" is not a valid strftime pattern; for example "%Y-%m-%d" or "%Y-%m-%dT%H:%M"': (
        lambda: daily("2024-01-01", fmt="%Q")
    ),
    "a product needs at least one dimension, got none": lambda: PartitionsDefinition.multi({}),
    'the dimension "x" is itself a product of dimensions; nesting is not allowed, name all dimensions in one product': (
        lambda: PartitionsDefinition.multi({"x": PartitionsDefinition.multi({"r": REGIONS})})
    ),
}


@pytest.mark.parametrize("told", REFUSED)
def test_refused(told):
    with refused(f"^{re.escape(told.removesuffix('$'))}$"):
        REFUSED[told]()


@pytest.mark.parametrize("cron", ["", "never", "* * * *", "0 0 * * * * *", "61 * * * *"])
def test_other_cron_schedules_are_refused(cron):
    with refused(f'the cron schedule "{re.escape(cron)}" is not valid'):
        time_window("2024-01-01", cron_schedule=cron, end="2030-01-01")


def test_windows_are_half_open(repo):
    seen = []

    def windows(context):
        seen.append(context.partition.time_window())

    asset = rs.Asset(windows, partitions_def=hourly("2024-01-10"))
    repo(asset).backfill(partition_keys=[PartitionKey.single("2024-01-10T11:00")])
    assert seen == [(at("2024-01-10T11:00"), at("2024-01-10T12:00"))]


def test_without_an_end_the_last_key_is_the_window_that_contains_now():
    days = daily("2024-01-01")
    assert texts(days, now=at("2024-01-03T00:00"))[-1] == "2024-01-03"
    assert texts(days, now=at("2024-01-02T23:59:59"))[-1] == "2024-01-02"
    assert texts(days, now=at("2023-12-31T23:59:59")) == []


def test_the_clock_is_injectable(repo):
    clock = iter([at("2024-01-02T12:00"), at("2024-01-03T12:00")])
    repository = repo(daily("2024-01-01"), clock=lambda: next(clock))
    last = PartitionKeyRange.single("2024-01-01", "2024-01-03")
    with pytest.raises(rs.exceptions.PartitionValidationError, match="is after the end"):
        repository.backfill(partition_range=last, dry_run=True)
    assert repository.backfill(partition_range=last, dry_run=True).num_partitions == 3


def test_a_plan_is_fixed_when_it_is_submitted(repo):
    time = [at("2024-01-02T12:00")]
    grid = PartitionsDefinition.multi({"d": daily("2024-01-01"), "r": REGIONS})

    def later(context):
        time[0] = at("2024-01-09T12:00")

    repository = repo(rs.Asset(later, partitions_def=grid), clock=lambda: time[0])
    result = repository.backfill(partition_range=EVERY)
    assert (result.num_partitions, result.completed) == (6, 6)
    assert str(result.partition_keys[-1]) == "d=2024-01-02|r=asia"


@pytest.mark.parametrize("fmt", ["%Y-%m", "%m-%d %H:%M", "%Y-%m-%d", "%F %I:00", "%Y-%U", "x"])
def test_a_fmt_that_cannot_round_trip_is_refused(fmt):
    with refused(f'the fmt "{re.escape(fmt)}" cannot tell the windows apart'):
        hourly("2024-01-01", fmt=fmt)


def test_a_fmt_that_cannot_round_trip_in_the_second_century_is_refused():
    daily("2024-01-01", end="2030-01-01", fmt="%y-%m-%d")
    with refused("cannot tell the windows apart"):
        daily("1924-01-01", end="2124-01-01", fmt="%y-%m-%d")


def test_a_coarser_fmt_is_allowed_if_windows_stay_distinct():
    months = time_window("2024-01-01", "0 0 1 * *", end="2024-04-01", fmt="%b %Y")
    assert texts(months) == ["Jan 2024", "Feb 2024", "Mar 2024"]


def test_a_whole_number_of_seconds_may_be_a_float():
    minutes = time_window("2024-01-01", interval_seconds=60.0, end="2024-01-01T00:03")
    assert minutes == time_window("2024-01-01", interval_seconds=60, end="2024-01-01T00:03")
    assert texts(minutes)[-1] == "2024-01-01T00:02:00"
    with pytest.raises(TypeError, match="got the str 60"):
        time_window("2024-01-01", interval_seconds="60")


def test_multi_is_the_product_first_dimension_slowest():
    grid = PartitionsDefinition.multi({"r": REGIONS, "d": DAYS})
    assert grid.dimensions == [("r", REGIONS), ("d", DAYS)]
    assert texts(grid) == [f"r={r}|d=2024-01-0{d}" for r in ("us", "eu", "asia") for d in (1, 2, 3)]


def test_multi_has_any_number_of_dimensions():
    pair = PartitionsDefinition.static_(["0", "1"])
    grid = PartitionsDefinition.multi({f"d{n}": pair for n in range(8)})
    assert len(grid.get_partition_keys()) == 2**8
    assert texts(PartitionsDefinition.multi({"only": pair})) == ["only=0", "only=1"]


def test_multi_allows_dynamic_dimensions(repo):
    grid = PartitionsDefinition.multi({"d": DAYS, "c": PartitionsDefinition.dynamic("customers")})
    repository = repo(grid)
    repository.storage.add_dynamic_partitions("customers", ["bob", "ada"])
    result = repository.backfill(partition_range=PartitionKeyRange.multi({"c": ("bob", "ada")}))
    expected = [f"d=2024-01-0{day}|c={name}" for day in (1, 2, 3) for name in ("bob", "ada")]
    assert [str(key) for key in result.partition_keys] == expected


def test_dynamic_keys_live_in_the_storage():
    storage, customers = rs.Storage.memory(), PartitionsDefinition.dynamic("customers")
    storage.add_dynamic_partitions("customers", ["zoe", "bob"])
    storage.add_dynamic_partitions("customers", ["ada", "zoe"])
    assert storage.get_dynamic_partitions("customers") == ["zoe", "bob", "ada"]
    assert texts(customers, storage=storage) == ["zoe", "bob", "ada"]
    for was_there in (True, False):
        assert storage.has_dynamic_partition("customers", "bob") is was_there
        assert storage.delete_dynamic_partition("customers", "bob") is was_there
    assert storage.get_dynamic_partitions("customers") == ["zoe", "ada"]


def test_an_unknown_name_of_dynamic_partitions_has_no_keys_and_a_warning():
    storage = rs.Storage.memory()
    with pytest.warns(UserWarning, match="^No dynamic partitions found for 'custmers'"):
        assert storage.get_dynamic_partitions("custmers") == []
    storage.add_dynamic_partitions("customers", ["zoe"])
    assert storage.get_dynamic_partitions("customers") == ["zoe"]


@pytest.mark.parametrize("error", [PartitionDefinitionError, NotImplementedError])
def test_dynamic_keys_are_not_known_without_a_storage(error):
    customers = PartitionsDefinition.dynamic("customers")
    product = PartitionsDefinition.multi({"d": DAYS, "c": customers})
    for definition in (customers, product):
        with pytest.raises(error, match="storage="):
            definition.get_partition_keys()
        with pytest.raises(error, match="storage="):
            definition.to_polars()


def test_a_storage_without_keys_has_no_partitions():
    customers = PartitionsDefinition.dynamic("customers")
    assert texts(customers, storage=rs.Storage.memory()) == []


def test_ranges_over_dynamic_keys_have_the_order_of_registration(repo):
    repository = repo(PartitionsDefinition.dynamic("customers"))
    repository.storage.add_dynamic_partitions("customers", ["zoe", "bob", "ada", "max"])
    result = repository.backfill(partition_range=PartitionKeyRange.single("bob", "max"))
    assert [str(key) for key in result.partition_keys] == ["bob", "ada", "max"]
    with pytest.raises(rs.exceptions.PartitionValidationError, match="inverted"):
        repository.backfill(partition_range=PartitionKeyRange.single("ada", "bob"))


def test_validate_partition_key():
    grid = PartitionsDefinition.multi({"d": DAYS, "r": REGIONS})
    for key in ("eu", ["eu", "us"]):
        assert REGIONS.validate_partition_key(PartitionKey.single(key)) is True
    for key in ("mars", ["eu", "mars"]):
        assert REGIONS.validate_partition_key(PartitionKey.single(key)) is False
    assert grid.validate_partition_key(PartitionKey.multi({"r": "eu", "d": "2024-01-03"})) is True
    for keys in ({"r": "eu", "d": "2024-01-04"}, {"r": "eu"}):
        assert grid.validate_partition_key(PartitionKey.multi(keys)) is False


def test_never_builds_what_is_not_asked_for(repo):
    hours = hourly("1900-01-01", end="2100-01-01")  # 1.75 million
    grid = PartitionsDefinition.multi({"a": hours, "b": hours, "c": REGIONS})  # 9 * 10^12
    key = PartitionKey.multi({"a": "2000-01-01T00:00", "b": "2099-12-31T23:00", "c": "eu"})
    assert grid.validate_partition_key(key)
    result = repo(grid).backfill(partition_range=EVERY, dry_run=True)
    assert result.num_partitions == 1_753_176**2 * 3
    assert repo(grid).backfill(partition_keys=[key], dry_run=True).partition_keys == [key]


def test_more_partitions_than_can_be_numbered_are_refused(repo):
    hours = hourly("1900-01-01", end="2100-01-01")
    with refused("partitions"):
        repo(PartitionsDefinition.multi(dict.fromkeys("abcd", hours))).backfill(
            partition_range=EVERY
        )


def test_by_name(repo, recording):
    asset, calls = recording("regions")
    repository = repo(asset, partition_defs={"regions": REGIONS})
    repository.backfill(partition_range=PartitionKeyRange.single("us", "eu"), max_concurrency=1)
    assert calls == [["us"], ["eu"]]
    told = "the asset 'recorded' has the partitions_def 'regions', but partition_defs has 'region'; did you mean 'region'?"
    with pytest.raises(AssetDefinitionError, match=f"^{re.escape(told)}$"):
        repo(asset, partition_defs={"region": REGIONS})


@pytest.mark.parametrize("definition", [REGIONS, DAYS, PartitionsDefinition.multi({"r": REGIONS})])
def test_definitions_are_values(definition):
    copy = pickle.loads(pickle.dumps(definition))
    assert (copy, hash(copy), repr(copy)) == (definition, hash(definition), repr(definition))
    assert definition != PartitionsDefinition.static_(["other"])
