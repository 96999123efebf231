"""Code written for the package `rivers` 0.6 finds metadata, resources, hooks, retries and the queue."""

import pydantic
import pytest
from tests.support import counts, keys, letters

import rivers as rs
from rivers import MetadataValue
from rivers.exceptions import (
    AssetDefinitionError,
    ConfigurationError,
    GraphValidationError,
)

AB = letters(2)
A, B = keys("a", "b")


def facts(repository, name):
    return dict(repository.storage.get_latest_materialization(name).metadata)


def test_facts_about_what_was_produced(repo, tmp_path):
    seen = []

    class Handler(rs.InMemoryIOHandler):
        def handle_output(self, context, value):
            seen.append(dict(context.output_metadata))
            context.add_output_metadata({"where": "here", "n": 2})
            super().handle_output(context, value)

    @rs.Asset(io_handler=Handler(), partitions_def=AB)
    def asset(context: rs.AssetExecutionContext):
        context.add_output_metadata({"n": 1, "text": "t", "f": 0.5, "yes": True, "none": None})
        context.add_output_metadata({"text": "later", "at": MetadataValue.url("http://x")})
        return 1

    @rs.Asset(io_handler=rs.PickleIOHandler(tmp_path))
    def pickled():
        return 1

    repository = repo(asset, pickled)
    repository.materialize(["asset"], A)
    repository.materialize(["pickled"])
    assert set(seen[0]) == {"n", "text", "f", "yes", "none", "at"}
    found = facts(repository, "asset")
    expected = {
        "n": "2", "text": "later", "f": "0.5", "yes": "true", "none": "null", "at": "http://x",
        "where": "here", "storage": "memory",
    }  # fmt: skip
    assert found == expected
    assert {"path", "serializer", "size_bytes", "write_duration_s"} <= set(
        facts(repository, "pickled")
    )
    table = repository.partition_status("asset", metadata=True)
    assert "here" in str(table["metadata"].to_list())


def test_facts_of_another_type_fail_the_run(repo):
    @rs.Asset
    def asset(context: rs.AssetExecutionContext):
        with pytest.raises(TypeError):
            context.add_output_metadata({"x": object()})
        context.add_output_metadata({"x": [1]})

    assert not repo(asset).materialize(raise_on_error=False).success


def test_the_kinds_of_facts():
    made = {
        "text": "x", "int": 1, "float_": 0.5, "bool_": True, "url": "http://x", "path": "/x",
        "json": {"a": 1}, "md": "# x", "timestamp": 1.5,
    }  # fmt: skip
    for name, value in made.items():
        assert getattr(MetadataValue, name)(value).raw_value() == value
    assert MetadataValue.null().raw_value() is None
    assert isinstance(MetadataValue.int(1), MetadataValue)


class Db(rs.Resource):
    """A resource that notes what is done with it."""

    url: str
    size: int = 3
    log: list = []  # noqa: RUF012  (as users write it)

    def setup(self):
        self.log.append("setup")

    def teardown(self):
        self.log.append("teardown")


class Limits(pydantic.BaseModel):
    """A plain model as a resource."""

    most: int = 4


def test_resources_are_parameters_of_assets_and_tasks(repo):
    database, seen = Db(url="x", size="5"), []

    @rs.Asset
    def asset(db: Db, limits: Limits):
        seen.append((db.url, db.size, limits.most))

    @rs.Task
    def task(db):
        return db.size

    @rs.Asset.from_graph
    def graph():
        return task()

    resources = {"db": database, "limits": Limits()}
    with rs.CodeRepository([asset, graph], resources=resources) as repository:
        repository.resolve(rs.Storage.memory())
        assert repository.materialize().success
        assert repository.load_node("graph") == 5
        assert repository.materialize().success
    assert seen == [("x", 5, 4)] * 2
    assert database.log == ["setup", "teardown"]
    with pytest.raises(ValueError, match="url"):
        Db()


def test_an_asset_takes_precedence_over_a_resource(repo):
    seen = []
    taking = rs.Asset(lambda db: seen.append(db) or 1, name="taking")
    with pytest.warns(UserWarning, match="db"):
        repository = repo(rs.Asset(lambda: 7, name="db"), taking, resources={"db": Db(url="x")})
    repository.materialize()
    assert seen == [7]


@pytest.mark.parametrize("error_type", [GraphValidationError, ConfigurationError])
def test_a_parameter_that_nothing_fills_is_refused(error_type):
    with pytest.raises(error_type, match="nothing"):
        rs.CodeRepository([rs.Asset(lambda nothing: 1, name="x")]).validate()


@pytest.mark.parametrize(
    ("handler", "resources"),
    [("unknown", {}), ("db", {"db": Db(url="x")}), (None, {"db": 3})],
)
def test_wrong_resources_are_refused(handler, resources):
    extra = {} if handler is None else {"io_handler": handler}
    with pytest.raises(ConfigurationError):
        rs.CodeRepository([rs.Asset(lambda: 1, name="x", **extra)], resources=resources).validate()


def test_a_handler_by_name(repo):
    handler = rs.InMemoryIOHandler()
    repository = repo(
        rs.Asset(lambda: 1, name="x", io_handler="main"),
        rs.Asset.from_multi(
            lambda: {"y": 2}, output_defs=[rs.AssetDef("y", io_handler="main")], name="m"
        ),
        resources={"main": handler},
    )
    assert repository.io_handler_for_output("x") is handler
    assert repository.io_handler_for_output("y") is handler
    assert repository.materialize().success


