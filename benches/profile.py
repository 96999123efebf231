"""Where the time of a million runs goes: `python -m benches.profile`.

The worker thread calls the function and the engine, the writer thread commits, side by side. Processor
seconds of each come from /proc, so this runs on Linux.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import rivers as rs

SIDE = 1_000


def processor_seconds() -> list[float]:
    """Of each thread of this process."""
    seconds = []
    for stat in Path("/proc/self/task").glob("*/stat"):
        fields = stat.read_text().rsplit(")", 1)[1].split()
        seconds.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return seconds


def main() -> None:
    """Backfills a million partitions with a function that does nothing, and says what took how long."""
    keys = rs.PartitionsDefinition.static_([str(number) for number in range(SIDE)])

    @rs.Asset(partitions_def=rs.PartitionsDefinition.multi({"a": keys, "b": keys}))
    def nothing(context: rs.AssetExecutionContext) -> None:
        pass

    with tempfile.TemporaryDirectory(dir=".") as folder:
        storage = rs.Storage.embedded(Path(folder) / "profile.db")
        with rs.CodeRepository([nothing]).resolve(storage) as repo:
            everything = rs.PartitionKeyRange.multi({})
            began = time.perf_counter()
            repo.backfill(partition_range=everything, max_concurrency=1, block=False)
            (key,) = repo._runtime.engine.live()
            seconds = processor_seconds()
            while not repo._runtime.engine.wait(key, 0.05):
                seconds = processor_seconds()
            wall = time.perf_counter() - began
    context = rs.AssetExecutionContext("nothing")
    function = nothing.step.fn
    began = time.perf_counter()
    for _ in range(SIDE * SIDE):
        function(context=context)
    alone = time.perf_counter() - began
    worker, writer = sorted(seconds, reverse=True)[:2]
    print(f"a million runs: {wall:.2f} s; the function alone: {alone:.2f} s")
    print(f"worker thread {worker:.2f} s, writer thread {writer:.2f} s (processor)")


if __name__ == "__main__":
    main()
