"""Values that were in the memory of a process that is gone."""

from tests.support import run_script

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
