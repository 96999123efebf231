"""Scripts of the web UI name partitions by the short forms that Python and the command line take."""

import datetime as dt
import math
import urllib.parse

import pytest
from tests.ui.conftest import Served

import rivers as rs

NOW = dt.datetime(2024, 3, 5, 3, 30)
DAYS = rs.PartitionsDefinition.daily("2024-01-10")
HOURS = rs.PartitionsDefinition.hourly("2024-03-01", timezone="America/New_York")
GRID = rs.PartitionsDefinition.multi(
    {"hour": HOURS, "region": rs.PartitionsDefinition.static_(["us", "eu"])}
)


@pytest.fixture
def served(serve, tmp_path):
    days = rs.Asset(lambda: 1, name="days", partitions_def=DAYS)
    grid = rs.Asset(lambda: 1, name="grid", partitions_def=GRID)
    storage = rs.Storage.open(tmp_path / "rivers.db")
    repository = rs.CodeRepository([days, grid], clock=lambda: NOW).resolve(storage)
    whole = rs.PartitionKeyRange.single(None, None)
    result = repository.backfill(["days"], partition_range=whole)
    server = serve(rs.BackfillClient(storage), repository=repository, module="days.py")
    yield Served(server, repository, result.backfill_id, set())
    repository.close()


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        ("2024-01", "2024-02", 51),
        ("2024", "2024-Q1", 56),
        ("2024-W05", "2024-W05", 7),
        (None, "2024-01-12", 3),
        ("2024-03-04", None, 2),
        ("today", "today", 1),
        ("yesterday", "today", 2),
        ("-7d", "yesterday", 7),
        ("-1w", None, 8),
    ],
)
def test_a_range_is_launched_as_in_python(served, first, last, count):
    ends = {name: text for name, text in (("first", first), ("last", last)) if text is not None}
    body = {"selection": ["days"], "range": {"partition": ends}, "dry_run": True}
    assert served.api("POST", "/backfills", body)["num_partitions"] == count
    asked = rs.PartitionKeyRange.single(first, last)
    planned = served.repository.backfill(["days"], partition_range=asked, dry_run=True)
    assert planned.num_partitions == count


@pytest.mark.parametrize(
    ("ends", "count"),
    [
        # It is 22:30 of the day before in New York.
        ({"first": "today", "last": "today"}, 2 * 23),
        ({"first": "2024-03-02", "last": "2024-03-03"}, 2 * 48),
        ({"first": "-2h"}, 2 * 3),
        ({}, 2 * (3 * 24 + 23)),
    ],
)
def test_the_hours_of_a_zone_are_launched_by_days(served, ends, count):
    body = {"selection": ["grid"], "range": {"hour": ends}, "dry_run": True}
    assert served.api("POST", "/backfills", body)["num_partitions"] == count


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("2024-02", [22, 51]),
        ("2024-02..2024-02", [22, 51]),
        ("2024-03..", [51, 56]),
        ("..2024-01-12", [0, 3]),
        ("", [0, 56]),
    ],
)
def test_a_range_is_found_on_the_map(served, query, expected):
    for about in (f"/backfills/{served.backfill_id}", "/assets/days"):
        path = f"{about}/find?keys={query}"
        assert served.api("GET", path) == {"partition": expected}


@pytest.mark.parametrize(
    ("keys", "expected"), [("today", [19, 20]), ("-7d..yesterday", [12, 19]), ("-1w..", [12, 20])]
)
def test_days_before_today_are_found_on_a_map_that_was_stored(served, serve, keys, expected):
    # A backfill's own days are those of its start; today is today.
    first = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=19)
    days = rs.PartitionsDefinition.daily(str(first), end=str(first + dt.timedelta(days=20)))
    repository = rs.CodeRepository([rs.Asset(lambda: 1, name="late", partitions_def=days)])
    repository.resolve(served.repository.storage)
    whole = rs.PartitionKeyRange.single(None, None)
    launched = repository.backfill(["late"], partition_range=whole).backfill_id
    assert served.api("GET", f"/backfills/{launched}/find?keys={keys}") == {"partition": expected}
    repository.close()


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ("hour=2024-03-02|region=eu", 24),
        ("hour=-2h..|region=us..eu", 6),
        ("region=us", 95),
        ("hour=..2024-03-01", 48),
        ("", 190),
    ],
)
def test_keys_of_several_dimensions_are_typed_as_on_the_command_line(served, keys, count):
    body = {"selection": ["grid"], "range": keys, "dry_run": True}
    assert served.api("POST", "/backfills", body)["num_partitions"] == count
    found = served.api("GET", f"/assets/grid/find?keys={keys}").values()
    assert math.prod(end - start for start, end in found) == count
    where = "&".join(f"where={name}:{a}-{b}" for name, (a, b) in zip(("hour", "region"), found, strict=True))  # fmt: skip
    part = served.api("GET", f"/assets/grid/part?{where}")
    assert part["count"] == count
    # What a part is called stands for it again.
    body["range"] = part["keys"]
    assert served.api("POST", "/backfills", body)["num_partitions"] == count


@pytest.mark.parametrize("given", [{}, {"range": None}])
def test_all_partitions_are_launched_where_none_are_named(served, given):
    body = {"selection": ["grid"], "dry_run": True, **given}
    assert served.api("POST", "/backfills", body)["num_partitions"] == 190


def test_single_keys_are_launched_as_a_list(served):
    body = {"selection": ["days"], "range": "2024-01-11,2024-03-01", "dry_run": True}
    assert served.api("POST", "/backfills", body)["num_partitions"] == 2


@pytest.mark.parametrize(
    ("asset", "keys", "said"),
    [
        ("grid", "2024-03-02", "hour=2024-03-02"),
        ("grid", "region=us|region=eu", "twice"),
        ("grid", "regoin=us", "did you mean 'region'"),
        ("grid", "region=us,au", "there are 'us', 'eu'"),
        ("days", "2024-13", "2024-13"),
        ("days", "2024-02..2024-01", "inverted"),
        ("days", "2024-02|2024-03", "FIRST..LAST"),
        ("days", "2023", "2024-01-10"),
    ],
)
def test_what_is_wrong_with_typed_keys_is_said_before_anything_is_done(served, asset, keys, said):
    before = served.repository.backfills().height
    body = {"selection": [asset], "range": keys}
    query = urllib.parse.urlencode({"keys": keys})
    for answer in (
        served.send("POST", "/api/v1/backfills", body),
        served.send("POST", f"/api/v1/assets/{asset}/report", {"keys": keys}),
        served.send("POST", f"/api/v1/assets/{asset}/forget", {"keys": keys}),
        served.send("GET", f"/api/v1/assets/{asset}/find?{query}"),
    ):
        assert 400 <= answer.status < 500
        assert said in answer.json["error"]["message"].replace('"', "'")
    assert served.repository.backfills().height == before


def test_a_wrong_short_form_is_refused_with_what_is_allowed(served):
    body = {"selection": ["days"], "range": {"partition": {"first": "2024-13"}}}
    answer = served.send("POST", "/api/v1/backfills", body)
    assert 400 <= answer.status < 500
    assert "2024-13" in answer.json["error"]["message"]
