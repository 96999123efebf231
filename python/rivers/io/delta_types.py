"""The types that Delta Lake has, and frames in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from rivers.exceptions import ExecutionError
from rivers.io.schemas import conform

if TYPE_CHECKING:
    from collections.abc import Iterable

_LACKING = ("Time", "Duration", "Int128", "UInt128", "Object")
"""The types of Polars that stand for nothing in Delta Lake; earlier versions of Polars lack some."""


def stored_types(schema: pl.Schema) -> pl.Schema:
    """Return a schema in the types that Delta Lake has: signed integers, microseconds, text."""
    return pl.Schema({name: _stored_type(dtype) for name, dtype in schema.items()})


def as_stored(asset: str, where: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame in the types that Delta Lake has.

    Args:
        asset: Whose frame it is.
        where: What an error calls the frame.
        frame: The frame.

    Raises:
        ExecutionError: If Delta Lake cannot store it; the error names the column.
    """
    for name, dtype in frame.schema.items():
        if lacking := _lacking(dtype):
            msg = (
                f"the frame of asset {asset!r} cannot be stored in a Delta table: its column {name!r} "
                f"holds {lacking} in {where}, which Delta Lake does not have; cast it in the asset's "
                "function, for example to text or a number"
            )
            raise ExecutionError(msg)
    if not frame.width:
        msg = f"asset {asset!r} returned a frame without columns; a Delta table has at least one"
        raise ExecutionError(msg)
    check_names(asset, frame.columns)
    target = stored_types(frame.schema)
    try:
        return conform(frame, frame.schema, target)
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        msg = (
            f"the frame of asset {asset!r} cannot be stored in a Delta table, in {where}: {reason}; Delta "
            "Lake has no larger whole numbers; cast the column in the asset's function"
        )
        raise ExecutionError(msg) from error


def check_names(asset: str, columns: Iterable[str]) -> None:
    """Check that the columns of a table differ in more than case.

    Raises:
        ExecutionError: If two do not.
    """
    seen: dict[str, str] = {}
    for name in columns:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            msg = (
                f"the columns {other!r} and {name!r} of asset {asset!r} cannot be in one Delta table: "
                "Delta Lake ignores case in their names; rename one in the asset's function"
            )
            raise ExecutionError(msg)


def check_key_type(name: str, dtype: pl.DataType) -> None:
    """Check that a column of keys holds something by which rows can be found.

    Raises:
        TypeError: If it does not.
    """
    if isinstance(dtype, pl.Datetime | pl.Categorical | pl.Enum):
        return
    if not (dtype.is_integer() or dtype in (pl.String, pl.Date)):
        msg = (
            f"the column {name!r} holds the keys of partitions, so it must hold text, dates or whole "
            f"numbers, or datetimes, not {dtype}; cast it to text"
        )
        raise TypeError(msg)


def _lacking(dtype: pl.DataType) -> pl.DataType | None:
    """Return the type that Delta Lake does not have, in a type or inside it; None if it has all."""
    if isinstance(dtype, pl.List | pl.Array):
        return _lacking(pl.Series(dtype=dtype.inner).dtype)
    if isinstance(dtype, pl.Struct):
        inner = (_lacking(pl.Series(dtype=field.dtype).dtype) for field in dtype.fields)
        return next(filter(None, inner), None)
    return dtype if dtype.base_type().__name__ in _LACKING else None


def _stored_type(dtype: pl.DataType) -> pl.DataType:
    if dtype in (pl.Categorical, pl.Enum, pl.Null):
        return pl.String()
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", None if dtype.time_zone is None else "UTC")
    if isinstance(dtype, pl.List):
        return pl.List(_stored_type(pl.Series(dtype=dtype.inner).dtype))
    if isinstance(dtype, pl.Array):
        return pl.List(_stored_type(pl.Series(dtype=dtype.inner).dtype))
    if isinstance(dtype, pl.Struct):
        return pl.Struct(
            {f.name: _stored_type(pl.Series(dtype=f.dtype).dtype) for f in dtype.fields}
        )
    signed = {
        pl.UInt8: pl.Int16(),
        pl.UInt16: pl.Int32(),
        pl.UInt32: pl.Int64(),
        pl.UInt64: pl.Int64(),
    }
    return next((of for unsigned, of in signed.items() if dtype == unsigned), dtype)
