"""Code written for the package `rivers` 0.6 declares assets, outputs, graphs and tasks as it did."""

import inspect

import pytest
from tests.support import counts, key, keys, letters

import rivers as rs
from rivers.exceptions import (
    AssetDefinitionError,
    AssetNotFoundError,
    ExecutionError,
    GraphValidationError,
)

AB, ABC = letters(2), letters(3)
A, B, C = keys("a", "b", "c")


@rs.Task
def clean(rows, limits):
    return [row for row in rows if row < limits]


@rs.Task
def total(rows):
    return sum(rows)


def pipeline(**options):
    @rs.Asset.from_graph(name="graph", partitions_def=AB, **options)
    def graph(rows):
        return total(clean(rows))

    return graph


def rows_and_limits():
    rows = rs.Asset(lambda: [1, 2, 9], name="rows", partitions_def=AB)
    return rows, rs.Asset(lambda: 5, name="limits")


def test_a_graph_keeps_what_its_tasks_returned(repo):
    nodes, own = rs.InMemoryIOHandler(), rs.InMemoryIOHandler()
    repository = repo(*rows_and_limits(), pipeline(node_io_handler=nodes, io_handler=own))
    assert repository.materialize(["graph"], A, include_upstream=True).success
    assert repository.load_node("graph/clean", partition_key=A) == [1, 2]
    assert repository.load_node("graph/total", partition_key=A) == 3
    assert repository.load_node("graph", partition_key=A) == 3
    with pytest.raises(AssetNotFoundError, match=r"(?s)clean.*total"):
        repository.load_node("graph/nothing", partition_key=A)


def test_a_graph_keeps_nothing_of_its_tasks_by_default(repo):
    repository = repo(*rows_and_limits(), pipeline())
    assert repository.materialize(["graph"], A, include_upstream=True).success
    with pytest.raises(ExecutionError, match="node_io_handler"):
        repository.load_node("graph/clean", partition_key=A)
    with pytest.raises(AssetDefinitionError):
        pipeline(node_io_handler=3)


def test_a_parameter_of_a_task_is_an_asset_or_has_a_default(repo):
    rows, limits = rows_and_limits()
    with pytest.raises(GraphValidationError, match="limits"):
        repo(rows, pipeline())

    @rs.Task
    def optional(rows, limits=2):
        return [row for row in rows if row < limits]

    @rs.Asset.from_graph(partitions_def=AB)
    def graph(rows):
        return optional(rows)

    for assets, expected in (((rows,), [1]), ((rows, limits), [1, 2])):
        repository = repo(*assets, graph)
        assert repository.materialize(["graph"], A, include_upstream=True).success
        assert repository.load_node("graph", A) == expected


def test_an_asset_that_a_graph_calls_is_an_input(repo):
    calls = []

    @rs.Asset
    def source():
        calls.append(1)
        return [1, 2, 3]

    @rs.Asset.from_graph
    def graph():
        return total(source())

    repository = repo(source, graph)
    assert repository.materialize().success
    assert repository.load_node("graph") == 6
    assert repository.materialize(["graph"]).success
    assert calls == [1]
    with pytest.raises(AssetDefinitionError):

        @rs.Asset.from_graph
        def wrong():
            return total(source(3))


def test_asset_defs_have_the_documented_arguments():
    names = [
        "name", "tags", "kinds", "group", "code_version", "io_handler", "metadata",
        "partitions_def", "partition_mapping", "pool", "pool_slots", "deps",
    ]  # fmt: skip
    parameters = list(inspect.signature(rs.AssetDef).parameters.values())
    assert [p.name for p in parameters[: len(names)]] == names
    assert {p.kind for p in parameters[: len(names)]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    handler, mapping = rs.InMemoryIOHandler(), rs.PartitionMapping.identity()
    up = rs.AssetDef("up")
    made = rs.AssetDef(
        "x",
        {"t": "1"},
        "table",
        "g",
        "v1",
        handler,
        {"m": 1},
        AB,
        {up: mapping},
        "db",
        2,
        ["other"],
    )
    assert (made.name, made.tags, made.kinds, made.group) == ("x", {"t": "1"}, ["table"], "g")
    assert (made.code_version, made.io_handler, made.metadata) == ("v1", handler, {"m": 1})
    assert (made.partitions_def, made.partition_mapping) == (AB, {"up": mapping})
    assert made.pool == [("db", 2)]
    assert rs.AssetDef("x") == rs.AssetDef("x") != rs.AssetDef("y")


def test_the_top_level_of_a_multi_asset_supplies_what_outputs_lack(repo):
    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("x", group="own", partitions_def=ABC), rs.AssetDef("y")],
        partitions_def=AB, group="shared", code_version="v2",
    )  # fmt: skip
    def step(context: rs.AssetExecutionContext):
        return dict.fromkeys(context.output_selection, 1)

    assets = repo(step).assets
    assert [assets[name].partitions_def for name in "xy"] == [AB, AB]
    assert [assets[name].group for name in "xy"] == ["own", "shared"]
    assert [assets[name].code_version for name in "xy"] == ["v2", "v2"]


