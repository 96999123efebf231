"""Parquet objects as lazy frames: only their footers are read until they are collected."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePath

    from rivers.io.objects import Objects

_MAGIC = b"PAR1"
_LENGTH_BYTES = 4


def scan_object(objects: Objects, path: PurePath) -> tuple[pl.LazyFrame, pl.Schema]:
    """Return an object's rows, which are fetched when they are collected, and its schema."""
    schema = pl.Schema(pl.read_parquet_schema(BytesIO(_footer(objects, path))))

    def read(
        columns: list[str] | None,
        predicate: pl.Expr | None,
        rows: int | None,
        _batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        frame = pl.scan_parquet(objects.open(path), hive_partitioning=False)
        if predicate is not None:
            frame = frame.filter(predicate)
        if columns is not None:
            frame = frame.select(columns)
        yield (frame if rows is None else frame.head(rows)).collect()

    return register_io_source(read, schema=schema), schema


def _footer(objects: Objects, path: PurePath) -> bytes:
    """Return a file that has the object's schema and no rows: what stands before the footer is left out."""
    size = objects.size(path)
    end = _LENGTH_BYTES + len(_MAGIC)
    tail = objects.read_range(path, size - end, size)
    length = int.from_bytes(tail[:_LENGTH_BYTES], "little")
    return _MAGIC + objects.read_range(path, max(size - end - length, 0), size)
