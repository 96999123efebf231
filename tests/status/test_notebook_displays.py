"""What a notebook shows of repositories, assets, definitions and sets."""

from xml.etree import ElementTree as ET

import rivers as rs

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2025-01-01")
GRID = rs.PartitionsDefinition.multi(
    {"date": DAYS, "<b>region": rs.PartitionsDefinition.static_(["us", "<i>"])}
)


def texts(shown):
    root = ET.fromstring(f"<div>{shown._repr_html_()}</div>")
    return [text for element in root.iter() if (text := element.text)]


def test_a_definition():
    assert texts(DAYS)[1:] == ["partitions", "366", "first", "2024-01-01", "last", "2024-12-31"]
    found = texts(GRID)
    assert "date: 366 x <b>region: 2" in found
    assert "date=2024-12-31|<b>region=<i>" in found
    assert "registered in a storage" in texts(rs.PartitionsDefinition.dynamic("customers"))


def test_a_set():
    chosen = DAYS["2024-02":"2024-02"]
    assert {"29", "2024-02-01", "2024-02-29"} <= set(texts(chosen))
    assert "none" in texts(chosen - chosen)


def test_an_asset_and_a_repository(repo):
    raw = rs.Asset(lambda: 1, name="raw", partitions_def=DAYS, group="first")
    total = rs.Asset(lambda: 1, name="total", deps=["raw"])
    assert {"first", "366"} <= set(texts(raw))
    assert "not partitioned" in texts(total)
    repository = repo(raw, total)
    assert repr(repository) == "<CodeRepository of 2 assets>"
    found = texts(repository)
    assert {"raw", "total", "366", "2024-12-31", "not partitioned"} <= set(found)


def test_a_huge_definition_is_shown_at_once():
    side = rs.PartitionsDefinition.static_([str(number) for number in range(1000)])
    cube = rs.PartitionsDefinition.multi({"a": side, "b": side, "c": side})
    assert "1,000,000,000" in texts(cube)
