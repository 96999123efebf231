"""Multi-assets: several assets from one function."""

import asyncio
import sys

import cloudpickle
import pydantic
import pytest
from tests.support import key, letters

import rivers as rs
from rivers.exceptions import (
    AssetDefinitionError,
    ConfigurationError,
    ExecutionError,
    GraphValidationError,
)

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETTERS = letters(3)
ALL = rs.PartitionKeyRange.single("a", "c")
BOTH = [rs.AssetDef("left"), rs.AssetDef("right")]


def both(value):
    yield rs.Output(f"left {value}", "left")
    yield rs.Output(f"right {value}", "right")


def materialized(repository, name):
    return repository.partition_status(name, status="materialized").height


def split(fn, **options):
    options.setdefault("name", "split")
    return rs.Asset.from_multi(fn, output_defs=BOTH, partitions_def=LETTERS, **options)


def test_both_outputs_selected_run_the_step_once(repo):
    calls = []

    @rs.Asset.from_multi(output_defs=BOTH, partitions_def=LETTERS)
    def halves(context: rs.AssetExecutionContext):
        calls.append((context.asset_name, context.partition_key))
        yield from both(context.partition_key)

    repository = repo(halves)
    result = repository.backfill(["right", "left"], partition_range=ALL, max_concurrency=1)
    assert (result.completed, calls) == (3, [("halves", letter) for letter in "abc"])
    assert repository.load_node("left", key("b")) == "left b"
    assert repository.load_node("right", key("b")) == "right b"
    assert [materialized(repository, name) for name in ("left", "right")] == [3, 3]
    # Both together are one step, too.
    repository.backfill(["right", "left"], partition_range=ALL, only_missing=True)
    assert len(calls) == 3


def returned():
    return list(both(1))


def yielded():
    yield from both(1)


async def returned_later():
    await asyncio.sleep(0)
    return list(both(1))


async def yielded_later():
    for output in both(1):
        await asyncio.sleep(0)
        yield output


@pytest.mark.parametrize("fn", [returned, yielded, returned_later, yielded_later])
def test_outputs_may_be_yielded_or_returned(repo, fn):
    repository = repo(rs.Asset.from_multi(fn, output_defs=BOTH))
    assert repository.materialize().success
    assert [repository.load_node(name) for name in ("left", "right")] == ["left 1", "right 1"]


@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(2)])
def test_each_output_has_its_handler_and_its_downstream(repo, tmp_path, executor):
    pickles = [rs.PickleIOHandler(tmp_path / name) for name in ("one", "two")]

    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("left", io_handler=pickles[0]), rs.AssetDef("right")],
        partitions_def=LETTERS,
        io_handler=pickles[1],
    )
    def halves(context: rs.AssetExecutionContext, source):
        yield from both(source)

    source = rs.Asset(
        lambda context: context.partition_key, name="source", partitions_def=LETTERS,
        io_handler=pickles[1],
    )  # fmt: skip
    after = rs.Asset(
        lambda right: right.upper(), name="after", partitions_def=LETTERS, io_handler=pickles[1]
    )
    # `after` needs one output only, and may come before the other in the order.
    repository = repo(after, halves, source, default_executor=executor)
    result = repository.backfill(partition_range=ALL)
    assert result.status == "completed", repository.get_backfill(result.backfill_id).error
    assert repository.load_node("after", key("c")) == "RIGHT C"
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["left"]


def test_outputs_before_an_exception_are_kept_and_a_retry_makes_them_all(repo):
    calls = []

    def fn(context: rs.AssetExecutionContext):
        calls.append(context.partition_key)
        yield rs.Output(1, "left")
        if context.partition_key == "b" and context.attempt < 3:
            raise ConnectionError
        yield rs.Output(2, "right")

    after = rs.Asset(lambda left: None, name="after", partitions_def=LETTERS)
    repository = repo(split(fn), after)
    result = repository.backfill(partition_range=ALL)
    assert (result.completed, result.failed) == (2, 1)
    assert [materialized(repository, name) for name in ("left", "right", "after")] == [3, 2, 3]
    assert repository.load_node("left", key("b")) == 1
    again = repository.backfill(partition_keys=[key("b")], retry=rs.RetryPolicy(2))
    assert (again.completed, calls.count("b")) == (1, 4)


def test_marks_hold_for_all_outputs(repo):
    def fn(context: rs.AssetExecutionContext):
        context.mark_partition_failed("b", "bad")
        return [rs.Output(dict.fromkeys("abc", 1), name) for name in ("left", "right")]

    repository = repo(split(fn))
    result = repository.backfill(partition_range=ALL, strategy=rs.BackfillStrategy.single_run())
    assert (result.completed, result.failed) == (2, 1)
    assert [materialized(repository, name) for name in ("left", "right")] == [2, 2]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([rs.Output(1, "left")], "no Output for 'right'"),
        ([rs.Output(1, "left"), rs.Output(1, "rigth")], "did you mean 'right'"),
        ([rs.Output(1, "left"), rs.Output(1, "left")], "'left' twice"),
        ([1, 2], "got int"),
        (None, "got NoneType"),
        ({"left": 1}, "no Output for 'right'"),
        ("text", "got str"),
    ],
)
def test_what_is_not_an_output_each_fails_the_step(repo, given, told):
    repository = repo(rs.Asset.from_multi(lambda: given, output_defs=BOTH, name="split"))
    with pytest.raises(ExecutionError, match=told):
        repository.materialize()


class Settings(pydantic.BaseModel):
    factor: int = 1


def configured(context: rs.AssetExecutionContext[Settings]):
    return [rs.Output(context.config.factor, name) for name in ("left", "right")]


