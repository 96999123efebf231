"""`write`: runs backfills whose partitions all fail or are all skipped. `read`: prints what tables say meanwhile."""

import sys
import time
from pathlib import Path

import rivers as rs

KEYS = [f"k{number:03}" for number in range(400)]
DEFINED = rs.PartitionsDefinition.static_(KEYS)
FOLDER = Path("storage")


def fails(context):
    time.sleep(0.002)
    raise ValueError(context.partition_key)


def skips(context):
    time.sleep(0.002)
    raise rs.Skip("nothing to do")


storage = rs.Storage.embedded(FOLDER / "rivers.db")
if sys.argv[1] == "write":
    both = [rs.Asset(fn, name=fn.__name__, partitions_def=DEFINED) for fn in (fails, skips)]
    repo = rs.CodeRepository(both).resolve(storage)
    while not (FOLDER / "enough").exists():
        for name in ("fails", "skips"):
            repo.backfill([name], partition_keys=DEFINED.select(), max_concurrency=2)
else:
    client = rs.BackfillClient(storage)
    seen: set[str] = set()
    looks = dict.fromkeys(("fails", "skips"), 0)
    while min(looks.values()) < 12 or not {"fails failed", "skips skipped"} <= seen:
        for row in client.backfills(limit=1).to_dicts():
            table = client.backfill_partitions(row["backfill_id"])
            (asset,) = row["assets"]
            seen |= {f"{asset} {status}" for status in table["status"].unique()}
            looks[asset] += row["status"] == "in_progress"
    (FOLDER / "enough").touch()
    print(*sorted(seen), sep="\n")
