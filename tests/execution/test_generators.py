"""Functions that yield: each value is stored as it is yielded."""

import asyncio

import pytest

import rivers as rs
from rivers import BackfillStrategy, Executor, PartitionKey, PartitionsDefinition

LETTERS = PartitionsDefinition.static_(["a", "b", "c", "d"])
ALL = [PartitionKey.single(["a", "b", "c", "d"])]
ONE_RUN = BackfillStrategy.single_run()
EXECUTORS = [Executor.in_process(), Executor.parallel(max_workers=1)]


def key(text):
    return PartitionKey.single(text)


def repository(*assets, executor=None):
    return rs.CodeRepository(list(assets), default_executor=executor).resolve(rs.Storage.memory())


def status(repo, asset):
    return repo.partition_status(asset)["status"].to_list()


def run(fn, handler=None, executor=None, **options):
    asset = rs.Asset(name="source", partitions_def=LETTERS, io_handler=handler, **options)(fn)
    repo = repository(asset, executor=executor)
    return repo, repo.backfill(partition_keys=ALL, strategy=ONE_RUN)


def values(repo):
    return [repo.load_node("source", partition_key=key(text)) for text in "abcd"]


def with_keys(context):
    for own in reversed(context.partition.keys):
        yield own, own.key[0].upper()


def in_order(context):
    for own in context.partition.keys:
        yield own.key[0].upper()


async def with_keys_async(context):
    for own in context.partition.keys:
        await asyncio.sleep(0)
        yield own, own.key[0].upper()


async def in_order_async(context):
    for own in context.partition.keys:
        await asyncio.sleep(0)
        yield own.key[0].upper()


@pytest.mark.parametrize("executor", EXECUTORS, ids=repr)
@pytest.mark.parametrize("fn", [with_keys, in_order, with_keys_async, in_order_async])
def test_each_value_is_stored_for_its_partition(fn, executor, tmp_path):
    repo, result = run(fn, rs.PickleIOHandler(tmp_path), executor)
    assert (result.status, result.completed) == ("completed", 4)
    assert values(repo) == ["A", "B", "C", "D"]
    repo.close()


@pytest.mark.parametrize("fn", [with_keys, in_order, with_keys_async, in_order_async])
def test_a_run_of_one_partition_yields_one_value(fn):
    repo = repository(rs.Asset(name="source", partitions_def=LETTERS)(fn))
    assert repo.backfill(partition_keys=ALL).completed == 4
    assert values(repo) == ["A", "B", "C", "D"]


def test_values_are_stored_one_by_one():
    class Recording(rs.InMemoryIOHandler):
        def handle_output(self, context, value):
            events.append(("stored", value, [own.key[0] for own in context.partitions]))
            super().handle_output(context, value)

    events = []

    def source(context):
        for own in context.partition.keys[:2]:
            events.append(("yields", own.key[0]))
            yield own, own.key[0]
        for own in context.partition.keys[2:]:
            yield own, None

    _, result = run(source, Recording())
    assert result.completed == 4
    assert events == [
        ("yields", "a"), ("stored", "a", ["a"]), ("yields", "b"), ("stored", "b", ["b"]),
        ("stored", None, ["c"]), ("stored", None, ["d"]),
    ]  # fmt: skip


def raises_third(context):
    for number, own in enumerate(context.partition.keys):
        if number == 2:
            raise ValueError("third")
        yield own, number


async def raises_third_async(context):
    for number, _ in enumerate(context.partition.keys):
        if number == 2:
            raise ValueError("third")
        yield number


@pytest.mark.parametrize("executor", EXECUTORS, ids=repr)
@pytest.mark.parametrize("fn", [raises_third, raises_third_async])
def test_what_was_yielded_before_an_exception_is_completed(fn, executor, tmp_path):
    repo, result = run(fn, rs.PickleIOHandler(tmp_path), executor)
    assert (result.status, result.completed, result.failed) == ("failed", 2, 2)
    assert status(repo, "source") == ["materialized", "materialized", "failed", "failed"]
    assert repo.load_node("source", partition_key=key("b")) == 1
    [group] = repo.backfill_errors(result.backfill_id).rows(named=True)
    assert (group["error_type"], group["message"], group["count"]) == ("ValueError", "third", 2)
    assert "raises_third" in group["traceback"]
    assert repo.rerun_backfill(result.backfill_id, dry_run=True).num_partitions == 2
    repo.close()


