"""Selectors stand for several assets: `a+`, `+a`, `2+a`, `group:x`, `kind:x`, `tag:x`."""

import pytest

import rivers as rs
from rivers.exceptions import AssetNotFoundError, ExecutionError

LETTERS = rs.PartitionsDefinition.static_(["x", "y"])


def idle(name, deps=(), **options):
    options.setdefault("partitions_def", LETTERS)
    return rs.Asset(lambda: None, name=name, deps=[rs.AssetDef.dep(dep) for dep in deps], **options)


@pytest.fixture
def chain(repo):
    """a -> b -> c -> d, and a -> e; `rates` has no partitions; `odd+` has a plus in its name."""
    return repo(
        rs.Asset.external("raw", partitions_def=LETTERS, io_handler=rs.InMemoryIOHandler()),
        idle("rates", partitions_def=None),
        idle("a", ["raw", "rates"], group="first", tags=["daily"]),
        idle("b", ["a"], group="second", tags={"team": "sales"}, kinds="table"),
        idle("c", ["b"], group="second"),
        idle("d", ["c"]),
        idle("e", ["a"]),
        idle("odd+"),
    )


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (["b+"], ["b", "c", "d"]),
        (["b+1"], ["b", "c"]),
        (["+c"], ["c", "a", "b"]),
        (["1+c"], ["c", "b"]),
        (["2+d+"], ["d", "b", "c"]),
        (["+c+"], ["c", "a", "b", "d"]),
        (["group:second"], ["b", "c"]),
        (["kind:table"], ["b"]),
        (["tag:daily"], ["a"]),
        (["tag:team"], ["b"]),
        (["tag:team=sales", "e"], ["b", "e"]),
        (["odd+"], ["odd+"]),
        (["d", "+d"], ["d", "a", "b", "c"]),
        ("b+", ["b", "c", "d"]),
        ("b", ["b"]),
    ],
)
def test_what_a_selector_selects(chain, selection, expected):
    result = chain.backfill(selection, partition_keys=["x"], dry_run=True)
    assert sorted(result.partitions_per_asset) == sorted(expected)


def test_a_run_by_hand_includes_assets_without_partitions(chain):
    result = chain.materialize(["+a"], partition_key="x")
    assert result.materialized_assets == ["rates", "a"]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("bb+", "there is no asset 'bb'"),
        ("group:secnd", "no asset has the group 'secnd'; .*did you mean 'second'"),
        ("grp:second", "there is no asset 'grp:second'"),
        ("+", "there is no asset '\\+'"),
        ("a++", "there is no asset 'a\\+\\+'"),
    ],
)
def test_a_wrong_selector_is_refused_by_name(chain, selector, message):
    with pytest.raises(AssetNotFoundError, match=message):
        chain.backfill([selector], partition_keys=["x"], dry_run=True)


def test_a_rerun_takes_stored_names_as_they_are(chain):
    first = chain.backfill(["odd+"], partition_keys=["x"])
    assert chain.rerun_backfill(first.backfill_id).status == "completed"


def test_an_asset_without_partitions_is_still_refused_by_its_name(chain):
    with pytest.raises(ExecutionError, match="'rates' is not partitioned"):
        chain.backfill(["rates"], partition_keys=["x"])
