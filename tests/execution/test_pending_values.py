"""A function that returned something that has not happened yet fails its run, and says so."""

import functools

import pytest
from tests.support import counts, letters

import rivers as rs

ALL = rs.PartitionKeyRange.single("a", "c")
DEFINED = letters(3)


def plain(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


@plain
async def wrapped():
    return 1


class Pending:
    def __await__(self):
        yield


def generator():
    yield {"a": 1}["b"]


async def asynchronous_generator():
    yield 1


REFUSED = {
    "awaited": [wrapped, Pending],
    "iterator": [
        lambda: iter([1]),
        lambda: map(str, [1]),
    ],
    "generator": [asynchronous_generator],
}
CASES = [(fn, word) for word, functions in REFUSED.items() for fn in functions]


@pytest.mark.filterwarnings(
    "error::RuntimeWarning", "error::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize(("fn", "word"), CASES)
@pytest.mark.parametrize("wrap", [lambda value: value, rs.Output], ids=["bare", "output"])
def test_a_value_that_is_none_yet_fails_the_run(repo, fn, word, wrap):
    asset = rs.Asset(lambda: wrap(fn()), name="asset", partitions_def=DEFINED)
    repository = repo(asset)
    result = repository.backfill(partition_range=ALL)
    assert counts(result) == (0, 3, 0)
    error = repository.get_backfill(result.backfill_id).error
    assert "'asset'" in error
    assert word in error
    assert repository.storage.get_materialized_partitions("asset") == []


def test_a_generator_of_an_unpartitioned_asset_fails_the_run(repo):
    repository = repo(rs.Asset(generator, name="asset"))
    result = repository.materialize(raise_on_error=False)
    assert not result.success
    assert "generator" in result.error


@pytest.mark.filterwarnings(
    "error::RuntimeWarning", "error::pytest.PytestUnraisableExceptionWarning"
)
def test_one_output_that_was_not_awaited_fails_a_multi_asset(repo):
    @rs.Asset.from_multi(output_defs=[rs.AssetDef("one"), rs.AssetDef("two")])
    def both() -> dict:
        return {"one": 1, "two": wrapped()}

    result = repo(both).materialize(raise_on_error=False)
    assert not result.success
    assert "'two'" in result.error


@pytest.mark.filterwarnings(
    "error::RuntimeWarning", "error::pytest.PytestUnraisableExceptionWarning"
)
def test_a_task_that_was_not_awaited_fails_its_graph_asset(repo):
    task = rs.Task(wrapped, name="task")

    @rs.Asset.from_graph
    def graph():
        return task()

    result = repo(graph).materialize(raise_on_error=False)
    assert not result.success
    assert "'task'" in result.error


class Callable:
    def __init__(self):
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        return self.calls


def test_an_object_with_an_async_call_is_awaited(repo):
    called = Callable()
    repository = repo(rs.Asset(called, name="asset"))
    assert repository.materialize().success
    assert (repository.load_node("asset"), called.calls) == (1, 1)
