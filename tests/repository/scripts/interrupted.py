"""What `test_interrupts.py` starts, interrupts and kills: `folder mode executor [backfill id]`."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import rivers as rs

folder, mode, executor = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
keys = [f"k{number:02}" for number in range(20)]


def note(text):
    with (folder / "notes").open("a") as file:
        file.write(f"{text}\n")


def visit(context):
    key = context.partition_key
    note(f"{mode} started {key}")
    while key >= "k06" and not (folder / "gate").exists():
        time.sleep(0.01)
    note(f"{mode} ended {key}")


async def visit_later(context):
    key = context.partition_key
    note(f"{mode} started {key}")
    while key >= "k06" and not (folder / "gate").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    note(f"{mode} ended {key}")


def interrupt(number, frame):
    note(f"{mode} interrupted")
    signal.default_int_handler(number, frame)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, interrupt)
definition = rs.PartitionsDefinition.static_(keys)
visited = rs.Asset(
    visit_later if executor == "async" else visit, name="visited", partitions_def=definition
)
where: rs.Executor | None = None
if executor == "processes":
    where = rs.Executor.parallel(2)
elif ":" in executor:  # The address of a Ray cluster.
    where = rs.Executor.ray(executor)
repo = rs.CodeRepository([visited], default_executor=where).resolve(
    rs.Storage.embedded(folder / "rivers.db")
)
whole = rs.PartitionKeyRange.single(keys[0], keys[-1])
try:
    if mode in ("wait", "leave"):
        print(repo.backfill(partition_range=whole, max_concurrency=2, block=mode == "wait").status)
    elif mode == "resume":
        print(repo.resume_backfill(sys.argv[4]).status)
    elif mode == "cancel":
        print(repo.cancel_backfill(sys.argv[4]))
except KeyboardInterrupt as interruption:
    print("interrupted:", interruption)
