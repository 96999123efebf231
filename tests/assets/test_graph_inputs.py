"""What tasks of a graph asset take from other assets, and where what they return is kept."""

# ruff: noqa: PLW0108  (the function of a graph asset calls a task; it is none)

import sys

import cloudpickle
import pytest

import rivers as rs
from rivers.exceptions import (
    AssetDefinitionError,
    AssetNotFoundError,
    ExecutionError,
    GraphValidationError,
    NodeNotFoundError,
    TaskDefinitionError,
)

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETTERS = rs.PartitionsDefinition.static_(["a", "b"])
ALL = rs.PartitionKeyRange.single("a", "b")
KEY = rs.PartitionKey.single("a")


@rs.Task
def doubled(value):
    return 2 * value


@rs.Task
def limited(value, limits):
    return min(value, limits)


@rs.Task
def capped(value, limits=3):
    return min(value, limits)


@rs.Task
def upper(context: rs.AssetExecutionContext):
    return context.partition_key.upper()


def graph(fn, name="pipeline", **options):
    return rs.Asset.from_graph(fn, name=name, **options)


source = rs.Asset(lambda: 10, name="source")
limits = rs.Asset(lambda: 5, name="limits")


def test_an_unfilled_parameter_takes_the_value_of_the_asset_of_that_name(repo):
    pipeline = graph(lambda source: limited(source))
    repository = repo(source, limits, pipeline)
    assert repository.materialize().success
    assert repository.load_node("pipeline") == 5
    # It is a dependency like any other.
    calls = repository.materialize(["pipeline", "limits", "source"])
    assert calls.success


def test_a_default_holds_where_there_is_no_such_asset(repo):
    pipeline = graph(lambda source: capped(source))
    for assets, value in (([source, pipeline], 3), ([source, pipeline, limits], 5)):
        repository = repo(*assets)
        assert repository.materialize().success
        assert repository.load_node("pipeline") == value


def test_neither_an_asset_nor_a_default_is_refused(repo):
    with pytest.raises(GraphValidationError, match="'limits'"):
        repo(source, graph(lambda source: limited(source)))
    # The parameter of one task is required, so the asset is, whatever the other's default.
    with pytest.raises(GraphValidationError, match="'limits'"):
        repo(source, graph(lambda source: limited(capped(source))))


def test_an_asset_called_in_a_graph_stands_for_its_value(repo):
    calls = []
    counted = rs.Asset(lambda: calls.append(1) or 4, name="counted")
    repository = repo(counted, graph(lambda: doubled(counted())))
    assert repository.materialize().success
    assert (repository.load_node("pipeline"), calls) == (8, [1])


def test_an_external_asset_may_be_called_in_a_graph(repo, tmp_path):
    handler = rs.PickleIOHandler(tmp_path)
    with rs.CodeRepository([rs.Asset(lambda: 6, name="prices", io_handler=handler)]) as elsewhere:
        elsewhere.resolve(rs.Storage.memory()).materialize()
    prices = rs.Asset.external("prices", io_handler=handler)
    repository = repo(prices, graph(lambda: doubled(prices())))
    assert repository.materialize().success
    assert repository.load_node("pipeline") == 12


def test_an_asset_called_in_a_graph_takes_no_arguments():
    for compose in (lambda: doubled(source(1)), lambda: doubled(source(value=1))):
        with pytest.raises(AssetDefinitionError, match=r"'source'.*without arguments"):
            graph(compose)


def test_a_graph_asset_called_directly_takes_the_inputs_of_its_tasks_by_keyword():
    pipeline = graph(lambda source: limited(source))
    assert pipeline(10, limits=4) == 4
    with pytest.raises(ExecutionError, match="'limited' needs a value for its parameter 'limits'"):
        pipeline(10)


# -- what tasks return -----------------------------------------------------------------------------


def test_a_node_handler_keeps_what_each_task_returns(repo, tmp_path):
    nodes, own = rs.PickleIOHandler(tmp_path / "nodes"), rs.InMemoryIOHandler()
    pipeline = graph(
        lambda: doubled(doubled(upper())),
        partitions_def=LETTERS,
        node_io_handler=nodes,
        io_handler=own,
    )
    repository = repo(pipeline)
    assert repository.backfill(partition_range=ALL).completed == 2
    loaded = [
        repository.load_node(name, partition_key=KEY)
        for name in ("pipeline/upper", "pipeline/doubled", "pipeline/doubled_2", "pipeline")
    ]
    assert loaded == ["A", "AA", "AAAA", "AAAA"]


