"""The outputs of a multi-asset: their options, and what they take from the multi-asset."""

import dataclasses

import pytest

import rivers as rs
from rivers import AssetDef
from rivers.exceptions import AssetDefinitionError, ExecutionError, GraphValidationError

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04")
LETTERS = rs.PartitionsDefinition.static_(["a", "b", "c"])
BEFORE, SAME = rs.PartitionMapping.time_window(-1), rs.PartitionMapping.identity()


class Nowhere(rs.BaseIOHandler):
    def load_input(self, context):
        raise NotImplementedError

    def handle_output(self, context, value):
        raise NotImplementedError


HANDLER = Nowhere()


def nothing():
    return []


def multi(*outputs, fn=nothing, **options):
    return rs.Asset.from_multi(fn, name="step", output_defs=outputs, **options)


def outputs_of(*outputs, **options):
    return {asset.name: asset for asset in multi(*outputs, **options).assets}


def test_positional_arguments_have_the_documented_order():
    given = AssetDef(
        "x", {"team": "a"}, "table", "g", "v1", HANDLER, {"unit": "m"}, DAYS, {"up": BEFORE},
        ["db"], 2, ["before"],
    )  # fmt: skip
    names = [field.name for field in dataclasses.fields(given)]
    assert names == [
        "name", "tags", "kinds", "group", "code_version", "io_handler", "metadata", "partitions_def",
        "partition_mapping", "pool", "pool_slots", "deps",
    ]  # fmt: skip
    assert [getattr(given, name) for name in names] == [
        "x", {"team": "a"}, ["table"], "g", "v1", HANDLER, {"unit": "m"}, DAYS, {"up": BEFORE},
        [("db", 2)], 2, ["before"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"pool": [("db", 2), ("api", 1)]},
        {"pool": ["db", "api"], "pool_slots": {"db": 2}},
    ],
)
def test_pools_are_pairs_of_a_name_and_slots(given):
    assert AssetDef("x", **given).pool == [("db", 2), ("api", 1)]
    assert rs.Asset(nothing, name="x", **given).pool == [("db", 2), ("api", 1)]


@pytest.mark.parametrize("pool", [[("db", 0)], [("db", "2")], [("db",)], [("db", 1), "api"], [3]])
def test_pairs_that_are_no_pools_are_refused(pool):
    with pytest.raises(AssetDefinitionError, match="pool"):
        AssetDef("x", pool=pool)


def test_keyword_arguments_come_in_any_order():
    assert AssetDef(kinds=["a"], group="g", name="x") == AssetDef("x", None, ["a"], "g")
    assert AssetDef("x", group="g") != AssetDef("x", group="h")
    assert hash(AssetDef("x", kinds="a")) == hash(AssetDef("x", kinds=["a"]))


def test_mappings_are_by_asset_name_or_asset_def():
    assert AssetDef("x", partition_mapping={AssetDef("up"): BEFORE}).partition_mapping == {
        "up": BEFORE
    }
    assert AssetDef("x").partition_mapping is None


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": 3},
        {"group": 3},
        {"code_version": 3},
        {"io_handler": 3},
        {"metadata": 3},
        {"partitions_def": 3},
        {"partition_mapping": {"up": 3}},
        {"partition_mapping": "up"},
        {"pool": 3},
        {"pool_slots": 3},
    ],
)
def test_a_wrong_argument_is_refused_by_name(options):
    with pytest.raises(AssetDefinitionError, match=next(iter(options))):
        AssetDef("x", **options)


def test_the_multi_asset_supplies_what_an_output_does_not_specify():
    own = AssetDef("own", {"own": "1"}, "own", "own", "own", HANDLER, {"b": 2}, pool="own")
    top = {
        "tags": {"top": "1"}, "kinds": "top", "group": "top", "code_version": "top",
        "metadata": {"a": 1, "b": 1}, "pool": "top",
    }  # fmt: skip
    assets = outputs_of(own, AssetDef("bare"), **top)

    def options(asset):
        return [
            asset.tags, asset.kinds, asset.group, asset.code_version, asset.io_handler, asset.metadata,
            asset.pool,
        ]  # fmt: skip

    assert options(assets["own"]) == [
        {"own": "1"}, ["own"], "own", "own", HANDLER, {"a": 1, "b": 2}, [("own", 1)],
    ]  # fmt: skip
    assert options(assets["bare"]) == [
        {"top": "1"}, ["top"], "top", "top", None, {"a": 1, "b": 1}, [("top", 1)],
    ]  # fmt: skip


def test_partitions_of_the_multi_asset_take_precedence():
    assets = outputs_of(AssetDef("x", partitions_def=DAYS), partitions_def=LETTERS)
    assert assets["x"].partitions_def == LETTERS
    assert outputs_of(AssetDef("x", partitions_def=DAYS))["x"].partitions_def == DAYS


def test_inputs_belong_to_the_function_and_dependencies_to_the_output():
    def fn(up):
        return []

    assets = outputs_of(
        AssetDef("x", deps=[AssetDef.input("up", BEFORE), AssetDef.dep("x_only")]),
        AssetDef("y", deps=["y_only"]),
        fn=fn,
        deps=["both"],
    )
    assert {name: set(asset.deps) for name, asset in assets.items()} == {
        "x": {"both", "up", "x_only"},
        "y": {"both", "up", "y_only"},
    }
    assert [asset.partition_mapping for asset in assets.values()] == [{"up": BEFORE}] * 2


