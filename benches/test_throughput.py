"""Throughput: with trivial functions the engine shows, with real ones it disappears."""

import contextlib
import datetime as dt
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import polars as pl
import pytest
from loky import ProcessPoolExecutor
from shapes import SHAPES, prepared
from support import (
    EVERYTHING,
    PlainRecord,
    Row,
    checked,
    folder,
    grid,
    noop_asset,
    per,
    plain_loop,
    repository,
)

import rivers as rs

pytestmark = pytest.mark.timeout(600)

MILLION = 1_000_000
SIZES = (10, 100, 1000)
ENDLESS = (10, 1000, 10_000)
"""So many runs that they are still on when what is done beside them has been measured."""
TRIES = 20
"""How often a backfill that is on is interrupted for something urgent."""
CHUNK = 100
"""Calls of one task of the plain process pool."""


def do_nothing(number):
    return None


@contextlib.contextmanager
def backfill(asset, runs, *, executor=None, run_queue=None, warm_up=None, **request):
    """A backfill of everything on a new storage; `warm_up` is backfilled before."""
    options = {"default_executor": executor, "run_queue": run_queue}
    with repository(asset, **options) as repo:
        if warm_up is not None:
            repo.backfill(partition_range=warm_up, max_concurrency=request["max_concurrency"])

        def work():
            result = repo.backfill(partition_range=EVERYTHING, **request)
            checked(result, result.num_partitions)
            assert result.num_runs == runs

        yield work


def noop(max_concurrency):
    return backfill(noop_asset(grid(*SIZES)), MILLION, max_concurrency=max_concurrency)


def async_noop():
    @rs.Asset(partitions_def=grid(*SIZES))
    async def noop(context):
        return None

    return backfill(noop, MILLION, max_concurrency=4)


def some(dimension, *keys):
    """A few keys of one dimension, and the first of each other one."""
    named = {name: [f"{name}0000"] for name in "abc"} | {dimension: list(keys)}
    return rs.PartitionKeyRange.multi(named)


def processes():
    two = rs.Executor.parallel(max_workers=2)
    start = some("c", *(f"c{number:04d}" for number in range(1000)))
    return backfill(
        noop_asset(grid(*SIZES)), MILLION, executor=two, warm_up=start, max_concurrency=2
    )


@contextlib.contextmanager
def thread_pool(function, runs, workers):
    """The function in a thread pool, each call recorded."""
    with folder() as path, ThreadPoolExecutor(workers) as pool:
        record = PlainRecord(path / "plain.db")

        def work():
            for number, _ in enumerate(pool.map(function, range(runs))):
                now = time.time_ns()
                record.add(number, now, now)
            record.close()

        yield work


def two_assets(mapping, work):
    """A million hours of two assets that do so many rounds of a loop, one downstream of the other."""
    first = dt.datetime(2000, 1, 1)
    hours = rs.PartitionsDefinition.hourly(first, first + dt.timedelta(hours=MILLION))

    def up():
        for _ in range(work):
            pass

    def down():
        for _ in range(work):
            pass

    @contextlib.contextmanager
    def prepared():
        below = rs.Asset(down, partitions_def=hours, deps=[rs.AssetDef.dep("up", mapping)])
        with repository(rs.Asset(up, partitions_def=hours), below) as repo:
            everything = rs.PartitionKeyRange.single(
                f"{first:%Y-%m-%dT%H:%M}",
                f"{first + dt.timedelta(hours=MILLION - 1):%Y-%m-%dT%H:%M}",
            )

            def work():
                result = repo.backfill(partition_range=everything, max_concurrency=4)
                checked(result, result.num_partitions)

            yield work

    return prepared()


def mapped_row(what, work):
    """With and without an order between the runs."""
    return Row(
        f"1,000,000 partitions of two assets, time_window(-1), {what}; plain: the same keys",
        "1.2 x plain",
        functools.partial(two_assets, rs.PartitionMapping.time_window(-1), work),
        functools.partial(two_assets, None, work),
        rounds=1,
    )


def _wait_for_the_other(_):
    time.sleep(0.5)


def _calls(function, first, end):
    for number in range(first, end):
        function(number)


@contextlib.contextmanager
def process_pool(function, runs, chunk=CHUNK):
    """The function in two processes, `chunk` calls a task, each call recorded."""
    with folder() as path, ProcessPoolExecutor(2) as pool:
        record = PlainRecord(path / "plain.db")
        list(pool.map(_wait_for_the_other, range(4)))  # Both have started and imported this.

        def work():
            firsts = range(0, runs, chunk)
            ends = [first + chunk for first in firsts]
            calls = functools.partial(_calls, function)
            for first, _ in zip(firsts, pool.map(calls, firsts, ends), strict=True):
                now = time.time_ns()
                for number in range(first, first + chunk):
                    record.add(number, now, now)
            record.close()

        yield work


