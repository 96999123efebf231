"""`rivers list`, `status`, `partitions`, `errors`, `grid`: they need only a storage."""

import json
import signal
from datetime import UTC, datetime

import click
import polars as pl
import pytest

import rivers as rs
from rivers.cli.app import app

COMMANDS = ["list", "status", "partitions", "errors", "grid"]
DAYS = ("--from", "2024-01-01", "--to", "2024-01-04")


def of_latest(command):
    return [command] if command == "list" else [command, "latest"]


@pytest.fixture
def failed(shell):
    """A backfill of four days, two of which fail, each with its own error."""
    config = {"daily": {"bad": ["2024-01-02", "2024-01-03"]}}
    (shell.folder / "config.json").write_text(json.dumps(config))
    shell.run("backfill", "grid.py", "--assets", "daily", *DAYS, "--config", "config.json", code=1)
    return shell


def test_what_is_shown_of_a_failed_backfill(failed):
    (record,) = failed.records()
    backfill_id = record["backfill_id"]
    listed = failed.run("list")
    assert backfill_id in listed
    assert "2/4" in listed
    status = " ".join(failed.run("status", backfill_id[:8]).split())
    assert "failed: 2 completed, 2 failed of 4 partitions" in status
    assert "no data for 2024-01-0" in status
    rows = failed.run("partitions", "latest", "--status", "failed")
    assert "2024-01-02" in rows
    assert "2024-01-01" not in rows
    told = failed.run("errors", "latest")
    assert (
        "2 failures, 1 distinct error\n2 x  ValueError: no data for …\n    such as 2024-01-0"
        in told
    )
    drawn = failed.run("grid", "latest")
    assert "2024-01-01 █XX█" in drawn
    assert "2 completed" in drawn


def test_every_listing_says_which_storage_it_is(failed):
    path = failed.storage().path
    for words in (
        ["list"], ["status"], ["errors"], ["grid"], ["grid", "grid.py:daily"], ["assets", "grid.py"],
    ):  # fmt: skip
        assert path in failed.run(*words), words
    assert f"{datetime.now(UTC):\t%Y-%m-}" in failed.run("list")  # With the year, for programs.
    for words in (["partitions"], ["partitions", "grid.py:daily"], ["log"]):
        # Rows may be read by another program.
        out, err = failed.end(failed.start(*words), 0)
        assert (path in out, err.splitlines()) == (False, [f"storage: {path}"]), words
    for words in (["grid"], ["grid", "grid.py:daily"], ["log"]):
        assert json.loads(failed.run(*words, "--json"))["storage"] == path, words


def test_a_status_that_is_piped_is_neither_cut_nor_padded(failed):
    lines = [line.split("\t") for line in failed.run("status", COLUMNS="40").splitlines()]
    facts = dict(lines)
    assert facts["status"].startswith("failed: 2 completed, 2 failed of 4 partitions")
    assert facts["error"].endswith("(2 of 4 partitions failed)")
    assert not any(text.endswith(" ") for text in facts.values())


def test_the_map_of_an_asset(failed):
    drawn = failed.run("grid", "grid.py:daily")
    assert "█XX█......" in drawn
    assert "█ 2 materialized  . 6 missing  X 2 failed" in drawn
    part = failed.run("grid", "grid.py:daily", "--range", "2024-01-03..2024-01-06")
    assert "X█.." in part
    told = json.loads(failed.run("grid", "grid.py:grid", "--json"))
    assert sum(cell["missing"] for cell in told["cells"]) == 30
    few = ("--range", "region=us,eu", "--range", "date=2024-01-02..2024-01-04", "--json")
    told = json.loads(failed.run("grid", "grid.py:grid", *few))
    assert sum(cell["missing"] for cell in told["cells"]) == 6
    gap = failed.run("grid", "grid.py:grid", "--range", "region=us,asia", code=2)
    assert "'region' has others in between" in gap
    assert "did you mean 'daily'" in failed.run("grid", "grid.py:dayly", code=2)
    assert "about a backfill" in failed.run("grid", "grid.py:daily", "--watch", code=2)


def test_a_narrow_window_leaves_ids_and_states_whole(shell):
    process = shell.begin_slow()
    (record,) = shell.records()
    listed = shell.run("list", COLUMNS="70")
    assert record["backfill_id"] in listed
    assert "in_progress" in listed
    shell.open_gate()
    shell.end(process, 0)


def test_json_of_each_command(failed):
    told = {command: json.loads(failed.run(*of_latest(command), "--json")) for command in COMMANDS}
    (listed,) = told["list"]
    counts = {"num_partitions": 4, "completed": 2, "failed": 2, "canceled": 0}
    assert listed | counts == listed
    assert told["status"] | listed == told["status"]
    assert set(rs.BackfillClient(failed.storage()).backfills().columns) <= set(listed)
    assert "no data for" in told["status"]["error"]
    states = {row["partition"]: row["status"] for row in told["partitions"]}
    assert states == {
        "2024-01-01": "completed", "2024-01-02": "failed",
        "2024-01-03": "failed", "2024-01-04": "completed",
    }  # fmt: skip
    assert [cause["count"] for cause in told["errors"]] == [2]
    assert sum(cell["failed"] for cell in told["grid"]["cells"]) == 2


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_partitions_are_written_to_a_file_that_can_be_backfilled(failed, kind):
    name = f"failed.{kind}"
    out = failed.run("partitions", "latest", "--status", "failed", "--out", name)
    assert f"2 rows in {name}" in out
    table = getattr(pl, f"read_{kind}")(failed.folder / name)
    assert table["partition"].cast(str).to_list() == ["2024-01-02", "2024-01-03"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["status", "nothing"], "there is no backfill 'nothing'"),
        (["list", "--status", "done"], "--status is one of in_progress, completed"),
        (["partitions", "latest", "--status", "done"], "done"),
        (["partitions", "latest", "--out", "x.txt"], "--out takes a .csv or .parquet file"),
        (["grid", "latest", "--storage", "gone.db"], "there is no storage 'gone.db'"),
    ],
)
def test_wrong_usage(failed, words, expected):
    assert expected in failed.run(*words, code=2)
    assert not (failed.folder / "gone.db").exists()


