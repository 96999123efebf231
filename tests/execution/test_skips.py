"""Partitions for which there is nothing to produce: skipped, counted as completed."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import rivers as rs
from rivers import BackfillStrategy, Executor, PartitionKey, PartitionMapping, PartitionsDefinition

LETTERS = PartitionsDefinition.static_(["a", "b", "c", "d"])
ALL = [PartitionKey.single(["a", "b", "c", "d"])]
ONE_RUN = BackfillStrategy.single_run()


def key(text):
    return PartitionKey.single(text)


@rs.Asset(partitions_def=LETTERS)
def source(context: rs.AssetExecutionContext) -> str:
    if context.partition_key in "bc":
        raise rs.Skip(f"no {context.partition_key}")
    return context.partition_key.upper()


@rs.Asset(partitions_def=LETTERS)
def doubled(source):
    return source * 2


@rs.Asset(partitions_def=LETTERS)
def after(source):
    return len(source)


EXECUTORS = [Executor.in_process(), Executor.parallel(max_workers=1)]


def repository(*assets, executor=None, storage=None):
    repo = rs.CodeRepository(list(assets), default_executor=executor)
    return repo.resolve(storage or rs.Storage.memory())


def made(executor):
    """The state of a partition whose value was kept in the memory of the process that made it."""
    return "materialized" if executor.isolation == "none" else "missing"


def status(repo, asset):
    return repo.partition_status(asset)["status"].to_list()


@pytest.mark.parametrize("executor", EXECUTORS, ids=repr)
def test_a_skip_counts_as_completed_and_is_skipped_downstream(executor):
    with repository(source, doubled, executor=executor) as repo:
        result = repo.backfill(partition_keys=ALL)
        assert (result.status, result.completed, result.failed) == ("completed", 4, 0)
        states = [made(executor), "skipped", "skipped", made(executor)]
        assert status(repo, "source") == status(repo, "doubled") == states
        reasons = repo.partition_status("source")["skip_reason"].to_list()
        assert reasons == [None, "no b", "no c", None]
        assert "no b" in repo.partition_status("doubled")["skip_reason"][1]
        table = repo.backfill_partitions(result.backfill_id)
        assert table["status"].to_list() == ["completed", "skipped", "skipped", "completed"]
        skipped = repo.backfill_partitions(result.backfill_id, status="skipped")
        assert skipped["partition"].to_list() == ["b", "c"]
        only = repo.partition_status("source", status="skipped")
        assert only["partition"].to_list() == ["b", "c"]


def test_only_missing_leaves_skipped_partitions_out():
    repo = repository(source, doubled)
    repo.backfill(partition_keys=ALL)
    assert repo.backfill(partition_keys=ALL, only_missing=True).num_partitions == 0


def test_materialized_partitions_are_not_those_that_were_skipped():
    storage = rs.Storage.memory()
    repo = repository(source, storage=storage)
    repo.backfill(partition_keys=ALL)
    keys = storage.get_materialized_partitions("source")
    assert keys == [key("a"), key("d")]


def test_a_partition_that_is_run_again_is_no_longer_skipped():
    quiet = True

    @rs.Asset(partitions_def=LETTERS)
    def source():
        if quiet:
            raise rs.Skip("quiet")
        return "value"

    repo = repository(source, doubled)
    repo.backfill(["source"], partition_keys=ALL)
    assert status(repo, "source") == ["skipped"] * 4
    quiet = False
    repo.backfill(["source"], partition_keys=[key("a")])
    assert status(repo, "source") == ["materialized"] + ["skipped"] * 3
    result = repo.backfill(["doubled"], partition_keys=ALL)
    assert result.status == "completed"
    assert status(repo, "doubled") == ["materialized"] + ["skipped"] * 3
    assert repo.load_node("doubled", partition_key=key("a")) == "valuevalue"
    # A later run of the upstream in the same backfill decides, not the earlier skip.
    repo.backfill(partition_keys=ALL)
    assert status(repo, "doubled") == ["materialized"] * 4


@pytest.mark.parametrize("executor", EXECUTORS, ids=repr)
def test_some_partitions_of_a_run_are_skipped(executor):
    @rs.Asset(partitions_def=LETTERS)
    def source(context: rs.AssetExecutionContext):
        context.skip_partition("b", "empty")
        context.skip_partition(PartitionKey.single("c"), "closed")
        context.mark_partition_failed("d", "broken")
        return dict.fromkeys(context.partition.keys, 1)

    with repository(source, after_all(), executor=executor) as repo:
        result = repo.backfill(partition_keys=ALL, strategy=ONE_RUN)
        assert (result.completed, result.failed) == (3, 1)
        assert status(repo, "source") == [made(executor), "skipped", "skipped", "failed"]
        assert status(repo, "counted") == [
            made(executor),
            "skipped",
            "skipped",
            "missing",
        ] or status(repo, "counted") == [made(executor), "skipped", "skipped", "failed"]
        table = repo.backfill_partitions(result.backfill_id)
        assert table["status"].to_list() == ["completed", "skipped", "skipped", "failed"]


def after_all():
    @rs.Asset(partitions_def=LETTERS)
    def counted(context: rs.AssetExecutionContext, source):
        assert [k.key for k in context.partition.keys] == [["a"]]
        return source

    return counted


def test_a_key_of_another_run_cannot_be_skipped():
    @rs.Asset(partitions_def=LETTERS)
    def source(context: rs.AssetExecutionContext):
        context.skip_partition("d", "not mine")

    result = repository(source).backfill(partition_keys=[key("a")])
    assert result.failed == 1


def test_a_failure_after_a_skip_fails():
    @rs.Asset(partitions_def=LETTERS)
    def source(context: rs.AssetExecutionContext):
        context.skip_partition("a", "empty")
        raise ValueError("broken")

    repo = repository(source)
    result = repo.backfill(partition_keys=ALL, strategy=ONE_RUN)
    assert result.failed == 4
    assert status(repo, "source") == ["failed"] * 4


@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_function_does_not_fail_for_what_an_upstream_skipped(max_retries):
    called = []

    @rs.Asset(partitions_def=LETTERS)
    def source(context: rs.AssetExecutionContext):
        context.skip_partition("c", "empty")

    @rs.Asset(partitions_def=LETTERS, deps=["source"], retry=rs.RetryPolicy(max_retries))
    def failing(context: rs.AssetExecutionContext):
        called.append([str(each) for each in context.partition.keys])
        raise ValueError("broken")

    repo = repository(source, failing)
    result = repo.backfill(partition_keys=ALL, strategy=ONE_RUN)
    assert called == [["a", "b", "d"]] * (1 + max_retries)
    assert (result.completed, result.failed) == (1, 3)
    assert status(repo, "failing") == ["failed", "failed", "skipped", "failed"]


@pytest.mark.parametrize("executor", EXECUTORS, ids=repr)
def test_a_skip_is_kept_while_a_later_asset_is_retried(executor, tmp_path):
    handler = rs.PickleIOHandler(tmp_path)

    @rs.Asset(partitions_def=LETTERS, io_handler=handler)
    def source(context: rs.AssetExecutionContext):
        context.skip_partition("b", "empty")
        return dict.fromkeys(context.partition.keys, 1)

    @rs.Asset(partitions_def=LETTERS, retry=rs.RetryPolicy(max_retries=1), io_handler=handler)
    def flaky(context: rs.AssetExecutionContext, source):
        if context.attempt == 1:
            raise OSError("away")
        return source

    with repository(source, flaky, executor=executor) as repo:
        result = repo.backfill(partition_keys=ALL, strategy=ONE_RUN)
        assert (result.completed, result.failed) == (4, 0)
        states = ["materialized", "skipped", "materialized", "materialized"]
        assert status(repo, "source") == status(repo, "flaky") == states


def test_a_skip_is_not_retried():
    calls = []

    @rs.Asset(partitions_def=LETTERS, retry=rs.RetryPolicy(max_retries=3))
    def source():
        calls.append(1)
        raise rs.Skip("empty")

    assert repository(source).backfill(partition_keys=[key("a")]).completed == 1
    assert calls == [1]


def test_a_task_skips_and_is_not_retried():
    calls = []

    @rs.Task(retry=rs.RetryPolicy(max_retries=3))
    def load():
        calls.append(1)
        raise rs.Skip("empty")

    @rs.Asset.from_graph(partitions_def=LETTERS)
    def source():
        return load()

    repo = repository(source, doubled)
    assert repo.backfill(partition_keys=[key("a")]).completed == 1
    assert calls == [1]
    assert status(repo, "doubled")[0] == "skipped"


def test_async_functions_skip():
    @rs.Asset(partitions_def=LETTERS)
    async def source(context: rs.AssetExecutionContext):
        await asyncio.sleep(0)
        if context.partition_key == "a":
            raise rs.Skip("empty")
        return context.partition_key

    repo = repository(source, doubled)
    assert repo.backfill(partition_keys=ALL).completed == 4
    assert status(repo, "doubled") == ["skipped"] + ["materialized"] * 3


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("executor", EXECUTORS, ids=repr)
def test_a_dict_of_several_partitions_leaves_out_the_skipped_ones(executor, together, tmp_path):
    handler = rs.PickleIOHandler(tmp_path)
    hours = PartitionsDefinition.hourly("2024-01-01", end="2024-01-03")
    days = PartitionsDefinition.daily("2024-01-01", end="2024-01-03")

    @rs.Asset(partitions_def=hours, io_handler=handler)
    def hour(context: rs.AssetExecutionContext):
        if context.partition_key[11:13] in ("03", "04"):
            raise rs.Skip("night")
        return 1

    @rs.Asset(
        partitions_def=days,
        io_handler=handler,
        deps=[rs.AssetDef.input("hour", partition_mapping=PartitionMapping.time_window())],
    )
    def day(hour):
        return sum(hour.values())

    with repository(hour, day, executor=executor) as repo:
        first = rs.PartitionKeyRange.single("2024-01-01T00:00", "2024-01-02T23:00")
        if together:
            result = repo.backfill(["hour", "day"], partition_range=first)
            assert (result.completed, result.failed) == (50, 0)
        else:
            repo.backfill(["hour"], partition_range=first)
            repo.backfill(["day"], partition_keys=[key("2024-01-01"), key("2024-01-02")])
        assert repo.load_node("day", partition_key=key("2024-01-02")) == 22


def test_all_partitions_skipped_gives_an_empty_dict():
    @rs.Asset(partitions_def=LETTERS)
    def source():
        raise rs.Skip("nothing")

    @rs.Asset
    def report(source):
        return dict(source)

    repo = repository(source, report)
    repo.backfill(["source"], partition_keys=ALL)
    assert repo.materialize(["report"]).success
    assert repo.load_node("report") == {}


def test_an_output_of_a_multi_asset_is_skipped_alone():
    outputs = [rs.AssetDef("x"), rs.AssetDef("y")]

    @rs.Asset.from_multi(output_defs=outputs, partitions_def=LETTERS)
    def both(context: rs.AssetExecutionContext):
        yield rs.Output(1, "x")
        context.skip_partition(context.partition.key, "no y today", output_name="y")

    repo = repository(both)
    result = repo.backfill(partition_keys=[key("a")])
    assert (result.completed, result.failed) == (1, 0)
    assert status(repo, "x")[0] == "materialized"
    assert status(repo, "y")[0] == "skipped"
    assert repo.load_node("x", partition_key=key("a")) == 1


def test_a_skip_of_a_backfill_is_seen_after_a_restart(tmp_path):
    script = Path(__file__).parent / "scripts" / "skip_and_die.py"
    database = tmp_path / "rivers.db"
    subprocess.run([sys.executable, script, database, "run"], check=False, timeout=60)
    again = subprocess.run(
        [sys.executable, script, database, "resume"], check=True, timeout=60, capture_output=True
    )
    assert again.stdout.split() == [b"completed", b"0", b"skipped", b"skipped", b"22"]


@pytest.mark.parametrize("strategy", [BackfillStrategy.multi_run(), ONE_RUN], ids=repr)
def test_what_an_earlier_backfill_skipped_and_this_one_leaves_out_is_followed(strategy):
    @rs.Asset(partitions_def=LETTERS)
    def next_of(source):
        return source

    with repository(source, next_of) as repo:
        repo.backfill(["source"], partition_keys=ALL)
        result = repo.backfill(partition_keys=ALL, only_missing=True, strategy=strategy)
        assert (result.status, result.completed) == ("completed", 4)
        assert status(repo, "next_of") == ["materialized", "skipped", "skipped", "materialized"]
