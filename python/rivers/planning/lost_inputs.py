"""Inputs that were materialized, and whose values went with the memory of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.exceptions import PartitionValidationError
from rivers.partitions import PartitionMapping

if TYPE_CHECKING:
    from rivers._rivers import Selection
    from rivers.assets.asset_graph import Graph, Node
    from rivers.planning.expansion import Parts, SpaceOf
    from rivers.planning.states import AssetStates


def lost_inputs(graph: Graph, executed: Parts, space_of: SpaceOf, states: AssetStates) -> Parts:
    """The inputs, and theirs, that have to be materialized again before partitions can be executed.

    Args:
        graph: All assets.
        executed: The partitions that will be executed, by asset.
        space_of: The partitions of an asset.
        states: Knows which values are gone.

    Returns:
        The partitions by asset, without those in `executed`.
    """
    own = {name: part.same_in(space_of(graph[name])) for name, part in executed.items()}
    lost: Parts = {}
    for node in reversed(graph.in_order(graph.all_upstream_of(own) | own.keys())):
        both = [part for part in (own.get(node.name), lost.get(node.name)) if part is not None]
        for part in both:
            for name in node.inputs:
                upstream = graph[name]
                if upstream.asset.is_external or not upstream.asset.has_value:
                    continue
                gone = states.lost(upstream)
                if not gone.num_partitions:
                    continue
                found = _needed(node, part, upstream, space_of)
                if found is None:
                    continue
                found = found.intersection(gone)
                if name in own:
                    found = found.difference(own[name])
                if found.num_partitions:
                    lost[name] = lost[name].union(found) if name in lost else found
    return lost


def _needed(node: Node, part: Selection, upstream: Node, space_of: SpaceOf) -> Selection | None:
    """The partitions of an upstream that an asset needs; `None` if it lacks some of their keys."""
    try:
        mapping = node.mapping_to(upstream.name) or PartitionMapping.all_partitions()
        return part.upstream(space_of(upstream), mapping)
    except PartitionValidationError:
        return None  # The run that needs such a key fails and names it.
