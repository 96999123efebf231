"""The context: what a function learns about its run."""

import logging
import sys
from datetime import datetime

import pytest
from tests.support import counts, keys, letters, repository

import rivers as rs
from rivers.exceptions import PartitionValidationError

LETTERS = letters(4)
GRID = rs.PartitionsDefinition.multi(
    {
        "day": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04"),
        "region": rs.PartitionsDefinition.static_(["us", "eu"]),
    }
)
ONE_RUN = rs.BackfillStrategy.single_run()


def test_context_attributes():
    seen = {}

    @rs.Asset(partitions_def=LETTERS, metadata={"unit": "pieces"})
    def described(context: rs.AssetExecutionContext):
        partition = context.partition
        seen.update(
            name=context.asset_name,
            metadata=context.asset_metadata,
            run_id=context.run_id,
            tags=context.run_tags,
            log=context.log,
            has=context.has_partition_key,
            keys=partition.keys,
            key=partition.key,
            definition=partition.definition,
        )

    repo = repository(described)
    result = repo.backfill(partition_keys=keys("b", "a"), strategy=ONE_RUN, tags=[("team", "data")])
    assert result.status == "completed"
    assert seen["name"] == "described"
    assert seen["metadata"] == {"unit": "pieces"}
    assert [seen["run_id"]] == result.run_ids
    assert ("team", "data") in seen["tags"]
    assert isinstance(seen["log"], logging.Logger)
    assert seen["has"] is True
    assert seen["keys"] == keys("a", "b")
    assert type(seen["keys"]) is list
    assert seen["key"] == keys("a")[0]
    assert seen["definition"] == LETTERS


def test_context_of_a_multi_partitioned_asset():
    seen = []

    @rs.Asset(partitions_def=GRID)
    def cell(context: rs.AssetExecutionContext):
        seen.append((context.partition_key, context.partition.key.keys))

    key = rs.PartitionKey.multi({"region": "eu", "day": "2024-01-02"})
    repository(cell).backfill(partition_keys=[key])
    assert seen == [("day=2024-01-02|region=eu", {"day": ["2024-01-02"], "region": ["eu"]})]


def test_time_window():
    seen = []

    @rs.Asset(partitions_def=rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01"))
    def day(context: rs.AssetExecutionContext):
        seen.append(context.partition.time_window())

    @rs.Asset(partitions_def=GRID)
    def cell(context: rs.AssetExecutionContext):
        seen.append((context.partition.time_window("day"), context.partition.time_window()))

    repo = repository(day, cell)
    january = rs.PartitionKeyRange.single("2024-01-10", "2024-01-12")
    repo.backfill(["day"], partition_range=january, strategy=ONE_RUN)
    assert seen.pop() == (datetime(2024, 1, 10), datetime(2024, 1, 13))
    key = rs.PartitionKey.multi({"day": "2024-01-02", "region": ["us", "eu"]})
    repo.backfill(["cell"], partition_keys=[key], strategy=ONE_RUN)
    window = (datetime(2024, 1, 2), datetime(2024, 1, 3))
    assert seen == [(window, window)]


def test_time_window_without_a_time_dimension_is_none():
    seen = []

    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        seen.append((context.partition.time_window(), context.partition_time_window))

    @rs.Asset(partitions_def=rs.PartitionsDefinition.multi({"a": LETTERS, "b": LETTERS}))
    def pair(context: rs.AssetExecutionContext):
        seen.append((context.partition.time_window(), context.partition_time_window))
        with pytest.raises(PartitionValidationError, match="no time windows"):
            context.partition.time_window("a")

    repo = repository(letter, pair)
    assert repo.backfill(["letter"], partition_keys=keys("a")).status == "completed"
    key = rs.PartitionKey.multi({"a": "a", "b": "b"})
    assert repo.backfill(["pair"], partition_keys=[key]).status == "completed"
    assert seen == [(None, None)] * 2


def test_time_window_of_two_time_dimensions_needs_a_name():
    day = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04")
    both = rs.PartitionsDefinition.multi({"of": day, "seen": day})
    partition = rs.PartitionContext(
        [rs.PartitionKey.multi({"of": "2024-01-01", "seen": "2024-01-02"})], both
    )
    with pytest.raises(PartitionValidationError, match="several"):
        partition.time_window()
    assert partition.time_window("seen")[0] == datetime(2024, 1, 2)


def test_context_of_an_unpartitioned_asset():
    seen = []

    @rs.Asset
    def plain(context: rs.AssetExecutionContext):
        seen.append((context.partition, context.partition_time_window, context.has_partition_key))
        with pytest.raises(PartitionValidationError, match="not partitioned"):
            _ = context.partition_key

    assert repository(plain).materialize().success
    assert seen == [(None, None, False)]


def test_partition_time_window_is_that_of_the_partitions():
    seen = []

    @rs.Asset(partitions_def=GRID)
    def cell(context: rs.AssetExecutionContext):
        seen.append(context.partition_time_window)

    key = rs.PartitionKey.multi({"day": ["2024-01-02", "2024-01-03"], "region": "us"})
    repository(cell).backfill(partition_keys=[key], strategy=ONE_RUN)
    assert seen == [(datetime(2024, 1, 2), datetime(2024, 1, 4))]


def test_context_describes_the_asset_and_not_the_run():
    seen = {}

    @rs.Asset(
        tags={"team": "sales"},
        kinds=["table", "sql"],
        group="reports",
        code_version="v3",
        metadata={"unit": "EUR"},
    )
    def described(context: rs.AssetExecutionContext):
        seen["asset"] = context

    @rs.Asset
    def bare(context: rs.AssetExecutionContext):
        seen["bare"] = context

    repository(described, bare).materialize(tags=[("run", "nightly")])
    asset, bare_asset = seen["asset"], seen["bare"]
    assert asset.tags == {"team": "sales"}
    assert asset.kinds == ["table", "sql"]
    assert (asset.group, asset.code_version) == ("reports", "v3")
    assert asset.asset_metadata == {"unit": "EUR"}
    assert asset.run_tags == [("run", "nightly")]
    assert (asset.is_multi_asset, asset.output_selection) == (False, [])
    assert repr(asset) == "AssetExecutionContext(asset_name='described')"
    assert (bare_asset.tags, bare_asset.kinds, bare_asset.group) == (None, [], None)
    assert (bare_asset.code_version, bare_asset.asset_metadata) == (None, None)


def test_context_of_a_multi_asset_describes_its_function():
    seen = []

    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("left", tags=["own"], metadata={"own": 1}), rs.AssetDef("right")],
        tags=["all"],
        metadata={"unit": "EUR"},
    )
    def both(context: rs.AssetExecutionContext):
        seen.append((context.asset_name, context.tags, context.asset_metadata))
        return {"left": 1, "right": 2}

    repository(both).materialize()
    assert seen == [("both", ["all"], {"unit": "EUR"})]


