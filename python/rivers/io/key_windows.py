"""Rows whose column of keys holds times: which window, and so which partition, each belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from rivers.io.values import dimensions, single_key
from rivers.partitions.partition_context import windows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rivers._rivers import PartitionKey
    from rivers.partitions.partition_context import PartitionContext

    Windows = Mapping[str, tuple[datetime, datetime]]


def key_windows(
    partition: PartitionContext | None, keys: Sequence[PartitionKey], dimension: str | None
) -> Windows | None:
    """Return the window of each key's text; None if they are no keys of a time dimension.

    Args:
        partition: The partitions of the run, whose definition says what the windows are.
        keys: The partitions of the run.
        dimension: The dimension that the column holds; None if the definition has but one.
    """
    texts: dict[str, PartitionKey] = {}
    for key in keys:
        values = dimensions(key)
        texts.setdefault(single_key(key) if values is None else values[dimension or ""], key)
    windows = None if partition is None else windows_of(partition, list(texts.values()), dimension)
    return None if windows is None else dict(zip(texts, windows, strict=True))


def in_zone_of(column: pl.Expr, dtype: pl.DataType, windows: Windows) -> pl.Expr:
    """Return a column of dates or datetimes in a form that compares with the ends of windows.

    A column without a zone is taken as the wall clock of the windows' zone, one with a zone as
    instants, which are UTC where the windows have no zone.
    """
    zone = _zone(windows)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        instants = column.dt.convert_time_zone("UTC")
        if zone is None:
            instants = instants.dt.replace_time_zone(None)
        return instants.dt.cast_time_unit("us")
    local = column.cast(pl.Datetime("us"))
    if zone is None:
        return local
    return local.dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    ).dt.convert_time_zone("UTC")


def key_texts(rows: pl.DataFrame, column: str, windows: Windows) -> pl.Series:
    """Return the text of the key that each row belongs to; null where it belongs to none."""
    bounds = pl.DataFrame(
        [(start, end, text) for text, (start, end) in windows.items()],
        schema=["start", "end", "text"],
        orient="row",
    )
    kind = pl.Datetime("us") if _zone(windows) is None else pl.Datetime("us", "UTC")
    bounds = bounds.with_columns(
        pl.col(name).dt.convert_time_zone("UTC").cast(kind)
        if kind.time_zone
        else pl.col(name).cast(kind)
        for name in ("start", "end")
    ).sort("start")
    instants = rows.select(in_zone_of(pl.col(column), rows.schema[column], windows).alias("at"))
    numbered = instants.with_row_index("row").sort("at", nulls_last=True)
    found = numbered.join_asof(bounds, left_on="at", right_on="start", strategy="backward")
    inside = pl.when(pl.col("at") < pl.col("end")).then(pl.col("text"))
    return found.select("row", inside.alias(column)).sort("row")[column]


def _zone(windows: Windows) -> str | None:
    start = next(iter(windows.values()))[0]
    return None if start.tzinfo is None else str(start.tzinfo)
