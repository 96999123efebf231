"""What happens to the files of a storage while it is open: an outcome that was reported is on disk."""

import pytest

SCRIPT = """
import sqlite3, subprocess, shutil
from rivers.exceptions import StorageError

COUNT = 400
path = folder / "data" / "rivers.db"
meddle = sys.argv[2]
done = []

def other_process():
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT sum(runs) FROM segment').fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)

def once():
    if meddle == "connect":
        sqlite3.connect(path).execute("SELECT 1").close()
        connection = sqlite3.connect(path)
        connection.execute("SELECT sum(runs) FROM segment").fetchall()
        connection.close()
        other_process()
    elif meddle == "read":
        for name in ("rivers.db", "rivers.db-wal", "rivers.db-shm"):
            with open(path.with_name(name), "rb") as file:
                file.read()
        other_process()
    elif meddle == "delete":
        shutil.rmtree(path.parent)
    elif meddle == "delete log":
        os.unlink(str(path) + "-wal")
    elif meddle == "move":
        path.parent.rename(folder / "moved")
    elif meddle == "replace":
        shutil.copy(path, folder / "copy")
        (folder / "copy").rename(path)
    elif meddle == "truncate":
        os.truncate(path, 0)
    elif meddle == "truncate log":
        os.truncate(str(path) + "-wal", 0)

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_([str(n) for n in range(COUNT)]))
def work(context):
    done.append(1)
    if len(done) in (100, 200, 300) if meddle in ("connect", "read") else len(done) == 200:
        time.sleep(0.05)
        once()
    time.sleep(0.0005)

repo = rs.CodeRepository([work]).resolve(rs.Storage.embedded(path))
launched = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", str(COUNT - 1)), block=False)
reported = 0
try:
    while True:
        reported = max(reported, repo.get_backfill(launched.backfill_id).completed_partitions)
        try:
            result = repo.wait_backfill(launched.backfill_id, timeout=0.005)
        except TimeoutError:
            continue
        reported = result.completed_partitions
        break
except StorageError as error:
    print("refused", error)
print("reported", reported, flush=True)
os._exit(0) if sys.argv[3] == "killed" else sys.exit(0)
"""


def recorded(processes, name):
    (count,) = processes.sql("SELECT sum(runs) FROM segment", name)[0]
    return count


@pytest.mark.parametrize("end", ["normal", "killed"])
@pytest.mark.parametrize("meddle", ["connect", "read"])
def test_what_another_sqlite_or_a_backup_in_the_process_does_loses_nothing(processes, meddle, end):
    out = processes.end(processes.start(SCRIPT, meddle, end))
    assert out == "reported 400"
    assert recorded(processes, "data/rivers.db") == 400
    processes.check_integrity("data/rivers.db")


@pytest.mark.parametrize(
    "meddle", ["delete", "delete log", "move", "replace", "truncate", "truncate log"]
)
def test_a_storage_that_is_deleted_moved_or_truncated_stops_the_backfill(processes, meddle):
    out = processes.end(processes.start(SCRIPT, meddle, "killed")).splitlines()
    assert out[0].startswith("refused"), out
    assert str(processes.folder / "data" / "rivers.db") in out[0]
    reported = int(out[-1].removeprefix("reported "))
    assert 0 < reported < 400
    if meddle == "move":
        assert recorded(processes, "moved/rivers.db") >= reported


def test_a_file_that_was_deleted_is_opened_again_by_the_next_call(processes):
    script = """
from rivers.exceptions import StorageError
path = folder / "rivers.db"

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a"]))
def work():
    pass

storage = rs.Storage.embedded(path)
for name in ("rivers.db", "rivers.db-wal", "rivers.db-shm"):
    os.rename(folder / name, folder / ("old-" + name))
try:
    storage.add_dynamic_partitions("d", ["x"])
except StorageError as error:
    assert "deleted or moved" in str(error), error
for name in ("rivers.db", "rivers.db-wal", "rivers.db-shm"):
    os.rename(folder / ("old-" + name), folder / name)
storage.add_dynamic_partitions("d", ["y"])
print(storage.get_dynamic_partitions("d"))
"""
    assert processes.end(processes.start(script)) == "['y']"
    assert not (processes.folder / "rivers.db-wal").exists()