# -- work that takes its time ----------------------------------------------------------------------


@functools.cache
def turns_of_a_millisecond():
    """How many turns of the loop below are 1 ms of Python work here."""
    turns = 20_000
    best = min(_time_of(turns) for _ in range(50))
    return int(turns * 0.001 / best)


def _time_of(turns):
    began = time.perf_counter()
    _turn(turns)
    return time.perf_counter() - began


def _turn(turns):
    total = 0
    for number in range(turns):
        total += number
    return total


def milliseconds():
    turns = turns_of_a_millisecond()

    @rs.Asset(partitions_def=grid(10, 100))
    def busy(context):
        total = 0
        for number in range(turns):
            total += number

    start = rs.PartitionKeyRange.multi({"a": ["a0000"]})
    two = rs.Executor.parallel(max_workers=2)
    return backfill(busy, 1000, executor=two, warm_up=start, max_concurrency=2)


def milliseconds_plain():
    turns = turns_of_a_millisecond()

    def busy(_):
        total = 0
        for number in range(turns):
            total += number

    # Two tasks: what two cores can do where nothing is shared out.
    return process_pool(busy, 1000, chunk=500)


def sleeping():
    @rs.Asset(partitions_def=grid(2, 100))
    def slow(context):
        time.sleep(0.05)

    return backfill(slow, 200, max_concurrency=20)


def sleeping_plain():
    return thread_pool(lambda _: time.sleep(0.05), 200, 20)


MANY = 5000
"""Threads that sleep at the same time."""


def many_threads():
    @rs.Asset(partitions_def=grid(2, MANY))
    def slow(context):
        time.sleep(1)

    return backfill(slow, 2 * MANY, max_concurrency=MANY)


def many_threads_plain():
    return thread_pool(lambda _: time.sleep(1), 2 * MANY, MANY)


# -- grouped runs ----------------------------------------------------------------------------------


def grouped(strategy, runs):
    cube = grid(1000, 10, 100)
    return backfill(noop_asset(cube), runs, strategy=strategy, max_concurrency=4)


def looking_at_keys():
    @rs.Asset(partitions_def=grid(1000, 10, 100))
    def looking(context):
        assert len(context.partition.keys) == 1000

    return backfill(looking, 1000, strategy=per("a"), max_concurrency=4)


# -- the queue -------------------------------------------------------------------------------------


def limited_queue():
    limits = [
        rs.TagConcurrencyLimit("team", limit=2, per_unique_value=True),
        rs.TagConcurrencyLimit("warehouse", "small", limit=1),
    ]
    return rs.RunQueueConfig(max_concurrent_runs=4, tag_concurrency_limits=limits)


@contextlib.contextmanager
def many_backfills(count=100, size=(10, 100, 100)):
    """Many backfills at once, in ten teams; every third uses the small warehouse."""
    with repository(noop_asset(grid(*size)), run_queue=limited_queue()) as repo:

        def work():
            for number in range(count):
                warehouse = "large" if number % 3 else "small"
                tags = [("team", f"team-{number % 10}"), ("warehouse", warehouse)]
                repo.backfill(partition_range=EVERYTHING, tags=tags, block=False)
            repo.close()
            table = repo.backfills(status="completed")
            assert table["completed"].sum() == count * size[0] * size[1] * size[2], table

        yield work


@contextlib.contextmanager
def running(asset, *others, **options):
    """A backfill of no-op runs without end in the background, half a second old."""
    with repository(asset, *others, **options) as repo:
        result = repo.backfill([asset.name], partition_range=EVERYTHING, block=False)
        try:
            time.sleep(0.5)
            yield repo, result.backfill_id
            assert repo.get_backfill(result.backfill_id).completed_partitions > 0
        finally:
            repo.cancel_backfill(result.backfill_id)


def is_on(repo, backfill_id):
    """Whether the backfill is still on: a figure measured beside none says nothing."""
    return repo.get_backfill(backfill_id).status == "in_progress"


@contextlib.contextmanager
def canceling():
    last = [0.0]
    clock = time.perf_counter

    @rs.Asset(partitions_def=grid(*ENDLESS))
    def stamping(context):
        last[0] = clock()

    with running(stamping) as (repo, backfill_id):

        def work():
            assert repo.cancel_backfill(backfill_id)
            returned = clock()
            while is_on(repo, backfill_id):
                time.sleep(0.01)
            assert repo.get_backfill(backfill_id).status == "canceled"
            return max(last[0] - returned, 0.0)

        yield work


