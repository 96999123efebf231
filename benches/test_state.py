"""What is materialized: the cost of asking does not grow with the runs that a service has recorded."""

import atexit
import contextlib
import functools
import sqlite3
import tempfile

import pytest
from support import EVERYTHING, Row, first, grid, noop_asset, once, repository

import rivers as rs

pytestmark = pytest.mark.timeout(1_800)

KEYS = 10
"""The partitions that the service materializes, over and over."""
MILLION = 1_000_000


@functools.cache
def recorded(runs):
    """A repository with so many recorded runs of single partitions, and its asset.

    The first of each partition is real; the others are copies of its rows with other ids and times.
    """
    folder = tempfile.TemporaryDirectory(prefix="rivers-bench-")
    atexit.register(folder.cleanup)
    path = f"{folder.name}/rivers.db"

    @rs.Asset(partitions_def=rs.PartitionsDefinition.static_([f"k{n}" for n in range(KEYS)]))
    def own() -> None:
        pass

    with rs.CodeRepository([own]).resolve(rs.Storage.embedded(path)) as repo:
        for number in range(KEYS):
            repo.materialize(partition_key=rs.PartitionKey.single(f"k{number}"))
    if runs > KEYS:
        copy_runs(path, runs // KEYS - 1)
    repo = rs.CodeRepository([own]).resolve(rs.Storage.embedded(path))
    atexit.register(repo.close)
    return repo


def copy_runs(path, times):
    """Records each run of a storage so many times more, a second later each time."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("CREATE TEMP TABLE copies (n INTEGER PRIMARY KEY, later INTEGER)")
        of_copies = ((n, n * 1_000_000) for n in range(1, times + 1))
        connection.executemany("INSERT INTO copies VALUES (?, ?)", of_copies)
        columns = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in ("backfill", "backfill_asset", "segment")
        }
        # Copy n of the backfill with key k has the key k + n * KEYS.
        changed = {
            "key": f"key + n * {KEYS}",
            "backfill": f"backfill + n * {KEYS}",
            "id": "id || '-' || n",
            "request": "json_set(request, '$.id', id || '-' || n, "
            "'$.created_at', (request ->> '$.created_at') + later)",
            "ended_at": "ended_at + later",
            "run_ended_at": "run_ended_at + later",
        }
        for table, names in columns.items():
            kept = [name for name in names if (table, name) != ("segment", "id")]
            values = ", ".join(changed.get(name, name) for name in kept)
            connection.execute(
                f"INSERT INTO {table} ({', '.join(kept)}) SELECT {values} FROM {table}, copies"
            )
        connection.commit()


def asked(runs, question):
    repo = recorded(runs)

    def work():
        question(repo)

    return once(work)


def status(repo):
    assert repo.partition_status("own")["status"].to_list() == ["materialized"] * KEYS


def missing(repo):
    result = repo.backfill(
        partition_keys=[rs.PartitionKey.single("k1")], only_missing=True, dry_run=True
    )
    assert result.num_partitions == 0


def events(repo):
    assert len(repo.storage.get_events_for_asset("own", limit=20)) == 20


def listed(repo):
    assert repo.backfills(limit=10).height == 0


def row(name, question):
    return Row(
        f"{name}, 1,000,000 runs of a service recorded, beside ten", "1 times",
        lambda: asked(MILLION, question),
        lambda: asked(KEYS, question),
        iterations=5,
    )  # fmt: skip


# -- what is out of date ---------------------------------------------------------------------------


@functools.cache
def pair(*sizes, days):
    """Two assets, the second of which is out of date for the first rows of the grid."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)

    @rs.Asset(name="taker", partitions_def=grid(*sizes))
    def taker(maker) -> None:
        pass

    repo = stack.enter_context(repository(noop_asset(grid(*sizes), "maker"), taker))
    in_one = rs.BackfillStrategy.single_run()
    repo.backfill(partition_range=EVERYTHING, strategy=in_one)
    repo.backfill(["maker"], partition_range=first("a", days), strategy=in_one)
    return repo


def stale_status():
    repo = pair(10, 1000, 1000, days=1)

    def work():
        assert repo.partition_status("taker")["stale"].sum() == MILLION

    return once(work)


def only_stale():
    repo = pair(1000, 1000, days=10)

    def work():
        result = repo.backfill(["taker"], partition_range=EVERYTHING, only_stale=True, dry_run=True)
        assert result.num_partitions == 10_000

    return once(work)


def everything():
    repo = pair(1000, 1000, days=10)

    def work():
        result = repo.backfill(["taker"], partition_range=EVERYTHING, dry_run=True)
        assert result.num_partitions == MILLION

    return once(work)


def plain_status():
    """The table of as many partitions of which nothing is recorded."""
    repo = pair(10, 1000, 1000, days=1)

    @rs.Asset(name="fresh", partitions_def=grid(10, 1000, 1000))
    def fresh() -> None:
        pass

    other = rs.CodeRepository([fresh]).resolve(repo.storage)

    def work():
        assert other.partition_status("fresh").height == 10 * MILLION

    return once(work)


ROWS = [
    row("partition_status", status),
    row("only_missing", missing),
    row("get_events_for_asset", events),
    row("backfills", listed),
    Row(
        "partition_status, 10,000,000, a tenth stale, beside nothing recorded", "1 s",
        stale_status,
        plain_status,
    ),
    Row(
        "only_stale over 1,000 x 1,000, a hundredth stale, beside all of them", "50 ms",
        only_stale,
        everything,
        iterations=5,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_state(measured, row):
    measured(row)
