"""The partitions of assets, with all definitions resolved at one time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers._rivers import Space

if TYPE_CHECKING:
    import datetime as dt

    from rivers.assets.asset_graph import Node
    from rivers.partitions import PartitionsDefinition
    from rivers.repository.runtime import Runtime


class Spaces:
    """Resolves each definition once, at the same time and against the same storage.

    Args:
        now: The time that definitions without an end reach: aware, or naive in UTC.
        runtime: Its storage has the keys of dynamic dimensions; it is opened at first use.
    """

    def __init__(self, now: dt.datetime, runtime: Runtime) -> None:
        self._now = now
        self._runtime = runtime
        self._resolved: dict[PartitionsDefinition, Space] = {}
        self._of_node: dict[str, Space] = {}

    def __call__(self, node: Node) -> Space:
        """The partitions of an asset."""
        space = self._of_node.get(node.name)
        if space is None:
            space = self._of_node[node.name] = self.resolve(node.definition)
        return space

    def resolve(self, definition: PartitionsDefinition | None) -> Space:
        """The partitions of a definition; `None` stands for an asset without partitions."""
        if definition is None:
            return Space.unpartitioned()
        space = self._resolved.get(definition)
        if space is None:
            space = definition.resolve(self._now, self._runtime.storage)
            self._resolved[definition] = space
        return space
