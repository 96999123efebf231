"""Which assets and partitions a backfill selects, and in what order."""

import pytest

import rivers as rs
from rivers import BackfillStrategy, PartitionKey, PartitionKeyRange, PartitionsDefinition
from rivers.exceptions import AssetNotFoundError, ExecutionError

REGIONS = PartitionsDefinition.static_(["us", "eu", "asia"])
DAYS = PartitionsDefinition.daily("2024-01-01", end="2024-01-04")
GRID = PartitionsDefinition.multi({"d": DAYS, "r": REGIONS})
US = [PartitionKey.single("us")]


@pytest.fixture
def shop(repo):
    """Returns a repository of three assets, of which `plain` is unpartitioned, and the list of calls."""
    calls = []

    def plain():
        calls.append("plain")

    def sales():
        calls.append("sales")

    def returns():
        calls.append("returns")

    assets = [
        rs.Asset(plain),
        rs.Asset(returns, partitions_def=REGIONS, deps=["sales"]),
        rs.Asset(sales, partitions_def=REGIONS),
    ]
    return repo(*assets), calls


@pytest.fixture
def refusal(shop):
    def told(error, *args, **arguments):
        repository, calls = shop
        with pytest.raises(error) as refused:
            repository.backfill(*args, **arguments)
        assert calls == []
        assert repository.storage.get_runs() == []
        return str(refused.value)

    return told


def multi(*pairs):
    return [PartitionKey.multi({"d": f"2024-01-0{day}", "r": region}) for day, region in pairs]


def test_none_selects_all_partitioned_assets(shop):
    repository, calls = shop
    repository.backfill(partition_keys=US)
    assert calls == ["sales", "returns"]


def test_none_without_a_partitioned_asset_is_refused(repo):
    with pytest.raises(ExecutionError, match="no asset of the repository is partitioned"):
        repo(rs.Asset(lambda: None, name="plain")).backfill(partition_keys=US)


@pytest.mark.parametrize("selection", [["plain"], ["sales", "plain"]])
@pytest.mark.parametrize("dry_run", [True, False])
def test_an_unpartitioned_asset_named_explicitly_is_refused(refusal, selection, dry_run):
    told = refusal(ExecutionError, selection, partition_keys=US, dry_run=dry_run)
    assert (
        told
        == "the asset 'plain' is not partitioned, so it cannot be backfilled; use materialize()"
    )


@pytest.mark.parametrize("selection", [["sale"], ["sales", "sale"], ["sale", "plain"]])
@pytest.mark.parametrize("dry_run", [True, False])
def test_an_unknown_asset(refusal, selection, dry_run):
    told = refusal(AssetNotFoundError, selection, partition_keys=US, dry_run=dry_run)
    assert told == (
        "there is no asset 'sale'; the assets are 'plain', 'returns', 'sales'; did you mean 'sales'?"
    )


def test_duplicate_names_run_once(shop):
    repository, calls = shop
    result = repository.backfill(["sales", "sales"], partition_keys=US)
    assert calls == ["sales"]
    assert result.num_partitions == 1


def test_any_iterable_of_names_and_keys(shop):
    repository, calls = shop
    repository.backfill(iter(["sales"]), partition_keys=iter(US))
    assert calls == ["sales"]


def test_neither_of_keys_and_range(refusal):
    told = refusal(ExecutionError)
    assert told == "give either partition_keys or partition_range, neither was given"


def test_both_of_keys_and_range(refusal):
    part = PartitionKeyRange.single("us", "eu")
    told = refusal(ExecutionError, partition_keys=US, partition_range=part)
    assert told == "give either partition_keys or partition_range, not both"
    told = refusal(ExecutionError, partition_keys=[], partition_range=part)
    assert told == "give either partition_keys or partition_range, not both"


def test_empty_partition_keys(refusal):
    assert "partition_keys is empty" in refusal(ExecutionError, partition_keys=[])


def test_empty_selection(refusal):
    assert "selection is empty" in refusal(ExecutionError, [], partition_keys=US)


@pytest.mark.parametrize(
    "arguments",
    [
        {"selection": [1], "partition_keys": US},
        {"partition_keys": [1]},
        {"partition_keys": "us"},
        {"partition_keys": US[0]},
        {"partition_range": ("us", "eu")},
    ],
)
def test_other_types_are_refused(refusal, arguments):
    refusal(TypeError, **arguments)


def test_order_of_runs_of_explicit_keys(repo, recording):
    asset, calls = recording(REGIONS)
    keys = [PartitionKey.single(key) for key in ("asia", "us", "eu")]
    repo(asset).backfill(partition_keys=keys, max_concurrency=1)
    assert calls == [["asia"], ["us"], ["eu"]]


def test_order_of_runs_of_ranges(repo, recording):
    asset, calls = recording(GRID)
    part = PartitionKeyRange.multi({"r": ["asia", "us"], "d": ("2024-01-02", "2024-01-03")})
    repo(asset).backfill(partition_range=part, max_concurrency=1)
    expected = [(2, "us"), (2, "asia"), (3, "us"), (3, "asia")]
    assert calls == [[f"d=2024-01-0{day}|r={region}"] for day, region in expected]


def test_order_of_groups_of_per_dimension(repo, recording):
    asset, calls = recording(GRID)
    keys = multi((3, "eu"), (1, "us"), (3, "us"), (2, "asia"))
    strategy = BackfillStrategy.per_dimension(multi_run=["d"], single_run=["r"])
    repo(asset).backfill(partition_keys=keys, strategy=strategy, max_concurrency=1)
    assert calls == [
        ["d=2024-01-03|r=us", "d=2024-01-03|r=eu"],
        ["d=2024-01-01|r=us"],
        ["d=2024-01-02|r=asia"],
    ]


def test_keys_inside_a_run_have_definition_order(repo, recording):
    asset, calls = recording(GRID)
    keys = multi((3, "eu"), (1, "asia"), (3, "us"), (1, "us"))
    result = repo(asset).backfill(partition_keys=keys, strategy=BackfillStrategy.single_run())
    expected = [(1, "us"), (1, "asia"), (3, "us"), (3, "eu")]
    assert calls == [[f"d=2024-01-0{day}|r={region}" for day, region in expected]]
    assert result.partition_keys == keys


def test_a_key_that_is_none_of_the_definition_is_refused(repo):
    repository = repo(GRID)
    for key, told in (
        ({"d": "2024-01-01", "r": "ue"}, 'key "ue" of the dimension "r" is not defined'),
        ({"d": "2024-01-09", "r": "eu"}, 'key "2024-01-09" of the dimension "d" is after the end'),
        ({"d": "2024-01-01"}, 'has no value for the dimension "r"'),
        ({"d": "2024-01-01", "r": "eu", "x": "y"}, 'there is no dimension "x"'),
    ):
        with pytest.raises(rs.exceptions.PartitionValidationError, match=told):
            repository.backfill(partition_keys=[PartitionKey.multi(key)], dry_run=True)
    with pytest.raises(
        rs.exceptions.PartitionValidationError, match='"d", "r"; give a value for each'
    ):
        repository.backfill(partition_keys=US, dry_run=True)
