"""A large backfill resumes where it was when its process died."""

import sqlite3
from contextlib import closing

import pytest
from tests.support import wait_until

RUNS = 1_000_000

SCRIPT = """
import itertools

calls = itertools.count()


def visit():
    next(calls)


days = rs.PartitionsDefinition.static_([f"d{number}" for number in range(1_000)])
names = rs.PartitionsDefinition.static_([f"n{number}" for number in range(1_000)])
grid = rs.PartitionsDefinition.multi({"day": days, "name": names})
visited = rs.Asset(visit, name="visited", partitions_def=grid)
repo = rs.CodeRepository([visited]).resolve(rs.Storage.embedded(folder / "rivers.db"))
if len(sys.argv) == 2:
    repo.backfill(partition_range=rs.PartitionKeyRange.multi({}))
else:
    result = repo.resume_backfill(sys.argv[2])
    print(next(calls), result.status, result.completed)
"""


def _look(path, sql):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchone()


@pytest.mark.timeout(300)
def test_a_million_runs_killed_halfway_resume_with_those_not_recorded(processes):
    path = processes.folder / "rivers.db"
    process = processes.start(SCRIPT)
    wait_until(path.exists)
    asked = "SELECT coalesce(max(completed), 0) FROM segment"
    tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'segment'"
    wait_until(lambda: _look(path, tables)[0] > 0)
    wait_until(lambda: _look(path, asked)[0] >= RUNS // 2)
    processes.kill(process)
    backfill_id, status = _look(path, "SELECT id, status FROM backfill")
    (completed,) = _look(path, asked)
    assert (completed < RUNS, status) == (True, 0)

    calls, status, all_completed = processes.end(processes.start(SCRIPT, backfill_id)).split()
    assert int(calls) == RUNS - completed
    assert (status, int(all_completed)) == ("completed", RUNS)
    assert _look(path, "SELECT sum(runs) FROM segment")[0] == RUNS
    processes.check_integrity()
