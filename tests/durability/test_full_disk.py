"""A disk that becomes full during a backfill: the error names the file, and nothing is lost.

The disk is a small tmpfs that the test mounts, which only root can do.
"""

import os
import sqlite3
import subprocess
from contextlib import closing

import pytest
from tests.segments import recorded_runs
from tests.support import wait_until

COUNT = 600
MESSAGE = 8_000

SCRIPT = f"""
from rivers.exceptions import StorageError


def visit(context):
    note(context.partition_key)
    raise ValueError(context.partition_key * ({MESSAGE} // 4))


keys = [f"k{{number:03}}" for number in range({COUNT})]
visited = rs.Asset(visit, name="visited", partitions_def=rs.PartitionsDefinition.static_(keys))
repo = rs.CodeRepository([visited]).resolve(rs.Storage.embedded(folder / "disk" / "rivers.db"))
whole = rs.PartitionKeyRange.single(keys[0], keys[-1])


def grow():
    import subprocess

    subprocess.run(["mount", "-o", "remount,size=64m", str(folder / "disk")], check=True)


try:
    if len(sys.argv) == 3:
        print(repo.resume_backfill(sys.argv[2]).status)
    else:
        print(repo.backfill(partition_range=whole, max_concurrency=3).status)
except StorageError as error:
    note(f"error {{error}}")
    (backfill_id,) = repo.backfills()["backfill_id"]
    print(backfill_id, repo.get_backfill(backfill_id).status, flush=True)
    wait_for("go on")
    if (folder / "go on").read_text() == "here":
        grow()
        print(repo.resume_backfill(backfill_id).status)
"""


@pytest.fixture
def disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _ended(disk):
    with closing(sqlite3.connect(disk / "rivers.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        runs = {run for _, run, *_ in recorded_runs(database)}
        newest = "SELECT failed, runs_ended FROM segment ORDER BY seq DESC LIMIT 1"
        counts = database.execute(newest).fetchone()
        assert counts == (len(runs), len(runs))
        return runs


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_full_disk_stops_the_backfill_which_can_be_resumed(processes, disk, where):
    process = processes.start(SCRIPT)
    wait_until(lambda: any(line.startswith("error") for line in processes.notes()))
    *calls, error = processes.notes()
    assert not any(line.startswith("error") for line in calls), (
        "it is raised when nothing runs any more"
    )
    assert str(disk / "rivers.db") in error
    assert "free some space" in error

    (processes.folder / "writing").write_text(where)
    (processes.folder / "writing").rename(processes.folder / "go on")
    said = processes.end(process).split()
    backfill_id = said[0]
    assert said[1] == "in_progress"
    if where == "here":
        assert said[2:] == ["failed"], "resumed at once by the process that met the full disk"
    else:
        recorded = _ended(disk)
        assert 0 < len(recorded) < COUNT
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert processes.end(processes.start(SCRIPT, backfill_id)) == "failed"
        again = {int(line[1:]) for line in processes.notes()[len(calls) + 1 :]}
        assert not recorded & again
        assert recorded | again == set(range(COUNT))
    assert _ended(disk) == set(range(COUNT))


VALUES = f"""
from rivers.exceptions import StorageError

keys = [f"k{{number:03}}" for number in range({COUNT})]
definition = rs.PartitionsDefinition.static_(keys)


@rs.Asset(partitions_def=definition)
def made(context: rs.AssetExecutionContext) -> bytes:
    note(context.partition_key)
    return context.partition_key.encode() * ({MESSAGE} // 4)


if __name__ == "__main__":
    executor = rs.Executor.parallel(2) if sys.argv[2] == "processes" else rs.Executor.in_process()
    repo = rs.CodeRepository([made], default_executor=executor)
    repo.resolve(rs.Storage.embedded(folder / "disk" / "rivers.db"))
    try:
        if len(sys.argv) == 4:
            backfill_id = repo.resume_backfill(sys.argv[3]).backfill_id
        else:
            backfill_id = repo.backfill(partition_keys=definition.select(), max_concurrency=3).backfill_id
    except StorageError as error:
        note(f"error {{error}}")
        (backfill_id,) = repo.backfills()["backfill_id"]
    table = repo.partition_status("made")
    made_keys = table.filter(table["status"] == "materialized")["partition"].cast(str).to_list()
    for key in made_keys:
        value = repo.load_node("made", rs.PartitionKey.single(key))
        assert value == key.encode() * ({MESSAGE} // 4), key
    status = repo.get_backfill(backfill_id)
    print(backfill_id, status.status, status.completed_partitions, status.failed_partitions, len(made_keys))
    repo.close()
"""


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_values_that_a_full_disk_takes_no_more_are_not_reported(processes, disk, kind):
    said = processes.end(processes.start(VALUES, kind)).split()
    backfill_id, status, completed, failed, made = said
    *calls, error = processes.notes()
    assert str(disk / "rivers.db") in error
    assert "free some space" in error
    if kind == "threads":
        assert "rivers.db-values" in error
    # What is recorded can be loaded, and the rest is executed by a resume.
    assert (status, failed, made) == ("in_progress", "0", completed)
    assert 0 < int(made) < COUNT
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    said = processes.end(processes.start(VALUES, kind, backfill_id)).split()
    assert said[1:] == ["completed", str(COUNT), "0", str(COUNT)]
    assert len(processes.notes()) == len(calls) + 1 + COUNT - int(made)