def test_outputs_that_map_one_input_differently_are_refused():
    mappings = [rs.PartitionMapping.identity(), rs.PartitionMapping.all_partitions()]
    with pytest.raises(AssetDefinitionError):

        @rs.Asset.from_multi(
            output_defs=[
                rs.AssetDef(name, partitions_def=AB, partition_mapping={"up": mapping})
                for name, mapping in zip("xy", mappings, strict=True)
            ]
        )
        def step(up):
            return {"x": up, "y": up}


def of_two(first, second):
    @rs.Asset.from_multi(
        output_defs=[
            rs.AssetDef("x", partitions_def=first), rs.AssetDef("y", partitions_def=second)
        ]
    )  # fmt: skip
    def step(context: rs.AssetExecutionContext):
        return dict.fromkeys(context.output_selection, context.partition_key)

    return step


def test_outputs_have_partitions_of_their_own(repo):
    repository = repo(of_two(AB, ABC))
    assert repository.materialize(["x", "y"], A).success
    for selection in (["x", "y"], ["y", "x"]):
        for call in (
            lambda names: repository.materialize(names, C),
            lambda names: repository.backfill(names, [A, C], dry_run=True),
        ):
            with pytest.raises(ExecutionError, match=r"asset [\"']x"):
                call(selection)
    assert repository.materialize(["y"], C).success
    assert repository.load_node("y", C) == "c"


@pytest.mark.parametrize(
    "second",
    [rs.PartitionsDefinition.daily("2024-01-01"), rs.PartitionsDefinition.static_(["p", "q"])],
)
def test_outputs_without_a_common_partition_are_refused(second):
    with pytest.raises(AssetDefinitionError, match="'x' and 'y'"):
        rs.CodeRepository([of_two(AB, second)]).validate()


@pytest.mark.parametrize("wrap", [lambda value: value, rs.Output], ids=["bare", "output"])
def test_a_multi_asset_returns_a_dict(repo, wrap):
    returned = [{"x": 1, "y": 2}, {"x": 1, "z": 2}, {"x": 1}]

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")])
    def step():
        return {name: wrap(value) for name, value in returned.pop(0).items()}

    repository = repo(step)
    assert repository.materialize().success
    assert [repository.load_node(name) for name in "xy"] == [1, 2]
    for named in ("z", "y"):
        failed = repository.materialize(raise_on_error=False)
        assert not failed.success
        assert named in failed.error


def test_only_selected_outputs_are_stored(repo):
    seen = []

    @rs.Asset.from_multi(output_defs=[rs.AssetDef(name) for name in "xyz"], partitions_def=AB)
    def step(context: rs.AssetExecutionContext):
        seen.append((context.output_selection, context.is_multi_asset))
        if len(context.output_selection) == 3:
            raise ValueError("all at once")
        yield rs.Output(1, output_name="z")
        if "x" in context.output_selection:
            yield rs.Output(2, output_name="x")

    repository = repo(step)
    assert counts(repository.backfill(["z", "x"], [A])) == (1, 0, 0)
    assert repository.storage.get_events_for_asset("y") == []
    assert counts(repository.backfill(["x", "y", "z"], [A])) == (0, 1, 0)
    unmade = repository.backfill(["y"], [A])
    assert counts(unmade) == (0, 1, 0)
    assert "'y'" in repository.get_backfill(unmade.backfill_id).error
    repository.rerun_backfill(unmade.backfill_id)
    assert seen == [(list("xz"), True), (list("xyz"), True), (["y"], True), (["y"], True)]


