"""Counts many partitions into the few cells of a map; the core does the counting."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from rivers._text import did_you_mean
from rivers.exceptions import ConfigurationError
from rivers.partitions.key_range import PartitionKeyRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rivers._rivers import AssetCells, BackfillCells, CellCounts, Selection

STATES = ("failed", "canceled", "running", "pending", "completed", "skipped")
"""Statuses of a backfill's partitions, the worst first: a cell shows the worst status of its partitions."""

ASSET_STATES = ("failed", "missing", "in_progress", "stale", "materialized", "skipped")
"""Statuses of an asset's partitions, the worst first."""

DONE = ("completed", "skipped", "materialized", "stale")
"""Statuses of partitions for which nothing is left to do."""

_BACKFILL_ORDER = ("pending", "running", "completed", "failed", "canceled", "skipped")
_ASSET_ORDER = ("missing", "materialized", "failed", "in_progress", "skipped", "stale")
"""The statuses in the order of the core's counts."""

Bounds: TypeAlias = "Mapping[str, tuple[int, int]]"
"""For each named dimension, the first coordinate and the one behind the last."""


class Dimension(NamedTuple):
    """A dimension of a map.

    Attributes:
        name: Its name; `"partition"` for the one dimension of a definition without names.
        size: Number of its keys that occur; a coordinate is an index among them.
        is_time: Whether its keys are time windows.
    """

    name: str
    size: int
    is_time: bool


@dataclass(frozen=True)
class Cells:
    """A map of partitions: how many of each cell are in which status.

    Attributes:
        rows: The dimension from top to bottom; `None` where the cells continue row by row.
        columns: The dimension from left to right; `None` without dimensions.
        width: Number of columns.
        height: Number of rows.
        per_row: Number of keys of a row; 0 where the cells continue row by row.
        per_column: Number of keys of a column.
        bounds: The coordinates that are counted, by dimension.
        states: The statuses, the worst first.
        totals: Number of partitions in each status.
    """

    rows: str | None
    columns: str | None
    width: int
    height: int
    per_row: int
    per_column: int
    bounds: dict[str, tuple[int, int]]
    states: tuple[str, ...]
    totals: dict[str, int]
    _counts: CellCounts
    _order: tuple[str, ...]
    _grid: Grid

    def counts(self, row: int, column: int) -> dict[str, int]:
        """Returns the number of partitions of a cell in each status.

        Args:
            row: The row, from 0.
            column: The column, from 0.

        Raises:
            IndexError: There is no such cell.
        """
        counted = dict(zip(self._order, self._counts.cell(row, column), strict=True))
        return {state: counted[state] for state in self.states}

    def filled(self) -> Iterator[tuple[int, int, dict[str, int]]]:
        """Yields row, column and counts of each cell that has partitions."""
        for row in range(self.height):
            for column in range(self.width):
                counts = self.counts(row, column)
                if any(counts.values()):
                    yield row, column, counts

    def to_bytes(self) -> bytes:
        """Returns three bytes for each cell, row by row.

        The first is the index in `states` of the worst status that occurs, or 255 for a cell without
        partitions; the second is its share of the cell's partitions, from 0 to 255; the third is the share
        of those that are completed, skipped or materialized.
        """
        order = [self._order.index(state) for state in self.states]
        done = [self._order.index(state) for state in DONE if state in self._order]
        packed = self._counts.to_bytes(order, done)
        table = bytearray(range(256))
        for index, state in enumerate(order):
            table[state] = index
        ranked = bytearray(packed)
        ranked[::3] = packed[::3].translate(bytes(table))
        return bytes(ranked)

    def row_labels(self) -> list[str]:
        """Returns the first key of each row."""
        if self.rows is None:
            if self.columns is None:
                return [""]
            return self._labels(self.columns, self.per_column * self.width, self.height)
        return self._labels(self.rows, self.per_row, self.height)

    def column_labels(self) -> list[str]:
        """Returns the first key of each column; empty where the cells continue row by row."""
        if self.columns is None or self.rows is None:
            return []
        return self._labels(self.columns, self.per_column, self.width)

    def _labels(self, dimension: str, step: int, count: int) -> list[str]:
        start, end = self.bounds[dimension]
        wanted = [start + index * step for index in range(count)]
        return self._grid.labels(dimension, [at for at in wanted if at < end])

    @property
    def shape(self) -> str:
        """What a row and a column stand for."""
        if self.columns is None:
            return "one partition"
        if self.rows is None:
            return f"{self.columns}, row by row{_each(self.per_column)}"
        shown = (self.rows, self.columns)
        others = [
            dimension.name for dimension in self._grid.dimensions if dimension.name not in shown
        ]
        rest = f"; all of {', '.join(others)} in each cell" if others else ""
        return (
            f"rows: {self.rows}{_each(self.per_row)}; "
            f"columns: {self.columns}{_each(self.per_column)}{rest}"
        )

    def to_json(self) -> str:
        """Returns the map as JSON."""
        cells = [{"row": row, "column": column, **counts} for row, column, counts in self.filled()]
        return json.dumps({
            "shape": self.shape,
            "rows": self.row_labels(),
            "columns": self.width,
            "row_dimension": self.rows,
            "column_dimension": self.columns,
            "column_labels": self.column_labels(),
            "totals": self.totals,
            "cells": cells,
        })  # fmt: skip


