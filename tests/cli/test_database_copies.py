"""`rivers db prune` and `rivers db copy` in real processes."""

import contextlib
import datetime as dt
import json
import signal
import sqlite3
import time
import uuid

import pytest
from tests.postgres_server import running_server
from tests.support import wait_until

import rivers as rs

DAYS = ("--from", "2024-01-01", "--to", "2024-01-04")
DAILY = ["backfill", "grid.py", "--assets", "daily", *DAYS]


@pytest.fixture(scope="module")
def server():
    with running_server() as url:
        yield url


def fail_once(shell):
    (shell.folder / "config.json").write_text(json.dumps({"daily": {"bad": ["2024-01-02"]}}))
    shell.run(*DAILY, "--config", "config.json", code=1)


def rows(shell, table):
    with contextlib.closing(sqlite3.connect(shell.folder / ".rivers" / "rivers.db")) as database:
        return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_old_records_are_removed_and_new_ones_kept(shell):
    fail_once(shell)
    shell.run(*DAILY)
    assert "removed 0 backfill" in shell.run("db", "prune", "--older-than", "1h")
    before = shell.records()
    wait_until(lambda: time.time() - before[0]["ended_at"].timestamp() > 0.001)
    told = shell.run("db", "prune", "--older-than", "0s", "--dry-run")
    assert "would remove 2 backfills and manual runs" in told
    assert len(shell.records()) == 2
    told = json.loads(shell.run("db", "prune", "--older-than", "0s", "--json"))
    assert (told["removed"], told["dry_run"]) == (2, False)
    for table in ("backfill", "backfill_asset", "segment", "failure", "cause", "family", "space"):
        assert rows(shell, table) == 0, table
    shell.run("db", "check")
    shell.run(*DAILY)
    assert len(shell.records()) == 1


def test_a_backfill_goes_on_while_older_ones_are_removed(shell):
    shell.run(*DAILY)
    process = shell.begin_slow()
    assert json.loads(shell.run("db", "prune", "--older-than", "0s", "--json"))["removed"] == 1
    assert [row["status"] for row in shell.records()] == ["in_progress"]
    shell.open_gate()
    shell.end(process, 0)
    shell.run("db", "check")
    assert [row["status"] for row in shell.records()] == ["completed"]


def test_what_is_interrupted_is_kept_however_old(shell):
    process = shell.begin_slow()
    process.kill()
    process.wait()
    assert "removed 0" in shell.run("db", "prune", "--older-than", "0s")
    shell.open_gate()
    shell.run("resume", "grid.py")
    assert [row["status"] for row in shell.records()] == ["completed"]


def test_values_are_removed_with_the_records_that_vouch_for_them(tmp_path):
    days = rs.PartitionsDefinition.static_(["a", "b"])
    made = rs.Asset(lambda context: [context.partition_key], name="made", partitions_def=days)
    storage = rs.Storage.embedded(tmp_path / "runs.db")
    with rs.CodeRepository([made]).resolve(storage) as repo:
        repo.backfill(partition_keys=[rs.PartitionKey.single("a")])
        old = storage.num_backfills()
        wait_until(lambda: storage.prune(dt.timedelta(0), dry_run=True) == old)
        assert storage.prune(dt.timedelta(0)) == 1
        assert repo.backfill(partition_keys=["a", "b"], only_missing=True).completed == 2
        assert repo.load_node("made", partition_key="a") == ["a"]


@pytest.mark.parametrize("age", ["30", "d", "-1d", "30x", ""])
def test_an_age_that_cannot_be_read_is_refused(shell, age):
    shell.run(*DAILY)
    told = shell.run("db", "prune", f"--older-than={age}", code=2)
    assert "a number and a unit, such as 30d" in told


def shown(shell, storage):
    told = json.loads(shell.run("list", "--json", "--storage", storage))
    listed = told["backfills"] if isinstance(told, dict) else told
    words = ("partitions", "errors", "status")
    return listed, [
        json.loads(shell.run(word, row["backfill_id"], "--json", "--storage", storage))
        for row in listed
        for word in words
    ]


def test_a_file_is_copied_into_a_server_and_back(shell, server):
    fail_once(shell)
    shell.run(*DAILY)
    here, back = shell.storage().path, "back.db"
    there = f"{server}?schema=copied_{uuid.uuid4().hex}"
    told = shell.run("db", "copy", here, there)
    assert "2 backfills and manual runs" in told
    assert "8 runs copied" in told
    assert "s3cret" not in told
    told = json.loads(shell.run("db", "copy", there, back, "--json"))
    assert (told["backfills"], told["known"], told["runs"]) == (2, 0, 8)
    assert "s3cret" not in str(told)
    told = json.loads(shell.run("db", "copy", there, back, "--json"))
    assert (told["known"], told["runs"]) == (2, 0)
    shell.run("db", "check", "--storage", there)
    shell.run("db", "check", "--storage", back)
    assert shown(shell, there)[1] == shown(shell, here)[1]
    assert shown(shell, back)[1] == shown(shell, here)[1]


def test_a_copy_that_was_killed_is_continued(shell):
    for _ in range(3):
        shell.run(*DAILY)
    source = shell.storage().path
    copy = ("db", "copy", source, "copy.db")
    for milliseconds in (250, 350, 450):
        process = shell.start(*copy)
        with contextlib.suppress(Exception):
            process.wait(milliseconds / 1_000)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert json.loads(shell.run(*copy, "--json"))["backfills"] == 3
    shell.run("db", "check", "--storage", "copy.db")
    assert shown(shell, "copy.db")[1] == shown(shell, source)[1]


def test_a_storage_in_which_a_backfill_runs_is_not_copied(shell):
    process = shell.begin_slow()
    copy = ("db", "copy", shell.storage().path, "copy.db")
    told = shell.run(*copy, code=2)
    assert "is in progress in" in told
    shell.open_gate()
    shell.end(process, 0)
    shell.run(*copy)


def test_a_missing_source_is_not_made(shell):
    assert "there is no storage 'gone.db'" in shell.run("db", "copy", "gone.db", "to.db", code=2)
    assert not (shell.folder / "gone.db").exists()
