"""Memory: it grows with what has happened, not with what could. Each figure is from a new process."""

import functools

import pytest
from support import Row, in_fresh_process, once

pytestmark = pytest.mark.timeout(600)


def peak_of(work, *arguments):
    return once(lambda: in_fresh_process(work, *arguments)["bytes"])


def per_row(work):
    return once(lambda: in_fresh_process(work)["bytes_per_row"])


def memory(work, reach, name, *arguments):
    prepare = functools.partial(peak_of, name, *arguments)
    return Row(work, reach, prepare, is_memory=True, rounds=1)


def row_size(work, reach, name):
    return Row(work, reach, functools.partial(per_row, name), is_row_size=True, rounds=1)


PLANNING = [
    memory("dry run, 100^3: peak", "1 MB", "dry_run", "100", "multi_run"),
    memory("dry run, 1,000^3, multi_run: peak", "1 MB", "dry_run", "1000", "multi_run"),
    memory("dry run, 1,000^3, single_run: peak", "1 MB", "dry_run", "1000", "single_run"),
    memory("dry run, 1,000^3, per_dimension: peak", "1 MB", "dry_run", "1000", "per_dimension"),
]

TABLES = [
    row_size("backfill_partitions, 10,000,000: peak per row", "64 B", "partitions_table"),
    row_size("backfill_partitions, 2,000,000: peak per row", "", "partitions_table_of_ones"),
    row_size("partition_status, 10,000,000: peak per row", "", "status_table"),
]

RUNNING = [
    memory("10,000,000 no-op runs: peak", "100 MB", "noop_runs", "10000"),
    memory("100 backfills of 100,000 runs, tag limits: peak", "100 MB", "many_backfills"),
]


@pytest.mark.parametrize("row", [*PLANNING, *TABLES, *RUNNING], ids=lambda row: row.work)
def test_memory(measured, row):
    measured(row)
