"""`AssetDef`: declarations about upstream assets; `planning/test_mappings.py` tests mappings."""

import pickle

import pytest

from rivers import Asset, AssetDef, PartitionMapping
from rivers.exceptions import AssetDefinitionError

BEFORE = PartitionMapping.time_window(-1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: AssetDef.input("a", "daily"), "partition_mapping .*'daily'"),
        (lambda: AssetDef.input("a", io_handler=1), "io_handler"),
        (lambda: AssetDef.input("a", metadata=[1]), "metadata"),
        (lambda: AssetDef.dep(1), "name"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(make, told):
    with pytest.raises(AssetDefinitionError, match=told):
        make()


@pytest.mark.parametrize(
    ("deps", "told"),
    [
        ([AssetDef.input("other")], r"no parameter of that name; its parameters are \['up'\]"),
        ([AssetDef.dep("up")], r"use AssetDef.input\('up'\)"),
        ([AssetDef.input("up"), "up"], "'up' twice"),
    ],
)
def test_an_asset_def_must_fit_the_function(deps, told):
    def down(up):
        pass

    with pytest.raises(AssetDefinitionError, match=told):
        Asset(down, deps=deps)


def test_an_asset_def_is_a_value():
    one = AssetDef.input("up", BEFORE, metadata={"a": 1})
    assert one == AssetDef.input("up", PartitionMapping.time_window(-1), metadata={"a": 1})
    assert hash(one) == hash(pickle.loads(pickle.dumps(one)))
    assert one != AssetDef.dep("up", BEFORE)


def test_a_decorator_keeps_its_declared_upstreams():
    @Asset(name="down", deps=[AssetDef.input("up", BEFORE)])
    def function(up):
        return up

    assert function.upstream_defs == {"up": AssetDef.input("up", BEFORE)}
    assert function(3) == 3
