"""Values that exist no longer, and what tables, selections and loading make of them."""

import shutil

import pytest
from tests.support import key, keys, letters, repository

import rivers as rs
from rivers.exceptions import ExecutionError

ABC = letters(3)


def test_the_values_of_a_removed_file_are_missing(tmp_path):
    @rs.Asset(partitions_def=ABC)
    def x() -> int:
        return 1

    repo = repository(x, storage=rs.Storage.open(str(tmp_path / "s.db")))
    repo.backfill(partition_keys=ABC.select())
    repo.report_materialized("x", keys("c"))
    repo.close()
    shutil.rmtree(tmp_path / "s.db-values")
    repo = repository(x, storage=rs.Storage.open(str(tmp_path / "s.db")))
    # Nobody knows where the value of a reported partition is.
    assert repo.partition_status("x")["status"].to_list() == ["missing", "missing", "materialized"]
    assert repo.backfill(partition_keys=ABC.select(), only_missing=True).num_partitions == 2
    assert repo.load_node("x", key("a")) == 1
    repo.close()


@pytest.mark.parametrize("handler", [None, rs.InMemoryIOHandler()])
def test_nothing_can_be_loaded_after_a_skip(handler):
    skips = []

    @rs.Asset(partitions_def=ABC, io_handler=handler)
    def x(context: rs.AssetExecutionContext):
        if context.partition_key in skips:
            raise rs.Skip("holiday")
        return 1

    repo = repository(x)
    repo.backfill(partition_keys=ABC.select())
    skips.append("b")
    repo.backfill(partition_keys=keys("b"))
    with pytest.raises(ExecutionError, match="skipped"):
        repo.load_node("x", key("b"))
    assert repo.load_node("x", rs.PartitionKey.single(["a", "b", "c"])) == {"a": 1, "c": 1}
    skips.clear()
    repo.backfill(partition_keys=keys("b"))
    assert repo.load_node("x", key("b")) == 1


def test_what_needs_an_unpartitioned_asset_follows_its_skip_in_later_backfills():
    called = []

    @rs.Asset
    def rates():
        raise rs.Skip("no rates")

    @rs.Asset(partitions_def=ABC)
    def sales(context: rs.AssetExecutionContext, rates):
        called.append(context.partition_key)
        return 1

    repo = repository(rates, sales)
    repo.materialize(["rates"])
    result = repo.backfill(["sales"], partition_keys=ABC.select())
    assert (result.status, called) == ("completed", [])
    assert repo.partition_status("sales")["status"].to_list() == ["skipped"] * 3


def test_the_table_of_a_backfill_over_letters_and_days():
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-03")

    @rs.Asset(partitions_def=days)
    def up() -> None: ...

    @rs.Asset(
        partitions_def=ABC,
        deps=[rs.AssetDef.dep("up", partition_mapping=rs.PartitionMapping.all_partitions())],
    )
    def down() -> None: ...

    repo = repository(up, down)
    result = repo.backfill(["down"], partition_keys=keys("a"), include_upstream=True)
    table = repo.backfill_partitions(result.backfill_id)
    assert sorted(table["partition"].to_list()) == ["2024-01-01", "2024-01-02", "a"]


def test_a_rerun_leaves_out_an_asset_whose_keys_are_not_defined_any_more():
    def assets(end):
        days = rs.PartitionsDefinition.daily("2024-01-01", end=end)

        @rs.Asset(partitions_def=days)
        def up() -> None:
            raise ValueError("broken")

        @rs.Asset(
            partitions_def=ABC,
            deps=[rs.AssetDef.dep("up", partition_mapping=rs.PartitionMapping.all_partitions())],
        )
        def down() -> None: ...

        return up, down

    storage = rs.Storage.memory()
    first = repository(*assets("2024-01-05"), storage=storage)
    everything = {"selection": ["up", "down"], "partition_keys": keys("2024-01-04")}
    failed = first.backfill(**everything)
    assert failed.failed > 1
    again = repository(*assets("2024-01-03"), storage=storage).rerun_backfill(failed.backfill_id)
    assert again.partitions_per_asset == {"down": 3}


@pytest.mark.parametrize("hint", [None, rs.Materialization])
def test_what_a_function_has_stored_itself_is_not_missing(tmp_path, hint):
    def stored(context):
        return rs.Materialization(metadata={"key": context.partition_key})

    stored.__annotations__ = {} if hint is None else {"return": hint}
    asset = rs.Asset(stored, partitions_def=rs.PartitionsDefinition.static_(["a", "b"]))
    whole = rs.PartitionKeyRange.single("a", "b")
    for expected in (2, 0):  # The second repository finds it, too.
        with rs.CodeRepository([asset]).resolve(rs.Storage.embedded(tmp_path / "r.db")) as repo:
            made = repo.backfill(partition_range=whole, only_missing=True).num_partitions
            assert made == expected
            assert repo.partition_status("stored")["status"].to_list() == ["materialized"] * 2
            assert repo.backfill(partition_range=whole, only_missing=True).num_partitions == 0
            with pytest.raises(ExecutionError, match="returns a Materialization"):
                repo.load_node("stored", partition_key=rs.PartitionKey.single("a"))


@pytest.mark.parametrize(
    "executor", [rs.Executor.in_process(), rs.Executor.parallel(max_workers=1)], ids=repr
)
def test_data_that_a_function_stores_itself_outlives_the_memory_of_its_process(executor):
    @rs.Asset(partitions_def=ABC, io_handler=rs.InMemoryIOHandler())
    def stored() -> rs.Materialization:
        return rs.Materialization()

    storage = rs.Storage.memory()
    with repository(stored, storage=storage, default_executor=executor) as repo:
        assert repo.backfill(partition_keys=ABC.select()).status == "completed"
        assert repo.partition_status("stored")["status"].to_list() == ["materialized"] * 3
        assert repo.backfill(partition_keys=ABC.select(), only_missing=True).num_partitions == 0