class _Counter(Protocol):
    """What counts the cells of a grid: the binding's `BackfillCells` of one layer, or `AssetCells`."""

    def labels(self, dim: int, coordinates: list[int], /) -> list[str]: ...
    def count(
        self, window: tuple[int | None, int | None, list[tuple[int, int]], int, int], /
    ) -> CellCounts: ...
    def select(self, bounds: list[tuple[int, int]], states: list[str], /) -> Selection: ...


class Grid:
    """The partitions of a backfill or an asset as a grid of coordinates."""

    def __init__(
        self, counter: _Counter, dimensions: Sequence[tuple[str, int, bool]], *, of_asset: bool
    ) -> None:
        self._counter = counter
        self._states = ASSET_STATES if of_asset else STATES
        self._order = _ASSET_ORDER if of_asset else _BACKFILL_ORDER
        self.dimensions = tuple(
            Dimension(name or "partition", size, is_time) for name, size, is_time in dimensions
        )

    @property
    def states(self) -> tuple[str, ...]:
        """The statuses, the worst first."""
        return self._states

    def arrangement(
        self, rows: str | None = None, columns: str | None = None
    ) -> tuple[str | None, str | None]:
        """Returns which dimensions a map shows from top to bottom and from left to right.

        By default time runs from left to right, and the first other dimension from top to bottom.

        Args:
            rows: The dimension of the rows, if it is chosen.
            columns: The dimension of the columns, if it is chosen.

        Raises:
            ConfigurationError: There is no such dimension, or both are the same one.
        """
        for name in (rows, columns):
            if name is not None:
                self._index(name)
        if rows is not None and rows == columns:
            msg = f"rows and columns are two dimensions, not both {rows!r}"
            raise ConfigurationError(msg)
        free = [dimension for dimension in self.dimensions if dimension.name not in (rows, columns)]
        if columns is None and free:
            across = next((dimension for dimension in free if dimension.is_time), free[-1])
            columns = across.name
            free.remove(across)
        if rows is None and free:
            rows = free[0].name
        return rows, columns

    def cells(
        self,
        rows: str | None,
        columns: str | None,
        bounds: Bounds | None,
        width: int,
        height: int,
    ) -> Cells:
        """Counts the partitions into a map of at most `width` x `height` cells.

        Args:
            rows: The dimension of the rows; `None`: see `arrangement`.
            columns: The dimension of the columns; `None`: see `arrangement`.
            bounds: The coordinates that are counted, for the dimensions that are restricted.
            width: Maximum number of columns.
            height: Maximum number of rows.

        Raises:
            ConfigurationError: There is no such dimension, or the window does not fit the grid.
        """
        rows, columns = self.arrangement(rows, columns)
        within = self.bounds(bounds)
        window = (
            None if rows is None else self._index(rows),
            None if columns is None else self._index(columns),
            list(within.values()),
            width,
            height,
        )
        counts = self._counter.count(window)
        totals = dict(zip(self._order, counts.totals(), strict=True))
        return Cells(
            rows=rows,
            columns=columns,
            width=counts.width,
            height=counts.height,
            per_row=counts.per_row,
            per_column=counts.per_column,
            bounds=within,
            states=self._states,
            totals={state: totals[state] for state in self._states},
            _counts=counts,
            _order=self._order,
            _grid=self,
        )

    def bounds(self, given: Bounds | None = None) -> dict[str, tuple[int, int]]:
        """Returns the coordinates of all dimensions, restricted by those that are given.

        Raises:
            ConfigurationError: There is no such dimension.
        """
        bounds = {dimension.name: (0, dimension.size) for dimension in self.dimensions}
        for name, part in (given or {}).items():
            self._index(name)
            bounds[name] = part
        return bounds

    def labels(self, dimension: str, coordinates: list[int]) -> list[str]:
        """Returns the keys at coordinates of a dimension; those that do not exist are left out.

        Raises:
            ConfigurationError: There is no such dimension.
        """
        return self._counter.labels(self._index(dimension), coordinates)

    def select(self, bounds: Bounds | None, states: Sequence[str] | None) -> Selection:
        """Returns the partitions within bounds that have one of these statuses; all by default.

        Raises:
            ConfigurationError: There is no such dimension or status, or the bounds do not fit the grid.
        """
        within = list(self.bounds(bounds).values())
        return self._counter.select(within, list(self._states if states is None else states))

    def range_of(self, bounds: Bounds | None) -> PartitionKeyRange:
        """Returns the range of keys from the first to the last coordinate of each restricted dimension.

        Raises:
            ConfigurationError: There is no such dimension, or a part is empty.
        """
        parts: dict[str, tuple[str, str]] = {}
        for name, (start, end) in (bounds or {}).items():
            keys = self.labels(name, [start, end - 1]) if start < end else []
            if not keys:
                msg = f"the dimension {name!r} has no key from {start} up to {end}"
                raise ConfigurationError(msg)
            parts[name] = (keys[0], keys[-1])
        if [dimension.name for dimension in self.dimensions] == ["partition"]:
            return PartitionKeyRange.single(*parts.get("partition", (None, None)))
        return PartitionKeyRange.multi(dict(parts))

    def _index(self, name: str) -> int:
        names = [dimension.name for dimension in self.dimensions]
        if name not in names:
            there = ", ".join(map(repr, names)) or "none"
            hint = did_you_mean(name, names)
            msg = f"there is no dimension {name!r}; the dimensions are {there}{hint}"
            raise ConfigurationError(msg)
        return names.index(name)


