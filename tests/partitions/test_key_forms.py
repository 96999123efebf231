"""Keys as texts, dicts and dates, and definitions as collections of keys."""

import datetime as dt

import pytest

import rivers as rs
from rivers.exceptions import DynamicPartitionsError, PartitionValidationError, RiversError

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-03-01")
HOURS = rs.PartitionsDefinition.hourly("2024-01-01", end="2024-01-03")
REGIONS = rs.PartitionsDefinition.static_(["us", "eu"])
GRID = rs.PartitionsDefinition.multi({"date": DAYS, "region": REGIONS})


def planned(repo, definition, *keys):
    result = repo(definition).backfill(partition_keys=list(keys), dry_run=True)
    return [str(key) for key in result.partition_keys]


@pytest.mark.parametrize(
    ("definition", "key", "expected"),
    [
        (REGIONS, "us", ["us"]),
        (REGIONS, "us,eu", ["us", "eu"]),
        (DAYS, dt.date(2024, 1, 5), ["2024-01-05"]),
        (DAYS, dt.datetime(2024, 1, 5, 7), ["2024-01-05"]),
        (HOURS, dt.datetime(2024, 1, 2, 7), ["2024-01-02T07:00"]),
        (GRID, "date=2024-01-05|region=us", ["date=2024-01-05|region=us"]),
        (GRID, "region=us,eu|date=2024-01-05", ["date=2024-01-05|region=us", "date=2024-01-05|region=eu"]),
        (GRID, {"date": "2024-01-05", "region": ["eu"]}, ["date=2024-01-05|region=eu"]),
        (GRID, {"date": dt.date(2024, 1, 5), "region": "eu"}, ["date=2024-01-05|region=eu"]),
        (GRID, rs.PartitionKey.multi({"date": "2024-01-05", "region": "us"}), ["date=2024-01-05|region=us"]),
    ],
)  # fmt: skip
def test_each_form_of_a_key(repo, definition, key, expected):
    assert planned(repo, definition, key) == expected


def test_a_date_is_all_hours_of_its_day(repo):
    assert len(planned(repo, HOURS, dt.date(2024, 1, 2))) == 24


def test_forms_are_mixed_and_keep_their_order(repo):
    keys = [dt.date(2024, 1, 5), "2024-01-02", rs.PartitionKey.single("2024-01-09"), "2024-01-05"]
    assert planned(repo, DAYS, *keys) == ["2024-01-05", "2024-01-02", "2024-01-09"]


def test_other_calls_take_them(repo):
    repository = repo(GRID)
    key = {"date": dt.date(2024, 1, 5), "region": "eu"}
    assert repository.materialize(partition_key=key).success
    assert repository.load_node("a", "date=2024-01-05|region=eu") is None


@pytest.mark.parametrize(
    ("definition", "key", "error", "message"),
    [
        (REGIONS, "mars", PartitionValidationError, "mars"),
        (REGIONS, 3, TypeError, "a text, a dict or a date, got int"),
        (DAYS, dt.date(2025, 1, 5), PartitionValidationError, "2025-01-05"),
        (GRID, "2024-01-05", PartitionValidationError, "date=2024-01-01|region=us"),
        (GRID, "date=2024-01-05|date=2024-01-06", PartitionValidationError, "names 'date' twice"),
        (GRID, {"date": dt.date(2024, 1, 5)}, PartitionValidationError, "'region'"),
        (GRID, {"dat": "2024-01-05", "region": "us"}, PartitionValidationError, "dat"),
    ],
)
def test_a_wrong_key_is_refused(repo, definition, key, error, message):
    with pytest.raises(error, match=message.replace("|", r"\|")):
        planned(repo, definition, key)


@pytest.mark.parametrize("keys", ["us", b"us", 3, {"a": "b"}])
def test_one_key_is_no_list(repo, keys):
    with pytest.raises(TypeError, match="must be a list of keys"):
        repo(REGIONS).backfill(partition_keys=keys)


def test_the_value_of_a_dimension():
    key = rs.PartitionKey.multi({"date": "2024-01-01", "region": ["us", "eu"]})
    assert key["date"] == "2024-01-01"
    with pytest.raises(PartitionValidationError, match="2 values"):
        key["region"]
    for error in (KeyError, RiversError):
        with pytest.raises(error, match=r"has no dimension 'dat'.*did you mean 'date'"):
            key["dat"]


def test_a_definition_is_a_collection_of_keys():
    assert (len(DAYS), len(GRID)) == (60, 120)
    assert [str(key) for key in REGIONS] == ["us", "eu"]
    assert str(GRID[0]) == "date=2024-01-01|region=us"
    assert str(GRID[-1]) == "date=2024-02-29|region=eu"
    assert [str(key) for key in DAYS[:3]] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert [str(key) for key in REGIONS[::-1]] == ["eu", "us"]
    for present in ("2024-02-29", dt.date(2024, 1, 1), rs.PartitionKey.single("2024-01-02")):
        assert present in DAYS
    for absent in ("2024-02-30", dt.date(2023, 1, 1), 5, None, rs.PartitionKey.multi({"a": "b"})):
        assert absent not in DAYS
    assert {"date": "2024-01-01", "region": "us"} in GRID
    assert "us" not in GRID


def test_a_slice_of_keys_is_a_set_with_both_ends(repo):
    assert DAYS["2024-02-27":"2024-02-29"].count() == 3
    assert DAYS["2024-02":"2024-02"].count() == 29
    assert DAYS["2024-02-27":].count() == 3
    assert DAYS[: dt.date(2024, 1, 2)].count() == 2
    assert len(planned_set(repo, DAYS["2024-01-01":"2024-01-02"])) == 2


def planned_set(repo, partitions):
    return repo(DAYS).backfill(partition_keys=partitions, dry_run=True).partition_keys


def test_a_definition_of_a_thousand_million_costs_nothing():
    side = rs.PartitionsDefinition.static_([str(n) for n in range(1000)])
    cube = rs.PartitionsDefinition.multi({"a": side, "b": side, "c": side})
    assert len(cube) == 1_000_000_000
    assert str(cube[-1]) == "a=999|b=999|c=999"
    assert len(cube[5:8]) == 3
    assert "a=1|b=2|c=3" in cube


@pytest.mark.parametrize("at", [60, -61])
def test_there_is_no_such_position(at):
    with pytest.raises(IndexError, match="60 partitions"):
        DAYS[at]


@pytest.mark.parametrize("at", ["2024-01-01", slice(0, "2024-01-01"), slice("a", "b", 2), 1.5])
def test_other_indices_are_refused(at):
    with pytest.raises(TypeError, match="indexed by a position, or by a slice"):
        DAYS[at]


def test_a_dynamic_definition_is_true_and_has_no_length():
    customers = rs.PartitionsDefinition.dynamic("customers")
    assert customers
    with pytest.raises(DynamicPartitionsError):
        len(customers)
