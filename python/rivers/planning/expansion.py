"""The partitions of the other assets: those that the selected ones need, or that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers._rivers import Selection
from rivers.exceptions import PartitionValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rivers._rivers import Space
    from rivers.assets.asset_graph import Graph, Node
    from rivers.partitions import PartitionMapping

    Direction = Callable[[Selection, Space, PartitionMapping], Selection]
    SpaceOf = Callable[[Node], Space]

Parts = dict[str, "Selection"]
"""The partitions of each asset, by its name."""


def map_to_assets(
    graph: Graph, nodes: Sequence[Node], chosen: Selection, space_of: SpaceOf
) -> Parts:
    """The partitions of all selected assets, given those chosen of the first.

    An asset that has all of the chosen keys gets these. Another asset gets the partitions that the
    mappings between it and the other assets lead to, direct neighbours first.

    Args:
        graph: All assets.
        nodes: The selected assets.
        chosen: The partitions of the first of them.
        space_of: The partitions of an asset.

    Raises:
        PartitionValidationError: Names an asset for which no mapping leads to a partition.
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
    """The partitions that neighbouring assets in `parts` lead to; `None` if it has no such neighbour."""
    needed = _needed(graph, node, parts, space_of)
    affected = _affected(node, parts, space_of)
    return needed.union(affected) if needed and affected else needed or affected


def _needed(graph: Graph, node: Node, parts: Parts, space_of: SpaceOf) -> Selection | None:
    """The partitions of an asset that the assets downstream of it need."""
    found: Selection | None = None
    for name in graph.downstream_of(node.name):
        mapping = graph[name].mapping_to(node.name)
        if name in parts and mapping is not None:
            own = needed_by(graph[name], parts[name], node.name, space_of(node), mapping)
            found = found.union(own) if found else own
    return found


def needed_by(
    node: Node, own: Selection, upstream: str, space: Space, mapping: PartitionMapping
) -> Selection:
    """The partitions of an upstream that partitions of an asset need.

    Args:
        node: The asset.
        own: Its partitions.
        upstream: Name of the upstream.
        space: All partitions of the upstream.
        mapping: The mapping from the asset to the upstream.

    Raises:
        PartitionValidationError: The upstream does not have one of them: it begins later, or has ended.
    """
    try:
        return own.upstream(space, mapping)
    except PartitionValidationError as error:
        msg = f"the asset {node.name!r} needs the same partitions of {upstream!r}: {error}"
        raise PartitionValidationError(msg) from None


def _affected(node: Node, parts: Parts, space_of: SpaceOf) -> Selection | None:
    """The partitions of an asset that need partitions of the assets upstream of it."""
    found: Selection | None = None
    for name in node.deps:
        mapping = node.mapping_to(name)
        if name in parts and mapping is not None:
            own = parts[name].downstream(space_of(node), mapping)
            found = found.union(own) if found else own
    return found


def expand(
    graph: Graph,
    parts: Parts,
    space_of: SpaceOf,
    *,
    upstream: bool,
    downstream: bool,
    keep: Callable[[Selection, Node], Selection],
) -> Parts:
    """Adds all partitions that the selected ones need, or that need them, directly or not.

    These include partitions of the selected assets, where one needs another or its own earlier ones, and
    unpartitioned assets, which are executed once.

    Args:
        graph: All assets.
        parts: The partitions of the selected assets.
        space_of: The partitions of an asset.
        upstream: Whether to add all that they need.
        downstream: Whether to add all that needs them.
        keep: Filters the partitions that are added for an asset.
    """
    expanded = dict(parts)
    if upstream:
        for node in reversed(_runnable(graph, graph.all_upstream_of(parts) | parts.keys())):
            # Assets that need this one come after it in order, so they are done already.
            found = _needed(graph, node, expanded, space_of)
            _add(expanded, node, found, keep, Selection.upstream)
    if downstream:
        # What was added upstream is only needed by the selected partitions; it does not select others.
        affected = dict(parts)
        for node in _runnable(graph, graph.all_downstream_of(parts) | parts.keys()):
            found = _affected(node, affected, space_of)
            _add(affected, node, found, keep, Selection.downstream)
        for name, own in affected.items():
            expanded[name] = expanded[name].union(own) if name in expanded else own
    return expanded


def _runnable(graph: Graph, names: Iterable[str]) -> list[Node]:
    """The named assets that are not external, in dependency order."""
    return [node for node in graph.in_order(names) if not node.asset.is_external]


def _add(
    parts: Parts,
    node: Node,
    found: Selection | None,
    keep: Callable[[Selection, Node], Selection],
    direction: Direction,
) -> None:
    """Adds to `parts` the partitions found for an asset, and what these lead to in it."""
    chosen = parts.get(node.name)
    both = chosen.union(found) if chosen and found else chosen or found
    if both is None:
        return
    reached = within_asset(node, both, direction)
    if chosen is None:
        kept = keep(reached, node)
    elif reached.num_partitions == chosen.num_partitions:
        return
    else:
        kept = chosen.union(keep(reached.difference(chosen), node))
    if kept.num_partitions:
        parts[node.name] = kept


def within_asset(node: Node, selection: Selection, direction: Direction) -> Selection:
    """The selection with all partitions of the asset that it leads to through its mapping to itself."""
    mapping = node.mappings.get(node.name)
    while mapping is not None:
        wider = selection.union(direction(selection, selection.space, mapping))
        if wider.num_partitions == selection.num_partitions:
            break
        selection = wider
    return selection
