"""For which partitions assets are materialized, and which of those are out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.partitions import PartitionMapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import AssetState, Selection, Space, Staleness, Store
    from rivers.assets.asset_graph import Graph, Node
    from rivers.io.base import BaseIOHandler
    from rivers.planning.expansion import SpaceOf


class AssetStates:
    """The states of assets at one time; each is read once.

    Args:
        store: Has what happened to the assets.
        graph: All assets.
        space_of: The partitions of an asset.
        handler_of: What stores the values of an asset.
    """

    def __init__(
        self,
        store: Store,
        graph: Graph,
        space_of: SpaceOf,
        handler_of: Callable[[Node], BaseIOHandler],
    ) -> None:
        self._store = store
        self._graph = graph
        self._space_of = space_of
        self._handler_of = handler_of
        self._states: dict[str, AssetState] = {}
        self._stale: dict[str, Staleness] = {}

    def of(self, node: Node) -> AssetState:
        """The state of an asset."""
        state = self._states.get(node.name)
        if state is None:
            state = self._store.asset_state(node.name, self._space_of(node))
            self._states[node.name] = state
        return state

    def lost(self, node: Node) -> Selection:
        """The partitions that are materialized and whose values cannot be loaded any more.

        They were in the memory of another process, or of a handler of this one that no longer has them.
        """
        state = self.of(node)
        lost = state.gone().union(self._unstored(node, state.materialized()))
        here = state.here()
        if not here.num_partitions:
            return lost
        held = self._handler_of(node)._held(node.name, here)  # noqa: SLF001  (not for users)
        return lost.union(here.difference(held))

    def _unstored(self, node: Node, made: Selection) -> Selection:
        """Those of the partitions whose value was passed on within its run, but could not be stored."""
        if not made.num_partitions or not node.asset.has_value:
            return made.difference(made)
        return self._handler_of(node)._lost(node.name, made)  # noqa: SLF001  (not for users)

    def stale(self, node: Node) -> Staleness:
        """The partitions of an asset that are materialized and out of date."""
        stale = self._stale.get(node.name)
        if stale is None:
            needed = [
                (
                    self.of(self._graph[name]),
                    node.mapping_to(name) or PartitionMapping.all_partitions(),
                )
                for name in dict.fromkeys([*node.deps, *node.mappings])
            ]
            stale = self.of(node).stale(node.asset.code_version, needed)
            self._stale[node.name] = stale
        return stale

    def materialized(self, name: str, space: Space) -> Selection:
        """The partitions of a space for which an asset is materialized and its value is not gone."""
        node = self._graph[name]
        made = self.of(node).materialized().same_in(space)
        return made.difference(self._unstored(node, made))

    def complete(self, name: str, space: Space) -> Selection:
        """Those for which it is materialized by a run that did not start before their window's end."""
        node = self._graph[name]
        state = self.of(node)
        early = state.stale(None, []).early
        made = state.materialized().difference(early).same_in(space)
        return made.difference(self._unstored(node, made))
