"""Draws the map of a backfill's partitions in a terminal."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.text import Text

from rivers.cli.display import STYLES
from rivers.status.grid import STATES, Cells

SIGNS = {
    "failed": "X",
    "canceled": "-",
    "running": ">",
    "pending": ".",
    "completed": "█",
    "skipped": "s",
}
_PARTLY_DONE = "▄"
LINES_AROUND = 5
"""Lines around the map: one above it, a legend of two lines below, and the prompt."""


def draw(cells: Cells) -> Text:
    """Returns the map in colours, with a legend."""
    width = max(map(len, cells.labels), default=0)
    lines: list[list[tuple[str, str]]] = [
        [(" ", "")] * cells.columns for _ in range(len(cells.labels))
    ]
    for cell in cells.counts.iter_rows(named=True):
        lines[cell["row"]][cell["column"]] = _sign(cell)
    if not cells.labels:
        return Text("no partitions")
    text = Text(no_wrap=True, overflow="crop", end="")
    text.append(cells.shape + "\n", "bright_black")
    for label, line in zip(cells.labels, lines, strict=True):
        text.append(f"{label:>{width}} ", "bright_black")
        for sign, style in line:
            text.append(sign, style)
        text.append("\n")
    totals = cells.counts.select(pl.sum(*STATES)).row(0, named=True)
    for state in reversed(STATES):
        if totals[state]:
            text.append(SIGNS[state], STYLES[state])
            text.append(f" {totals[state]:,} {state}  ")
    if cells.counts.height < sum(totals.values()):
        text.append("\na cell shows the worst; small x: not all failed", "bright_black")
    text.append("\n")
    return text


def _sign(cell: dict[str, Any]) -> tuple[str, str]:
    """Returns sign and style of a cell: its worst status; `x` if not all failed, half if some completed."""
    state = next(state for state in STATES if cell[state])
    done = cell["completed"]
    if state == "failed" and any(cell[other] for other in STATES[1:]):
        return "x", STYLES["failed"]
    if state == "pending" and done:
        return _PARTLY_DONE, STYLES["completed"]
    return SIGNS[state], STYLES[state]
