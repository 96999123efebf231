"""What the commands show on terminals of 60, 80 and 200 columns: real ones, with a window size."""

import os
import re
import subprocess
import sys

import pytest
from tests.cli.shell import on_terminal

MODULE = """
import rivers as rs

grid = rs.PartitionsDefinition.multi({
    "date": rs.PartitionsDefinition.daily("2024-01-01", end="2025-01-01"),
    "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"]),
})

@rs.Asset(partitions_def=grid, group="raw", code_version=CODE_VERSION)
def customer_orders_by_region(context: rs.AssetExecutionContext):
    if context.partition_key.startswith("date=2024-02-1"):
        raise ValueError(f"the source of orders has no file for {context.partition_key}, as it seems")

@rs.Asset(partitions_def=grid)
def revenue(customer_orders_by_region): ...

repo = rs.CodeRepository([customer_orders_by_region, revenue])
"""
LISTINGS = [
    ["list"], ["assets", "wide.py"], ["status"], ["partitions"], ["partitions", "--status", "completed"],
    ["partitions", "wide.py:customer_orders_by_region"],
    ["partitions", "wide.py:customer_orders_by_region", "--failed"],
    ["grid"], ["grid", "wide.py:customer_orders_by_region"], ["pools"], ["list", "--help"],
    ["backfill", "--help"], ["--help"],
]  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Returns the lines that a command shows on a terminal with this number of columns."""
    folder = tmp_path_factory.mktemp("wide")
    (folder / "wide.py").write_text(MODULE.replace("CODE_VERSION", "'1'"))
    skipped = ("RIVERS_", "COLUMNS", "LINES", "NO_COLOR", "TERM")
    environment = {name: own for name, own in os.environ.items() if not name.startswith(skipped)}
    command = [sys.executable, "-m", "rivers"]
    backfill = ["backfill", "wide.py", "--select", "customer_orders_by_region"]
    done = subprocess.run(
        [*command, *backfill, "--range", "date=2024-01-01..2024-03-31"],
        cwd=folder, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # Some partitions failed.
    subprocess.run([*command, "pools", "set", "warehouse", "1000000"], cwd=folder, check=True)

    def show(columns, words, expected=0):
        out, code = on_terminal(words, folder, environment, columns)
        assert code == expected, out
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out)
        return [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]

    return show


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_no_line_is_longer_than_the_terminal(shown, columns, words):
    lines = [line for line in shown(columns, words) if not line.startswith("storage: ")]
    assert [line for line in lines if len(line) > columns] == []


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (40, ["list"]), (60, ["errors"]), (60, ["errors", "-v"]), (60, ["log"]),
        (40, ["check", "wide.py"]),
    ],
)  # fmt: skip
def test_texts_are_wrapped_between_words(shown, columns, words):
    lines = [line for line in shown(columns, words) if not line.startswith("storage: ")]
    assert [line for line in lines if len(line) > columns] == []
    known = {
        "orders",
        "partitions",
        "materialized",
        "traceback",
        "completed",
        "customer_orders_by_region",
    }
    assert known & set(re.findall(r"\w+", " ".join(lines).lower()))


def test_a_backfill_is_summed_up_in_wrapped_lines(shown):
    words = ["backfill", "wide.py", "--range", "date=2024-02-10..2024-02-10"]
    lines = shown(60, words, expected=1)
    # The command that goes on is one line, to be copied.
    assert [line for line in lines if len(line) > 60 and not line.startswith("run the rest")] == []
    assert "canceled" not in "\n".join(lines)
    assert re.search(r"^first failure: the asset .*\n.*ValueError", "\n".join(lines), re.MULTILINE)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_keys_above_a_map_are_whole(shown, columns):
    drawn = "\n".join(
        shown(columns, ["grid", "wide.py:revenue", "--range", "date=2024-01-01..2024-04-20"])
    )
    keys = re.findall(r"20[\d-]*", drawn)
    assert keys[0] == "2024-01-01"
    assert {len(key) for key in keys} == {10}


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_number_and_no_id_is_cut(shown, columns):
    listed = "\n".join(shown(columns, ["list"]))
    assert re.search(r"^[0-9a-f-]{36}\s+failed +243/273 +30 ", listed, re.MULTILINE)
    assets = "\n".join(shown(columns, ["assets", "wide.py"]))
    assert re.search(r"^customer_orders_by_region +1,098 +243\b", assets, re.MULTILINE)
    rows = "\n".join(shown(columns, ["partitions", "--status", "failed"]))
    assert re.search(r"^2024-02-10 .*asia +failed .*the source", rows, re.MULTILINE)


def test_a_narrow_terminal_says_which_columns_it_leaves_out(shown):
    told = " ".join(" ".join(shown(60, ["assets", "wide.py"])).split())
    assert re.search(r"not shown: .*group \(a wider terminal or --json shows them\)", told), told
    assert "not shown" not in "\n".join(shown(200, ["assets", "wide.py"]))


def test_stale_partitions_are_those_made_by_other_code(shell):
    module = shell.folder / "wide.py"
    module.write_text(MODULE.replace("CODE_VERSION", "'1'"))
    words = ["backfill", "wide.py", "--select", "customer_orders_by_region", "--range"]
    shell.run(*words, "date=2024-01-01..2024-01-02")
    stale = ["partitions", "wide.py:customer_orders_by_region", "--stale"]
    assert len(shell.run(*stale).splitlines()) == 1  # The headings.
    module.write_text(MODULE.replace("CODE_VERSION", "'2'"))
    shell.run(*words, "date=2024-01-02..2024-01-02", "--range", "region=us")
    rows = shell.run(*stale).splitlines()[1:]
    assert len(rows) == 5
    assert all("code_version" in row for row in rows)
    assert not any(row.startswith("2024-01-02") and "us" in row.split("\t") for row in rows)
