"""The HTML of results in a notebook: counts, and a small map of the partitions as SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rivers.status.grid import STATES, dimensions_of, gather

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

COLOURS = {
    "completed": "#2e8b57",
    "failed": "#c0392b",
    "canceled": "#d4a017",
    "running": "#2980b9",
    "pending": "#b8bec4",
    "skipped": "#9db8a7",
}

_COLUMNS, _ROWS = 80, 16
_CELL = 7
_LABEL = 6.5
"""Width of a character of a label, in pixels."""


def facts(rows: Mapping[str, str]) -> str:
    """Returns names and values as a table; both are escaped."""
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{lines}</table>"


def bar(counts: Mapping[str, int], total: int) -> str:
    """Returns a bar of the shares of all partitions that ended, by status."""
    parts = "".join(
        f'<div style="width:{100 * count / max(total, 1):.2f}%;background:{COLOURS[state]}"></div>'
        for state, count in counts.items()
    )
    return (
        '<div style="display:flex;width:320px;height:8px;background:#e4e7ea;border-radius:4px;'
        f'overflow:hidden">{parts}</div>'
    )


def grid(frame: pl.DataFrame) -> str:
    """Returns the map of a backfill's partitions; empty if there are none."""
    if not frame.height:
        return ""
    cells = gather(frame, dimensions_of(frame), _COLUMNS, _ROWS)
    left = _LABEL * max(map(len, cells.labels)) + _CELL
    parts = [
        f'<text x="0" y="{row * _CELL + _CELL - 1}">{escape(label)}</text>'
        for row, label in enumerate(cells.labels)
    ]
    for cell in cells.counts.iter_rows(named=True):
        worst = next(state for state in STATES if cell[state])
        text = ", ".join(f"{cell[state]:,} {state}" for state in STATES if cell[state])
        parts.append(
            f'<rect x="{left + cell["column"] * _CELL:g}" y="{cell["row"] * _CELL}" '
            f'width="{_CELL - 1}" height="{_CELL - 1}" fill="{COLOURS[worst]}">'
            f"<title>{escape(cells.labels[cell['row']])}: {text}</title></rect>"
        )
    across = cells.counts["column"].max()
    width = left + (int(str(across)) + 1) * _CELL
    height = len(cells.labels) * _CELL
    return (
        f"<div>{escape(cells.shape)}</div>"
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" '
        f'style="font:{_CELL + 1}px monospace;fill:currentColor">{"".join(parts)}</svg>'
    )
