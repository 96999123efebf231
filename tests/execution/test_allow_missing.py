"""Inputs that take what exists."""

import pytest
from tests.support import counts, key, keys, letters, repository

import rivers as rs
from rivers.io import BaseIOHandler, PickleIOHandler

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01")
MONTHS = rs.PartitionsDefinition.time_window(
    "2024-01-01", cron_schedule="@monthly", fmt="%Y-%m", end="2024-02-01"
)
BAD = "2024-01-13"


class Shelf(BaseIOHandler):
    """A user's handler, which raises what a dict raises."""

    def __init__(self):
        self.kept = {}

    def handle_output(self, context, value):
        self.kept.update({(context.asset_name, each): value for each in context.partitions})

    def load_input(self, context):
        found = [self.kept[context.asset_name, each] for each in context.partitions]
        return (
            found[0]
            if len(found) == 1
            else dict(zip((k.key[0] for k in context.partitions), found, strict=True))
        )


def month_over_days(handler=None, fails=True):
    seen = []

    @rs.Asset(partitions_def=DAYS, io_handler=handler)
    def day(context: rs.AssetExecutionContext):
        if fails and context.partition_key == BAD:
            raise ValueError("bad day")
        return 1

    takes = rs.AssetDef.input("day", rs.PartitionMapping.time_window(), allow_missing=True)

    @rs.Asset(partitions_def=MONTHS, deps=[takes], io_handler=handler)
    def month(context: rs.AssetExecutionContext, day):
        seen.append((day, context.missing_inputs))
        return len(day)

    return repository(day, month), seen


@pytest.mark.parametrize("kind", ["memory", "pickle", "user"])
def test_a_failed_day_does_not_fail_the_month_of_the_same_backfill(kind, tmp_path):
    handler = {"memory": lambda: None, "pickle": lambda: PickleIOHandler(tmp_path), "user": Shelf}[
        kind
    ]()
    repo, seen = month_over_days(handler)
    result = repo.backfill(["month"], partition_keys=keys("2024-01"), include_upstream=True)
    assert counts(result) == (31, 1, 0)
    ((days, missing),) = seen
    assert len(days) == 30
    assert BAD not in days
    assert missing == {"day": keys(BAD)}


def test_a_month_without_any_day_receives_an_empty_dict():
    repo, seen = month_over_days()
    result = repo.backfill(["month"], partition_keys=keys("2024-01"))
    assert counts(result) == (1, 0, 0)
    ((days, missing),) = seen
    assert days == {}
    assert len(missing["day"]) == 31


def test_nothing_is_missing_if_all_exists():
    repo, seen = month_over_days(fails=False)
    repo.backfill(["month"], partition_keys=keys("2024-01"), include_upstream=True)
    assert seen[0][1] == {}


def test_a_rerun_executes_only_the_failed_day():
    repo, seen = month_over_days()
    result = repo.backfill(["month"], partition_keys=keys("2024-01"), include_upstream=True)
    rerun = repo.rerun_backfill(result.backfill_id)
    assert counts(rerun) == (0, 1, 0)
    assert len(seen) == 1


def one_to_one(strategy, default=False):
    seen = {}

    @rs.Asset(partitions_def=letters(3))
    def source(context: rs.AssetExecutionContext):
        for each in context.partition.keys:
            if each == key("b"):
                context.mark_partition_failed(each, "no")
        return {each: each.key[0] for each in context.partition.keys}

    deps = [rs.AssetDef.input("source", allow_missing=True)]

    if default:

        @rs.Asset(partitions_def=letters(3), deps=deps)
        def taker(context: rs.AssetExecutionContext, source="default"):
            seen[str(context.partition)] = source

    else:

        @rs.Asset(partitions_def=letters(3), deps=deps)
        def taker(context: rs.AssetExecutionContext, source):
            seen[len(context.partition.keys), context.partition.key.key[0]] = (
                source,
                context.missing_inputs,
            )

    repo = repository(source, taker)
    return repo.backfill(partition_keys=keys("a", "b", "c"), strategy=strategy), repo, seen