def test_an_exception_before_the_first_value_fails_the_run():
    def source(context):
        if context:
            raise ValueError("first")
        yield

    _, result = run(source)
    assert (result.completed, result.failed) == (0, 4)
    assert "first" in result.error if hasattr(result, "error") else True


BAD = {
    "is not one of this run's": lambda: [(key("a"), 1), (key("d"), 2)],
    "which": lambda: [(key("a"), 1), (key("zzz"), 2)],
    "twice": lambda: [(key("a"), 1), (key("a"), 2)],
    "yielded no value for": lambda: [(key("a"), 1)],
    "some values with a PartitionKey": lambda: [(key("a"), 1), 2],
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("problem", BAD)
def test_partitions_without_a_value_fail_and_say_why(problem, is_async):
    def plain():
        yield from BAD[problem]()

    async def source_async():
        for item in BAD[problem]():
            yield item

    fn = source_async if is_async else plain
    repo = repository(rs.Asset(name="source", partitions_def=LETTERS)(fn))
    result = repo.backfill(partition_keys=[key(["a", "b", "c"])], strategy=ONE_RUN)
    assert (result.completed, result.failed) == (1, 2)
    [group] = repo.backfill_errors(result.backfill_id).rows(named=True)
    if problem != "which":
        assert problem in group["message"]
    assert repo.load_node("source", partition_key=key("a")) == 1


def test_surplus_values_are_dropped_with_a_warning(caplog):
    def source():
        yield from range(6)

    repo, result = run(source)
    assert (result.completed, result.failed) == (4, 0)
    assert values(repo) == [0, 1, 2, 3]
    assert "2 values more" in caplog.text


def test_marks_and_skips_need_no_value():
    def source(context):
        for own in context.partition.keys:
            if own == key("b"):
                context.mark_partition_failed(own, "broken")
            elif own == key("c"):
                context.skip_partition(own, "empty")
            else:
                yield own.key[0]

    repo, result = run(source)
    assert (result.completed, result.failed) == (3, 1)
    assert status(repo, "source") == ["materialized", "failed", "skipped", "materialized"]
    assert repo.load_node("source", partition_key=key("d")) == "d"


def test_a_skip_skips_what_has_no_value():
    def source():
        yield 1
        raise rs.Skip("the rest is empty")

    repo, result = run(source)
    assert (result.completed, result.failed) == (4, 0)
    assert status(repo, "source") == ["materialized"] + ["skipped"] * 3


def test_a_key_with_several_values_stands_for_its_partitions():
    def source():
        yield key(["a", "b"]), 1
        yield key(["c", "d"]), 2

    repo, result = run(source)
    assert result.completed == 4
    assert repo.load_node("source", partition_key=key("d")) == 2


def test_a_generator_that_fails_is_retried_for_what_it_has_not_yielded():
    calls = []

    def source(context):
        calls.append([own.key[0] for own in context.partition.keys])
        for text in "abcd":  # Also what it was not called for.
            if (text, context.attempt) in [("b", 1), ("d", 2), ("c", 3)]:
                raise OSError("away")
            yield key(text), f"{text}{context.attempt}"

    repo, result = run(source, retry=rs.RetryPolicy(max_retries=2))
    assert (result.completed, result.failed) == (3, 1)
    assert calls == [["a", "b", "c", "d"], ["b", "c", "d"], ["d"]]
    assert [repo.load_node("source", key(text)) for text in "abc"] == ["a1", "b2", "c2"]
    assert status(repo, "source") == ["materialized"] * 3 + ["failed"]


def test_a_multi_asset_that_fails_is_retried_for_the_outputs_that_it_has_not_yielded():
    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef(name) for name in "xyz"], retry=rs.RetryPolicy(max_retries=1)
    )
    def several(context):
        for name in "xyz":
            if (name, context.attempt) in [("y", 1), ("z", 2)]:
                raise OSError("away")
            yield rs.Output(f"{name}{context.attempt}", output_name=name)

    repo = repository(several)
    result = repo.materialize(raise_on_error=False)
    assert (result.materialized_assets, [name for name, _ in result.failed_assets]) == (
        ["x", "y"],
        ["z"],
    )
    assert [repo.load_node(name) for name in "xy"] == ["x1", "y2"]


