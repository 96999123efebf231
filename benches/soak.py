"""Everything at once for an hour, on one storage: `make soak`; `make soak MINUTES=10` is shorter.

Processes run backfills in threads, on an event loop and in worker processes, with failures, retries, timeouts and
cancels; one is killed and resumed again and again; others read, and remove old records. Each second the memory, open
files, threads and processes of all of them are counted, the size of the storage and how long calls take. At the end
the second quarter is compared with the last one, and a plot is written: nothing may have grown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

import rivers as rs
from rivers.exceptions import RiversError

KEYS = [f"k{number:03d}" for number in range(200)]
WHOLE = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
KEPT = dt.timedelta(seconds=60)
"""How long records are kept: the size of the storage is level after that."""
MEASURES = {
    "memory_mb": "memory of all processes, MB",
    "files": "open files",
    "threads": "threads",
    "processes": "processes",
    "disk_mb": "size of the storage, MB",
    "materialize_ms": "materialize(), ms (median of a second)",
    "read_ms": "backfills() and get_backfill(), ms",
}
TOLERANCE = 1.15
"""How much more the last quarter may have than the second one."""


def assets(handler):
    keys = rs.PartitionsDefinition.static_(KEYS)
    chance = random.Random(os.getpid())

    def work(context):
        if chance.random() < 0.02:
            raise ValueError(f"failed for {context.partition_key}")
        time.sleep(chance.random() * 0.004)
        return context.partition_key

    async def loop(context):
        await asyncio.sleep(chance.random() * 0.004)
        return work(context)

    def hang(context):
        time.sleep(0.2 if context.partition_key.endswith("77") else 0.001)

    retry = rs.RetryPolicy(1, rs.Backoff.constant(0.01))
    options = {"partitions_def": keys, "io_handler": handler}
    return [
        rs.Asset(work, name="work", retry=retry, **options),
        rs.Asset(loop, name="loop", retry=retry, **options),
        rs.Asset(hang, name="hang", timeout=0.1, **options),
    ]


def repository(folder, executor=None):
    handler = rs.PickleIOHandler(folder / "values", sync=False)
    repo = rs.CodeRepository(assets(handler), default_executor=executor, lease_seconds=5.0)
    return repo.resolve(rs.Storage.embedded(folder / "rivers.db"))


@contextlib.contextmanager
def timed(folder, what):
    began = time.perf_counter()
    yield
    line = f"{time.time()} {what} {(time.perf_counter() - began) * 1e3}\n"
    with (folder / "latencies").open("a") as log:
        log.write(line)


def run_service(folder):
    with repository(folder) as repo:
        while True:
            with timed(folder, "materialize_ms"), contextlib.suppress(RiversError):
                repo.materialize(
                    ["work"], partition_key=rs.PartitionKey.single(random.choice(KEYS))
                )
            time.sleep(0.1)


def run_backfills(folder, name, executor):
    with repository(folder, executor) as repo:
        while True:
            launched = repo.backfill([name], partition_range=WHOLE, max_concurrency=3, block=False)
            if random.random() < 0.2:
                time.sleep(0.1)
                repo.cancel_backfill(launched.backfill_id, force_after=0.1)
            repo.wait_backfill(launched.backfill_id)


def run_killed(folder):
    """Resumes what its predecessor left; it is killed after a while."""
    with repository(folder) as repo:
        for row in repo.backfills(status="in_progress").to_dicts():
            with contextlib.suppress(RiversError):  # Another process runs it.
                repo.resume_backfill(row["backfill_id"])
        while True:
            repo.backfill(["work"], partition_range=WHOLE, max_concurrency=2)


def run_reader(folder):
    client = rs.BackfillClient(rs.Storage.embedded(folder / "rivers.db"))
    while True:
        with timed(folder, "read_ms"):
            table = client.backfills(limit=5)
            for backfill_id in table["backfill_id"]:
                client.get_backfill(backfill_id)
        for backfill_id in table["backfill_id"][:1]:
            client.backfill_partitions(backfill_id)
        time.sleep(0.1)


def run_pruner(folder):
    storage = rs.Storage.embedded(folder / "rivers.db")
    while True:
        time.sleep(5)
        storage.prune(KEPT)


ROLES = {
    "service": run_service,
    "threads": lambda folder: run_backfills(folder, "work", rs.Executor.in_process()),
    "loop": lambda folder: run_backfills(folder, "loop", rs.Executor.in_process()),
    "timeouts": lambda folder: run_backfills(folder, "hang", rs.Executor.in_process()),
    "workers": lambda folder: run_backfills(folder, "work", rs.Executor.parallel(2)),
    "killed": run_killed,
    "reader": run_reader,
    "pruner": run_pruner,
}


def start(folder, role):
    command = [sys.executable, __file__, "--role", role, "--folder", str(folder)]
    log = (folder / f"{role}.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def descendants():
    """This process's children and theirs, by number."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(") ")[2].split()[1])
    found, last = set(), {os.getpid()}
    while last:
        last = {child for child, parent in parents.items() if parent in last}
        found |= last
    return found


