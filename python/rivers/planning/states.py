"""For which partitions assets are materialized, and which of those are out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.partitions import PartitionMapping
from rivers.status import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import AssetState, Selection, Space, Staleness, Store
    from rivers.assets.asset_graph import Graph, Node
    from rivers.io.base import BaseIOHandler
    from rivers.planning.expansion import SpaceOf

_MAX_LISTED = 1_000_000
"""Maximum number of partitions of an asset among which those with deleted files are looked for."""

_FACTS_OF_FILE = ('"serializer"', '"write_duration_s"')
"""What a handler records of a file that it wrote; a function may record one of them itself."""


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
        self._unavailable: dict[str, Selection] = {}
        self._stale: dict[str, Staleness] = {}

    def of(self, node: Node) -> AssetState:
        """The state of an asset."""
        state = self._states.get(node.name)
        if state is None:
            state = self._store.asset_state(node.name, self._space_of(node))
            self._states[node.name] = state
        return state

    def lost(self, node: Node) -> Selection:
        """The partitions that are materialized and whose values this process cannot load any more.

        Besides what is `unavailable`, these are values that a memory handler of this process no longer has.
        """
        state, handler = self.of(node), self._handler_of(node)
        if handler.reach != "process" or not node.asset.keeps_value:
            return self.unavailable(node)
        return state.gone().union(handler._lost(node.name, state.stored()))  # noqa: SLF001  (not for users)

    def unavailable(self, node: Node) -> Selection:
        """The partitions that are materialized and whose values no process can load any more, so are missing.

        They were in the memory of another process; or in a file that was removed.
        """
        found = self._unavailable.get(node.name)
        if found is None:
            state, handler = self.of(node), self._handler_of(node)
            found = state.gone()
            if handler.reach != "process" and node.asset.keeps_value:
                stored = state.stored()
                if stored.num_partitions:
                    found = found.union(handler._lost(node.name, stored))  # noqa: SLF001  (not for users)
                    found = found.union(self._deleted(node, stored))
            self._unavailable[node.name] = found
        return found

    def _deleted(self, node: Node, stored: Selection) -> Selection:
        """Those whose values the handler put into files that somebody has deleted."""
        absent = self._handler_of(node)._without_file(node.name, stored)  # noqa: SLF001  (not for users)
        space = stored.space
        if not absent.num_partitions or space.num_partitions > _MAX_LISTED:
            return absent.difference(absent)
        if not space.dimensions():
            latest = self._store.latest_materialization(node.name, None)
            facts = (latest["metadata"] or "") if latest is not None else ""
            is_stored = all(fact in facts for fact in _FACTS_OF_FILE)
            return absent if is_stored else absent.difference(absent)
        gone = absent.difference(absent)
        table = tables.partition_status(
            self._store, node.name, None, gone, self.of(node).stale(None, []), metadata=True
        )
        # In a forked child, an expression would wait for ever for the threads of Polars that its parent has.
        in_file = [
            number
            for number, facts in enumerate(table["metadata"].to_list())
            if facts is not None and all(fact in facts for fact in _FACTS_OF_FILE)
        ]
        return absent.intersection(space.select_numbers(in_file))

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
        return self.of(node).materialized().difference(self.unavailable(node)).same_in(space)

    def complete(self, name: str, space: Space) -> Selection:
        """Those for which it is materialized by a run that did not start before their window's end."""
        node = self._graph[name]
        early = self.of(node).stale(None, []).early
        made = self.of(node).materialized().difference(self.unavailable(node))
        return made.difference(early).same_in(space)
