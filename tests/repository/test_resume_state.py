"""What a resume executes, and what it records of what it executed."""

import json

from tests.support import run_script

SCRIPT = """
import contextlib, json, os, sqlite3, sys, time
import rivers as rs

folder, verb, version, kind = sys.argv[1:]
handler = rs.InMemoryIOHandler() if kind == "memory" else rs.PickleIOHandler(folder + "/values")
KEYS = rs.PartitionsDefinition.static_(["a", "b", "c", "d"])
calls = []

def wait_for_five_runs():
    deadline = time.monotonic() + 50
    with contextlib.closing(sqlite3.connect(folder + "/x.db")) as database:
        while database.execute("SELECT sum(runs) FROM segment").fetchone() != (5,):
            assert time.monotonic() < deadline
            time.sleep(0.01)

@rs.Asset(partitions_def=KEYS, io_handler=handler, code_version=version)
def first(context: rs.AssetExecutionContext):
    calls.append("first-" + context.partition_key)
    if kind == "memory" and context.partition_key == "c":
        raise rs.Skip("a holiday")
    return 1

@rs.Asset(partitions_def=KEYS, io_handler=handler, code_version=version)
def second(context: rs.AssetExecutionContext, first):
    calls.append("second-" + context.partition_key)
    if verb == "die" and context.partition_key == "b":
        wait_for_five_runs()
        os.kill(os.getpid(), 9)
    return first

repo = rs.CodeRepository([first, second]).resolve(rs.Storage.open(folder + "/x.db"))
options = {"partition_keys": KEYS.select(), "max_concurrency": 1}
if verb == "die":
    repo.backfill(["first"], **options)
    repo.backfill(only_missing=True, **options)
elif verb == "resume":
    (interrupted,) = repo._runtime.store.interrupted()
    repo.resume_backfill(interrupted)
tables = {}
for name in ("first", "second"):
    table = repo.partition_status(name)
    tables[name] = {c: table[c].to_list() for c in ("status", "stale_reason", "code_version")}
events = repo.storage.get_events_for_asset("second") if verb == "resume" else []
versions = {str(event.partition_key): event.code_version for event in events if event.event_type == "Materialization"}
print(json.dumps([calls, tables, versions]))
repo.close()
"""


def shown(*arguments, dies=False):
    done = run_script(SCRIPT, *arguments)
    assert done.returncode == (-9 if dies else 0), done.stderr
    return None if dies else json.loads(done.stdout)


def test_a_resume_executes_again_only_the_partitions_whose_values_are_gone(tmp_path):
    shown(tmp_path, "die", "1", "memory", dies=True)
    calls, tables, _ = shown(tmp_path, "resume", "1", "memory")
    # Nothing is lost of what was skipped; the rest went with the process.
    assert calls == ["first-b", "second-b", "first-d", "second-d"]
    states = ["missing", "materialized", "skipped", "materialized"]
    assert tables["first"]["status"] == tables["second"]["status"] == states


def test_a_resume_records_the_version_of_the_code_that_it_executes(tmp_path):
    shown(tmp_path, "die", "1", "pickle", dies=True)
    calls, tables, versions = shown(tmp_path, "resume", "2", "pickle")
    assert calls == ["second-b", "second-c", "second-d"]
    made_by = ["1", "2", "2", "2"]
    assert tables["second"]["code_version"] == made_by
    assert tables["second"]["stale_reason"] == ["code_version", None, None, None]
    assert versions == dict(zip("abcd", made_by, strict=True))
