"""Rows of a Delta table: which belong to some partitions, as SQL and as Polars expressions."""

from __future__ import annotations

import datetime as dt
from functools import reduce
from typing import TYPE_CHECKING

import polars as pl

from rivers.io.key_windows import in_zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rivers.io.key_windows import Windows

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""What Polars reads as null in a column by which a table is partitioned; a key like any other."""


def predicate(
    schema: pl.Schema, keys: Mapping[str, list[str]], windows: Mapping[str, Windows]
) -> str:
    """Return the condition that the rows of some partitions fulfil, in SQL.

    Args:
        schema: The table's columns.
        keys: The columns of keys, each with its text for every one of the partitions.
        windows: Those of them that hold times, with the window of each text.
    """
    conditions = {
        column: [_condition(column, schema[column], text, windows.get(column)) for text in texts]
        for column, texts in keys.items()
    }
    *outer, last = conditions
    groups: dict[tuple[str, ...], list[str]] = {}
    for *rest, own in zip(*conditions.values(), strict=True):
        groups.setdefault(tuple(rest), []).append(own)
    if last not in windows:  # Partitions that differ in the last dimension alone stand in one list.
        column = _quoted(last)
        groups = {rest: [f"{column} IN ({', '.join(own)})"] for rest, own in groups.items()}
    names = [_quoted(name) for name in outer]
    parts = []
    for point, own in groups.items():
        equal = [
            text if name in windows else f"{column} = {text}"
            for name, column, text in zip(outer, names, point, strict=True)
        ]
        last_condition = own[0] if len(own) == 1 else f"({' OR '.join(own)})"
        parts.append(" AND ".join([*equal, last_condition]))
    return parts[0] if len(parts) == 1 else " OR ".join(f"({part})" for part in parts)


def in_partitions(
    schema: pl.Schema, keys: Mapping[str, list[str]], windows: Mapping[str, Windows]
) -> pl.Expr:
    """Return a condition that the rows of some partitions fulfil; files of others are not read.

    Each column is looked at by itself, so rows of further partitions may fulfil it, too.
    """
    return reduce(
        lambda one, other: one & other,
        (
            _in_windows(column, schema[column], windows[column])
            if column in windows
            else _is_in(column, schema[column], texts)
            for column, texts in keys.items()
        ),
    )


def with_hive_null(rows: pl.LazyFrame, schema: pl.Schema, columns: Iterable[str]) -> pl.LazyFrame:
    """Return rows with the one text that Polars reads as null in columns of keys."""
    return rows.with_columns(
        pl.col(name).fill_null(HIVE_NULL) for name in columns if schema[name] == pl.String
    )


def _in_windows(column: str, dtype: pl.DataType, windows: Windows) -> pl.Expr:
    times = in_zone_of(pl.col(column), dtype, windows)
    # Where Polars skips files by their statistics, times compare in one zone only.
    bounds = [
        bound if bound.tzinfo is None else bound.astimezone(dt.UTC)
        for window in windows.values()
        for bound in window
    ]
    starts, ends = bounds[::2], bounds[1::2]
    return (times >= pl.lit(min(starts))) & (times < pl.lit(max(ends)))


def _is_in(column: str, dtype: pl.DataType, texts: list[str]) -> pl.Expr:
    wanted = pl.Series(list(dict.fromkeys(texts)))
    if dtype == pl.Date:
        wanted = wanted.str.to_date("%Y-%m-%d", strict=False)
    return pl.col(column).is_in(wanted.cast(dtype, strict=False).implode())


def _condition(column: str, dtype: pl.DataType, text: str, windows: Windows | None) -> str:
    """Return a literal for a key's text, or the condition for its window."""
    if windows is not None:
        start, end = (_time_literal(dtype, bound) for bound in windows[text])
        return f"{_quoted(column)} >= {start} AND {_quoted(column)} < {end}"
    if dtype.is_integer():
        return str(int(text))
    escaped = text.replace("'", "''")
    return f"DATE '{escaped}'" if dtype == pl.Date else f"'{escaped}'"


def _time_literal(dtype: pl.DataType, bound: dt.datetime) -> str:
    if dtype == pl.Date:
        return f"DATE '{bound.date()}'"
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    text = pl.select(
        pl.lit(bound).dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        if zone is not None and bound.tzinfo is not None
        else pl.lit(bound.replace(tzinfo=None))
    ).item()
    kind = "None" if zone is None else f'Some("{zone}")'
    suffix = "" if zone is None else "Z"
    return f"arrow_cast('{text.isoformat()}{suffix}', 'Timestamp(Microsecond, {kind})')"


def _quoted(column: str) -> str:
    escaped = column.replace('"', '""')
    return f'"{escaped}"'