def sample(folder):
    """What all processes use now."""
    totals = dict.fromkeys(("memory_mb", "files", "threads", "processes"), 0)
    for process in descendants():
        proc = Path(f"/proc/{process}")
        with contextlib.suppress(OSError, IndexError):  # It ends meanwhile.
            pages = int((proc / "statm").read_text().split()[1])
            totals["files"] += sum(1 for _ in (proc / "fd").iterdir())
            totals["threads"] += sum(1 for _ in (proc / "task").iterdir())
            totals["memory_mb"] += pages * os.sysconf("SC_PAGE_SIZE") / 2**20
            totals["processes"] += 1
    size = 0
    for path in folder.glob("rivers.db*"):
        with contextlib.suppress(OSError):
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            size += sum(file.stat().st_blocks * 512 for file in files)
    return totals | {"at": time.time(), "disk_mb": size / 2**20}


def soak(folder, minutes):
    """Runs everything, and returns a row for each second."""
    began, samples = time.time(), []
    running = {role: start(folder, role) for role in ROLES}
    kill_at = began + 15
    try:
        while time.time() < began + minutes * 60:
            time.sleep(1)
            samples.append(sample(folder))
            if time.time() > kill_at:
                running["killed"].kill()
                running["killed"].wait()
                running["killed"] = start(folder, "killed")
                kill_at = time.time() + random.uniform(5, 20)
            ended = [role for role, process in running.items() if process.poll() is not None]
            if ended:
                sys.exit(
                    f"{ended[0]} has ended: {(folder / f'{ended[0]}.log').read_text()[-2000:]}"
                )
    finally:
        for process in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = [line.split() for line in (folder / "latencies").read_text().splitlines()]
    rows = [(float(at), what, float(took)) for at, what, took in lines]
    calls = pl.DataFrame(rows, schema=["at", "what", "took"], orient="row")
    second = (pl.col("at") - began).floor().cast(pl.Int64).alias("second")
    calls = calls.with_columns(second).pivot("what", index="second", values="took", aggregate_function="median")  # fmt: skip
    table = pl.DataFrame(samples).with_columns(second).unique("second", keep="first")
    return table.join(calls, on="second", how="left").sort("second")


def compare(table):
    """The second quarter and the last one of each measure, and whether it has grown."""
    quarter = table["second"].max() / 4
    of = [table.filter(pl.col("second").is_between(n * quarter, (n + 1) * quarter)) for n in (1, 3)]
    rows = []
    for name in MEASURES:
        before, after = (part[name].drop_nulls().median() for part in of)
        rows.append((name, before, after, after / before, after > before * TOLERANCE))
    schema = ["measure", "second quarter", "last quarter", "ratio", "grows"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def plot(table):
    """The measures over time, one above the other, as SVG."""
    width, height, margin = 900, 90, 30
    end = table["second"].max()
    parts = []
    for number, (name, title) in enumerate(MEASURES.items()):
        points = table.select("second", name).drop_nulls()
        top = points[name].quantile(0.99) or 1
        y = number * (height + margin) + margin
        line = " ".join(
            f"{margin + second / end * width:.1f},{y + height - min(value / top, 1) * height:.1f}"
            for second, value in points.iter_rows()
        )
        parts += [
            f'<text x="{margin}" y="{y - 6}">{title}; the line above is {top:.4g}</text>',
            f'<path d="M{margin} {y}h{width}m0 {height}h-{width}" stroke="#bbb" fill="none"/>',
            f'<polyline points="{line}" stroke="#246" fill="none"/>',
        ]
    all_height = len(MEASURES) * (height + margin) + margin
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 2 * margin}" height="{all_height}" '
    return head + 'font-family="sans-serif" font-size="12">' + "".join(parts) + "</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--plot", type=Path, default=Path("soak.svg"))
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        ROLES[arguments.role](arguments.folder)
    folder = Path(tempfile.mkdtemp(prefix="rivers-soak-"))
    try:
        table = soak(folder, arguments.minutes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.plot.write_text(plot(table))
    table.write_parquet(arguments.plot.with_suffix(".parquet"))
    compared = compare(table)
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(compared)
    print(f"the plot is in {arguments.plot}")
    sys.exit(bool(compared["grows"].any()))


if __name__ == "__main__":
    main()
