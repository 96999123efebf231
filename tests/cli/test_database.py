"""`rivers db check` and `rivers db migrate` in real processes, on real files."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from tests.segments import recorded_runs

from rivers import _rivers

DAYS = ("--from", "2024-01-01", "--to", "2024-01-04")
MIGRATIONS = sorted(
    (Path(__file__).parents[2] / "rust/rivers-core/src/store/sqlite/migrations").glob("*.sql")
)
NEWEST = len(MIGRATIONS)


@pytest.fixture
def file(shell):
    """Creates a storage with a backfill of four days, one of which failed."""
    (shell.folder / "config.json").write_text(json.dumps({"daily": {"bad": ["2024-01-02"]}}))
    words = ["backfill", "grid.py", "--assets", "daily", *DAYS, "--config", "config.json"]
    shell.run(*words, code=1)
    return shell.folder / ".rivers" / "rivers.db"


def change(file, sql):
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.executescript(sql)


def other_body(body, last_run=3):
    """Changes a recorded segment of four runs, one of which failed."""
    newest = "DELETE FROM segment WHERE seq < (SELECT max(seq) FROM segment)"
    return f"{newest}; UPDATE segment SET body = x'{body.hex()}', first_run = 0, last_run = {last_run}, runs = 4, failed_runs = 1"


def made_by_version(version, new, old):
    """Copies the records of a storage into a file with an earlier schema."""
    with contextlib.closing(sqlite3.connect(old)) as database:
        for migration in MIGRATIONS[:version]:
            database.executescript(migration.read_text(encoding="utf-8"))
        database.execute("ATTACH ? AS new", (str(new),))
        tables = (
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )
        for (table,) in database.execute(tables).fetchall():
            if table == "run":
                database.executemany(
                    "INSERT INTO main.run VALUES (?, ?, ?, ?, ?)", recorded_runs(database)
                )
                continue
            columns = database.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
            names = ", ".join(name for (name,) in columns)
            database.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}")
        database.execute("PRAGMA main.application_id = 1919514226")
        database.execute(f"PRAGMA main.user_version = {version}")
        database.commit()


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_each_earlier_schema_is_migrated_and_nothing_is_lost(shell, file, version):
    old = shell.folder / "old.db"
    made_by_version(version, file, old)
    told = shell.run("db", "migrate", "--storage", "old.db")
    assert told.strip() == f"schema {version} -> {NEWEST}: old.db"
    assert _rivers.Store.schema(str(old)) == (NEWEST, NEWEST)
    assert "is the newest" in shell.run("db", "migrate", "--storage", "old.db")
    told = json.loads(shell.run("db", "migrate", "--storage", "old.db", "--json"))
    assert (told["path"], told["schema"]) == ("old.db", told["schema_before"])
    shell.run("db", "check", "--storage", "old.db")
    for command in (["list"], ["partitions", "latest"], ["errors", "latest"], ["status", "latest"]):
        told = shell.run(*command, "--json", "--storage", "old.db")
        assert json.loads(told) == json.loads(shell.run(*command, "--json")), command


def test_check_accepts_an_intact_storage(shell, file):
    assert "ok: 1 backfill or manual run in .rivers/rivers.db" in shell.run("db", "check")
    told = json.loads(shell.run("db", "check", "--json"))
    assert told == {"path": ".rivers/rivers.db", "ok": True, "wrong": []}


def test_a_storage_is_intact_while_a_backfill_runs_and_after_it_was_killed(shell):
    process = shell.begin_slow()
    shell.run("db", "check")
    process.kill()
    process.wait()
    shell.run("db", "check")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE backfill SET completed = 2, canceled = 1", "it counts 3 partitions that have ended, its records say 4"),
        ("UPDATE backfill SET failed = 2, completed = 2", "it counts 2 failed partitions, its records say 1"),
        ("DELETE FROM segment", "it counts 4 runs that have ended, its records say 0"),
        (other_body(b"\x01\x03\x07\0\0\0\0\0\0\0"), "1 of its segments are damaged"),
        (other_body(b"\x01\x04\x0e\0\0\0\0\x01\0\0\x01\0\0\0\x0c\0\0", last_run=9), "1 of its runs cannot have ended so" ),
        ("DELETE FROM failure", "1 failures, metadata and failed runs do not match"),
        ("DELETE FROM cause", "the table failure names a row of cause that is not there"),
        ("UPDATE backfill SET completed = 9", "more partitions have ended than it has"),
        ("UPDATE backfill SET completed = 1", "it has ended, but not all of its partitions have"),
        ("UPDATE backfill SET num_runs = 5", "another number of partitions or runs"),
        ("UPDATE backfill SET ended_at = NULL", "its status and the time of its end disagree"),
        ("UPDATE backfill SET owner = 'x', lease_expires_at = 1", "a process still owns it"),
        ("UPDATE backfill SET plan = x'ff'", "its plan cannot be read"),
        ("UPDATE backfill SET request = '{'", "its record cannot be read"),
    ],
)  # fmt: skip
def test_check_reports_inconsistent_records(shell, file, sql, expected):
    change(file, sql)
    told = shell.run("db", "check", code=1)
    assert expected in told
    assert told.startswith("wrong: ")


def test_check_reports_a_damaged_file(shell, file):
    change(file, "PRAGMA wal_checkpoint(TRUNCATE)")
    body = bytearray(file.read_bytes())
    body[4096 * 2 :] = b"\xa5" * len(body[4096 * 2 :])
    file.write_bytes(body)
    told = json.loads(shell.run("db", "check", "--json", code=1))
    assert not told["ok"]
    assert told["wrong"]


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_a_storage_that_is_not_there_is_not_made(shell, command):
    assert "there is no storage 'gone.db'" in shell.run(
        "db", command, "--storage", "gone.db", code=2
    )
    assert not (shell.folder / "gone.db").exists()
    assert f"Example: rivers db {command}" in shell.run("db", command, "--help")
