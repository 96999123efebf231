"""External assets: produced elsewhere, read by other assets, never run."""

import pickle

import pytest
from tests.support import key, letters

import rivers as rs
from rivers.exceptions import AssetDefinitionError, ExecutionError

LETTERS = letters(3)
ALL = rs.PartitionKeyRange.single("a", "c")


@pytest.fixture
def prices(tmp_path):
    """Returns an external asset whose values exist."""
    handler = rs.PickleIOHandler(tmp_path)
    asset = rs.Asset.external("prices", io_handler=handler, partitions_def=LETTERS)
    maker = rs.Asset(
        lambda context: ord(context.partition_key), name="prices", partitions_def=LETTERS,
        io_handler=handler,
    )  # fmt: skip
    with rs.CodeRepository([maker]).resolve(rs.Storage.memory()) as elsewhere:
        elsewhere.backfill(partition_range=ALL)
    return asset


@pytest.fixture
def twice():
    return rs.Asset(lambda prices: 2 * prices, name="twice", partitions_def=LETTERS)


@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(2)])
def test_its_values_are_loaded_and_it_is_left_out_of_all(repo, prices, twice, executor):
    repository = repo(prices, twice, default_executor=executor)
    result = repository.backfill(partition_range=ALL)
    assert result.status == "completed"
    assert repository.backfills()["assets"].to_list() == [["twice"]]
    assert repository.load_node("prices", key("b")) == ord("b")
    assert repository.materialize(partition_key=key("a")).success


def test_it_is_refused_where_it_is_selected(repo, prices, twice):
    repository = repo(prices, twice)
    for run in (
        lambda: repository.backfill(["prices"], partition_range=ALL),
        lambda: repository.backfill(["twice", "prices"], partition_range=ALL, dry_run=True),
        lambda: repository.materialize(["prices"], key("a")),
        lambda: repository.submit(["prices"], key("a")),
    ):
        with pytest.raises(ExecutionError, match="'prices' is external"):
            run()
    assert repository.backfills().height == 0


def test_it_has_mappings_deps_and_definitions_by_name(repo, prices):
    last = rs.AssetDef.input("prices", rs.PartitionMapping.static_({"a": "c", "b": "c", "c": "c"}))
    latest = rs.Asset(lambda prices: prices, name="latest", partitions_def=LETTERS, deps=[last])
    behind = rs.Asset(lambda: 1, name="behind", deps=[prices])
    repository = repo(latest, prices, behind)
    assert repository.backfill(["latest"], partition_range=ALL).completed == 3
    assert repository.materialize(["behind"]).success
    named = rs.Asset.external("named", io_handler=prices.io_handler, partitions_def="letters")
    repository = repo(named, partition_defs={"letters": LETTERS})
    with pytest.raises(ExecutionError, match="nothing to backfill"):
        repository.backfill(partition_range=ALL)


def test_what_is_not_there_fails_who_takes_it(repo, tmp_path, twice):
    handler = rs.PickleIOHandler(tmp_path)
    missing = rs.Asset.external("prices", io_handler=handler, partitions_def=LETTERS)
    repository = repo(missing, twice)
    result = repository.backfill(partition_range=ALL)
    assert result.failed == 3


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: rs.Asset.external("a", io_handler=None), "needs an io_handler"),
        (lambda: rs.Asset.external("a", io_handler=3), "io_handler"),
        (lambda: rs.Asset.external(3, io_handler=rs.InMemoryIOHandler()), "must be a str"),
        (lambda: rs.Asset.external("a|b", io_handler=rs.InMemoryIOHandler()), "printable"),
        (rs.Asset.external("a", io_handler=rs.InMemoryIOHandler()), "has no function"),
    ],
)
def test_what_is_no_external_asset_is_refused(make, told):
    with pytest.raises(AssetDefinitionError, match=told):
        make()


def test_a_value_in_memory_stays_in_its_process(repo, twice):
    prices = rs.Asset.external("prices", io_handler=rs.InMemoryIOHandler(), partitions_def=LETTERS)
    repository = repo(prices, twice, default_executor=rs.Executor.parallel(1))
    with pytest.raises(ExecutionError, match="memory of one process"):
        repository.backfill(partition_range=ALL)


def test_it_can_be_pickled(prices):
    assert pickle.loads(pickle.dumps(prices)).name == "prices"
