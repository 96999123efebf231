"""Which partitions of each asset a backfill covers, and which runs need what others make."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from rivers._rivers import Plan, Selection
from rivers.assets.asset_graph import unclear_by_name
from rivers.exceptions import PartitionValidationError
from rivers.partitions import PartitionMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rivers._rivers import Space, StoredStrategy
    from rivers.assets.asset_graph import Graph, Node
    from rivers.assets.step_def import StepDef
    from rivers.policies.strategy import BackfillStrategy

    Strategy = BackfillStrategy | StoredStrategy
    Along = Callable[[Selection, Space, PartitionMapping], Selection]
    SpaceOf = Callable[[Node], Space]

Parts = dict[str, "Selection"]
"""By asset, its partitions."""

_SAME_KEYS = PartitionMapping.identity()


def follow(graph: Graph, nodes: Sequence[Node], chosen: Selection, space_of: SpaceOf) -> Parts:
    """The partitions of all selected assets, from those that were chosen of the first.

    An asset that has all of the chosen keys gets these; another gets what the mappings
    between it and the others lead to, near ones first.

    Raises:
        PartitionValidationError: Naming an asset whose partitions cannot be told, or are none.
    """
    first, *others = nodes
    parts = {first.name: chosen}
    refusals: dict[str, PartitionValidationError] = {}
    for node in others:
        try:
            chosen.check_in(space_of(node), node.name)
            parts[node.name] = chosen
        except PartitionValidationError as error:
            refusals[node.name] = error
    while refusals:
        reached = {
            node.name: found
            for node in nodes
            if node.name in refusals and (found := _from_neighbours(graph, node, parts, space_of))
        }
        if not reached:
            raise next(iter(refusals.values()))
        for name, found in reached.items():
            del refusals[name]
            if not found.num_partitions:
                msg = (
                    f"none of the partitions of {name!r} belongs to those that were chosen of "
                    f"{first.name!r}, by the mappings between the assets; leave it out of the selection"
                )
                raise PartitionValidationError(msg)
        parts |= reached
    return parts


def _from_neighbours(graph: Graph, node: Node, parts: Parts, space_of: SpaceOf) -> Selection | None:
    """What the assets beside it that have partitions lead to; `None`: there is none."""
    needed = _needed(graph, node, parts, space_of)
    affected = _affected(graph, node, parts, space_of)
    return needed.union(affected) if needed and affected else needed or affected


def _needed(graph: Graph, node: Node, parts: Parts, space_of: SpaceOf) -> Selection | None:
    """The partitions that assets downstream of it need."""
    found: Selection | None = None
    for name in graph.downstream_of(node.name):
        mapping = _mapping(graph[name], node)
        if name in parts and mapping is not None:
            own = parts[name].upstream(space_of(node), mapping)
            found = found.union(own) if found else own
    return found


def _affected(graph: Graph, node: Node, parts: Parts, space_of: SpaceOf) -> Selection | None:
    """The partitions that need something of the assets upstream of it."""
    found: Selection | None = None
    for name in node.deps:
        mapping = _mapping(node, graph[name])
        if name in parts and mapping is not None:
            own = parts[name].downstream(space_of(node), mapping)
            found = found.union(own) if found else own
    return found


def _mapping(node: Node, upstream: Node) -> PartitionMapping | None:
    """Which partitions of an upstream it needs; `None`: nobody has said so."""
    declared = node.mappings.get(upstream.name)
    if declared is None and unclear_by_name(node.definition, upstream.definition) is None:
        return _SAME_KEYS
    return declared


def widen(
    graph: Graph,
    parts: Parts,
    space_of: SpaceOf,
    *,
    upstream: bool,
    downstream: bool,
    keep: Callable[[Selection, list[Node]], Selection],
) -> Parts:
    """Adds what the selected partitions need, or what needs them, near and far.

    That is also partitions of the selected assets, where one needs another or its own.

    Args:
        graph: All assets.
        parts: The partitions of the selected assets.
        space_of: The partitions of an asset.
        upstream: Whether to add all that they need.
        downstream: Whether to add all that needs them.
        keep: Which of the partitions of assets that are made in one step are to be executed.
    """
    wider = dict(parts)
    if upstream:
        for nodes in reversed(_steps(graph, graph.all_upstream_of(parts) | parts.keys())):
            # What needs any of them comes after the first of them, and so was looked at before.
            found = [_needed(graph, node, wider, space_of) for node in nodes]
            _add(wider, nodes, found, keep, Selection.upstream)
    if downstream:
        for nodes in _steps(graph, graph.all_downstream_of(parts) | parts.keys()):
            found = [_affected(graph, nodes[0], wider, space_of)]
            _add(wider, nodes, found, keep, Selection.downstream)
    return wider


def _steps(graph: Graph, names: Iterable[str]) -> list[list[Node]]:
    """The assets whose partitions can be made, in order, with those that one step makes with them."""
    steps: dict[StepDef, list[Node]] = {}
    siblings = graph.with_siblings(graph[name] for name in names)
    for node in graph.in_order(node.name for node in siblings):
        if node.definition is not None and not node.asset.is_external:
            steps.setdefault(node.asset.step, []).append(node)
    return list(steps.values())


def _add(
    parts: Parts,
    nodes: list[Node],
    found: Iterable[Selection | None],
    keep: Callable[[Selection, list[Node]], Selection],
    along: Along,
) -> None:
    """Adds what was found of the assets of one step, and what their own partitions lead to from there."""
    chosen = parts.get(nodes[0].name)
    several = [selection for selection in [chosen, *found] if selection is not None]
    if not several:
        return
    reached = _of_its_own(nodes[0], reduce(lambda a, b: a.union(b), several), along)
    if chosen is None:
        kept = keep(reached, nodes)
    elif reached.num_partitions == chosen.num_partitions:
        return
    else:
        kept = chosen.union(keep(reached.difference(chosen), nodes))
    if kept.num_partitions:
        parts |= {node.name: kept for node in nodes}


def _of_its_own(node: Node, selection: Selection, along: Along) -> Selection:
    """With all that an asset needs of itself, or that needs it, one moment after the other."""
    mapping = node.mappings.get(node.name)
    while mapping is not None:
        wider = selection.union(along(selection, selection.space, mapping))
        if wider.num_partitions == selection.num_partitions:
            break
        selection = wider
    return selection


@dataclass
class _Layer:
    """Assets of which each run executes the same partitions, one after another."""

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
    """The runs that cover these partitions; `arrange` puts those of an asset in order.

    Assets that need of each other just the partitions of the same run share runs. Any other need
    between two of them, or of an asset for its own earlier partitions, is an order between runs.

    Raises:
        ConfigurationError: A strategy does not fit.
    """
    layers: list[_Layer] = []
    layer_of: dict[str, _Layer] = {}
    links: list[tuple[str, str, PartitionMapping]] = []
    for node in graph.in_order(parts):
        own = parts[node.name]
        needs = dict(_needs(graph, node, parts))
        # Those before it need not wait for its earlier partitions, so it has runs of its own.
        needs_itself = node.name in needs
        level = 0
        for name, mapping in needs.items():
            if name != node.name:
                shares = (
                    mapping == _SAME_KEYS
                    and own.equals(parts[name])
                    and not (needs_itself or layer_of[name].needs_itself)
                )
                level = max(level, layer_of[name].level + (0 if shares else 1))
        layer = None if needs_itself else _shared(layers, level, own)
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
    places = {node.name: place for place, node in enumerate(graph.in_order(parts))}
    order = {id(layer): place for place, layer in enumerate(layers)}
    return Plan.in_layers(
        [
            (
                arrange(layer.selection),
                strategy_of(layer.nodes),
                [places[node.name] for node in layer.nodes],
            )
            for layer in layers
        ],
        [
            (order[id(layer_of[name])], order[id(layer_of[needed])], places[needed], mapping)
            for name, needed, mapping in links
        ],
    )


def _needs(graph: Graph, node: Node, parts: Parts) -> Iterator[tuple[str, PartitionMapping]]:
    """The selected assets of which it needs selected partitions, and through which mapping."""
    own = parts[node.name]
    for name in [*node.deps, node.name]:
        if name not in parts or (name == node.name and name not in node.mappings):
            continue
        there = parts[name]
        # Where nobody has said which partitions belong together, one asset comes after the other.
        mapping = _mapping(node, graph[name]) or PartitionMapping.all_partitions()
        if mapping != _SAME_KEYS or not own.equals(there):
            needed = own.upstream(there.space, mapping).intersection(there)
            if not needed.num_partitions:
                continue
        yield name, mapping


def _shared(layers: list[_Layer], level: int, selection: Selection) -> _Layer | None:
    """The layer whose runs can execute one more asset."""
    for layer in layers:
        if layer.level == level and not layer.needs_itself and layer.selection.equals(selection):
            return layer
    return None
