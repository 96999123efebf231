"""What an asset says of itself: its kind, labels, pools and mappings."""

# ruff: noqa: PLW0108  (the function of a graph asset calls a task; it is none)

import pytest

import rivers as rs
from rivers.exceptions import AssetDefinitionError

MAPPING = rs.PartitionMapping.time_window(-1)


class Nowhere(rs.BaseIOHandler):
    def load_input(self, context):
        raise NotImplementedError

    def handle_output(self, context, value):
        raise NotImplementedError


@rs.Task
def one():
    return 1


ASSETS = {
    "single": rs.Asset(lambda: 1, name="a"),
    "multi": rs.Asset.from_multi(lambda: 1, name="m", output_defs=[rs.AssetDef("x")]),
    "graph": rs.Asset.from_graph(lambda: one(), name="g"),
    "external": rs.Asset.external("e", io_handler=Nowhere()),
}
CLASSES = {
    "single": rs.SingleAsset,
    "multi": rs.MultiAsset,
    "graph": rs.GraphAsset,
    "external": rs.ExternalAsset,
}


@pytest.mark.parametrize("kind", ASSETS)
def test_an_asset_is_of_exactly_one_kind(kind):
    asset = ASSETS[kind]
    assert isinstance(asset, rs.Asset)
    assert [name for name, cls in CLASSES.items() if isinstance(asset, cls)] == [kind]
    assert [name for name in CLASSES if getattr(asset, f"is_{name}")] == [kind]


def test_a_decorated_function_with_options_is_a_single_asset():
    @rs.Asset(group="g")
    def decorated():
        return 1

    assert isinstance(decorated, rs.SingleAsset)
    assert decorated() == 1


def test_an_asset_whose_function_or_task_is_awaited_is_async():
    async def fn():
        return 1

    @rs.Task
    async def awaited():
        return 1

    assert rs.Asset(fn).is_async
    assert rs.Asset.from_graph(lambda: awaited(), name="g").is_async
    assert not any(asset.is_async for asset in ASSETS.values())


@pytest.mark.parametrize(
    ("kinds", "labels"),
    [("table", ["table"]), (["table", "daily"], ["table", "daily"]), (None, []), ([], [])],
)
def test_kinds_are_a_list_of_labels_for_every_kind_of_asset(kinds, labels):
    made = [
        rs.Asset(lambda: 1, name="a", kinds=kinds),
        rs.Asset.from_multi(lambda: 1, name="m", output_defs=[rs.AssetDef("x")], kinds=kinds),
        rs.Asset.from_graph(lambda: one(), name="g", kinds=kinds),
        rs.Asset.external("e", io_handler=Nowhere(), kinds=kinds),
    ]
    assert [asset.kinds for asset in made] == [labels] * 4


@pytest.mark.parametrize("kinds", [3, ["table", 3]])
def test_other_kinds_are_refused(kinds):
    with pytest.raises(AssetDefinitionError, match="kinds of an asset"):
        rs.Asset(lambda: 1, name="a", kinds=kinds)


@pytest.mark.parametrize(
    ("options", "pool"),
    [
        ({}, []),
        ({"pool": "db"}, [("db", 1)]),
        ({"pool": "db", "pool_slots": 3}, [("db", 3)]),
        ({"pool": ["db", "api"], "pool_slots": {"api": 2}}, [("db", 1), ("api", 2)]),
    ],
)
def test_pool_is_a_list_of_names_and_slots(options, pool):
    assert rs.Asset(lambda: 1, name="a", **options).pool == pool


def test_partition_mapping_is_a_dict_by_upstream_or_none():
    def down(up, other):
        return up

    declared = [rs.AssetDef.input("up", MAPPING), rs.AssetDef.dep("before", MAPPING), "last"]
    assert rs.Asset(down, deps=declared).partition_mapping == {"up": MAPPING, "before": MAPPING}
    assert rs.Asset(down, deps=[rs.AssetDef.input("up"), "last"]).partition_mapping is None


def test_a_dependency_says_whether_its_value_is_taken():
    assert rs.AssetDef.input("up").is_input
    assert not rs.AssetDef.dep("up").is_input


def test_the_name_of_an_input_is_a_str():
    with pytest.raises(TypeError, match=r"name of AssetDef\.input"):
        rs.AssetDef.input(42)


def test_attributes_of_the_function_are_not_those_of_the_asset():
    def fn():
        return 1

    fn.metadata, fn.name = None, "other"
    asset = rs.Asset(fn, metadata={"unit": "m"})
    assert (asset.name, asset.metadata, asset.__wrapped__) == ("fn", {"unit": "m"}, fn)