@contextlib.contextmanager
def asking():
    with running(noop_asset(grid(*ENDLESS))) as (repo, backfill_id):

        def work():
            taken = []
            for _ in range(100):
                began = time.perf_counter()
                repo.get_backfill(backfill_id)
                taken.append(time.perf_counter() - began)
                time.sleep(0.002)
            assert is_on(repo, backfill_id)
            return median(taken)

        yield work


@contextlib.contextmanager
def materializing(of, max_concurrent_runs=4):
    """How long an urgent run waits for its call: `of` the times of some tries."""
    began_at = [0.0]

    @rs.Asset
    def urgent():
        began_at[0] = time.perf_counter()

    queue = rs.RunQueueConfig(max_concurrent_runs=max_concurrent_runs)
    with running(noop_asset(grid(*ENDLESS)), urgent, run_queue=queue) as (repo, backfill_id):

        def work():
            waited = []
            for _ in range(TRIES):
                called = time.perf_counter()
                repo.materialize(["urgent"])
                waited.append(began_at[0] - called)
            assert is_on(repo, backfill_id)
            return of(waited)

        yield work


def sorting(max_concurrency):
    """Runs that sort with Polars, each in one thread, while the interpreter is free for others."""
    column = pl.Series(range(500_000)).sample(fraction=1, shuffle=True, seed=1)

    @rs.Asset(partitions_def=grid(10, 10))
    def ordered() -> None:
        column.sort(multithreaded=False)

    return backfill(ordered, 100, max_concurrency=max_concurrency)


@contextlib.contextmanager
def starting(make_executor):
    """How long after the call a first function is called, in a process that has not had a backfill."""
    with folder() as path:
        mark = path / "called"

        def called():
            mark.write_text(str(time.time_ns()))

        def work():
            waited = []
            for number in range(TRIES):
                asset = rs.Asset(called, partitions_def=grid(1, 1))
                storage = rs.Storage.embedded(path / f"{number}.db")
                repo = rs.CodeRepository([asset], default_executor=make_executor())
                with repo.resolve(storage):
                    began = time.time_ns()
                    repo.backfill(partition_range=EVERYTHING)
                    waited.append((int(mark.read_text()) - began) / 1e9)
            return median(waited)

        yield work


# -- values in files -------------------------------------------------------------------------------

FRAME = pl.DataFrame({"id": range(100), "value": [number / 7 for number in range(100)]})
FILES = 10_000


@contextlib.contextmanager
def parquet(*, takes_value, max_concurrency):
    with folder() as path:
        keep = {"partitions_def": grid(100, 100), "io_handler": rs.ParquetIOHandler(path)}

        @rs.Asset(**keep)
        def raw():
            return FRAME

        if takes_value:

            @rs.Asset(**keep)
            def clean(raw):
                return raw

        else:

            @rs.Asset(**keep, deps=["raw"])
            def clean():
                return FRAME

        with repository(raw, clean) as repo:

            def work():
                result = repo.backfill(partition_range=EVERYTHING, max_concurrency=max_concurrency)
                checked(result, FILES)

            yield work


@contextlib.contextmanager
def parquet_plain(*, takes_value, max_concurrency):
    """The same files in the same folders, nothing recorded."""

    def write(path, number):
        file = path / f"{number // 100}" / f"{number % 100}" / "data.parquet"
        file.parent.mkdir(parents=True)
        FRAME.write_parquet(file)
        return file

    with folder() as path:

        def both(number):
            file = write(path / "raw", number)
            if takes_value:
                assert pl.read_parquet(file).height == FRAME.height
            write(path / "clean", number)

        def work():
            if max_concurrency == 1:
                for number in range(FILES):
                    both(number)
            else:
                with ThreadPoolExecutor(max_concurrency) as pool:
                    list(pool.map(both, range(FILES)))

        yield work


def parquet_row(work, **options):
    return Row(
        f"two assets, Parquet, 10,000 runs, {work}",
        "1.2 x plain",
        functools.partial(parquet, **options),
        functools.partial(parquet_plain, **options),
        rounds=1,
    )


def materialize_rows(slots, **options):
    """The median and the worst of the tries."""
    return [
        Row(
            f"materialize() while it runs, {slots}: until the call, {name} of {TRIES}",
            "50 ms",
            functools.partial(materializing, of, **options),
        )
        for name, of in (("median", median), ("maximum", max))
    ]


@contextlib.contextmanager
def shaped(name, runs, max_concurrency):
    """Runs of a shape that `make guard` watches, in a new storage."""
    with folder() as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIVERS_STORAGE", str(path / "rivers.db"))
        with prepared(SHAPES[name], runs, max_concurrency) as work:
            yield lambda: work() and None