@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(1)])
def test_what_tasks_return_is_kept_from_worker_processes_too(repo, tmp_path, executor):
    handler = rs.PickleIOHandler(tmp_path)
    pipeline = graph(
        lambda: doubled(upper()),
        partitions_def=LETTERS,
        node_io_handler=handler,
        io_handler=handler,
    )
    repository = repo(pipeline, default_executor=executor)
    assert repository.backfill(partition_range=ALL).completed == 2
    assert repository.load_node("pipeline/upper", partition_key=KEY) == "A"


def test_the_handler_of_a_task_takes_precedence(repo):
    nodes, own = rs.InMemoryIOHandler(), rs.InMemoryIOHandler()
    kept = rs.Task(lambda: 1, name="kept", io_handler=own)
    repository = repo(graph(lambda: doubled(kept()), node_io_handler=nodes))
    assert repository.materialize().success
    assert [repository.load_node(f"pipeline/{task}") for task in ("kept", "doubled")] == [1, 2]
    with pytest.raises(ExecutionError):
        nodes.load_input(rs.InputContext("pipeline/kept", None))


def test_without_a_node_handler_nothing_is_kept(repo):
    repository = repo(source, graph(lambda source: doubled(source)))
    assert repository.materialize().success
    with pytest.raises(ExecutionError, match="node_io_handler"):
        repository.load_node("pipeline/doubled")


def test_an_unknown_task_is_refused_with_those_that_exist(repo):
    handler = rs.InMemoryIOHandler()
    repository = repo(source, graph(lambda source: doubled(source), node_io_handler=handler))
    with pytest.raises(AssetNotFoundError, match=r"'doubled'.*did you mean 'doubled'"):
        repository.load_node("pipeline/double")
    with pytest.raises(AssetNotFoundError, match="has no task"):
        repository.load_node("source/double")


def test_what_is_not_a_handler_is_refused():
    with pytest.raises(AssetDefinitionError, match="node_io_handler"):
        graph(lambda: doubled(1), node_io_handler=3)


# -- options of a task -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_is_retried_in_place(repo, is_async):
    calls = []

    def fails_twice(value):
        calls.append("flaky")
        if calls.count("flaky") < 3:
            raise ConnectionError
        return value

    async def fails_twice_later(value):
        return fails_twice(value)

    first = rs.Task(lambda: calls.append("first") or 1, name="first")
    flaky = rs.Task(fails_twice_later if is_async else fails_twice, retry=rs.RetryPolicy(2))
    repository = repo(graph(lambda: flaky(first())))
    assert repository.materialize().success
    assert calls == ["first", "flaky", "flaky", "flaky"]


def test_the_asset_is_retried_after_the_retries_of_a_task(repo):
    calls = []

    def always():
        calls.append(1)
        raise ConnectionError

    task = rs.Task(always, retry=rs.RetryPolicy(1))
    repository = repo(graph(lambda: task(), retry=rs.RetryPolicy(1)))
    assert not repository.materialize(raise_on_error=False).success
    assert len(calls) == 4


def test_a_task_has_tags():
    @rs.Task(
        name="x", tags={"team": "a"}, io_handler=rs.InMemoryIOHandler(), retry=rs.RetryPolicy(1)
    )
    def task():
        return 1

    assert (task.name, task.tags, task.retry) == ("x", {"team": "a"}, rs.RetryPolicy(1))
    assert rs.Task(lambda: 1).tags == []


@pytest.mark.parametrize("options", [{"io_handler": 3}, {"retry": 3}, {"name": 3}])
def test_a_wrong_option_of_a_task_is_refused(options):
    with pytest.raises(TaskDefinitionError, match=f"{next(iter(options))} of a task"):
        rs.Task(lambda: 1, **options)


def test_a_task_without_a_function_or_with_wrong_parameters_is_refused():
    for make in (lambda: rs.Task(3), lambda: rs.Task(lambda *args: 1)):
        with pytest.raises(TaskDefinitionError):
            make()
    with pytest.raises(NodeNotFoundError, match="no asset 'nothing'"):
        rs.CodeRepository([]).resolve(rs.Storage.memory()).load_node("nothing")