@pytest.mark.parametrize(
    "config",
    [
        {"split": {"factor": 3}},
        {"left": {"factor": 3}},
        {"right": {"factor": 3}},
        {"left": {"factor": 3}, "right": {"factor": 3}, "split": {"factor": 3}},
    ],
)
def test_its_config_is_named_by_the_function_or_by_an_output(repo, config):
    repository = repo(split(configured))
    result = repository.backfill(["left", "right"], partition_range=ALL, config=config)
    assert [repository.load_node(name, key("a")) for name in ("left", "right")] == [3, 3]
    assert repository.get_backfill(result.backfill_id).status == "completed"


def test_a_config_named_by_an_output_is_kept_for_a_rerun(repo):
    failing = [True]

    def fn(context: rs.AssetExecutionContext[Settings]):
        if failing:
            raise ValueError
        yield from configured(context)

    repository = repo(split(fn))
    failed = repository.backfill(partition_range=ALL, config={"left": {"factor": 3}})
    failing.clear()
    assert repository.rerun_backfill(failed.backfill_id).completed == 3
    assert repository.load_node("right", key("a")) == 3


@pytest.mark.parametrize("other", ["right", "split"])
def test_a_function_configured_twice_needs_equal_values(repo, other):
    config = {"left": {"factor": 3}, other: {"factor": 4}}
    with pytest.raises(ConfigurationError, match=f"'split' twice, as 'left' and as '{other}'"):
        repo(split(configured)).backfill(partition_range=ALL, config=config, dry_run=True)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: rs.Asset.from_multi(output_defs=[]), "at least one"),
        (lambda: rs.Asset.from_multi(output_defs=["left"]), "must be AssetDefs"),
        (lambda: rs.Asset.from_multi(output_defs=[rs.AssetDef.dep("left")]), "must be AssetDefs"),
        (lambda: rs.Asset.from_multi(output_defs=[BOTH[0], BOTH[0]]), "twice"),
        (lambda: split(lambda: None, pool=3), "name of a pool"),
        (lambda: rs.AssetDef(3), "name of AssetDef"),
        (lambda: rs.AssetDef("a", io_handler=3), "io_handler of AssetDef"),
        (
            lambda: rs.Asset.from_multi(lambda: 1, name="x", output_defs=[rs.AssetDef("a|b")]),
            "printable name",
        ),
        (lambda: rs.Asset(lambda: 1, name="a", deps=[split(lambda: 1)]), "deps must be"),
        (lambda: rs.CodeRepository([split(both), rs.Asset(both, name="left")]), "'left'"),
        (lambda: rs.CodeRepository([split(lambda: 1), rs.Asset(lambda: 1, name="split")]), "split"),  # type: ignore[misc]
    ],
)
def test_what_is_no_multi_asset_is_refused(make, told):
    with pytest.raises(AssetDefinitionError, match=told):
        make()


def test_an_output_is_no_input_of_its_own_step():
    with pytest.raises(GraphValidationError, match="its own output 'left'"):
        rs.CodeRepository([split(lambda left: left)])


class Full(rs.InMemoryIOHandler):
    """Cannot store anything at first."""

    has_space = False

    def handle_output(self, context, value):
        if not self.has_space:
            raise OSError("the disk is full")
        super().handle_output(context, value)


class FullOfGroups(Full):
    def handle_outputs(self, items):
        for context, value in items:
            self.handle_output(context, value)


@pytest.mark.parametrize("full", [Full, FullOfGroups])
@pytest.mark.parametrize("names", ["xy", "yx"])
@pytest.mark.parametrize(
    "strategy", [rs.BackfillStrategy.multi_run(), rs.BackfillStrategy.single_run()]
)
def test_an_output_that_cannot_be_stored_fails_alone(repo, full, names, strategy):
    handlers = {"x": rs.InMemoryIOHandler(), "y": full()}
    outputs = [rs.AssetDef(name, io_handler=handlers[name]) for name in names]
    calls = []

    @rs.Asset.from_multi(
        output_defs=outputs, partitions_def=rs.PartitionsDefinition.static_(["a", "b"])
    )
    def both():
        calls.append(1)
        return {name: len(calls) for name in names}

    def shown(name):
        return repository.partition_status(name)["status"].to_list()

    repository = repo(both)
    failed = repository.backfill(
        partition_range=rs.PartitionKeyRange.single("a", "b"), strategy=strategy
    )
    assert (failed.failed, shown("y")) == (2, ["failed"] * 2)
    made = shown("x")
    assert set(made) in ({"materialized"}, {"failed"})
    for number, text in enumerate("ab"):
        # What is shown as failed was not stored either.
        if made[number] == "failed":
            with pytest.raises(rs.exceptions.ExecutionError):
                repository.load_node("x", key(text))
    handlers["y"].has_space = True
    before = len(calls)
    assert repository.rerun_backfill(failed.backfill_id).completed == 2
    assert (shown("x"), shown("y")) == (["materialized"] * 2, ["materialized"] * 2)
    first = repository.load_node("x", key("a"))
    assert (first <= before) is (made[0] == "materialized")


def test_a_retry_keeps_the_outputs_that_were_stored(repo):
    full, attempts = Full(), []
    handlers = {"x": rs.InMemoryIOHandler(), "y": full}
    outputs = [rs.AssetDef(name, io_handler=handlers[name]) for name in "xy"]

    @rs.Asset.from_multi(
        output_defs=outputs, partitions_def=LETTERS, retry=rs.RetryPolicy(max_retries=1)
    )
    def both(context):
        attempts.append(context.attempt)
        full.has_space = context.attempt == 2
        return {"x": context.attempt, "y": context.attempt}

    repository = repo(both)
    assert repository.backfill(partition_keys=[key("a")]).status == "completed"
    assert attempts == [1, 2]
    assert [repository.load_node(name, key("a")) for name in "xy"] == [1, 2]
