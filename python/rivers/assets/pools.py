"""Pools: limits on how many steps use a resource at once, over all runs of a repository or of a storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers._text import did_you_mean, listed
from rivers._validation import check_count
from rivers.exceptions import AssetDefinitionError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rivers.assets.asset_graph import Graph, Node


UNLIMITED = (1 << 32) - 1
"""The slots, in this process, of a pool that is limited by the storage alone."""


def check_limits(limits: object, graph: Graph) -> dict[str, int]:
    """Returns the slots of each pool.

    A pool with the limit `None` has the slots that are set in the storage.

    Raises:
        ConfigurationError: `limits` is not a dict of counts by name.
        AssetDefinitionError: An asset names an unknown pool, or needs more slots than it has.
    """
    if not isinstance(limits, dict) or not all(isinstance(name, str) for name in limits):
        msg = f"pool_limits must be a dict of pool name to number of slots, got {limits!r}"
        raise ConfigurationError(msg)
    for name, limit in limits.items():
        if limit is not None:
            check_count(f"pool_limits[{name!r}]", limit)
    slots_of = {name: UNLIMITED if limit is None else limit for name, limit in limits.items()}
    for node in graph.nodes.values():
        for pool, slots in node.asset.pool:
            if pool not in limits:
                msg = (
                    f"the asset {node.name!r} has the pool {pool!r}, but pool_limits has "
                    f"{listed(limits) or 'no entry'}{did_you_mean(pool, limits)}"
                )
                raise AssetDefinitionError(msg)
            if slots > slots_of[pool]:
                msg = (
                    f"the asset {node.name!r} takes {slots} slots of the pool {pool!r}, which has "
                    f"{limits[pool]}: it could never run"
                )
                raise AssetDefinitionError(msg)
    return slots_of


def needs(nodes: Iterable[Node]) -> list[tuple[str, int]]:
    """Returns the slots that a run of these assets holds of each pool.

    The steps of a run are executed one after another, so it needs the maximum over its assets.
    """
    slots: dict[str, int] = {}
    for node in nodes:
        for pool, count in node.asset.pools.items():
            slots[pool] = max(count, slots.get(pool, 0))
    return sorted(slots.items())
