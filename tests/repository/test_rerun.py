"""`rerun_backfill`: a new backfill over exactly the failed and canceled partitions."""

import logging

import pytest
from tests.support import counts, keys

import rivers as rs
from rivers.exceptions import AssetNotFoundError, ExecutionError

LETTERS = ["a", "b", "c", "d", "e", "f"]
DEFINED = rs.PartitionsDefinition.static_(LETTERS)
GRID = rs.PartitionsDefinition.multi(
    {
        "letter": rs.PartitionsDefinition.static_(LETTERS[:3]),
        "digit": rs.PartitionsDefinition.static_(["1", "2"]),
    }
)
ALL = rs.PartitionKeyRange.single("a", "f")


class Flaky:
    """A repository of one asset that fails for the keys in `broken` and records its calls."""

    def __init__(self, *broken, definition=DEFINED, storage=None, clock=None):
        self.broken, self.calls = set(broken), []

        @rs.Asset(partitions_def=definition)
        def flaky(context: rs.AssetExecutionContext):
            self.calls.append([str(key) for key in context.partition.keys])
            for key in context.partition.keys:
                if str(key) in self.broken:
                    context.mark_partition_failed(key, "broken")

        @rs.Asset(partitions_def=definition)
        def other():
            pytest.fail("not selected")

        self.repo = rs.CodeRepository([flaky, other], clock=clock).resolve(
            storage or rs.Storage.memory()
        )

    def backfill(self, **kwargs):
        return self.repo.backfill(
            ["flaky"], **{"partition_range": ALL, "max_concurrency": 1, **kwargs}
        )


def test_rerun_is_a_new_backfill_over_exactly_the_failed_and_canceled():
    flaky = Flaky("b")
    first = flaky.backfill(failure_policy="stop_on_failure")
    assert counts(first) == (1, 1, 4)
    flaky.broken.clear()
    flaky.calls.clear()
    again = flaky.repo.rerun_backfill(first.backfill_id)
    assert again.backfill_id != first.backfill_id
    assert (again.num_partitions, again.status, counts(again)) == (5, "completed", (5, 0, 0))
    assert again.partition_keys == keys("b", "c", "d", "e", "f")
    assert flaky.calls == [["b"], ["c"], ["d"], ["e"], ["f"]]
    assert counts(first) == (1, 1, 4)
    assert flaky.repo.get_backfill(first.backfill_id).failed_partitions == 1


def test_rerun_of_explicit_keys_keeps_their_order():
    flaky = Flaky("e", "a", "c")
    first = flaky.backfill(partition_range=None, partition_keys=keys("e", "f", "c", "a"))
    flaky.calls.clear()
    flaky.repo.rerun_backfill(first.backfill_id)
    assert flaky.calls == [["e"], ["c"], ["a"]]


def test_rerun_keeps_strategy_policy_concurrency_and_tags():
    flaky = Flaky("letter=a|digit=2", "letter=b|digit=1", "letter=b|digit=2", definition=GRID)
    flaky.broken |= {
        str(rs.PartitionKey.multi({"letter": x, "digit": y})) for x, y in ("a2", "b1", "b2")
    }
    strategy = rs.BackfillStrategy.per_dimension(multi_run=["letter"], single_run=["digit"])
    tags = [("team", "data"), ("rivers/priority", "4")]
    first = flaky.backfill(
        partition_range=rs.PartitionKeyRange.multi({}),
        strategy=strategy,
        tags=tags,
        max_concurrency=3,
    )
    assert (first.num_runs, counts(first)) == (3, (3, 3, 0))
    flaky.calls.clear()
    again = flaky.repo.rerun_backfill(first.backfill_id)
    assert (again.num_runs, again.num_partitions) == (2, 3)
    assert sorted(map(len, flaky.calls)) == [1, 2]
    store = flaky.repo.storage._store
    old, new = (store.backfill(result.backfill_id) for result in (first, again))
    same = ("assets", "strategy", "stop_on_failure", "max_concurrency", "priority", "config")
    assert [old[name] for name in same] == [new[name] for name in same]
    assert flaky.repo.get_backfill(again.backfill_id).tags == [
        *tags,
        ("rivers/rerun_of", first.backfill_id),
    ]


@pytest.mark.parametrize("policy", ["continue", "stop_on_failure"])
def test_rerun_keeps_the_failure_policy(policy):
    flaky = Flaky("a", "b")
    first = flaky.backfill(failure_policy=policy)
    again = flaky.repo.rerun_backfill(first.backfill_id)
    assert counts(again) == ((0, 2, 0) if policy == "continue" else (0, 1, 5))


def test_rerun_of_is_one_tag_only():
    flaky = Flaky("b", "c")
    first = flaky.backfill()
    second = flaky.repo.rerun_backfill(first.backfill_id)
    third = flaky.repo.rerun_backfill(second.backfill_id)
    assert flaky.repo.get_backfill(third.backfill_id).tags == [
        ("rivers/rerun_of", second.backfill_id)
    ]
    run = flaky.repo.storage.get_run(third.run_ids[0])
    assert ("rivers/rerun_of", second.backfill_id) in run.tags


