"""Pools: how many steps use a thing at once, over all runs of a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers._text import did_you_mean, listed
from rivers._validation import check_count
from rivers.exceptions import AssetDefinitionError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rivers.assets.asset_graph import Graph, Node


def check_limits(limits: object, graph: Graph) -> dict[str, int]:
    """The slots of each pool, if they are counts and every asset's needs fit.

    Raises:
        ConfigurationError: A limit is none.
        AssetDefinitionError: An asset names an unknown pool, or needs more slots than it has.
    """
    if not isinstance(limits, dict) or not all(isinstance(name, str) for name in limits):
        msg = f"pool_limits must be a dict of pool name to number of slots, got {limits!r}"
        raise ConfigurationError(msg)
    for name, limit in limits.items():
        check_count(f"pool_limits[{name!r}]", limit)
    for node in graph.nodes.values():
        for pool, slots in node.asset.pools.items():
            if pool not in limits:
                msg = (
                    f"the asset {node.name!r} has the pool {pool!r}, but pool_limits has "
                    f"{listed(limits) or 'no entry'}{did_you_mean(pool, limits)}"
                )
                raise AssetDefinitionError(msg)
            if slots > limits[pool]:
                msg = (
                    f"the asset {node.name!r} takes {slots} slots of the pool {pool!r}, which has "
                    f"{limits[pool]}: it could never run"
                )
                raise AssetDefinitionError(msg)
    return dict(limits)


def needs(nodes: Iterable[Node]) -> list[tuple[str, int]]:
    """What a run of these assets takes of each pool: its steps run one after another, so the most."""
    most: dict[str, int] = {}
    for node in nodes:
        for pool, slots in node.asset.pools.items():
            most[pool] = max(slots, most.get(pool, 0))
    return sorted(most.items())
