"""The runs that cover the partitions of assets, and which runs need which others: the `Plan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivers._rivers import Plan
from rivers.assets.asset_graph import SAME_KEYS
from rivers.exceptions import ExecutionError
from rivers.partitions import PartitionMapping
from rivers.planning.checks import check_canary
from rivers.planning.expansion import expand, map_to_assets
from rivers.planning.grouping import choose_strategy, in_order
from rivers.planning.selection import (
    drop_materialized,
    naming_the_first,
    only_defined,
    only_missing,
    select_assets,
    select_partitions,
    stored_assets,
)
from rivers.planning.stale import up_to_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rivers._rivers import Selection, StoredStrategy
    from rivers.assets.asset_graph import Graph, Node
    from rivers.planning.expansion import Parts, SpaceOf
    from rivers.planning.request import BackfillRequest
    from rivers.planning.selection import Materialized
    from rivers.planning.states import AssetStates
    from rivers.policies.strategy import BackfillStrategy

    Strategy = BackfillStrategy | StoredStrategy


def plan_backfill(
    request: BackfillRequest, graph: Graph, space_of: SpaceOf, states: AssetStates
) -> tuple[list[Node], Plan, Materialized | None]:
    """The assets and the runs that a request asks for.

    Args:
        request: The options of `backfill()`.
        graph: All assets.
        space_of: The partitions of an asset.
        states: What is materialized, and what of it is out of date.

    Returns:
        The assets to execute, in dependency order, their runs, and what looks up the partitions for which
        an asset need not be executed; `None` if all are executed.

    Raises:
        RiversError: As `CodeRepository.backfill()`.
    """
    nodes = select_assets(graph, request.selection)
    with naming_the_first(nodes):
        chosen = select_partitions(
            space_of(nodes[0]), request.partition_keys, request.partition_range
        )
    parts = map_to_assets(graph, nodes, chosen, space_of)
    left_out: Materialized | None = None
    if request.only_stale:
        left_out = up_to_date(
            graph, parts, space_of, states, include_upstream=request.include_upstream,
            include_downstream=request.include_downstream,
        )  # fmt: skip
    elif request.only_missing:
        left_out = states.complete
    if left_out is not None:
        parts = drop_materialized(parts, graph, left_out)

    def keep(found: Selection, node: Node) -> Selection:
        return found if left_out is None else only_missing(found, [node], left_out)

    parts = expand(
        graph, parts, space_of, upstream=request.include_upstream,
        downstream=request.include_downstream, keep=keep,
    )  # fmt: skip
    plan = plan_runs(
        graph, parts, lambda nodes: choose_strategy(request.strategy, nodes),
        lambda selection: in_order(selection, request.order),
    )  # fmt: skip
    check_canary(plan, request.canary)
    return graph.in_order(parts), plan, left_out


def plan_rerun(
    request: BackfillRequest,
    graph: Graph,
    space_of: SpaceOf,
    earlier: Plan,
    left: Sequence[Selection],
) -> tuple[list[Node], Plan]:
    """The assets and the runs of a rerun.

    Args:
        request: The options of the rerun.
        graph: All assets.
        space_of: The partitions of an asset.
        earlier: The plan of the backfill that is run again.
        left: By layer of `earlier`, the partitions to run again.

    Returns:
        The assets to execute, in dependency order, and their runs.

    Raises:
        ExecutionError: None of the partitions is defined any more.
    """
    nodes = stored_assets(graph, request.selection)
    parts: Parts = {}
    strategies: dict[str, Strategy] = {}
    pairs = list(zip(left, earlier.layers, strict=True))
    # A plan has a layer even if nothing is left to run: then it is empty, and so is its selection.
    for own, (_, strategy, indices) in [each for each in pairs if each[0].num_partitions] or pairs[
        :1
    ]:
        spaces = [
            (node, space_of(node))
            for index, node in enumerate(nodes)
            if indices is None or index in indices
        ]
        defined = only_defined(own, spaces)
        parts |= {node.name: defined for node, _ in spaces}
        strategies |= {node.name: strategy for node, _ in spaces}
    if not any(part.num_partitions for part in parts.values()) and any(
        own.num_partitions for own in left
    ):
        msg = "none of the partitions to run again is defined any more"
        raise ExecutionError(msg)
    parts = {name: part for name, part in parts.items() if part.num_partitions} or parts
    plan = plan_runs(graph, parts, lambda nodes: strategies[nodes[0].name])
    return graph.in_order(parts), plan


@dataclass
class _Layer:
    """Assets whose runs are shared: each run executes the same partitions of all of them."""

    level: int
    selection: Selection
    needs_itself: bool
    nodes: list[Node] = field(default_factory=list)


def plan_runs(
    graph: Graph,
    parts: Parts,
    strategy_of: Callable[[list[Node]], Strategy],
    arrange: Callable[[Selection], Selection] = lambda selection: selection,
) -> Plan:
    """The runs that cover the partitions of all assets.

    Assets that need of each other only the partitions of the same run share runs. Any other need
    between two assets, or of an asset for its own earlier partitions, is a dependency between runs.

    Args:
        graph: All assets.
        parts: The partitions of each asset.
        strategy_of: The strategy of assets that share runs.
        arrange: Puts the partitions of an asset in order.

    Raises:
        ConfigurationError: A strategy does not fit the partitions.
    """
    layers: list[_Layer] = []
    layer_of: dict[str, _Layer] = {}
    links: list[tuple[str, str, PartitionMapping]] = []
    for node in graph.in_order(parts):
        own = parts[node.name]
        needs = dict(_needs(node, parts))
        # Assets before this one need not wait for its earlier partitions, so it has runs of its own.
        needs_itself = node.name in needs
        level = 0
        for name, mapping in needs.items():
            if name != node.name:
                shares = (
                    mapping == SAME_KEYS
                    and own.equals(parts[name])
                    and (node.definition is not None or _share_step(node, graph[name]))
                    and not (needs_itself or layer_of[name].needs_itself)
                )
                level = max(level, layer_of[name].level + (0 if shares else 1))
        layer = None if needs_itself else _shared(layers, level, own, node)
        if layer is None:
            layer = _Layer(level, own, needs_itself)
            layers.append(layer)
        layer.nodes.append(node)
        layer_of[node.name] = layer
        links += [
            (node.name, name, mapping)
            for name, mapping in needs.items()
            if name == node.name or layer_of[name] is not layer
        ]
    layers.sort(key=lambda layer: layer.level)
    if len(layers) == 1 and not links:
        return Plan(arrange(layers[0].selection), strategy_of(layers[0].nodes))
    asset_index = {node.name: index for index, node in enumerate(graph.in_order(parts))}
    layer_index = {id(layer): index for index, layer in enumerate(layers)}
    return Plan.in_layers(
        [
            (
                arrange(layer.selection),
                strategy_of(layer.nodes),
                [asset_index[node.name] for node in layer.nodes],
            )
            for layer in layers
        ],
        [
            (
                layer_index[id(layer_of[name])],
                layer_index[id(layer_of[needed])],
                asset_index[needed],
                mapping,
                graph[name].may_miss(needed),
            )
            for name, needed, mapping in links
        ],
    )


def _needs(node: Node, parts: Parts) -> Iterator[tuple[str, PartitionMapping]]:
    """The assets in `parts` whose selected partitions an asset needs, each with its mapping."""
    own = parts[node.name]
    for name in [*node.deps, node.name]:
        if name not in parts or (name == node.name and name not in node.mappings):
            continue
        selected = parts[name]
        # Without a mapping, declared or implied, all runs of one asset come after those of the other.
        mapping = node.mapping_to(name) or PartitionMapping.all_partitions()
        if mapping != SAME_KEYS or not own.equals(selected):
            needed = own.upstream(selected.space, mapping).intersection(selected)
            if not needed.num_partitions:
                continue
        yield name, mapping


def _shared(layers: list[_Layer], level: int, selection: Selection, node: Node) -> _Layer | None:
    """The layer whose runs can execute one more asset with these partitions.

    Unpartitioned assets have a run each, so that each counts as one partition, unless one step makes them.
    """
    for layer in layers:
        if layer.level == level and not layer.needs_itself and layer.selection.equals(selection):
            if node.definition is None and not _share_step(node, layer.nodes[0]):
                continue
            return layer
    return None


def _share_step(node: Node, other: Node) -> bool:
    return node.asset.step is other.asset.step
