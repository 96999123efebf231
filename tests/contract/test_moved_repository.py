"""Code written for the package `rivers` 0.6 finds the repository, its runs and its config."""

import inspect

import pydantic
import pytest
from tests.support import counts, keys, letters

import rivers as rs
from rivers.exceptions import (
    AssetDefinitionError,
    AssetNotFoundError,
    ConfigurationError,
    NodeNotFoundError,
    TaskDefinitionError,
)

AB = letters(2)


class Settings(pydantic.BaseModel):
    """What `several` is configured with."""

    n: int = 1


@rs.Task
def double(up):
    return 2 * up


@rs.Task
def unused():
    return 0


def source(name="up", **options):
    return rs.Asset(lambda: 1, name=name, **options)


def several(seen, *, name="several"):
    def function(context: rs.AssetExecutionContext[Settings]):
        seen.append(context.config.n)
        yield from (rs.Output(n, output_name=n) for n in context.output_selection)

    return rs.Asset.from_multi(
        name=name, output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], partitions_def=AB
    )(function)


def graph(name="doubled"):
    @rs.Asset.from_graph(name=name)
    def doubled(up):
        return double(up)

    return doubled


def test_tasks_are_listed_or_not(repo):
    for options in ({}, {"tasks": [double]}, {"tasks": [double, unused]}, {"tasks": []}):
        assert repo(source(), graph(), **options).materialize().success
    repository = rs.CodeRepository([source(), graph()], [double])
    with repository.resolve(rs.Storage.memory()):
        assert repository.materialize().success


@pytest.mark.parametrize("wrong", [source(), double.fn if hasattr(double, "fn") else len, "double"])
def test_what_is_no_task_is_refused(wrong):
    with pytest.raises(AssetDefinitionError):
        rs.CodeRepository([source()], tasks=[wrong])


def test_the_order_of_arguments():
    made = list(inspect.signature(rs.CodeRepository.__init__).parameters.values())[1:]
    assert [p.name for p in made[:2]] == ["assets", "tasks"]
    assert {p.kind for p in made[2:]} == {inspect.Parameter.KEYWORD_ONLY}
    called = list(inspect.signature(rs.CodeRepository.materialize).parameters.values())[1:]
    positional = [p for p in called if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [(p.name, p.default) for p in positional] == [
        ("selection", None),
        ("partition_key", None),
        ("tags", None),
        ("raise_on_error", True),
        ("config", None),
    ]
    only = {p.name: p.default for p in called if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert (only["include_upstream"], only["retry"]) == (False, None)


@pytest.mark.parametrize(
    "config",
    [{"x": {"n": 2}}, {"several": {"n": 2}}, {"x": {"n": 2}, "y": {"n": 2}},
     {"x": {"n": 2}, "several": {"n": 2}}],
)  # fmt: skip
def test_config_by_the_name_of_an_output(repo, config):
    seen = []
    repository = repo(several(seen))
    first = repository.backfill(["x", "y"], keys("a"), config=config)
    assert counts(first) == (1, 0, 0)
    repository.materialize(["x", "y"], keys("a")[0], config=config)
    assert seen == [2, 2]


@pytest.mark.parametrize("other", ["y", "several"])
def test_config_that_contradicts_itself_is_refused(repo, other):
    seen = []
    config = {"x": {"n": 2}, other: {"n": 3}}
    repository = repo(several(seen))
    with pytest.raises(ConfigurationError):
        repository.backfill(["x", "y"], keys("a"), config=config, dry_run=True)
    with pytest.raises(ConfigurationError):
        repository.materialize(["x", "y"], keys("a")[0], config=config)
    assert (seen, repository.backfills().height) == ([], 0)


def test_config_by_the_name_of_an_output_is_kept_for_a_rerun(repo):
    seen = []

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], partitions_def=AB)
    def failing(context: rs.AssetExecutionContext[Settings]):
        seen.append(context.config.n)
        raise ValueError

    repository = repo(failing)
    first = repository.backfill(["x", "y"], keys("a"), config={"x": {"n": 4}})
    repository.rerun_backfill(first.backfill_id)
    assert seen == [4, 4]


def test_everything_upstream_but_external_assets(repo):
    calls = []

    def make(name, *inputs):
        text = ", ".join(inputs)
        function = eval(f"lambda {text}: calls.append({name!r})", {"calls": calls})
        return rs.Asset(function, name=name)

    class Anything(rs.InMemoryIOHandler):
        def load_input(self, context):
            return 0

    outside = rs.Asset.external("outside", io_handler=Anything())
    repository = repo(outside, make("a", "outside"), make("b", "a"), make("c", "b"), make("d", "a"))
    made = repository.materialize(["c"], include_upstream=True)
    assert (calls, made.materialized_assets) == (["a", "b", "c"], ["a", "b", "c"])


def test_the_result_of_a_run_names_assets_and_messages(repo):
    @rs.Asset
    def bad():
        raise ValueError("boom")

    @rs.Asset
    def after(bad):
        return 1

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")])
    def both():
        raise KeyError("k")

    result = repo(bad, after, both, source("good")).materialize(raise_on_error=False)
    failed = dict(result.failed_assets)
    assert all(isinstance(pair, tuple) for pair in result.failed_assets)
    assert failed["bad"] == "ValueError: boom"
    assert "bad" in failed["after"]
    assert (failed["x"], failed["y"]) == ("KeyError: 'k'", "KeyError: 'k'")
    assert (result.success, result.materialized_assets) == (False, ["good"])
    assert "both" not in failed


def test_load_node_takes_a_type_hint(repo):
    class Recording(rs.InMemoryIOHandler):
        hints = []  # noqa: RUF012

        def load_input(self, context):
            self.hints.append(context.type_hint)
            return super().load_input(context)

    handler = Recording()
    repository = repo(source("p", partitions_def=AB, io_handler=handler))
    repository.materialize(["p"], keys("a")[0])
    assert repository.load_node("p", partition_key=keys("a")[0], type_hint=int) == 1
    assert repository.load_node("p", keys("a")[0]) == 1
    assert handler.hints == [int, None]


def test_the_assets_of_a_repository_are_a_dict(repo):
    first, second, multi = source("z"), source("b"), several([])
    assets = repo(first, multi, second).assets
    assert type(assets) is dict
    assert list(assets) == ["z", "x", "y", "b"]
    assert assets["z"] is first


def test_validate_shutdown_and_the_handler_of_an_output(repo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handler = rs.InMemoryIOHandler()
    repository = rs.CodeRepository([source(), source("own", io_handler=handler)])
    repository.validate()
    repository.validate()
    assert list(tmp_path.iterdir()) == []
    repository.resolve(rs.Storage.memory())
    assert repository.io_handler_for_output("own") is handler
    assert isinstance(repository.io_handler_for_output("up"), rs.BaseIOHandler)
    with pytest.raises(AssetNotFoundError):
        repository.io_handler_for_output("nothing")
    repository.shutdown()


def test_the_names_of_errors(repo):
    with pytest.raises(NodeNotFoundError):
        repo(source()).load_node("nothing")
    assert NodeNotFoundError is AssetNotFoundError
    with pytest.raises(TaskDefinitionError):
        rs.Task(name="")(lambda: 1)
    with pytest.raises(TaskDefinitionError):
        rs.Task(42)
    assert issubclass(TaskDefinitionError, AssetDefinitionError)
