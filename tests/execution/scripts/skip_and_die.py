"""Skips hours, and dies before the day that takes them; then resumes in another process."""

import os
import sys

import rivers as rs

database, what = sys.argv[1:]
handler = rs.PickleIOHandler(database + "-values")


@rs.Asset(
    partitions_def=rs.PartitionsDefinition.hourly("2024-01-01", end="2024-01-02"),
    io_handler=handler,
)
def hour(context: rs.AssetExecutionContext) -> int:
    if context.partition_key[11:13] in ("03", "04"):
        raise rs.Skip("night")
    return 1


@rs.Asset(
    partitions_def=rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-02"),
    io_handler=handler,
    deps=[rs.AssetDef.input("hour", partition_mapping=rs.PartitionMapping.time_window())],
)
def day(hour) -> int:
    if what == "run":
        os._exit(9)
    return sum(hour.values())


repo = rs.CodeRepository([hour, day]).resolve(rs.Storage.embedded(database))
if what == "run":
    hours = rs.PartitionKeyRange.single("2024-01-01T00:00", "2024-01-01T23:00")
    repo.backfill(["hour", "day"], partition_range=hours, max_concurrency=1)
[backfill_id] = repo.backfills()["backfill_id"]
result = repo.resume_backfill(backfill_id)
states = repo.partition_status("hour")["status"].to_list()
print(result.status, result.failed, *states[3:5])
print(repo.load_node("day", partition_key=rs.PartitionKey.single("2024-01-01")))