def test_hooks(repo, caplog):
    seen = []

    @rs.Hook.success
    def first(context):
        seen.append((
            "first", context.asset_name, context.hook_type, context.output, context.error,
            context.partition and context.partition.keys,
        ))  # fmt: skip
        raise RuntimeError("the hook is broken")

    @rs.Hook.success(name="named")
    def second(context):
        seen.append(("second", context.asset_name))

    @rs.Hook.failure
    def failure(context):
        seen.append(("failure", context.asset_name, context.hook_type, context.error))

    hooks = [first, second, failure]
    good = rs.Asset(lambda: 1, name="good", partitions_def=AB, hooks=hooks)

    @rs.Asset(hooks=hooks, retry=rs.RetryPolicy(max_retries=2))
    def bad():
        raise ValueError("boom")

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], hooks=[second])
    def multi():
        return {"x": 1, "y": 2}

    repository = repo(good, bad, multi)
    whole = rs.BackfillStrategy.single_run()
    assert counts(repository.backfill(["good"], [A, B], strategy=whole)) == (2, 0, 0)
    assert seen == [("first", "good", "success", 1, None, [A, B]), ("second", "good")]
    assert "the hook is broken" in caplog.text
    seen.clear()
    repository.materialize(["bad"], raise_on_error=False)
    assert seen == [("failure", "bad", "failure", "ValueError: boom")]
    seen.clear()
    repository.materialize(["x", "y"])
    assert seen == [("second", "x"), ("second", "y")]
    with pytest.raises(AssetDefinitionError):
        rs.Asset(lambda: 1, name="x", hooks=[len])


@pytest.mark.parametrize(
    ("retry_on", "error", "calls"),
    [
        (rs.RetryOn.ALL, ValueError(), 2),
        (rs.RetryOn.TRANSIENT, ValueError(), 1),
        (rs.RetryOn.TRANSIENT, MemoryError(), 2),
        (rs.RetryOn.TRANSIENT, TimeoutError(), 2),
        ([rs.FailureReason.TIMEOUT, KeyError], TimeoutError(), 2),
        ([rs.FailureReason.TIMEOUT, KeyError], KeyError(), 2),
        ([rs.FailureReason.TIMEOUT, KeyError], MemoryError(), 1),
        ([rs.FailureReason.OUT_OF_MEMORY], MemoryError(), 2),
        ([rs.FailureReason.ERROR], ValueError(), 2),
        ([rs.FailureReason.INFRASTRUCTURE], ValueError(), 1),
        ([rs.FailureReason.CANCELLED], ValueError(), 1),
    ],
)
def test_what_is_retried(repo, retry_on, error, calls):
    made = []

    @rs.Asset(retry=rs.RetryPolicy(max_retries=1, retry_on=retry_on))
    def asset():
        made.append(1)
        raise error

    repo(asset).materialize(raise_on_error=False)
    assert len(made) == calls


def test_named_retries(repo):
    calls = []

    def bad():
        calls.append(1)
        raise OSError

    retries = {"net": rs.RetryPolicy(max_retries=2)}
    repository = repo(
        rs.Asset(bad, name="named", retry="net", partitions_def=AB),
        rs.Asset(bad, name="plain", partitions_def=AB),
        retries=retries,
    )
    for name, options in (("named", {}), ("plain", {"retry": "net"})):
        calls.clear()
        repository.backfill([name], [A], **options)
        assert len(calls) == 3
        calls.clear()
        repository.materialize([name], A, raise_on_error=False, **options)
        assert len(calls) == 3
    for call in (
        lambda: repository.backfill(["plain"], [A], retry="nett"),
        lambda: repository.materialize(["plain"], A, retry="nett"),
        lambda: rs.CodeRepository(
            [rs.Asset(bad, name="x", retry="nett")], retries=retries
        ).validate(),
        lambda: rs.CodeRepository([], retries=retries, default_retry_policy="nett").validate(),
    ):
        with pytest.raises(ConfigurationError, match="net"):
            call()


def test_the_run_queue_takes_durations():
    queue = rs.RunQueueConfig()
    found = (
        queue.max_concurrent_runs, list(queue.tag_concurrency_limits), queue.dequeue_interval,
        queue.start_timeout,
    )  # fmt: skip
    assert found == (10, [], "250ms", "180s")
    made = rs.RunQueueConfig(10, [], "1h30m", "5m")
    assert (made.dequeue_interval, made.start_timeout) == ("1h30m", "5m")
    for wrong in ("soon", "", "5", "-1s", "1x"):
        for error_type in (ConfigurationError, ValueError):
            with pytest.raises(error_type):
                rs.RunQueueConfig(dequeue_interval=wrong)


def test_the_classes_of_executors():
    in_process, parallel = rs.Executor.in_process(), rs.Executor.parallel()
    assert isinstance(in_process, rs.Executor.InProcess)
    assert isinstance(parallel, rs.Executor.Parallel)
    assert not isinstance(parallel, rs.Executor.InProcess)
    assert not isinstance(in_process, rs.Executor.Parallel)