def test_a_generator_without_keys_that_fails_is_retried_as_a_whole():
    def source(context):
        yield 1
        if context.attempt == 1:
            raise OSError("away")
        yield from (2, 3, 4)

    repo, result = run(source, retry=rs.RetryPolicy(max_retries=1))
    assert (result.completed, result.failed) == (4, 0)
    assert values(repo) == [1, 2, 3, 4]


def test_downstream_gets_what_was_yielded():
    source = rs.Asset(name="source", partitions_def=LETTERS)(raises_third)

    @rs.Asset(partitions_def=LETTERS)
    def after(source):
        return source

    repo = repository(source, after)
    result = repo.backfill(partition_keys=ALL, strategy=ONE_RUN)
    assert (result.completed, result.failed) == (2, 2)
    assert status(repo, "after")[:2] == ["materialized"] * 2


def test_a_generator_of_an_unpartitioned_asset_fails():
    @rs.Asset
    def source():
        yield 1

    result = repository(source).materialize(raise_on_error=False)
    assert not result.success
    assert "generator" in result.error


@pytest.mark.parametrize(
    "value", [iter([1]), map(str, []), asyncio.sleep], ids=["iterator", "map", "function"]
)
def test_other_iterators_and_awaitables_fail(value):
    def source():
        return value(0) if callable(value) else value

    _, result = run(source)
    assert result.failed == 4


@pytest.mark.parametrize("is_async", [False, True])
def test_outputs_of_a_multi_asset_are_stored_as_they_are_yielded(is_async):
    outputs = [rs.AssetDef("x"), rs.AssetDef("y")]

    def plain():
        yield rs.Output(1, "x")
        raise ValueError("no y")

    async def both_async():
        yield rs.Output(1, "x")
        raise ValueError("no y")

    declare = rs.Asset.from_multi(name="both", output_defs=outputs, partitions_def=LETTERS)
    repo = repository(declare(both_async if is_async else plain))
    result = repo.backfill(partition_keys=[key("a")])
    assert (result.completed, result.failed) == (0, 1)
    assert (status(repo, "x")[0], status(repo, "y")[0]) == ("materialized", "failed")
    assert repo.load_node("x", partition_key=key("a")) == 1


def test_metadata_of_what_is_yielded_belongs_to_its_partitions():
    def source(context):
        for number, own in enumerate(context.partition.keys):
            context.add_output_metadata({"size": number}, own)
            yield rs.Output(number, metadata={"rows": number * 10})

    repo, result = run(source)
    assert result.completed == 4
    events = repo.storage.get_events_for_asset("source")
    found = {
        event.partition_key.key[0]: dict(event.metadata)
        for event in events
        if event.event_type == "Materialization"
    }
    assert [(found[text]["size"], found[text]["rows"]) for text in "abcd"] == [
        ("0", "0"), ("1", "10"), ("2", "20"), ("3", "30"),
    ]  # fmt: skip


def test_hooks_are_called_once_for_a_function_that_yields():
    called = []

    @rs.Hook.success
    def good(context):
        called.append("good")

    @rs.Hook.failure
    def bad(context):
        called.append(context.error)

    run(in_order, hooks=[good, bad])
    run(raises_third, hooks=[good, bad])
    assert called == ["good", "ValueError: third"]