def test_they_look_while_another_process_writes_and_watch_its_end(shell):
    process = shell.begin_slow()
    assert json.loads(shell.run("status", "latest", "--json"))["status"] == "in_progress"
    assert "in_progress" in shell.run("list", "--status", "in_progress")
    watching = shell.start("status", "latest", "--watch", "--json")
    first = json.loads(watching.stdout.readline())
    assert (first["status"], first["completed"]) == ("in_progress", 0)
    for words in (["status", "--watch"], ["grid", "--watch"]):
        left = shell.start(*words)
        left.stdout.readline()
        left.send_signal(signal.SIGINT)
        shell.end(left, 130)
    shell.open_gate()
    shell.end(process, 0)
    out, _ = shell.end(watching, 0)
    assert json.loads(out.splitlines()[-1])["completed"] == 10


def test_backfills_without_a_live_owner_are_distinguished(shell):
    process = shell.begin_slow()
    (record,) = shell.records()
    with rs.CodeRepository([]).resolve(shell.storage()) as repo:
        repo.pause_backfill(record["backfill_id"])
        assert "paused" in shell.run("list")
        assert "paused: 0 completed of 10" in " ".join(shell.run("status", "latest").split())
        repo.unpause_backfill(record["backfill_id"])
    assert "in_progress" in shell.run("list")
    process.kill()
    process.wait()
    assert "interrupted" in shell.run("list")
    told = " ".join(shell.run("status", "latest", "--watch", code=1).split())
    assert "interrupted: 0 completed of 10 partitions" in told
    assert f"rivers resume {record['backfill_id']}, or" in told
    told = json.loads(shell.run("list", "--json"))[0]
    assert (told["status"], told["interrupted"], told["paused"]) == ("in_progress", True, False)
    shell.open_gate()
    shell.run("resume", "latest", "grid.py")
    assert json.loads(shell.run("status", "latest", "--json"))["interrupted"] is False


def commands(command=app, name="rivers"):
    """Yields every command with its name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for below in command.list_commands(context):
        yield from commands(command.get_command(context, below), f"{name} {below}")


def test_every_command_has_an_example_in_its_help():
    for name, command in commands():
        assert (command.epilog or "").startswith(f"Example: {name}"), name


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_an_example(shell, command):
    assert f"Example: rivers {command}" in shell.run(command, "--help")


def test_a_map_of_a_million_partitions_counts_each_once(shell):
    side = rs.PartitionsDefinition.static_([f"k{number:03}" for number in range(1000)])
    grid = rs.PartitionsDefinition.multi({"left": side, "right": side})

    @rs.Asset(partitions_def=grid)
    def million(context):
        context.mark_partition_failed(
            rs.PartitionKey.multi({"left": "k500", "right": "k000"}), "no"
        )

    with rs.CodeRepository([million]).resolve(shell.storage()) as repo:
        repo.backfill(partition_keys=grid.select(), strategy=rs.BackfillStrategy.single_run())
    told = json.loads(shell.run("grid", "latest", "--json"))
    counts = {
        state: sum(cell[state] for cell in told["cells"]) for state in ("completed", "failed")
    }
    assert counts == {"completed": 999_999, "failed": 1}
    lines = shell.run("grid", "latest").splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100
    assert "rows: left (42 to a cell); columns: right (11 to a cell)" in lines[0]
    assert lines[1].split()[0] == "|k000"
    (bad,) = [line for line in lines if "x█" in line]
    assert bad.startswith("k462 x█")


def test_a_range_of_the_map_shows_single_partitions(failed):
    drawn = failed.run("grid", "latest", "--range", "2024-01-02..2024-01-03")
    assert "2024-01-02 XX" in drawn
    assert "2 failed" in drawn
    assert "completed" not in drawn
    told = json.loads(failed.run("grid", "latest", "--range", "partition=2024-01-04", "--json"))
    assert told["totals"]["completed"] == sum(told["totals"].values()) == 1
    assert "no partitions" in failed.run("grid", "latest", "--range", "2024-01-09")
    assert "2024-13" in failed.run("grid", "latest", "--range", "2024-13", code=2)


def test_a_map_is_followed_to_the_end_of_its_backfill(shell):
    process = shell.begin_slow()
    watching = shell.start("grid", "latest", "--watch", "--json")
    first = json.loads(watching.stdout.readline())
    assert first["totals"]["completed"] == 0
    shell.open_gate()
    shell.end(process, 0)
    out, _ = shell.end(watching, 0)
    assert json.loads(out.splitlines()[-1])["totals"]["completed"] == 10
