"""Inputs that neither exist nor will be materialized are named when a backfill is submitted."""

import logging

import pytest
from tests.support import counts, key, keys, letters, repository

import rivers as rs
from rivers.exceptions import ExecutionError
from rivers.io import InMemoryIOHandler, OutputContext, PickleIOHandler


def pair(handler=None, mapping=None, **options):
    calls = []

    @rs.Asset(partitions_def=letters(3), io_handler=handler)
    def source(context: rs.AssetExecutionContext):
        calls.append(context.partition_key)
        return context.partition_key

    @rs.Asset(partitions_def=letters(3), deps=[rs.AssetDef.input("source", mapping, **options)])
    def taker(context: rs.AssetExecutionContext, source):
        calls.append("taker " + context.partition_key)

    return repository(source, taker), calls


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_memory_handler_refuses_with_count_and_first_key(dry_run):
    repo, calls = pair()
    repo.backfill(["source"], partition_keys=keys("a"))
    calls.clear()
    with pytest.raises(
        ExecutionError, match=r"'taker' takes 2 partitions of 'source'.*first 'b'.*include_upstream"
    ):
        repo.backfill(["taker"], partition_keys=keys("a", "b", "c"), dry_run=dry_run)
    assert calls == []
    assert repo.backfills().height == 1


def test_what_is_materialized_or_selected_is_not_missing():
    repo, _ = pair()
    repo.backfill(["source"], partition_keys=keys("a"))
    assert counts(repo.backfill(["taker"], partition_keys=keys("a"))) == (1, 0, 0)
    assert counts(repo.backfill(["source", "taker"], partition_keys=keys("b"))) == (1, 0, 0)
    assert counts(repo.backfill(["taker"], partition_keys=keys("c"), include_upstream=True)) == (
        1,
        0,
        0,
    )


def test_a_mapping_decides_what_is_needed():
    repo, _ = pair(mapping=rs.PartitionMapping.all_partitions())
    with pytest.raises(ExecutionError, match="takes 2 partitions of 'source'"):
        repo.backfill(["source", "taker"], partition_keys=keys("b"))


def test_an_input_that_may_be_missing_is_not_named():
    repo, calls = pair(allow_missing=True)
    assert counts(repo.backfill(["taker"], partition_keys=keys("a"))) == (1, 0, 0)
    assert calls == ["taker a"]


def test_a_handler_whose_values_may_come_from_elsewhere_warns(tmp_path, caplog):
    repo, _ = pair(PickleIOHandler(tmp_path))
    with caplog.at_level(logging.WARNING, "rivers"):
        result = repo.backfill(["taker"], partition_keys=keys("a"), dry_run=True)
    assert result.status == "dry_run"
    assert "'taker' takes 1 partition of 'source'" in caplog.text
    assert "'a'" in caplog.text


def test_nothing_is_logged_where_nothing_is_missing(tmp_path, caplog):
    repo, _ = pair(PickleIOHandler(tmp_path))
    with caplog.at_level(logging.WARNING, "rivers"):
        repo.backfill(["source"], partition_keys=keys("a"))
        repo.backfill(["taker"], partition_keys=keys("a"))
    assert caplog.text == ""


def test_values_that_were_put_into_memory_by_hand_exist():
    handler = InMemoryIOHandler()
    partition = rs.PartitionContext(keys("a"), letters(3))
    handler.handle_output(OutputContext("source", partition=partition), "by hand")
    repo, _ = pair(handler)
    assert counts(repo.backfill(["taker"], partition_keys=keys("a"))) == (1, 0, 0)
    with pytest.raises(ExecutionError, match=r"takes 1 partition of 'source'.*'b'"):
        repo.backfill(["taker"], partition_keys=keys("a", "b"))


def test_values_of_another_process_do_not_exist(tmp_path):
    """The storage says that the source is materialized; its values were in another repository's memory."""
    storage = rs.Storage.embedded(tmp_path / "storage.db")

    def assets():
        @rs.Asset(partitions_def=letters(1), io_handler=InMemoryIOHandler())
        def source():
            return 1

        @rs.Asset(partitions_def=letters(1))
        def taker(source):
            return source

        return [source, taker]

    repository(*assets(), storage=storage).backfill(["source"], partition_keys=keys("a"))
    with pytest.raises(ExecutionError, match="neither exists nor will be materialized"):
        repository(*assets(), storage=storage).backfill(["taker"], partition_keys=keys("a"))


def test_an_unpartitioned_input():
    @rs.Asset
    def rates():
        return 1

    @rs.Asset(partitions_def=letters(1))
    def sales(rates):
        return rates

    repo = repository(rates, sales)
    with pytest.raises(ExecutionError, match="takes the value of 'rates', which neither exists"):
        repo.backfill(["sales"], partition_keys=keys("a"))
    repo.materialize(["rates"])
    assert counts(repo.backfill(["sales"], partition_keys=keys("a"))) == (1, 0, 0)


def test_an_upstream_that_returned_none_exists():
    @rs.Asset(partitions_def=letters(1))
    def source():
        return None

    @rs.Asset(partitions_def=letters(1))
    def taker(source):
        return source

    repo = repository(source, taker)
    repo.backfill(["source"], partition_keys=keys("a"))
    assert counts(repo.backfill(["taker"], partition_keys=keys("a"))) == (1, 0, 0)


def test_an_external_input_is_not_named_while_nothing_is_known_of_it(tmp_path, caplog):
    source = rs.Asset.external(
        "source", partitions_def=letters(3), io_handler=PickleIOHandler(tmp_path)
    )

    @rs.Asset(partitions_def=letters(3))
    def taker(source):
        return source

    with caplog.at_level(logging.WARNING, "rivers"):
        repository(source, taker).backfill(["taker"], partition_keys=keys("a"), dry_run=True)
    assert caplog.text == ""


def test_a_rerun_finds_what_the_backfill_materialized():
    failing = [True]

    @rs.Asset(partitions_def=letters(2))
    def source(context: rs.AssetExecutionContext):
        return context.partition_key

    takes = rs.AssetDef.input("source", rs.PartitionMapping.all_partitions())

    @rs.Asset(partitions_def=letters(1), deps=[takes])
    def taker(source):
        if failing:
            raise ValueError("no")
        return sorted(source)

    repo = repository(source, taker)
    result = repo.backfill(["taker"], partition_keys=keys("a"), include_upstream=True)
    failing.clear()
    assert counts(repo.rerun_backfill(result.backfill_id)) == (1, 0, 0)
    assert repo.load_node("taker", key("a")) == ["a", "b"]
