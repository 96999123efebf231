"""Planning: between a range and a run everything is arithmetic, so its size does not matter."""

import contextlib
import datetime as dt
import functools
import inspect
import random

import pytest
from support import EVERYTHING, Row, grid, noop_asset, once, per

import rivers as rs

STRATEGIES = {
    "multi_run": rs.BackfillStrategy.multi_run(),
    "single_run": rs.BackfillStrategy.single_run(),
    "per_dimension": per("a", "b"),
}
MANY = 1_000_000
NOW = dt.datetime(2025, 1, 1)


def repo_of(definition):
    return rs.CodeRepository([noop_asset(definition)], clock=lambda: NOW).resolve(
        rs.Storage.memory()
    )


def dry_run(size, strategy):
    repo = repo_of(grid(size, size, size))

    def work():
        repo.backfill(partition_range=EVERYTHING, strategy=STRATEGIES[strategy], dry_run=True)

    work()
    return once(work)


@functools.cache
def sparse_keys():
    """1,000,000 of the 10^9 partitions, as a user would name them, and a repository."""
    numbers = random.Random(7).sample(range(10**9), MANY)
    keys = [
        rs.PartitionKey.multi(
            {"a": f"a{n // 10**6:04d}", "b": f"b{n // 1000 % 1000:04d}", "c": f"c{n % 1000:04d}"}
        )
        for n in numbers
    ]
    return keys, repo_of(grid(1000, 1000, 1000))


def explicit():
    keys, repo = sparse_keys()
    return once(
        lambda: (
            repo.backfill(partition_keys=keys, strategy=STRATEGIES["per_dimension"], dry_run=True)
            and None
        )
    )


@functools.cache
def sparse_table():
    keys, repo = sparse_keys()
    return repo.backfill(partition_keys=keys, dry_run=True).to_polars(), repo


def explicit_table():
    table, repo = sparse_table()
    return once(
        lambda: (
            repo.backfill(partition_keys=table, strategy=STRATEGIES["per_dimension"], dry_run=True)
            and None
        )
    )


@contextlib.contextmanager
def listing(*, touched):
    result = repo_of(grid(100, 100, 100)).backfill(partition_range=EVERYTHING, dry_run=True)
    if touched:
        assert len(result.partition_keys) == MANY

    def work():
        assert len(result.partition_keys) == MANY

    yield work


def hourly(zone=None):
    return rs.PartitionsDefinition.hourly("1950-01-01", end="2050-01-01", timezone=zone)


def hourly_definition(zone=None):
    return once(lambda: hourly(zone) and None)


def hourly_range(zone=None):
    repo = repo_of(hourly(zone))
    years = rs.PartitionKeyRange.single("1980-01-01T00:00", "2009-12-31T23:00")

    def work():
        repo.backfill(partition_range=years, dry_run=True)

    return once(work)


def hourly_nth(zone=None):
    hours = hourly(zone).resolve(NOW).all()
    assert str(hours.key(500_000)) == "2007-01-15T08:00"
    return once(lambda: hours.key(500_000) and None)


@functools.cache
def million():
    return [f"customer-{number:07d}" for number in range(MANY)]


def static():
    keys = million()
    return once(lambda: rs.PartitionsDefinition.static_(keys) and None)


def validation():
    definition = rs.PartitionsDefinition.static_(million())
    key = rs.PartitionKey.single("customer-0700000")
    assert definition.validate_partition_key(key)

    def work():
        definition.validate_partition_key(key)

    return once(work)


@functools.cache
def many_assets(*, inputs):
    """10,000 assets, each of which takes the values of so many before it."""
    definition = rs.PartitionsDefinition.static_(["a", "b"])

    def declared(number):
        names = [f"a{other}" for other in range(max(0, number - inputs), number)]
        parameters = dict.fromkeys(names)
        fn = functools.partial(dict, **parameters)
        fn.__signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        )
        return rs.Asset(fn, name=f"a{number}", partitions_def=definition)

    return [declared(number) for number in range(10_000)]


def resolving(inputs):
    assets = many_assets(inputs=inputs)
    return once(lambda: rs.CodeRepository(assets).resolve(rs.Storage.memory()) and None)


def planning_many(inputs):
    repo = rs.CodeRepository(many_assets(inputs=inputs)).resolve(rs.Storage.memory())
    return once(
        lambda: (
            repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"), dry_run=True)
            and None
        )
    )


ROWS = [
    Row("dry run, 100^3", "1 ms", lambda: dry_run(100, "multi_run"), iterations=100),
    *(
        Row(
            f"dry run, 1,000^3, {name}",
            "1 ms",
            functools.partial(dry_run, 1000, name),
            iterations=100,
        )
        for name in STRATEGIES
    ),
    Row("dry run, 1,000,000 sparse keys, per_dimension", "0.5 s", explicit),
    Row("the same keys as a Polars frame", "", explicit_table),
    Row(
        "partition_keys of 1,000,000, first touch",
        "0.3 s",
        functools.partial(listing, touched=False),
    ),
    Row("partition_keys, touched again", "", functools.partial(listing, touched=True)),
    *(
        row
        for name, zone in (("", None), (" in New York", "America/New_York"))
        for row in (
            Row(
                f"hourly, 100 years{name}: definition",
                "1 ms",
                functools.partial(hourly_definition, zone),
                iterations=100,
            ),
            Row(
                f"hourly, 100 years{name}: range of 30 years",
                "1 ms",
                functools.partial(hourly_range, zone),
                iterations=100,
            ),
            Row(
                f"hourly, 100 years{name}: n-th key",
                "1 ms",
                functools.partial(hourly_nth, zone),
                iterations=10_000,
            ),
        )
    ),
    Row("1,000,000 static keys: definition", "0.2 s", static),
    Row("1,000,000 static keys: validate one", "1 us", validation, iterations=100_000),
    Row("10,000 assets in a chain: resolve", "1 s", functools.partial(resolving, 1)),
    Row("10,000 assets of ten inputs each: resolve", "1 s", functools.partial(resolving, 10)),
    Row("10,000 assets in a chain: dry run", "", functools.partial(planning_many, 1)),
    Row("10,000 assets of ten inputs each: dry run", "", functools.partial(planning_many, 10)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_planning(measured, row):
    measured(row)