def test_a_marked_partition_of_the_same_run_is_none_downstream():
    result, _, seen = one_to_one(rs.BackfillStrategy.multi_run())
    assert seen[1, "b"] == (None, {"source": keys("b")})
    assert seen[1, "a"] == ("a", {})
    assert counts(result) == (2, 1, 0)


def test_a_run_of_several_partitions_receives_the_ones_that_exist():
    _, _, seen = one_to_one(rs.BackfillStrategy.single_run())
    assert seen == {(3, "a"): ({"a": "a", "c": "c"}, {"source": keys("b")})}


def test_a_default_stands_for_what_is_missing():
    _, _, seen = one_to_one(rs.BackfillStrategy.multi_run(), default=True)
    assert sorted(map(str, seen.values())) == ["a", "c", "default"]


def test_a_failed_upstream_of_the_same_run_does_not_block():
    seen = []

    @rs.Asset(partitions_def=letters(1))
    def source():
        raise ValueError("no")

    @rs.Asset(partitions_def=letters(1), deps=[rs.AssetDef.input("source", allow_missing=True)])
    def taker(source):
        seen.append(source)

    repo = repository(source, taker)
    repo.backfill(partition_keys=keys("a"))
    assert seen == [None]


def test_a_retried_upstream_is_awaited():
    attempts, seen = [], []

    @rs.Asset(partitions_def=letters(1), retry=rs.RetryPolicy(2, backoff=rs.Backoff.constant(0)))
    def source():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "made"

    @rs.Asset(partitions_def=letters(1), deps=[rs.AssetDef.input("source", allow_missing=True)])
    def taker(source):
        seen.append(source)

    repository(source, taker).backfill(partition_keys=keys("a"))
    assert seen == ["made"]


def test_an_error_that_is_not_about_existence_still_fails():
    class Broken(Shelf):
        def load_input(self, context):
            raise RuntimeError("disk on fire")

    repo, seen = month_over_days(Broken())
    result = repo.backfill(["month"], partition_keys=keys("2024-01"))
    assert counts(result) == (0, 1, 0)
    assert seen == []


def test_in_worker_processes(tmp_path):
    day_handler = PickleIOHandler(tmp_path)

    @rs.Asset(partitions_def=letters(3), io_handler=day_handler)
    def source(context: rs.AssetExecutionContext):
        if context.partition_key == "b":
            raise ValueError("no")
        return context.partition_key

    takes = rs.AssetDef.input("source", rs.PartitionMapping.all_partitions(), allow_missing=True)

    @rs.Asset(partitions_def=letters(1), deps=[takes], io_handler=day_handler)
    def taker(context: rs.AssetExecutionContext, source):
        return sorted(source), [str(each) for each in context.missing_inputs["source"]]

    with repository(source, taker, default_executor=rs.Executor.parallel(2)) as repo:
        repo.backfill(["taker"], partition_keys=keys("a"), include_upstream=True)
        assert repo.load_node("taker", key("a")) == (["a", "c"], ["b"])


def test_allow_missing_is_a_bool():
    with pytest.raises(rs.exceptions.AssetDefinitionError, match="allow_missing"):
        rs.AssetDef.input("source", allow_missing="yes")


def test_a_skipped_partition_does_not_skip_what_does_without_it():
    seen = []

    @rs.Asset(partitions_def=letters(2))
    def source(context: rs.AssetExecutionContext):
        if context.partition_key == "a":
            raise rs.Skip("closed")
        return 1

    @rs.Asset(partitions_def=letters(2), deps=[rs.AssetDef.input("source", allow_missing=True)])
    def taker(source):
        seen.append(source)

    repository(source, taker).backfill(partition_keys=keys("a", "b"), max_concurrency=1)
    assert seen == [None, 1]
