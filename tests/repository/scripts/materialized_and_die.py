"""Fails at the second of two assets, dies in a rerun, and resumes that in another process."""

import os
import sys

import rivers as rs

database, what, kept = sys.argv[1:]
letters = rs.PartitionsDefinition.static_(["a", "b", "c", "d"])
handler = rs.PickleIOHandler(database + "-values") if kept == "pickle" else rs.InMemoryIOHandler()
state = {"broken": what.startswith("fail"), "dies": what == "die"}


@rs.Asset(partitions_def=letters, io_handler=handler)
def first(context: rs.AssetExecutionContext) -> int:
    print("first-" + context.partition_key)
    return 1


@rs.Asset(partitions_def=letters, io_handler=handler)
def second(context: rs.AssetExecutionContext, first: int) -> int:
    if state["dies"]:
        os._exit(9)
    if state["broken"] and context.partition_key in "bd":
        raise ValueError("broken")
    print("second-" + context.partition_key)
    return 2


repo = rs.CodeRepository([first, second]).resolve(rs.Storage.embedded(database))
if what.startswith("fail"):
    keys = [rs.PartitionKey.single(["a", "b", "c", "d"])]
    repo.backfill(partition_keys=keys, max_concurrency=1)
latest = repo.backfills(limit=1)["backfill_id"][0]
if what == "fail-and-die":
    state.update(broken=False, dies=True)
if what in ("die", "fail-and-die"):
    repo.rerun_backfill(latest)
if what == "resume":
    print(repo.resume_backfill(latest).status)
