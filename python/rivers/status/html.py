"""The HTML of results in a notebook: counts, and a small map of the partitions as SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rivers.status.grid import STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivers.status.grid import Cells

COLOURS = {
    "completed": "#2e8b57",
    "failed": "#c0392b",
    "canceled": "#d4a017",
    "running": "#2980b9",
    "pending": "#b8bec4",
    "skipped": "#9db8a7",
}

MAP_COLUMNS, MAP_ROWS = 72, 18
"""Maximum number of cells of a map."""

_MAX_WIDTH, _MAX_HEIGHT = 860, 320
"""Size of a map that has many cells, in pixels."""

_MIN_PITCH, _MAX_PITCH = 5, 18
"""Minimum width of a cell, and its maximum width and height, in pixels."""

_FONT, _LINE, _LABEL, _GAP = 11, 13, 6.7, 8
"""Size of the text, minimum height of a row, width of a character and distance of the labels, in pixels."""

_PALEST = 0.45
"""Opacity of a cell of which hardly any partition has the status that is shown."""

_MARKS = {"failed": "cross", "canceled": "bar"}
_MIN_MARKED = 9
"""Minimum size of a cell that is large enough for a mark, in pixels."""


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


def grid(cells: Cells) -> str:
    """Returns the map of a backfill's partitions as SVG; empty if there are none."""
    if not sum(cells.totals.values()):
        return ""
    labels = cells.row_labels()
    left = _LABEL * max(map(len, labels)) + _GAP
    pitch_x = max(min((_MAX_WIDTH - left) / cells.width, _MAX_PITCH), _MIN_PITCH)
    pitch_y = max(min(_MAX_HEIGHT / cells.height, _MAX_PITCH), _LINE)
    parts = [
        f'<text x="0" y="{row * pitch_y + pitch_y / 2 + _LINE / 3:g}">{escape(label)}</text>'
        for row, label in enumerate(labels)
    ]
    columns = cells.column_labels()
    for row, column, counts in cells.filled():
        where = f"{labels[row]}, {columns[column]}" if columns else labels[row]
        parts.append(
            _cell(counts, left + column * pitch_x, row * pitch_y, (pitch_x, pitch_y), where)
        )
    width, height = left + cells.width * pitch_x, cells.height * pitch_y
    return (
        f"<div>{escape(cells.shape)}</div>"
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" role="img" '
        f'style="font:{_FONT}px monospace;fill:currentColor">{"".join(parts)}</svg>{_legend(cells)}'
    )


def _cell(
    counts: Mapping[str, int], x: float, y: float, pitch: tuple[float, float], where: str
) -> str:
    """Returns a cell in the colour of its worst status, the paler the smaller the status's share."""
    total = sum(counts.values())
    worst = next(state for state in STATES if counts[state])
    share = _PALEST + (1 - _PALEST) * counts[worst] / total
    text = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])
    size = f'width="{pitch[0] - 1:g}" height="{pitch[1] - 1:g}"'
    opacity = "" if counts[worst] == total else f' fill-opacity="{share:.2f}"'
    rect = (
        f'<rect x="{x:g}" y="{y:g}" {size} fill="{COLOURS[worst]}"{opacity}>'
        f"<title>{escape(where)}: {text}</title></rect>"
    )
    if worst not in _MARKS or min(pitch) < _MIN_MARKED:
        return rect
    # A mark as well as a colour, for those who cannot tell the colours apart.
    left, top, right, bottom = x + 2, y + 2, x + pitch[0] - 3, y + pitch[1] - 3
    if _MARKS[worst] == "cross":
        lines = f"M{left:g} {top:g}L{right:g} {bottom:g}M{right:g} {top:g}L{left:g} {bottom:g}"
    else:
        lines = f"M{left:g} {(top + bottom) / 2:g}H{right:g}"
    return f'{rect}<path d="{lines}" stroke="#fff" pointer-events="none"/>'


def _legend(cells: Cells) -> str:
    items = "".join(
        f'<span style="margin-right:1em"><span style="color:{COLOURS[state]}">&#9632;</span> '
        f"{cells.totals[state]:,} {state}</span>"
        for state in reversed(STATES)
        if cells.totals[state]
    )
    return f"<div>{items}</div>"
