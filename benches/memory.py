"""Peak memory above that after the import: `python benches/memory.py WORK` prints it as JSON.

A process for each, since what one leaves behind would hide what the next one needs.
"""

import contextlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import polars as pl  # noqa: F401  (tables load it)
from support import EVERYTHING, checked, first, grid, noop_asset, peak, per, repository, resident

import rivers as rs

STRATEGIES = {
    "multi_run": rs.BackfillStrategy.multi_run,
    "single_run": rs.BackfillStrategy.single_run,
    "per_dimension": lambda: per("a", "b"),
}


@contextlib.contextmanager
def counted():
    """What this part needs at its peak."""
    before, began = resident(), time.perf_counter()
    found = {}
    yield found
    found |= {"bytes": peak() - before, "seconds": time.perf_counter() - began}


def dry_run(size, strategy):
    repo = rs.CodeRepository([noop_asset(grid(*[int(size)] * 3))]).resolve(rs.Storage.memory())
    with counted() as found:
        repo.backfill(partition_range=EVERYTHING, strategy=STRATEGIES[strategy](), dry_run=True)
    return found


def noop_runs(thousands, max_concurrency="4"):
    with counted() as found, repository(noop_asset(grid(int(thousands), 1000))) as repo:
        result = repo.backfill(partition_range=EVERYTHING, max_concurrency=int(max_concurrency))
        checked(result, int(thousands) * 1000)
    return found


def many_backfills():
    import test_throughput

    with counted() as found, test_throughput.many_backfills() as work:
        work()
    return found


def partitions_table():
    """`backfill_partitions` of 10,000,000, half of them done in runs of 1,000."""
    import test_tables

    return _table(*test_tables.runs_of_1000())


def partitions_table_of_ones():
    """`backfill_partitions` of 2,000,000, half of them done in runs of one."""
    import test_tables

    return _table(*test_tables.runs_of_one())


def _table(repo, result):
    with counted() as found:
        table = repo.backfill_partitions(result.backfill_id)
    size = table.estimated_size()
    return found | {
        "rows": table.height,
        "bytes_per_row": found["bytes"] / table.height,
        "kept_per_row": size / table.height,
    }


def status_table():
    """`partition_status` of 10,000,000, 1,000,000 materialized."""
    with repository(noop_asset(grid(10, 1000, 1000))) as repo:
        repo.backfill(partition_range=first("a", 1), max_concurrency=1)
        with counted() as found:
            table = repo.partition_status("noop")
        return found | {
            "rows": table.height,
            "bytes_per_row": found["bytes"] / table.height,
            "kept_per_row": table.estimated_size() / table.height,
        }


WORKS = {
    work.__name__: work
    for work in (
        dry_run,
        noop_runs,
        many_backfills,
        partitions_table,
        partitions_table_of_ones,
        status_table,
    )
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(WORKS[sys.argv[1]](*sys.argv[2:])) + "\n")
