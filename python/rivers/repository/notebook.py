"""What a notebook shows of a repository: its assets, what they need, and their partitions."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rivers.partitions.notebook import facts_of

if TYPE_CHECKING:
    from rivers.assets.asset_graph import Graph

_MAX_ASSETS = 50
"""Number of assets that are shown."""

_COLUMNS = ("partitions", "first", "last")


def repository_html(repository: object, graph: Graph) -> str:
    """The assets in dependency order as a table; nothing is read from a storage."""
    head = "".join(f"<th>{name}</th>" for name in ("asset", "needs", *_COLUMNS))
    rows = ""
    for node in graph.in_order(list(graph.order)[:_MAX_ASSETS]):
        facts = (
            {"partitions": "not partitioned"}
            if node.definition is None
            else facts_of(node.definition)
        )
        cells = [node.name, ", ".join(node.deps), *(facts.get(name, "") for name in _COLUMNS)]
        rows += f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    left = len(graph.order) - _MAX_ASSETS
    more = f"<div>and {left:,} more</div>" if left > 0 else ""
    return f"<div><code>{escape(repr(repository))}</code></div><table><tr>{head}</tr>{rows}</table>{more}"
