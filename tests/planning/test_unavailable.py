"""Values that were in the memory of a process that is gone."""

import pytest
from tests.support import run_script

import rivers as rs

SCRIPT = """
import sys
import rivers as rs

KEYS = rs.PartitionsDefinition.static_(["a", "b", "c"])

@rs.Asset(partitions_def=KEYS, io_handler=rs.InMemoryIOHandler())
def up():
    return 1

@rs.Asset(partitions_def=KEYS)
def quiet() -> None: ...

@rs.Asset(partitions_def=KEYS, io_handler=rs.PickleIOHandler(sys.argv[1] + "/values"))
def down(context: rs.AssetExecutionContext, up):
    if sys.argv[2] == "first" and context.partition_key == "b":
        raise ValueError("not yet")
    return up

with rs.CodeRepository([up, quiet, down]).resolve(rs.Storage.open(sys.argv[1] + "/x.db")) as repo:
    states = lambda name: ",".join(repo.partition_status(name)["status"].to_list())
    if sys.argv[2] == "first":
        print(repo.backfill(partition_keys=KEYS.select()).backfill_id)
    elif sys.argv[2] == "rerun":
        result = repo.rerun_backfill(sys.argv[3])
        print(result.num_partitions, result.completed, states("up"), states("down"))
    for name in ("up", "quiet", "down"):
        include = {"partition_keys": KEYS.select(), "only_missing": True, "dry_run": True}
        planned = repo.backfill([name], **include, include_upstream=True)
        print(name, states(name), planned.partitions_per_asset)
"""


def lines(*arguments):
    shown = run_script(SCRIPT, *arguments)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.splitlines()


def test_another_process_finds_them_missing_and_a_rerun_makes_its_input_again(tmp_path):
    backfill_id, *first = lines(tmp_path, "first")
    assert first[0] == "up materialized,materialized,materialized {'up': 0}"
    assert lines(tmp_path, "look") == [
        "up missing,missing,missing {'up': 3}",
        "quiet materialized,materialized,materialized {'quiet': 0}",
        "down materialized,failed,materialized {'up': 1, 'down': 1}",
    ]
    counts = lines(tmp_path, "rerun", backfill_id)[0]
    assert counts == "1 1 missing,materialized,missing materialized,materialized,materialized"


BACKGROUND = """
import sys, threading
import rivers as rs

folder, verb, *rest = sys.argv[1:]
KEYS = rs.PartitionsDefinition.static_(["a", "b", "c"])
go_on, calls = threading.Event(), []

@rs.Asset(partitions_def=KEYS, io_handler=rs.InMemoryIOHandler())
def up(context):
    if verb != "first":
        assert go_on.wait(60)
    calls.append("up-" + context.partition_key)
    if rest[1:] and context.partition_key == "c":
        raise rs.Skip("no more")
    return 1

@rs.Asset(
    partitions_def=KEYS, io_handler=rs.PickleIOHandler(folder + "/values"),
    deps=[rs.AssetDef.input("up", partition_mapping=rs.PartitionMapping.all_partitions())],
)
def down(context, up):
    calls.append("down-" + context.partition_key)
    if verb == "first" and context.partition_key == "b":
        if rest == ["die"]:
            import os
            os._exit(9)
        raise ValueError("not yet")
    return len(up)

repo = rs.CodeRepository([up, down]).resolve(rs.Storage.open(folder + "/x.db"))
if verb == "first":
    result = repo.backfill(partition_keys=KEYS.select(), max_concurrency=1)
    print(result.backfill_id)
else:
    begin = getattr(repo, verb)
    result = begin(rest[0], block=False)
    # Its inputs wait for us, so it cannot have begun.
    assert not calls and repo.get_backfill(result.backfill_id).status == "in_progress"
    go_on.set()
    status = repo.wait_backfill(result.backfill_id, timeout=60)
    print(status.status, status.total_partitions, sorted(calls))
    print(repo.load_node("down", rs.PartitionKey.single("b")))
repo.close()
"""


@pytest.mark.parametrize("skips", [(), ("skip",)])
@pytest.mark.parametrize("verb", ["rerun_backfill", "resume_backfill"])
def test_lost_inputs_are_made_again_in_the_background(tmp_path, verb, skips):
    dies = verb == "resume_backfill"
    first = run_script(BACKGROUND, tmp_path, "first", *(["die"] if dies else []))
    assert first.returncode == (9 if dies else 0), first.stderr
    (backfill_id,) = (
        rs.CodeRepository([])
        .resolve(rs.Storage.open(str(tmp_path / "x.db")))
        .backfills()["backfill_id"]
    )
    shown = run_script(BACKGROUND, tmp_path, verb, backfill_id, *skips)
    assert shown.returncode == 0, shown.stderr
    ended, loaded = shown.stdout.splitlines()
    assert ended.startswith("completed")
    calls = ended.split(maxsplit=2)[2]
    assert "'up-a', 'up-b', 'up-c'" in calls
    assert "down-b" in calls
    assert loaded == ("2" if skips else "3")
