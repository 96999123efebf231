"""Hooks: functions that are called after a step of a run has succeeded or failed."""

import asyncio
import logging

import pydantic
import pytest
from tests.support import key, keys, letters

import rivers as rs
from rivers.exceptions import AssetDefinitionError

LETTERS = letters(4)
ONE_RUN = rs.BackfillStrategy.single_run()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def hooks(seen):
    """A success hook and a failure hook that append their contexts to `seen`."""
    return [rs.Hook.success(seen.append), rs.Hook.failure(seen.append)]


def texts(context):
    return None if context.partition is None else [str(each) for each in context.partition.keys]


# -- what a hook is ----------------------------------------------------------------------------------


def test_decorators_bare_and_with_a_name():
    @rs.Hook.success
    def announce(context):
        return "called"

    @rs.Hook.failure(name="page")
    def wake(context):
        pass

    assert isinstance(announce, rs.Hook.Success)
    assert isinstance(wake, rs.Hook.Failure)
    assert (announce.name, wake.name) == ("announce", "page")
    assert (repr(announce), repr(wake)) == (
        "Hook.Success(name='announce')",
        "Hook.Failure(name='page')",
    )
    assert announce(rs.HookContext("a", "run", "success")) == "called"
    assert isinstance(announce, rs.Hook)
    assert not isinstance(announce, rs.Hook.Failure)


def plain(context=None):
    pass


OK = rs.Hook.success(plain)
TASK = rs.Task(plain, name="task")


def graph():
    return TASK()


@pytest.mark.parametrize("wrong", [[plain], [OK, "page"], OK, "page", [None], [rs.Hook]])
@pytest.mark.parametrize(
    "declare",
    [
        lambda hooks: rs.Asset(plain, hooks=hooks),
        lambda hooks: rs.Asset.from_multi(plain, output_defs=[rs.AssetDef("a")], hooks=hooks),
        lambda hooks: rs.Asset.from_graph(graph, hooks=hooks),
    ],
)
def test_what_is_no_hook_is_refused(declare, wrong):
    declare([OK])
    with pytest.raises(AssetDefinitionError, match="hook"):
        declare(wrong)


@pytest.mark.parametrize("wrong", [3, "page"])
def test_a_hook_decorates_functions(wrong):
    with pytest.raises(AssetDefinitionError, match="hook"):
        rs.Hook.success(wrong)
    with pytest.raises(AssetDefinitionError, match="name"):
        rs.Hook.failure(plain, name=3)


# -- what a hook gets --------------------------------------------------------------------------------


class Settings(pydantic.BaseModel):
    fails: bool = False


def test_context_of_a_success_and_of_a_failure(repo, hooks, seen):
    @rs.Asset(hooks=hooks, metadata={"unit": "EUR"}, partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext[Settings]):
        if context.config.fails:
            raise ValueError("boom")
        return rs.Output(7, metadata={"rows": 1})

    repository = repo(letter)
    succeeded = repository.materialize(partition_key=key("b"))
    fails = {"letter": {"fails": True}}
    failed = repository.materialize(None, key("c"), None, False, fails)
    success, failure = seen
    assert (success.asset_name, success.run_id) == ("letter", succeeded.run_id)
    assert (success.hook_type, success.output, success.error) == ("success", 7, None)
    assert (success.metadata, success.config.fails) == ({"unit": "EUR"}, False)
    assert texts(success) == ["b"]
    assert (failure.asset_name, failure.run_id) == ("letter", failed.run_id)
    assert (failure.hook_type, failure.output) == ("failure", None)
    assert failure.error == "ValueError: boom"
    assert (failure.metadata, failure.config.fails) == ({"unit": "EUR"}, True)
    assert texts(failure) == ["c"]


def test_context_of_a_plain_asset(repo, hooks, seen):
    @rs.Asset(hooks=hooks)
    def answer():
        return None

    repo(answer).materialize()
    (context,) = seen
    assert (context.output, context.metadata, context.config, context.partition) == (None,) * 4


# -- when it is called -------------------------------------------------------------------------------


