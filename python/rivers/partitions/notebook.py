"""What a notebook shows of definitions and sets: how many partitions, the first and the last key."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rivers.exceptions import RiversError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rivers._rivers import PartitionsDefinition, Selection


def facts_of(definition: PartitionsDefinition) -> dict[str, str]:
    """The size of a definition, its dimensions, and its first and last key."""
    try:
        space = definition.resolve()
    except RiversError:
        return {"partitions": "registered in a storage"}
    names = definition.dimension_names()
    sizes = [f"{name}: {count:,}" for name, count, _ in space.dimensions()] if names else []
    return {"dimensions": " x ".join(sizes)} | _ends(space.all())


def definition_html(definition: PartitionsDefinition) -> str:
    """The definition as a table; the `_repr_html_` of `PartitionsDefinition`."""
    return table(repr(definition), facts_of(definition))


def set_html(title: str, resolve: Callable[[], Selection]) -> str:
    """A set as a table; the `_repr_html_` of `PartitionSet`.

    Args:
        title: The expression that makes the set.
        resolve: Returns its partitions.
    """
    try:
        facts = _ends(resolve())
    except RiversError:
        facts = {"partitions": "registered in a storage"}
    return table(title, facts)


def table(title: str, facts: Mapping[str, str]) -> str:
    """A title and facts as HTML; all texts are escaped, and empty facts are left out."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td>{escape(text)}</td></tr>'
        for name, text in facts.items()
        if text
    )
    return f"<div><code>{escape(title)}</code></div><table>{rows}</table>"


def _ends(selection: Selection) -> dict[str, str]:
    count = selection.num_partitions
    if not count:
        return {"partitions": "none"}
    return {
        "partitions": f"{count:,}",
        "first": selection.text(0),
        "last": selection.text(count - 1),
    }