def test_a_mapping_of_a_dependency_is_the_outputs_alone():
    x = AssetDef("x", deps=["before"], partition_mapping={"before": BEFORE})
    assets = outputs_of(x, AssetDef("y", deps=["before"]))
    assert assets["x"].partition_mapping == {"before": BEFORE}
    assert assets["y"].partition_mapping is None


@pytest.mark.parametrize(
    "second",
    [
        AssetDef("y", partition_mapping={"up": SAME}),
        AssetDef("y", deps=[AssetDef.input("up", SAME)]),
    ],
)
def test_two_outputs_cannot_map_one_input_differently(second):
    with pytest.raises(AssetDefinitionError, match=r"its input 'up' differently.*'y'"):
        multi(AssetDef("x", partition_mapping={"up": BEFORE}), second, fn=lambda up: [])


def test_a_mapping_of_no_upstream_is_refused():
    with pytest.raises(AssetDefinitionError, match=r"neither a parameter.*did you mean 'up'"):
        multi(AssetDef("x", partition_mapping={"upp": BEFORE}), fn=lambda up: [])


@pytest.mark.parametrize("selection", [["x"], ["y"], ["x", "y"]])
def test_dependencies_are_executed_before_the_output_that_has_them(repo, selection):
    calls = []
    before = rs.Asset(lambda: calls.append("before"), name="before")
    step = multi(
        AssetDef("x", deps=["before"]),
        AssetDef("y"),
        fn=lambda: calls.append("step") or {"x": 1, "y": 2},
    )
    assert repo(step, before).materialize([*selection, "before"]).success
    assert calls == ["before", "step"] or selection == ["y"]


def test_an_output_with_a_pool_takes_its_slots(repo):
    step = multi(AssetDef("x", pool="db"), AssetDef("y"), fn=lambda: {"x": 1, "y": 2})
    assert repo(step, pool_limits={"db": 1}).materialize().success
    with pytest.raises(AssetDefinitionError, match="'db'"):
        repo(step, pool_limits={"other": 1})


# -- partitions of each output ---------------------------------------------------------------------

MORE = rs.PartitionsDefinition.static_(["b", "c", "d"])


def test_outputs_may_have_partitions_of_their_own_that_share_a_key(repo):
    repo(multi(AssetDef("x", partitions_def=LETTERS), AssetDef("y", partitions_def=MORE)))
    later = rs.PartitionsDefinition.daily("2024-01-02")
    repo(multi(AssetDef("x", partitions_def=DAYS), AssetDef("y", partitions_def=later)))


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        (rs.PartitionsDefinition.static_(["d"]), r"'x' and 'y'.*share no key"),
        (rs.PartitionsDefinition.daily("2024-01-01"), r"'x' and 'y'.*of different kinds"),
        (rs.PartitionsDefinition.dynamic("d"), r"'x' and 'y'.*of different kinds"),
        (rs.PartitionsDefinition.multi({"d": LETTERS}), r"'x' and 'y'.*of different kinds"),
        (None, r"'x' and 'y'.*of different kinds"),
    ],
)
def test_outputs_of_other_kinds_or_without_a_shared_key_are_refused(repo, definition, told):
    outputs = AssetDef("x", partitions_def=LETTERS), AssetDef("y", partitions_def=definition)
    with pytest.raises(AssetDefinitionError, match=told):
        repo(multi(*outputs))


def test_a_run_has_partitions_of_each_selected_output(repo):
    step = multi(
        AssetDef("x", partitions_def=LETTERS),
        AssetDef("y", partitions_def=MORE),
        fn=lambda: {"x": 1, "y": 2},
    )
    repository = repo(step)
    key = rs.PartitionKey.single
    assert repository.backfill(["x", "y"], partition_keys=[key("b"), key("c")]).completed == 2
    with pytest.raises(ExecutionError, match='asset "y"'):
        repository.backfill(["x", "y"], partition_keys=[key("a")])


# -- what the function returns ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "returned",
    [
        {"x": 1, "y": 2},
        {"y": rs.Output(2, metadata={"rows": 1}), "x": 1},
        [rs.Output(2, output_name="y"), rs.Output(1, "x")],
    ],
)
def test_values_may_be_returned_in_a_dict_or_as_outputs(repo, returned):
    repository = repo(multi(AssetDef("x"), AssetDef("y"), fn=lambda: returned))
    assert repository.materialize().success
    assert [repository.load_node(name) for name in "xy"] == [1, 2]


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ({"x": 1, "y": 2, "z": 3}, "'z'; its outputs are 'x', 'y'"),
        ({"x": 1}, "no Output for 'y'"),
        ({}, "no Output for 'x', 'y'"),
        ([rs.Output(1), rs.Output(2, "y")], "without output_name; its outputs are 'x', 'y'"),
    ],
)
def test_an_unknown_or_missing_name_fails_the_run(repo, returned, told):
    repository = repo(multi(AssetDef("x"), AssetDef("y"), fn=lambda: returned))
    with pytest.raises(ExecutionError, match=told):
        repository.materialize()


def test_outputs_that_need_each_other_through_another_asset_are_refused(repo):
    step = multi(AssetDef("x", deps=["between"]), AssetDef("y"))
    between = rs.Asset(lambda y: y, name="between")
    with pytest.raises(GraphValidationError, match=r"cycle: .*'step'"):
        repo(step, between)
