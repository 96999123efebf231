"""`CodeRepository`: what it takes, its single runs, and what it says about its assets."""

import inspect

import pydantic
import pytest
from tests.support import key, keys, letters

import rivers as rs
from rivers.exceptions import (
    AssetDefinitionError,
    AssetNotFoundError,
    ConfigurationError,
    ExecutionError,
    GraphValidationError,
)

LETTERS = letters(3)


@rs.Task
def one():
    return 1


@rs.Task
def twice(value):
    return 2 * value


@rs.Asset.from_graph
def two():
    return twice(one())


def chain(calls):
    """Makes three assets, each of which takes the one before, that append their names to a list."""

    @rs.Asset
    def first():
        calls.append("first")
        return 1

    @rs.Asset
    def second(first):
        calls.append("second")
        return first + 1

    @rs.Asset
    def third(second):
        calls.append("third")
        return second + 1

    return first, second, third


# -- tasks and the order of arguments ----------------------------------------------------------------


@pytest.mark.parametrize("tasks", [None, [], [one], [one, twice], (task for task in [one, twice])])
def test_tasks_of_graph_assets_may_be_listed(repo, tasks):
    repository = repo(two, tasks=tasks)
    assert repository.materialize().success
    assert repository.load_node("two") == 2


def test_a_listed_task_that_no_graph_asset_uses_is_allowed(repo):
    unused = rs.Task(lambda: 0, name="unused")
    assert repo(two, tasks=[one, unused]).materialize().success


@pytest.mark.parametrize(
    "tasks", [[two], ["one"], [lambda: 1], one, "one", 3, [rs.Task(name="without_function")]]
)
def test_what_is_no_task_is_refused(tasks):
    with pytest.raises(AssetDefinitionError, match="tasks"):
        rs.CodeRepository([two], tasks)


def test_tasks_are_the_second_argument_and_the_others_are_keywords():
    first, second, *others = inspect.signature(rs.CodeRepository).parameters.values()
    assert (first.name, second.name, second.default) == ("assets", "tasks", None)
    assert {parameter.kind for parameter in others} == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(TypeError):
        rs.CodeRepository([], [], rs.Executor.in_process())


def test_order_of_the_arguments_of_materialize():
    parameters = list(inspect.signature(rs.CodeRepository.materialize).parameters.values())[1:]
    by_position = [each for each in parameters if each.kind is not each.KEYWORD_ONLY]
    assert [(each.name, each.default) for each in by_position] == [
        ("selection", None), ("partition_key", None), ("tags", None), ("raise_on_error", True),
        ("config", None),
    ]  # fmt: skip
    by_keyword = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    assert [(each.name, each.default) for each in by_keyword] == [
        ("include_upstream", False), ("retry", None),
    ]  # fmt: skip


def test_the_arguments_of_materialize_by_position(repo):
    class Settings(pydantic.BaseModel):
        fails: bool = False

    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext[Settings]):
        assert not context.config.fails

    failing = {"letter": {"fails": True}}
    result = repo(letter).materialize(["letter"], key("a"), [("team", "data")], False, failing)
    assert not result.success


# -- config of a multi-asset -------------------------------------------------------------------------


class Factor(pydantic.BaseModel):
    factor: int = 1


@pytest.fixture
def scaled(repo):
    """A multi-asset whose outputs `left` and `right` are the factor of its config."""

    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("left"), rs.AssetDef("right")], partitions_def=LETTERS
    )
    def both(context: rs.AssetExecutionContext[Factor]):
        yield rs.Output(context.config.factor, "left")
        yield rs.Output(context.config.factor, "right")

    return repo(both)


@pytest.mark.parametrize("name", ["left", "right", "both"])
def test_config_names_an_output_or_the_function(scaled, name):
    config = {name: {"factor": 7}}
    assert scaled.materialize(None, key("a"), config=config).success
    assert scaled.backfill(partition_keys=keys("b"), config=config).status == "completed"
    assert [scaled.load_node("right", key(text)) for text in "ab"] == [7, 7]


def test_config_that_names_a_function_twice_must_be_equal(scaled):
    equal = {"left": {"factor": 7}, "both": {"factor": 7}}
    assert scaled.backfill(partition_keys=keys("a"), config=equal).status == "completed"
    for name in ("right", "both"):
        with pytest.raises(ConfigurationError, match="twice"):
            scaled.backfill(
                partition_keys=keys("b"),
                config={"left": {"factor": 7}, name: {"factor": 8}},
                dry_run=True,
            )


# -- upstream assets ---------------------------------------------------------------------------------


def test_include_upstream_executes_all_that_an_asset_depends_on(repo):
    calls = []
    repository = repo(*reversed(chain(calls)))
    result = repository.materialize(["third"], include_upstream=True)
    assert calls == ["first", "second", "third"]
    assert result.materialized_assets == calls
    assert repository.load_node("third") == 3
    calls.clear()
    repository.materialize(["second"], include_upstream=True)
    assert calls == ["first", "second"]
    calls.clear()
    repository.materialize(["third"])
    assert calls == ["third"]


def test_include_upstream_with_deps_without_a_value_and_with_partitions(repo):
    calls = []

    @rs.Asset
    def prepared():
        calls.append("prepared")

    @rs.Asset(partitions_def=LETTERS, deps=[prepared])
    def source(context):
        calls.append("source")
        return context.partition_key

    @rs.Asset(partitions_def=LETTERS)
    def sink(source):
        calls.append(source)

    repo(sink, source, prepared).materialize(["sink"], key("b"), include_upstream=True)
    assert calls == ["prepared", "source", "b"]


