"""Selectors: texts that stand for several assets, such as `sales+`, `2+report`, `group:finance`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rivers._text import did_you_mean, listed
from rivers.exceptions import AssetNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rivers.assets.asset_graph import Graph, Node

_NEIGHBOURS = re.compile(r"(?:(?P<up>\d*)\+)?(?P<name>[^+]+)(?:\+(?P<down>\d*))?")
"""`name` with the assets that it needs (`2+`: two steps, `+`: all), and those that need it."""


def expand_selectors(
    graph: Graph, selection: Sequence[str], *, partitioned: bool = False
) -> list[str]:
    """The names of the assets that a selection stands for, each once.

    An asset's own name always means that asset. `+a` adds all assets that `a` needs, `a+` all that need
    it; a number limits the steps: `2+a`, `a+1`. `group:x`, `kind:x` and `tag:x` (or `tag:x=y`) mean all
    assets with it. What is added to a name comes after that name, in dependency order, without external
    assets.

    Args:
        graph: All assets.
        selection: Names and selectors.
        partitioned: Whether assets without partitions are left out of what selectors add.

    Raises:
        AssetNotFoundError: There is no such asset, or none has the group, kind or tag.
    """
    names: dict[str, None] = {}
    for text in selection:
        if text in graph.nodes:
            names[text] = None
            continue
        found = _neighbours(graph, text) or _labeled(graph, text)
        if found is None:
            graph[text]  # Raises, naming close spellings.
        first, others = found or (None, [])
        if first is not None:
            names[first] = None
        for node in graph.in_order(others):
            is_left_out = node.asset.is_external or (partitioned and node.definition is None)
            if not is_left_out:
                names[node.name] = None
    return list(names)


def _neighbours(graph: Graph, text: str) -> tuple[str | None, Iterable[str]] | None:
    match = _NEIGHBOURS.fullmatch(text) if "+" in text else None
    if match is None:
        return None
    name, up, down = match["name"], match["up"], match["down"]
    graph[name]
    found: set[str] = set()
    if up is not None:
        found |= _within(name, up, lambda other: graph.nodes[other].deps)
    if down is not None:
        found |= _within(name, down, graph.downstream_of)
    return name, found - {name}


def _within(name: str, limit: str, neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    """What is reached from an asset in at most `limit` steps; any number if that is empty."""
    found: set[str] = set()
    last, steps = {name}, int(limit) if limit else -1
    while last and steps:
        last = {other for one in last for other in neighbours(one)} - found
        found |= last
        steps -= 1
    return found


def _labeled(graph: Graph, text: str) -> tuple[str | None, Iterable[str]] | None:
    kind, colon, wanted = text.partition(":")
    labels = _LABELS.get(kind) if colon else None
    if labels is None:
        return None
    found = [node.name for node in graph.nodes.values() if wanted in labels(node)]
    if not found:
        there = {label for node in graph.nodes.values() for label in labels(node)}
        msg = f"no asset has the {kind} {wanted!r}"
        msg += (
            f"; there are {listed(sorted(there))}{did_you_mean(wanted, there)}"
            if there
            else "; none has any"
        )
        raise AssetNotFoundError(msg)
    return None, found


def _tags(node: Node) -> list[str]:
    tags = node.asset.tags
    if isinstance(tags, dict):
        return [*tags, *(f"{name}={value}" for name, value in tags.items())]
    return [str(tag) for tag in tags]


_LABELS: Mapping[str, Callable[[Node], Sequence[str]]] = {
    "group": lambda node: [] if node.asset.group is None else [node.asset.group],
    "kind": lambda node: node.asset.kinds,
    "tag": _tags,
}
"""The labels of an asset that a selector may name, by what stands before the colon."""
