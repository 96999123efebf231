"""How soon a large backfill goes on after its process died (SEMANTICS 8 and 9)."""

import sqlite3
from contextlib import closing

import pytest

RUNS = 1_000_000
MOST_SECONDS = 5

SCRIPT = """
first_call = []


def visit():
    if not first_call:
        first_call.append(time.perf_counter())


days = rs.PartitionsDefinition.static_([f"d{number}" for number in range(1_000)])
names = rs.PartitionsDefinition.static_([f"n{number}" for number in range(1_000)])
grid = rs.PartitionsDefinition.multi({"day": days, "name": names})
visited = rs.Asset(visit, name="visited", partitions_def=grid)
repo = rs.CodeRepository([visited]).resolve(rs.Storage.embedded(folder / "rivers.db"))
if len(sys.argv) == 2:
    repo.backfill(partition_range=rs.PartitionKeyRange.multi({}))
else:
    began = time.perf_counter()
    result = repo.resume_backfill(sys.argv[2])
    print(first_call[0] - began, result.status, result.completed)
"""


def _look(path, sql):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchone()


@pytest.mark.timeout(300)
def test_s8_a_million_runs_killed_halfway_go_on_at_once(processes):
    path = processes.folder / "rivers.db"
    process = processes.start(SCRIPT)
    processes.wait_until(path.exists)
    asked = "SELECT coalesce(max(completed), 0) FROM backfill"
    tables = "SELECT count(*) FROM sqlite_schema"
    processes.wait_until(lambda: _look(path, tables)[0] > 0)
    processes.wait_until(lambda: _look(path, asked)[0] >= RUNS // 2)
    processes.kill(process)
    backfill_id, completed, status = _look(path, "SELECT id, completed, status FROM backfill")
    assert (completed < RUNS, status) == (True, 0)

    seconds, status, completed = processes.end(processes.start(SCRIPT, backfill_id)).split()
    print(f"the first new run started {float(seconds):.3f} s after resume_backfill()")
    assert float(seconds) < MOST_SECONDS
    assert (status, int(completed)) == ("completed", RUNS)
    assert _look(path, "SELECT count(*) FROM run")[0] == RUNS
    processes.check_integrity()