def shape_row(name, runs, reach, max_concurrency=1):
    return Row(
        f"{runs:,} runs, {name}, max_concurrency {max_concurrency}",
        f"{reach:,} runs/s",
        functools.partial(shaped, name, runs, max_concurrency),
        functools.partial(plain_loop, do_nothing, runs),
        runs=runs,
        rounds=1,
    )


LOOP = functools.partial(plain_loop, do_nothing, MILLION)

ROWS = [
    Row(
        "1,000,000 no-op runs, max_concurrency 1",
        "3,000,000 runs/s",
        functools.partial(noop, 1),
        LOOP,
        runs=MILLION,
        rounds=1,
    ),
    Row(
        "1,000,000 no-op runs, max_concurrency 4",
        "3,000,000 runs/s",
        functools.partial(noop, 4),
        LOOP,
        runs=MILLION,
        rounds=1,
    ),
    Row(
        "100,000 no-op runs, max_concurrency 4; plain: thread pool",
        "",
        lambda: backfill(noop_asset(grid(10, 10_000)), 100_000, max_concurrency=4),
        lambda: thread_pool(do_nothing, 100_000, 4),
        runs=100_000,
    ),
    shape_row("key accessed", MILLION, 2_000_000),
    shape_row("key accessed", MILLION, 2_000_000, 4),
    shape_row("value", MILLION, 1_500_000),
    shape_row("value", MILLION, 1_500_000, 4),
    shape_row("two assets", MILLION, 700_000),
    shape_row("two assets", MILLION, 700_000, 4),
    shape_row("multi-asset", 200_000, 200_000),
    shape_row("failure", 100_000, 100_000),
    shape_row("failure", 100_000, 100_000, 4),
    shape_row("retry", 20_000, 40_000),
    shape_row("retry", 20_000, 40_000, 4),
    Row(
        "1,000,000 no-op runs, async", "1,500,000 runs/s", async_noop, LOOP, runs=MILLION, rounds=1
    ),
    Row(
        "1,000,000 no-op runs, 2 processes; plain: loky, chunks of 100",
        "4,000,000 runs/s",
        processes,
        lambda: process_pool(do_nothing, MILLION),
        runs=MILLION,
        rounds=1,
    ),
    Row(
        "1,000 runs of 1 ms of Python, 2 processes; plain: the halves, one a core",
        "1 / 0.95 x plain",
        milliseconds,
        milliseconds_plain,
    ),
    Row(
        "200 runs of 50 ms sleep, max_concurrency 20; plain: thread pool",
        "0.55 s",
        sleeping,
        sleeping_plain,
    ),
    Row(
        "10,000 runs of 1 s sleep, max_concurrency 5,000; plain: thread pool",
        "1.2 x plain",
        many_threads,
        many_threads_plain,
    ),
    Row(
        "1,000,000 partitions, single_run",
        "3 s",
        lambda: grouped(rs.BackfillStrategy.single_run(), 1),
        functools.partial(plain_loop, do_nothing, 1),
    ),
    Row(
        "1,000,000 partitions, 1,000 x 1,000 per_dimension",
        "3 s",
        lambda: grouped(per("a"), 1000),
        functools.partial(plain_loop, do_nothing, 1000),
    ),
    Row("the same, looking at each key", "3 s", looking_at_keys),
    Row(
        "100 backfills of 100,000 runs, tag limits; plain: as many calls in a loop",
        "100,000 runs/s",
        many_backfills,
        functools.partial(plain_loop, do_nothing, 10_000_000),
        runs=10_000_000,
        rounds=1,
    ),
    Row(
        "100 runs of Polars, max_concurrency 2; plain: max_concurrency 1",
        "1 / 1.9 x plain",
        functools.partial(sorting, 2),
        functools.partial(sorting, 1),
    ),
    Row("first call after backfill()", "2 ms", functools.partial(starting, rs.Executor.in_process)),
    Row(
        "first call after backfill(), 2 processes to be started",
        "150 ms",
        functools.partial(starting, functools.partial(rs.Executor.parallel, max_workers=2)),
    ),
    Row("cancel of 100,000,000 no-op runs: last call after it", "100 ms", canceling),
    Row("get_backfill while it runs", "1 ms", asking),
    *materialize_rows("all slots taken", max_concurrent_runs=4),
    *materialize_rows("slots free", max_concurrent_runs=16),
    mapped_row("no-op", 0),
    mapped_row("a loop of 500", 500),
    parquet_row("written; plain: a loop", takes_value=False, max_concurrency=1),
    parquet_row("written and read; plain: thread pool", takes_value=True, max_concurrency=4),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_throughput(measured, row):
    measured(row)