def test_hooks_are_called_in_the_order_of_the_list(repo, seen):
    def numbered(kind, number):
        return kind(lambda context: seen.append((context.asset_name, number)), name=str(number))

    success, failure = rs.Hook.success, rs.Hook.failure
    both = [numbered(success, 1), numbered(failure, 2), numbered(success, 3), numbered(failure, 4)]

    @rs.Asset(hooks=both)
    def fine():
        return 1

    @rs.Asset(hooks=both)
    def broken(fine):
        raise ValueError("boom")

    @rs.Asset(hooks=both)
    def blocked(broken):
        pytest.fail("executed")

    repo(fine, broken, blocked).materialize(raise_on_error=False)
    assert seen == [("fine", 1), ("fine", 3), ("broken", 2), ("broken", 4)]


def test_once_per_step_and_not_per_partition(repo, hooks, seen):
    @rs.Asset(hooks=hooks, partitions_def=LETTERS)
    def letter():
        return 1

    repository = repo(letter)
    repository.backfill(partition_keys=keys("a", "b", "c"), strategy=ONE_RUN)
    assert [texts(context) for context in seen] == [["a", "b", "c"]]
    seen.clear()
    repository.backfill(partition_keys=keys("a", "b", "c"), max_concurrency=1)
    assert [texts(context) for context in seen] == [["a"], ["b"], ["c"]]


def test_a_failure_hook_is_called_after_the_last_attempt_only(repo, hooks, seen):
    calls = []

    @rs.Asset(hooks=hooks, retry=rs.RetryPolicy(2))
    def flaky():
        calls.append(1)
        if len(calls) != 3:
            raise ValueError("boom")
        return 1

    repository = repo(flaky)
    repository.materialize()
    assert [context.hook_type for context in seen] == ["success"]
    seen.clear()
    repository.materialize(raise_on_error=False)
    assert (len(calls), [context.hook_type for context in seen]) == (6, ["failure"])


def test_success_hooks_of_a_multi_asset_are_called_once_per_output(repo, hooks, seen):
    broken = []

    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("left", metadata={"side": "l"}), rs.AssetDef("right")], hooks=hooks
    )
    def both():
        if broken:
            raise ValueError("boom")
        yield rs.Output(1, "left")
        yield rs.Output(2, "right")

    repository = repo(both)
    repository.materialize()
    found = [(context.asset_name, context.output, context.metadata) for context in seen]
    assert found == [("left", 1, {"side": "l"}), ("right", 2, None)]
    seen.clear()
    repository.materialize(["right"])
    assert [context.asset_name for context in seen] == ["right"]
    seen.clear()
    broken.append(True)
    repository.materialize(raise_on_error=False)
    assert [(context.asset_name, context.hook_type) for context in seen] == [("both", "failure")]


def test_hooks_of_a_graph_asset(repo, hooks, seen):
    @rs.Task
    def one():
        return 1

    @rs.Asset.from_graph(hooks=hooks)
    def graph():
        return one()

    repo(graph).materialize()
    assert [(context.asset_name, context.output) for context in seen] == [("graph", 1)]


@pytest.mark.parametrize("takes", ["context", "input"])
def test_a_failure_while_a_value_is_loaded_or_stored_calls_failure_hooks(repo, hooks, seen, takes):
    class Broken(rs.BaseIOHandler):
        def handle_output(self, context, value):
            if takes == "context":
                raise OSError("disk full")

        def load_input(self, context):
            raise OSError("not found")

    @rs.Asset(io_handler=Broken(), hooks=hooks if takes == "context" else [])
    def source():
        return 1

    @rs.Asset(hooks=hooks)
    def sink(source):
        pass

    repo(source, sink).materialize(raise_on_error=False)
    name, error = ("source", "disk full") if takes == "context" else ("sink", "not found")
    assert [(each.asset_name, each.error) for each in seen] == [(name, f"OSError: {error}")]


