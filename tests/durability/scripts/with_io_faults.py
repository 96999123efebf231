"""Runs or resumes a backfill of 300 partitions, or with $AGAIN runs another; prints each count that is reported, then how it ended."""

import contextlib
import os
import sys

import rivers as rs
from rivers.exceptions import StorageError

KEYS = [f"k{number}" for number in range(300)]


@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(KEYS))
def numbers(context) -> None:
    """Nothing is stored but that it ran."""


try:
    repo = rs.CodeRepository([numbers]).resolve(rs.Storage.embedded("storage/rivers.db"))
    rows = repo.backfills().to_dicts()
    if rows and rows[0]["status"] == "in_progress":
        result = repo.resume_backfill(rows[0]["backfill_id"], block=False)
    elif rows and "AGAIN" not in os.environ:
        print("reported", rows[0]["completed"])
        sys.exit()
    else:
        whole = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
        result = repo.backfill(partition_range=whole, max_concurrency=2, block=False)
    status = "in_progress"
    while status == "in_progress":
        with contextlib.suppress(TimeoutError):
            repo.wait_backfill(result.backfill_id, timeout=0.01)
        seen = repo.get_backfill(result.backfill_id)
        assert seen is not None
        status = seen.status
        print("reported", seen.completed_partitions, flush=True)
except StorageError as error:
    print("StorageError", error)
