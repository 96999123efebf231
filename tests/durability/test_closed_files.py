"""Other code in the process closes files that it did not open, or truncates what is mapped: an error, no hang, and
all that was reported is on record.
"""

import pytest

SCRIPT = """
import asyncio, faulthandler, logging, threading
from rivers.exceptions import StorageError

logging.disable()
faulthandler.dump_traceback_later(50, exit=True)
COUNT = 400
path = folder / "rivers.db"
meddle, kind = sys.argv[2], sys.argv[3]
called, meddled = [], threading.Event()

def once():
    called.append(1)
    if len(called) != COUNT // 2:
        return
    # A part of them must be recorded, so that there is something to lose.
    while kind != "async" and not repo.backfills()["completed"][0]:
        time.sleep(0.001)
    if meddle == "close":
        os.closerange(3, 1000)
    elif meddle == "reuse":
        os.closerange(3, 1000)
        for number in range(40):
            (folder / f"foreign{number}").write_text("not yours")
            os.open(folder / f"foreign{number}", os.O_RDWR)
    meddled.set()

definition = rs.PartitionsDefinition.static_([str(n) for n in range(COUNT)])
if kind == "async":
    async def work():
        once()
        await asyncio.sleep(0.001)
elif kind == "mixed":
    async def idle(context):
        await asyncio.sleep(0.001)
    def work():
        once()
else:
    def work():
        once()
        time.sleep(0.001)
assets = [rs.Asset(work, name="work", partitions_def=definition)]
if kind == "mixed":
    assets.append(rs.Asset(idle, name="idle", partitions_def=definition))

repo = rs.CodeRepository(assets).resolve(rs.Storage.embedded(path))
launched = repo.backfill(
    partition_range=rs.PartitionKeyRange.single("0", str(COUNT - 1)), block=False
)
reported = 0
try:
    while True:
        reported = max(reported, repo.get_backfill(launched.backfill_id).completed_partitions)
        try:
            repo.wait_backfill(launched.backfill_id, timeout=0.005)
            break
        except TimeoutError:
            pass
except StorageError as error:
    print("refused", error)
for again in (repo.backfills, lambda: rs.BackfillClient(rs.Storage.embedded(path)).backfills()):
    try:
        again()
    except StorageError:
        print("refused again")
repo.close()
print("reported", reported, flush=True)
# The other thread may have been refused nothing yet, and still make them.
assert meddled.wait(20)
for foreign in folder.glob("foreign*"):
    assert foreign.read_text() == "not yours", foreign
"""

RESUME = """
@rs.Asset(partitions_def=rs.PartitionsDefinition.static_([str(n) for n in range(400)]))
def work():
    pass

@rs.Asset(partitions_def=work.partitions_def)
def idle():
    pass

repo = rs.CodeRepository([work, idle]).resolve(rs.Storage.embedded(folder / "rivers.db"))
(row,) = repo.backfills().to_dicts()
print(row["status"], row["completed"], repo.resume_backfill(row["backfill_id"]).completed)
"""


@pytest.mark.parametrize("kind", ["plain", "async", "mixed"])
@pytest.mark.parametrize("meddle", ["close", "reuse"])
def test_files_that_were_closed_are_an_error_and_resumable(processes, meddle, kind):
    lines = processes.end(processes.start(SCRIPT, meddle, kind)).splitlines()
    assert lines[0].startswith(f"refused storage {processes.folder / 'rivers.db'}"), lines
    assert lines[0].endswith("start the process again")
    assert lines[1:3] == ["refused again", "refused again"]
    reported = int(lines[3].removeprefix("reported "))
    status, recorded, completed = processes.end(processes.start(RESUME)).split()
    assert (status, completed) == ("in_progress", "400")
    assert reported <= int(recorded) < 400
    processes.check_integrity()


@pytest.mark.parametrize("meddle", ["close", "truncate"])
def test_an_idle_process_whose_files_were_closed_or_truncated_says_so(processes, meddle):
    script = """
from rivers.exceptions import StorageError
storage = rs.Storage.embedded(folder / "rivers.db")
storage.add_dynamic_partitions("d", ["x"])
if sys.argv[2] == "close":
    os.closerange(3, 1000)
else:
    os.truncate(folder / "rivers.db-shm", 0)
for _ in range(2):
    try:
        storage.add_dynamic_partitions("d", ["y"])
    except StorageError as error:
        print(error)
other = rs.Storage.embedded(folder / "other.db")
other.add_dynamic_partitions("d", ["z"])
print(other.get_dynamic_partitions("d"))
"""
    *errors, other = processes.end(processes.start(script, meddle)).splitlines()
    assert len(errors) == 2
    why = "has closed its files" if meddle == "close" else "was truncated while it was open"
    assert all(why in error for error in errors)
    assert other == "['z']"
    assert processes.sql("SELECT count(*) FROM dynamic_partition") == [[1]]
    processes.check_integrity()
