"""Scripts of the web UI name partitions by the short forms that Python and the command line take."""

import datetime as dt

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
        ("first=2024-02&last=2024-02", [22, 51]),
        ("first=2024-03", [51, 56]),
        ("last=2024-01-12", [0, 3]),
    ],
)
def test_a_range_is_found_on_the_map(served, query, expected):
    path = f"/backfills/{served.backfill_id}/find?dimension=partition&{query}"
    assert served.api("GET", path) == {"partition": expected}


def test_a_wrong_short_form_is_refused_with_what_is_allowed(served):
    body = {"selection": ["days"], "range": {"partition": {"first": "2024-13"}}}
    answer = served.send("POST", "/api/v1/backfills", body)
    assert 400 <= answer.status < 500
    assert "2024-13" in answer.json["error"]["message"]
