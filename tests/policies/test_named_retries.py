"""Retry policies by name: `CodeRepository(retries=)` has them, assets, tasks and calls refer to them."""

import pytest

import rivers as rs
from rivers.exceptions import ConfigurationError

LETTERS = rs.PartitionsDefinition.static_(["a"])
KEYS = [rs.PartitionKey.single("a")]
NET = {"net": rs.RetryPolicy(2)}


@pytest.fixture
def failing():
    """Makes a function that fails a number of times, and the list of its calls."""

    def make(times):
        calls = []

        def fails():
            calls.append(1)
            if len(calls) <= times:
                raise ConnectionError
            return 1

        return fails, calls

    return make


def test_an_asset_names_its_policy(repo, failing):
    fails, calls = failing(2)
    repository = repo(rs.Asset(fails, partitions_def=LETTERS, retry="net"), retries=NET)
    assert repository.backfill(partition_keys=KEYS).completed == 1
    assert len(calls) == 3


def test_a_multi_asset_names_its_policy(repo, failing):
    fails, calls = failing(2)
    step = rs.Asset.from_multi(
        lambda: {"x": fails()}, name="step", output_defs=[rs.AssetDef("x")], retry="net"
    )
    assert repo(step, retries=NET).materialize().success
    assert len(calls) == 3


def test_a_task_names_its_policy(repo, failing):
    fails, calls = failing(2)
    task = rs.Task(fails, name="task", retry="net")
    graph = rs.Asset.from_graph(lambda: task(), name="graph")  # noqa: PLW0108  (it calls a task)
    assert repo(graph, retries=NET).materialize().success
    assert len(calls) == 3


def test_a_backfill_names_its_policy_and_keeps_it_as_it_was(repo, failing):
    storage = rs.Storage.memory()
    fails, calls = failing(100)
    repository = repo(rs.Asset(fails, partitions_def=LETTERS), retries=NET, storage=storage)
    failed = repository.backfill(partition_keys=KEYS, retry="net")
    assert len(calls) == 3
    later = repo(
        rs.Asset(fails, partitions_def=LETTERS),
        retries={"net": rs.RetryPolicy(0)},
        storage=storage,
    )
    assert later.rerun_backfill(failed.backfill_id).failed == 1
    assert len(calls) == 6


def test_the_default_policy_may_be_named(repo, failing):
    fails, calls = failing(2)
    repository = repo(rs.Asset(fails), retries=NET, default_retry_policy="net")
    assert repository.materialize().success
    assert len(calls) == 3


TASK = rs.Task(lambda: 1, name="task", retry="nett")


@pytest.mark.parametrize(
    ("asset", "options"),
    [
        (rs.Asset(lambda: 1, name="a", retry="nett"), {}),
        (rs.Asset.from_graph(lambda: TASK(), name="g"), {}),  # noqa: PLW0108  (it calls a task)
        (rs.Asset(lambda: 1, name="a"), {"default_retry_policy": "nett"}),
    ],
)
def test_an_unknown_name_is_refused_when_the_repository_is_made(asset, options):
    with pytest.raises(ConfigurationError, match=r"'nett'.*has 'net'; did you mean 'net'"):
        rs.CodeRepository([asset], retries=NET, **options)


def test_an_unknown_name_is_refused_at_the_call(repo):
    repository = repo(rs.Asset(lambda: 1, name="a", partitions_def=LETTERS), retries=NET)
    with pytest.raises(ConfigurationError, match=r"retry names .*'nett'"):
        repository.backfill(partition_keys=KEYS, retry="nett", dry_run=True)
    assert repository.backfills().height == 0


@pytest.mark.parametrize("retries", [3, ["net"], {"net": 3}, {3: rs.RetryPolicy(1)}])
def test_what_is_no_dict_of_policies_is_refused(retries):
    with pytest.raises(ConfigurationError, match="retries"):
        rs.CodeRepository([], retries=retries)