@pytest.mark.parametrize(
    ("error", "message"), [("no data", "no data"), (ValueError("boom"), "ValueError: boom")]
)
def test_marked_partitions_call_failure_hooks_and_the_others_success_hooks(
    repo, hooks, seen, error, message
):
    @rs.Asset(hooks=hooks, partitions_def=LETTERS)
    def letter(context):
        for text in ("b", "c"):
            context.mark_partition_failed(text, error)
        return 1

    @rs.Asset(hooks=hooks, partitions_def=LETTERS)
    def after(letter):
        return 2

    repository = repo(letter, after)
    repository.materialize(
        ["letter", "after"], rs.PartitionKey.single(["a", "b", "c"]), None, False
    )
    found = [(each.asset_name, each.hook_type, texts(each), each.error) for each in seen]
    assert found == [
        ("letter", "success", ["a"], None),
        ("letter", "failure", ["b", "c"], message),
        ("after", "success", ["a"], None),
    ]
    seen.clear()
    repository.materialize(["letter"], rs.PartitionKey.single(["b", "c"]), None, False)
    assert [(each.hook_type, texts(each)) for each in seen] == [("failure", ["b", "c"])]


# -- what a hook can do ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_of_a_hook_is_logged_and_changes_nothing(repo, hooks, seen, caplog, error):
    def fails(context):
        raise error

    @rs.Asset(hooks=[rs.Hook.success(fails), *hooks], partitions_def=LETTERS)
    def letter():
        return 1

    repository = repo(letter)
    with caplog.at_level(logging.ERROR, "rivers"):
        result = repository.backfill(partition_keys=keys("a", "b"), max_concurrency=1)
    assert (result.status, result.completed) == ("completed", 2)
    assert repository.load_node("letter", key("b")) == 1
    assert [context.hook_type for context in seen] == ["success"] * 2
    logged = [record.getMessage() for record in caplog.records if "hook" in record.getMessage()]
    assert len(logged) == 2
    assert all("'fails'" in line and "'letter'" in line for line in logged)


@pytest.mark.parametrize("asset_is_async", [True, False])
def test_async_hooks_and_async_assets(repo, seen, asset_is_async):
    @rs.Hook.success
    async def later(context):
        await asyncio.sleep(0)
        seen.append((context.asset_name, context.output))

    if asset_is_async:

        @rs.Asset(hooks=[later])
        async def answer():
            await asyncio.sleep(0)
            return 42
    else:

        @rs.Asset(hooks=[later])
        def answer():
            return 42

    assert repo(answer).materialize().success
    assert seen == [("answer", 42)]


def test_hooks_run_in_worker_processes(parallel, notes):
    @rs.Hook.success
    def done(context):
        notes.add("done", *texts(context), context.output)

    @rs.Hook.failure
    def failed(context):
        notes.add("failed", *texts(context), context.error.replace(" ", ""))

    @rs.Asset(hooks=[done, failed], partitions_def=LETTERS)
    def letter(context):
        if context.partition_key == "c":
            raise ValueError("boom")
        return 7

    result = parallel(letter).backfill(partition_keys=keys("a", "b", "c"))
    assert (result.completed, result.failed) == (2, 1)
    assert sorted(notes.lines()) == [
        ["done", "a", "7"], ["done", "b", "7"], ["failed", "c", "ValueError:boom"],
    ]  # fmt: skip


def test_a_worker_that_dies_calls_failure_hooks(parallel, notes):
    @rs.Hook.failure
    def failed(context):
        notes.add("failed", *texts(context))

    @rs.Asset(hooks=[failed], partitions_def=LETTERS)
    def letter(context):
        import os

        if context.partition_key == "b":
            os._exit(3)
        return 7

    result = parallel(letter, workers=1).backfill(partition_keys=keys("a", "b", "c"))
    assert (result.completed, result.failed) == (2, 1)
    assert notes.lines() == [["failed", "b"]]


def test_hooks_are_called_in_a_rerun(repo, hooks, seen):
    calls = []

    @rs.Asset(hooks=hooks, partitions_def=LETTERS)
    def letter(context):
        calls.append(context.partition_key)
        if len(calls) == 1:
            raise ValueError("boom")
        return 1

    repository = repo(letter)
    first = repository.backfill(partition_keys=keys("a", "b"), max_concurrency=1)
    assert [(each.hook_type, texts(each)) for each in seen] == [
        ("failure", ["a"]),
        ("success", ["b"]),
    ]
    seen.clear()
    repository.rerun_backfill(first.backfill_id)
    assert [(each.hook_type, texts(each)) for each in seen] == [("success", ["a"])]
