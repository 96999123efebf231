"""Which partitions `only_stale` leaves out: those that are materialized and up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers._rivers import Selection
from rivers.partitions import PartitionMapping
from rivers.planning.expansion import expand, within_asset

if TYPE_CHECKING:
    from rivers._rivers import Space
    from rivers.assets.asset_graph import Graph
    from rivers.planning.expansion import Parts, SpaceOf
    from rivers.planning.selection import Materialized
    from rivers.planning.states import AssetStates


def up_to_date(
    graph: Graph,
    parts: Parts,
    space_of: SpaceOf,
    states: AssetStates,
    *,
    include_upstream: bool,
    include_downstream: bool,
) -> Materialized:
    """Looks up the partitions that need not be executed.

    A partition that needs one which the same backfill executes is executed, too: it would be out of date as
    soon as the backfill has ended.

    Args:
        graph: All assets.
        parts: The partitions of the selected assets.
        space_of: The partitions of an asset.
        states: What is materialized, and what of it is out of date.
        include_upstream: Whether partitions that the selected ones need are executed if they are stale.
        include_downstream: Whether those that need the selected ones are executed with them.

    Returns:
        A function of an asset's name and a space: the partitions of the space that are left out.
    """
    considered = dict(parts)
    if include_upstream or include_downstream:
        considered = expand(
            graph, parts, space_of, upstream=include_upstream, downstream=include_downstream,
            keep=lambda found, _: found,
        )  # fmt: skip
    executed: Parts = {}
    for node in graph.in_order(considered):
        space = space_of(node)
        own = considered[node.name].same_in(space)
        stale = states.stale(node).all().intersection(own)
        again = stale
        if node.name in parts:
            again = again.union(own.difference(states.materialized(node.name, space)))
        for name in node.deps:
            if name in executed:
                mapping = node.mapping_to(name) or PartitionMapping.all_partitions()
                affected = executed[name].downstream(space, mapping)
                again = again.union(affected.intersection(own))
        if node.name in node.mappings and again.num_partitions:
            again = within_asset(node, again, Selection.downstream).intersection(own)
        if again.num_partitions:
            executed[node.name] = again

    def left_out(name: str, space: Space) -> Selection:
        current = states.materialized(name, space)
        again = executed.get(name)
        stale = states.stale(graph[name]).all().same_in(space)
        current = current.difference(stale)
        return current if again is None else current.difference(again.same_in(space))

    return left_out
