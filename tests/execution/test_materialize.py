"""`materialize()`: one run of all or some assets."""

import pytest
from tests.support import letters, repository, values

import rivers as rs
from rivers.exceptions import AssetNotFoundError, ExecutionError

LETTERS = letters(4)


def test_materialize_is_one_run():
    seen = []

    @rs.Asset
    def plain():
        return 1

    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext, plain):
        seen.append((values(context), plain))
        return "value"

    repo = repository(plain, letter)
    result = repo.materialize(partition_key=rs.PartitionKey.single(["b", "a"]))
    assert result.success
    assert seen == [(["a", "b"], 1)]
    assert result.materialized_assets == ["plain", "letter"]
    assert repo.load_node("plain") == 1
    assert repo.get_backfill(result.run_id.split(".")[0]) is None


def test_materialize_raises_or_returns_the_error():
    @rs.Asset
    def broken():
        raise ValueError("boom")

    @rs.Asset
    def after(broken):
        pytest.fail("executed")

    repo = repository(broken, after)
    with pytest.raises(ExecutionError, match="boom") as caught:
        repo.materialize()
    assert isinstance(caught.value.__cause__, ValueError)
    result = repo.materialize(raise_on_error=False)
    assert not result.success
    assert [name for name, _ in result.failed_assets] == ["broken", "after"]
    assert "boom" in result.error
    with pytest.raises(AssetNotFoundError, match="broken"):
        repo.materialize(["brokn"])
