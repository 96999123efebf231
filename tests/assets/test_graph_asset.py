"""Graph assets: one asset from several tasks, whose calls are traced at definition."""

import asyncio
import sys
import threading

import cloudpickle
import pydantic
import pytest
from tests.support import letters

import rivers as rs
from rivers.exceptions import AssetDefinitionError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETTERS = letters(3)
ALL = rs.PartitionKeyRange.single("a", "c")


@rs.Task
def plus(value, more=1):
    return value + more


@rs.Task(name="add_up")
def total(values, *, named=None):
    return sum(values) + sum((named or {}).values())


@rs.Task
async def slowly(value):
    await asyncio.sleep(0)
    return value * 10


@rs.Task
def key_of(context: rs.AssetExecutionContext):
    return context.partition_key


def test_a_task_outside_a_graph_is_its_function():
    assert (plus(1), total([1, 2]), total.name, plus.name) == (2, 3, "add_up", "plus")


def test_values_go_between_tasks_also_in_lists_tuples_and_dicts(repo):
    source = rs.Asset(lambda: 1, name="source")

    @rs.Asset.from_graph
    def pipeline(source, other):
        two = plus(source)
        return total([two, plus(two, more=source)], named={"x": two, "y": other})

    repository = repo(source, rs.Asset(lambda: 100, name="other"), pipeline)
    assert repository.materialize().success
    assert repository.load_node("pipeline") == 2 + 3 + 2 + 100
    assert pipeline(2, other=7) == 3 + 5 + 3 + 7


def test_the_function_is_called_once_when_the_asset_is_defined(repo):
    composed, made = [], []

    @rs.Task
    def make(context: rs.AssetExecutionContext):
        made.append(context.partition_key)

    @rs.Asset.from_graph(partitions_def=LETTERS)
    def pipeline():
        composed.append(1)
        return make()

    assert repo(pipeline).backfill(partition_range=ALL).completed == 3
    assert (composed, sorted(made)) == ([1], ["a", "b", "c"])


@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(2)])
def test_tasks_may_be_async_and_plain_in_one_graph(repo, tmp_path, executor):
    @rs.Asset.from_graph(
        partitions_def=LETTERS, io_handler=rs.PickleIOHandler(tmp_path), name="pipeline"
    )
    def compose():
        return [key_of(), slowly(plus(2))]

    repository = repo(compose, default_executor=executor)
    assert repository.backfill(partition_range=ALL).completed == 3
    key = rs.PartitionKey.single("b")
    assert repository.load_node("pipeline", key) == ["b", 30]


def test_plain_tasks_beside_async_ones_do_not_hold_the_loop(repo):
    meeting = threading.Barrier(3)

    @rs.Task
    def meet():
        meeting.wait(10)

    @rs.Asset.from_graph(partitions_def=LETTERS)
    def pipeline():
        return [meet(), slowly(1)]

    assert repo(pipeline).backfill(partition_range=ALL).completed == 3


def test_a_failure_names_its_task_and_a_retry_begins_with_the_first(repo):
    calls = []

    @rs.Task
    def first():
        calls.append("first")
        return 1

    @rs.Task
    def flaky(value):
        calls.append("flaky")
        if calls.count("flaky") < 3:
            msg = "away"
            raise ConnectionError(msg)
        return value

    @rs.Asset.from_graph(partitions_def=LETTERS)
    def pipeline():
        return flaky(first())

    repository = repo(pipeline)
    keys = [rs.PartitionKey.single("a")]
    failed = repository.backfill(partition_keys=keys)
    (traceback,) = repository.backfill_errors(failed.backfill_id)["traceback"]
    assert "in the task 'flaky' of the asset 'pipeline'" in traceback
    again = repository.backfill(partition_keys=keys, retry=rs.RetryPolicy(3))
    assert again.completed == 1
    assert calls == ["first", "flaky"] * 3


def test_a_task_has_the_config_of_the_asset(repo):
    class Settings(pydantic.BaseModel):
        factor: int = 1

    @rs.Task
    def scaled(context: rs.AssetExecutionContext[Settings], value):
        return context.config.factor * value

    @rs.Asset.from_graph
    def pipeline():
        return scaled(plus(1))

    repository = repo(pipeline)
    assert repository.materialize(config={"pipeline": {"factor": 4}}).success
    assert repository.load_node("pipeline") == 8


def test_an_input_may_have_a_mapping(repo):
    source = rs.Asset(lambda context: context.partition_key, name="source", partitions_def=LETTERS)
    following = rs.PartitionMapping.static_({"a": "b", "b": "c", "c": "a"})

    @rs.Asset.from_graph(
        partitions_def=LETTERS, deps=[rs.AssetDef.input("source", following)], name="pipeline"
    )
    def compose(source):
        return plus(source, "!")

    repository = repo(source, compose)
    repository.backfill(["source"], partition_range=ALL)
    repository.backfill(["pipeline"], partition_range=ALL)
    assert repository.load_node("pipeline", rs.PartitionKey.single("a")) == "b!"


def refused(body, **options):
    def define():
        return rs.Asset.from_graph(body, name="pipeline", **options)

    return define


async def _async_body():
    return plus(1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (refused(lambda: 3), "must return what a task returned, got 3"),
        (refused(lambda: None), "must return"),
        (refused(lambda source: plus(source) + 1), "besides giving it to a task"),  # type: ignore[operator]
        (refused(lambda source: plus(source).value), "besides giving it to a task"),  # type: ignore[attr-defined]
        (refused(lambda source: [plus(part) for part in source]), "besides giving it to a task"),
        (refused(lambda source: plus(1) if source else plus(2)), "decide on it in a task"),
        (refused(lambda: plus(1, 2, 3)), "too many positional"),
        (refused(lambda: plus(1, less=2)), "'less'"),
        (refused(lambda context: plus(1)), "takes a context"),
        (refused(_async_body), "is async"),
        (lambda: rs.Task(3), "decorates a function"),  # type: ignore[call-overload]
        (lambda: rs.Task(lambda: 1, name=3), "name of a task"),  # type: ignore[call-overload]
        (lambda: rs.Task(name="x")(1), "decorates a function"),
        (lambda: rs.Task(lambda *args: 1), "positional-only"),
    ],
)
def test_what_cannot_be_composed_is_refused_at_definition(make, told):
    with pytest.raises(AssetDefinitionError, match=told):
        make()


def test_the_arguments_of_a_task_have_the_documented_order(repo):
    handler, calls = rs.InMemoryIOHandler(), []

    @rs.Task("odd", {"team": "a"}, handler, rs.RetryPolicy(1))
    def task():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        return 7

    assert (task.name, task.tags, task.io_handler) == ("odd", {"team": "a"}, handler)

    @rs.Asset.from_graph
    def graph():
        return task()

    repository = repo(graph)
    assert repository.materialize().success
    assert repository.load_node("graph/odd") == 7


def test_a_task_has_one_name():
    with pytest.raises(AssetDefinitionError, match="given twice, as 'a' and as 'b'"):
        rs.Task("a", name="b")


def test_after_a_refusal_tasks_are_functions_again():
    with pytest.raises(AssetDefinitionError):
        refused(lambda source: source + 1)()
    assert plus(1) == 2