def test_include_upstream_leaves_external_assets_out(repo):
    class Five(rs.BaseIOHandler):
        def load_input(self, context):
            return 5

        def handle_output(self, context, value):
            raise NotImplementedError

    @rs.Asset
    def after(given):
        return given + 1

    repository = repo(rs.Asset.external("given", io_handler=Five()), after)
    assert repository.materialize(["after"], include_upstream=True).materialized_assets == ["after"]
    with pytest.raises(AssetNotFoundError):
        repository.materialize(["aftr"], include_upstream=True)
    with pytest.raises(ExecutionError, match="external"):
        repository.materialize(["given"], include_upstream=True)


def test_retry_of_materialize_goes_before_that_of_the_asset(repo):
    calls = []

    @rs.Asset(retry=rs.RetryPolicy(0))
    def flaky():
        calls.append(len(calls))
        assert len(calls) > 2

    repository = repo(flaky)
    assert not repository.materialize(raise_on_error=False).success
    calls.clear()
    assert repository.materialize(retry=rs.RetryPolicy(2)).success
    with pytest.raises(ConfigurationError, match="retry"):
        repository.materialize(retry=3)


# -- RunResult ---------------------------------------------------------------------------------------


def test_failed_assets_come_with_their_messages(repo):
    @rs.Asset
    def fine():
        return 1

    @rs.Asset
    def broken():
        raise ValueError("boom")

    @rs.Asset
    def after(fine, broken):
        pytest.fail("executed")

    @rs.Asset
    def last(after):
        pytest.fail("executed")

    result = repo(fine, broken, after, last).materialize(raise_on_error=False)
    assert result.materialized_assets == ["fine"]
    assert result.failed_assets[0] == ("broken", "ValueError: boom")
    blocked = dict(result.failed_assets)
    assert list(blocked) == ["broken", "after", "last"]
    assert "'broken'" in blocked["after"]
    assert "'after'" in blocked["last"]


def test_failed_assets_of_a_multi_asset_are_its_outputs(repo):
    broken = True

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("left"), rs.AssetDef("right")])
    def both():
        if broken:
            raise ValueError("boom")
        return {"left": 1, "right": 2}

    repository = repo(both)
    result = repository.materialize(raise_on_error=False)
    assert result.materialized_assets == []
    assert result.failed_assets == [("left", "ValueError: boom"), ("right", "ValueError: boom")]
    broken = False
    assert repository.materialize().materialized_assets == ["left", "right"]


@pytest.mark.parametrize(
    ("error", "message"), [("no data", "no data"), (ValueError("boom"), "ValueError: boom")]
)
def test_an_asset_with_a_marked_partition_has_failed(repo, error, message):
    @rs.Asset(partitions_def=LETTERS)
    def letter(context):
        context.mark_partition_failed("b", error)

    every = rs.PartitionKey.single(["a", "b", "c"])
    result = repo(letter).materialize(partition_key=every, raise_on_error=False)
    assert (result.materialized_assets, result.failed_assets) == ([], [("letter", message)])


def test_an_exception_explains_more_than_a_mark(repo):
    @rs.Asset(partitions_def=LETTERS)
    def letter(context):
        context.mark_partition_failed("a", "marked")
        raise ValueError("boom")

    every = rs.PartitionKey.single(["a", "b"])
    result = repo(letter).materialize(partition_key=every, raise_on_error=False)
    assert result.failed_assets == [("letter", "ValueError: boom")]


# -- what a repository says about its assets -----------------------------------------------------------


class Hinted(rs.BaseIOHandler):
    """Returns the type hint of what it is to load."""

    def load_input(self, context):
        return context.type_hint

    def handle_output(self, context, value):
        pass


def test_assets_by_name_in_the_order_given(repo, scaled):
    assert list(scaled.assets) == ["left", "right"]
    declared = chain([])
    assets = repo(*reversed(declared)).assets
    assert type(assets) is dict
    assert list(assets) == ["third", "second", "first"]
    assert assets["first"] is declared[0]


def test_validate_needs_no_storage_and_can_be_repeated(monkeypatch):
    def fail(*_arguments):
        pytest.fail("a storage was opened")

    monkeypatch.setattr(rs.Storage, "default", fail)
    repository = rs.CodeRepository(chain([]))
    for _ in range(3):
        assert repository.validate() is None
    with pytest.raises(GraphValidationError):
        rs.CodeRepository(chain([])[1:])


def test_shutdown_is_close(repo):
    repository = repo(*chain([]))
    result = repository.submit()
    repository.shutdown()
    assert repository.storage.get_run(result.run_id).status == "completed"
    repository.shutdown()


def test_io_handler_for_output(repo):
    handler = Hinted()

    @rs.Asset(io_handler=handler)
    def kept():
        return 1

    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("left", io_handler=handler), rs.AssetDef("right")]
    )
    def both():
        return {"left": 1, "right": 2}

    repository = repo(kept, both)
    assert repository.io_handler_for_output("kept") is handler
    assert repository.io_handler_for_output("left") is handler
    assert isinstance(repository.io_handler_for_output("right"), rs.InMemoryIOHandler)
    for name in ("both", "kpt"):
        with pytest.raises(AssetNotFoundError, match=name):
            repository.io_handler_for_output(name)
