"""Draws the map of a backfill's partitions in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from rivers.cli.display import STYLES, output
from rivers.status.grid import DONE

if TYPE_CHECKING:
    from rivers.status.grid import Bounds, Cells, Grid

SIGNS = {
    "failed": "X",
    "canceled": "-",
    "running": ">",
    "pending": ".",
    "completed": "█",
    "skipped": "s",
    "missing": ".",
    "in_progress": ">",
    "stale": "~",
    "materialized": "█",
}
"""A sign of its own for each status, so that a map can be read without its colours."""

_PARTLY_FAILED = "x"
_PARTLY_DONE = "▁▂▃▄▅▆▇"
"""Signs of a cell whose partitions are partly done, by their share."""

_IN_ASCII = str.maketrans(f"█{_PARTLY_DONE}…", "#1234567~")
"""The signs on a terminal whose encoding has none of these."""

LINES_AROUND = 6
"""Lines around the map: two above it, a legend of two lines below, a blank line and the prompt."""

_MAX_LABEL = 32
"""Maximum width of a label, in columns; a longer key is cut."""


def fit(
    grid: Grid, rows: str | None, columns: str | None, bounds: Bounds | None, size: tuple[int, int]
) -> Cells:
    """Counts the cells of a map that fits a window, with single partitions where there is room for them.

    Args:
        grid: The partitions.
        rows: The dimension of the rows, if it is chosen.
        columns: The dimension of the columns, if it is chosen.
        bounds: The coordinates that are shown, for the dimensions that are restricted.
        size: Width and height of the window, in characters.
    """
    width, height = size[0], max(size[1] - LINES_AROUND, 1)
    rows, columns = grid.arrangement(rows, columns)
    within = grid.bounds(bounds)
    labels = _label_width(grid, rows or columns, within)
    room = max(width - labels - 2, 1)
    if rows is not None and columns is not None:
        start, end = within[columns]
        lines = _length(within[rows])
        bands = -(-(end - start) // room)
        # The columns continue in further bands below, each with a line of its own for their keys.
        if bands > 1 and bands * (lines + 1) <= height:
            room = max(end - start, 1)
    return grid.cells(rows, columns, bounds, room, height)


def draw(cells: Cells, width: int) -> Text:
    """Returns the map in colours, with a legend.

    Args:
        cells: The counts.
        width: Width of the window, in characters.
    """
    if not sum(cells.totals.values()):
        return Text("no partitions")
    labels = [_cut(label) for label in cells.row_labels()]
    margin = max(map(cell_len, labels), default=0)
    room = max(width - margin - 2, 1)
    keys = cells.column_labels()
    text = Text(no_wrap=True, overflow="crop", end="")
    text.append(cells.shape + "\n", "bright_black")
    for first in range(0, cells.width, room):
        last = min(first + room, cells.width)
        if keys:
            text.append(
                " " * (margin + 1) + _keys_line(keys[first:last], room) + "\n", "bright_black"
            )
        for row, label in enumerate(labels):
            text.append(" " * (margin - cell_len(label)) + f"{label} ", "bright_black")
            for column in range(first, last):
                text.append(*_sign(cells.counts(row, column)))
            text.append("\n")
    present = [state for state in reversed(cells.states) if cells.totals[state]]
    for at, state in enumerate(present):
        text.append("  " if at else "")
        text.append(SIGNS[state], STYLES[state])
        text.append(f" {cells.totals[state]:,} {state}")
    if max(cells.per_row, 1) * cells.per_column > 1 or sum(cells.totals.values()) > (
        cells.width * cells.height
    ):
        text.append("\na cell shows the worst; small x: not all failed", "bright_black")
    text.append("\n")
    if not output.encoding.startswith("utf"):
        text.plain = text.plain.translate(_IN_ASCII)
    return text


def _sign(counts: dict[str, int]) -> tuple[str, str]:
    """Returns sign and style of a cell: its worst status, or its share that is done if some is pending."""
    state = next((state for state in counts if counts[state]), None)
    if state is None:
        return " ", ""
    total = sum(counts.values())
    if state == "failed" and counts[state] < total:
        return _PARTLY_FAILED, STYLES["failed"]
    done = sum(counts[state] for state in DONE if state in counts)
    if state in ("running", "pending", "in_progress", "missing") and done:
        share = _PARTLY_DONE[min(done * len(_PARTLY_DONE) // total, len(_PARTLY_DONE) - 1)]
        return share, STYLES["running" if state in ("running", "in_progress") else "completed"]
    return SIGNS[state], STYLES[state]


def _keys_line(keys: list[str], room: int) -> str:
    """Returns a line with the first key of the columns, and more where there is room in the window."""
    line = ""
    for at, key in enumerate(keys):
        shown = f"|{_cut(key)}"
        if at >= len(line) + (1 if line else 0) and at + len(shown) <= room:
            line = line.ljust(at) + shown
    return line or keys[0][:room]


def _label_width(grid: Grid, dimension: str | None, within: dict[str, tuple[int, int]]) -> int:
    """Returns the width of a dimension's keys, from some of them where there are many."""
    if dimension is None:
        return 0
    start, end = within[dimension]
    step = max((end - start) // 1000, 1)
    keys = grid.labels(dimension, list(range(start, end, step)))
    return max((cell_len(_cut(key)) for key in keys), default=0)


def _length(part: tuple[int, int]) -> int:
    return part[1] - part[0]


def _cut(label: str) -> str:
    """A label of at most `_MAX_LABEL` columns: a terminal shows some characters in two."""
    if cell_len(label) <= _MAX_LABEL:
        return label
    return set_cell_size(label, _MAX_LABEL - 1) + "…"
