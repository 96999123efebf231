"""Works on `storage.db` with any version of rivers: runs, dies, runs slowly, resumes or lists."""

import os
import sys
import time

import rivers as rs

KEYS = [f"k{number}" for number in range(50)]


@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(KEYS))
def numbers(context) -> int:
    key = str(context.partition_key)
    if sys.argv[1] == "slow":
        print(f"called {key}", flush=True)
        time.sleep(0.05)
    if key == "k7":
        raise ValueError(key)
    if sys.argv[1] == "die" and key == "k30":
        os._exit(9)
    return 1


if __name__ == "__main__":
    repo = rs.CodeRepository([numbers])
    repo.resolve(storage=rs.Storage.embedded("storage.db"))
    keys = [rs.PartitionKey.single(key) for key in KEYS]
    if sys.argv[1] in {"run", "die", "slow"}:
        repo.backfill(selection=["numbers"], partition_keys=keys, max_concurrency=1)
    elif sys.argv[1] == "resume":
        for row in repo.backfills(status="in_progress").iter_rows(named=True):
            repo.resume_backfill(row["backfill_id"])
    table = repo.backfills()
    for row in table.iter_rows(named=True):
        print(row["backfill_id"], row["status"], row["completed"], row["failed"])
