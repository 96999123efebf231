"""Counts many partitions into the few cells of a map."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

STATES = ("failed", "canceled", "running", "pending", "completed", "skipped")
"""Statuses, the worst first: a cell shows the worst status of its partitions."""


@dataclass
class Cells:
    """A map of partitions.

    Attributes:
        counts: One row per cell that is not empty: `row`, `column`, and a count for each status.
        labels: The first key of each row.
        columns: Number of columns.
        shape: What a row and a column stand for.
    """

    counts: pl.DataFrame
    labels: list[str]
    columns: int
    shape: str

    def to_json(self) -> str:
        """Returns the map as JSON."""
        return json.dumps({
            "shape": self.shape,
            "rows": self.labels,
            "columns": self.columns,
            "cells": self.counts.to_dicts(),
        })  # fmt: skip


def gather(frame: pl.DataFrame, dimensions: Sequence[str], width: int, height: int) -> Cells:
    """Counts the partitions of each cell of a map that fits a window.

    Args:
        frame: The table of a backfill's partitions.
        dimensions: The columns of `frame` that name a partition.
        width: Width of the window, in characters.
        height: Maximum number of rows.
    """
    height = max(height, 1)
    first, *others = dimensions
    labels = _labels(frame, first)
    room = max(width - max(map(len, labels), default=0) - 2, 1)
    at = {name: _position(frame, name) for name in dimensions}
    if others:
        across, wide = _product(frame, at, others)
        tall = len(labels)
        per_row, per_column = math.ceil(tall / height) or 1, math.ceil(wide / room) or 1
        row, column = at[first] // per_row, across // per_column
        labels = labels[::per_row]
        shape = f"rows: {first}{_each(per_row)}; columns: {' x '.join(others)}{_each(per_column)}"
        columns = math.ceil(wide / per_column)
    else:
        per_cell = math.ceil(len(labels) / (height * room)) or 1
        cell = at[first] // per_cell
        row, column = cell // room, cell % room
        labels = labels[:: per_cell * room]
        shape = f"{first}, row by row{_each(per_cell)}"
        columns = room
    counted = (
        frame.lazy()
        .select(row.alias("row"), column.alias("column"), "status")
        .group_by("row", "column")
        .agg(*((pl.col("status") == state).sum().alias(state) for state in STATES))
        .sort("row", "column")
        .collect()
    )
    return Cells(counted, labels, columns, shape)


def _labels(frame: pl.DataFrame, dimension: str) -> list[str]:
    """Returns the keys of a dimension that occur, in order."""
    order = _order(frame, dimension)
    keys = frame.select(dimension, order.alias("_order")).unique().sort("_order")
    return keys[dimension].cast(pl.String).to_list()


def _order(frame: pl.DataFrame, dimension: str) -> pl.Expr:
    """Returns the sort key of a dimension: its windows for time, otherwise the order of its definition."""
    start = f"{dimension}_start"
    return pl.col(start) if start in frame.columns else pl.col(dimension).to_physical()


def _position(frame: pl.DataFrame, dimension: str) -> pl.Expr:
    return _order(frame, dimension).rank("dense").cast(pl.Int64) - 1


def _product(frame: pl.DataFrame, at: dict[str, pl.Expr], others: list[str]) -> tuple[pl.Expr, int]:
    """Returns the position in the product of some dimensions, and the size of that product."""
    place, size = pl.lit(0, pl.Int64), 1
    for name in others:
        keys = frame.select(_order(frame, name).n_unique()).item()
        place, size = place * keys + at[name], size * keys
    return place, size


def _each(number: int) -> str:
    return f" ({number:,} to a cell)" if number > 1 else ""


def dimensions_of(frame: pl.DataFrame) -> list[str]:
    """Returns the columns of the dimensions: those before `status`, without the starts of windows."""
    names = frame.columns[: frame.columns.index("status")]
    return [name for name in names if not (name.endswith("_start") and name[:-6] in names)]