def test_rerun_in_a_loop_ends():
    flaky = Flaky("b", "c", "f")
    result = flaky.backfill()
    rounds = 0
    while result.status != "completed":
        flaky.broken.discard(min(flaky.broken))
        result = flaky.repo.rerun_backfill(result.backfill_id)
        rounds += 1
    assert rounds == 3
    assert flaky.repo.storage.get_materialized_partitions("flaky") == keys(*LETTERS)


@pytest.mark.parametrize("dry_run", [False, True])
def test_rerun_of_what_has_nothing_failed_is_empty_and_completed(dry_run):
    flaky = Flaky()
    first = flaky.backfill()
    flaky.calls.clear()
    for block in (True, False):
        again = flaky.repo.rerun_backfill(first.backfill_id, dry_run=dry_run, block=block)
        assert again.status == ("dry_run" if dry_run else "completed")
        assert (again.num_partitions, again.num_runs, counts(again)) == (0, 0, (0, 0, 0))
        assert (again.run_ids, again.partition_keys, flaky.calls) == ([], [], [])
        if not dry_run:
            status = flaky.repo.get_backfill(again.backfill_id)
            assert (status.status, status.total_partitions) == ("completed", 0)
            last = flaky.repo.rerun_backfill(again.backfill_id)
            assert (last.status, last.num_partitions) == ("completed", 0)


def test_rerun_leaves_out_keys_that_are_no_longer_defined_with_a_warning(caplog):
    flaky = Flaky("b", "d")
    first = flaky.backfill()
    fewer = rs.PartitionsDefinition.static_(["f", "d", "a"])
    later = Flaky(definition=fewer, storage=flaky.repo.storage)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "rivers"):
        again = later.repo.rerun_backfill(first.backfill_id)
    assert again.partition_keys == keys("d")
    assert later.calls == [["d"]]
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.name == "rivers"
    assert "1" in record.getMessage()


def test_rerun_with_none_of_its_keys_left_is_refused():
    flaky = Flaky("b", "d")
    first = flaky.backfill()
    later = Flaky(
        definition=rs.PartitionsDefinition.static_(["a", "c"]), storage=flaky.repo.storage
    )
    for dry_run in (True, False):
        with pytest.raises(ExecutionError, match="defined"):
            later.repo.rerun_backfill(first.backfill_id, dry_run=dry_run)


def test_rerun_after_a_dynamic_partition_is_gone(caplog):
    storage = rs.Storage.memory()
    storage.add_dynamic_partitions("customers", ["ada", "bob", "eve"])
    flaky = Flaky(
        "ada", "eve", definition=rs.PartitionsDefinition.dynamic("customers"), storage=storage
    )
    first = flaky.backfill(partition_range=rs.PartitionKeyRange.single("ada", "eve"))
    assert counts(first) == (1, 2, 0)
    storage.delete_dynamic_partition("customers", "ada")
    storage.add_dynamic_partitions("customers", ["zoe"])
    assert flaky.repo.rerun_backfill(first.backfill_id).partition_keys == keys("eve")
    assert "no longer defined" in caplog.text


def test_rerun_after_the_asset_is_gone_is_refused():
    flaky = Flaky("b")
    first = flaky.backfill()
    stranger = rs.Asset(lambda: None, name="stranger", partitions_def=DEFINED)
    repo = rs.CodeRepository([stranger]).resolve(flaky.repo.storage)
    with pytest.raises(AssetNotFoundError, match="flaky"):
        repo.rerun_backfill(first.backfill_id)


def test_rerun_dry_run_stores_nothing():
    flaky = Flaky("b")
    first = flaky.backfill()
    before = len(flaky.repo.storage.get_runs())
    plan = flaky.repo.rerun_backfill(first.backfill_id, dry_run=True)
    assert (plan.status, plan.is_dry_run, plan.partition_keys) == ("dry_run", True, keys("b"))
    assert len(flaky.repo.storage.get_runs()) == before


def test_rerun_still_in_progress_is_refused():
    refused = []

    @rs.Asset(partitions_def=DEFINED)
    def letter(context: rs.AssetExecutionContext):
        with pytest.raises(ExecutionError) as caught:
            repo.rerun_backfill(context.run_id.split(".")[0])
        refused.append(str(caught.value))

    repo = rs.CodeRepository([letter]).resolve(rs.Storage.memory())
    assert repo.backfill(partition_keys=keys("a")).status == "completed"
    assert all(word in refused[0] for word in ("cancel", "wait", "resume"))


def test_rerun_of_a_run_that_failed_as_a_whole_has_all_its_partitions():
    broken = [True]

    @rs.Asset(partitions_def=DEFINED)
    def letter():
        if broken:
            raise ValueError("boom")

    repo = rs.CodeRepository([letter]).resolve(rs.Storage.memory())
    strategy = rs.BackfillStrategy.single_run()
    first = repo.backfill(partition_range=ALL, strategy=strategy)
    broken.clear()
    again = repo.rerun_backfill(first.backfill_id, block=False)
    assert again.status in ("in_progress", "completed")
    repo.close()
    status = repo.get_backfill(again.backfill_id)
    assert (status.completed_partitions, again.num_runs) == (6, 1)