def test_config_without_a_model_is_none():
    seen = []

    @rs.Asset
    def plain(context: rs.AssetExecutionContext):
        seen.append(context.config)

    repository(plain).materialize()
    assert seen == [None]


def test_partition_key_is_an_error_where_the_run_has_several():
    seen = []

    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        seen.append(context.partition_key)

    repo = repository(letter)
    assert repo.backfill(partition_keys=keys("a", "b"), max_concurrency=1).status == "completed"
    assert seen == ["a", "b"]
    result = repo.backfill(partition_keys=keys("a", "b"), strategy=ONE_RUN)
    assert counts(result) == (0, 2, 0)
    assert "partition.keys" in repo.get_backfill(result.backfill_id).error


@pytest.mark.parametrize("parameter", ["annotated", "named"])
def test_the_context_is_found_by_name_or_annotation(parameter):
    seen = []
    if parameter == "annotated":

        @rs.Asset(partitions_def=LETTERS)
        def letter(run: rs.AssetExecutionContext):
            seen.append(run.partition_key)
    else:

        @rs.Asset(partitions_def=LETTERS)
        def letter(context):
            seen.append(context.partition_key)

    repository(letter).backfill(partition_keys=keys("d"))
    assert seen == ["d"]


def raised_beside(context):
    try:
        return int("x")
    except ValueError as error:
        return error


KEPT = {
    "the context": lambda context: context,
    "a method of it": lambda context: context.skip_partition,
    "a frame that has it": lambda context: sys._getframe(),
    "a generator that has it": lambda context: (context for _ in [1]),
    "an exception that was raised where it is": raised_beside,
}


def context_in(kept):
    if isinstance(kept, ValueError):
        kept = kept.__traceback__.tb_frame
    if hasattr(kept, "f_locals"):
        return kept.f_locals["context"]
    return next(kept, None) if hasattr(kept, "send") else getattr(kept, "__self__", kept)


@pytest.mark.parametrize("what", KEPT)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_a_context_that_something_has_kept_stays_that_of_its_run(what, is_async):
    kept, seen = [], []

    def keep(context):
        seen.append(context.partition_key)
        kept.append(KEPT[what](context))

    async def keep_async(context):
        keep(context)

    asset = rs.Asset(keep_async if is_async else keep, name="a", partitions_def=letters(8))
    whole = rs.PartitionKeyRange.single("a", "h")
    repository(asset).backfill(partition_range=whole, max_concurrency=1)
    contexts = [context_in(own) for own in kept]
    assert seen == list("abcdefgh")
    assert [context.partition_key for context in contexts] == seen
    assert len({context.run_id for context in contexts}) == 8


ASKED = {
    "log": lambda context: context.log.info("%s", context.partition_key),
    "metadata": lambda context: context.add_output_metadata({"key": context.partition_key}),
    "run": lambda context: context.run_id,
    "partition": lambda context: context.partition.keys,
    "skip": lambda context: context.skip_partition(context.partition_key, "b"),
    "nothing": lambda context: None,
}


@pytest.mark.parametrize("what", ASKED)
def test_what_one_run_asks_of_its_context_does_not_reach_the_next(what, caplog):
    asset_names, keys, runs = [], [], []

    @rs.Asset(name="a", partitions_def=letters(6))
    def work(context):
        if context.partition_key in "bd":
            ASKED[what](context)
        else:
            keys.append(context.partition_key)
        if context.partition_key in "cf":
            asset_names.append(context.asset_name)
            runs.append(context.run_id)

    repo = repository(work)
    with caplog.at_level("INFO", logger="rivers.assets"):
        whole = rs.PartitionKeyRange.single("a", "f")
        result = repo.backfill(partition_range=whole, max_concurrency=1)
    assert result.completed == 6
    assert keys == ["a", "c", "e", "f"]
    assert asset_names == ["a", "a"]
    assert len(set(runs)) == 2
    logged = [(record.partition, record.getMessage()) for record in caplog.records]
    assert logged == ([("b", "b"), ("d", "d")] if what == "log" else [])