class LayerCounter:
    """Counts the cells of one layer of a backfill."""

    def __init__(self, cells: BackfillCells, layer: int, chosen: Selection | None) -> None:
        self._cells = cells
        self._layer = layer
        self._chosen = chosen

    def labels(self, dim: int, coordinates: list[int], /) -> list[str]:
        """Returns the keys at coordinates of a dimension."""
        return self._cells.labels(self._layer, dim, coordinates)

    def count(
        self, window: tuple[int | None, int | None, list[tuple[int, int]], int, int], /
    ) -> CellCounts:
        """Counts the partitions of a window."""
        if self._chosen is not None:
            return self._cells.count_chosen(self._layer, window, self._chosen)
        return self._cells.count(self._layer, window)

    def select(self, bounds: list[tuple[int, int]], states: list[str], /) -> Selection:
        """Returns the partitions within bounds that have one of these statuses."""
        return self._cells.select(self._layer, bounds, states)


def grid_of_asset(cells: AssetCells) -> Grid:
    """Returns the grid of an asset from the map of its states."""
    return Grid(cells, cells.dimensions(), of_asset=True)


def grid_of_layer(cells: BackfillCells, layer: int, chosen: Selection | None = None) -> Grid:
    """Returns the grid of a layer of a backfill.

    Args:
        cells: Counts its partitions.
        layer: The layer.
        chosen: If it is given, only these partitions count as failed, and all others as completed.
    """
    return Grid(LayerCounter(cells, layer, chosen), cells.dimensions(layer), of_asset=False)


def _each(number: int) -> str:
    return f" ({number:,} to a cell)" if number > 1 else ""