def test_outputs_hold_value_and_facts(repo):
    names = ["value", "output_name", "metadata", "data_version", "tags"]
    parameters = list(inspect.signature(rs.Output).parameters.values())
    assert [p.name for p in parameters] == names
    made = rs.Output(3, "n", metadata={"rows": 1}, data_version="v", tags={"a": "b"})
    assert [getattr(made, name) for name in names] == [3, "n", {"rows": 1}, "v", {"a": "b"}]

    @rs.Asset
    def asset(context: rs.AssetExecutionContext):
        context.add_output_metadata({"rows": 0, "n": 2})
        return rs.Output(7, metadata={"rows": 1}, data_version="d1")

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")])
    def step():
        yield rs.Output(1)

    repository = repo(asset, step)
    assert repository.materialize(["asset"]).success
    assert repository.load_node("asset") == 7
    event = repository.storage.get_latest_materialization("asset")
    assert {("rows", "1"), ("n", "2")} <= set(event.metadata)
    assert event.data_version == "d1"
    failed = repository.materialize(["x", "y"], raise_on_error=False)
    assert "x" in failed.error


def test_a_materialization_is_recorded_without_a_handler(repo):
    class Refusing(rs.InMemoryIOHandler):
        def handle_output(self, context, value):
            raise AssertionError

    @rs.Asset(io_handler=Refusing())
    def table():
        return rs.Materialization(metadata={"rows": 2}, data_version="v", tags={"a": "b"})

    repository = repo(table, rs.Asset(lambda table: table, name="taking"))
    result = repository.materialize(raise_on_error=False)
    assert result.materialized_assets == ["table"]
    assert "Materialization" in dict(result.failed_assets)["taking"]
    event = repository.storage.get_latest_materialization("table")
    assert (dict(event.metadata)["rows"], event.data_version) == ("2", "v")


def test_kinds_and_other_attributes():
    @rs.Asset(kinds="table", pool="db", pool_slots=2)
    async def single(up):
        return up

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x")], kinds=["a", "b"])
    def multi():
        return {"x": 1}

    graph = pipeline(kinds=["graph"])
    external = rs.Asset.external("e", kinds="file", io_handler=rs.InMemoryIOHandler())
    kinds = [asset.kinds for asset in (single, multi, graph, external)]
    assert kinds == [["table"], ["a", "b"], ["graph"], ["file"]]
    flags = [
        (a.is_single, a.is_multi, a.is_graph, a.is_external)
        for a in (single, multi, graph, external)
    ]
    assert flags == [tuple(n == at for n in range(4)) for at in range(4)]
    assert [single.is_async, multi.is_async] == [True, False]
    assert (single.pool, multi.pool, single.partition_mapping) == ([("db", 2)], [], None)
    assert [isinstance(a, rs.SingleAsset) for a in (single, multi, graph, external)] == [
        True, False, False, False,
    ]  # fmt: skip
    mapping = rs.PartitionMapping.identity()
    mapped = rs.Asset(
        lambda up: up, name="m", partitions_def=AB,
        deps=[rs.AssetDef.input("up", partition_mapping=mapping)],
    )  # fmt: skip
    assert mapped.partition_mapping == {"up": mapping}
    assert [rs.AssetDef.input("a").is_input, rs.AssetDef.dep("a").is_input] == [True, False]
    assert rs.Asset(lambda: 1, name="bare").kinds == []


def test_an_input_of_a_number_is_refused():
    with pytest.raises(TypeError):
        rs.AssetDef.input(42)


def test_tasks_have_handlers_and_retries_of_their_own(repo):
    own, nodes, calls = rs.InMemoryIOHandler(), rs.InMemoryIOHandler(), []

    @rs.Task(name="first", tags={"a": "b"}, io_handler=own)
    def one():
        calls.append("first")
        return 1

    @rs.Task(retry=rs.RetryPolicy(max_retries=2))
    def second(one):
        calls.append("second")
        if len(calls) < 4:
            raise OSError
        return one + 1

    @rs.Asset.from_graph(partitions_def=AB, node_io_handler=nodes)
    def graph():
        return second(one())

    repository = repo(graph)
    assert repository.backfill(partition_keys=[A]).completed == 1
    assert calls == ["first", "second", "second", "second"]
    wanted = [
        rs.InputContext(f"graph/{task}", "x", partition=rs.PartitionContext([A], AB))
        for task in ("first", "second")
    ]
    assert own.load_input(wanted[0]) == 1
    assert nodes.load_input(wanted[1]) == 2
    with pytest.raises(ExecutionError):
        nodes.load_input(wanted[0])
    assert repository.load_node("graph/first", partition_key=key("a")) == 1
