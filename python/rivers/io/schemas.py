"""One schema for frames that differ, and the frames in that schema.

Columns are those of all frames, in the order in which they first appear; a column that a frame lacks
is null there. A column that has several types gets one that holds the values of all of them. Types
that hold different kinds of values (text beside numbers) are refused.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, TypeVar

import polars as pl

from rivers.exceptions import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rivers.io.frame_types import SchemaRule

    Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

_MAX_PRECISION = 38
_UNITS: Sequence[Literal["ms", "us", "ns"]] = ("ms", "us", "ns")
_LISTS = (pl.List, pl.Array)
_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def merged(
    asset: str, schemas: Iterable[tuple[str, pl.Schema]], rule: SchemaRule = "merge"
) -> pl.Schema:
    """Return the schema of the frames of several partitions as one.

    Args:
        asset: Whose frames they are.
        schemas: What an error calls each frame, and its schema.
        rule: `"strict"` refuses frames whose columns, their order or their types differ.

    Raises:
        ExecutionError: If the frames cannot be one; it names the column and two partitions.
    """
    columns: dict[str, tuple[pl.DataType, str]] = {}
    first: tuple[str, pl.Schema] | None = None
    for label, schema in schemas:
        if first is None:
            first = label, schema
        elif schema == first[1]:
            continue
        elif rule == "strict":
            raise _differ(asset, *first, label, schema)
        for name, dtype in schema.items():
            known, where = columns.get(name, (dtype, label))
            common = supertype(known, dtype)
            if common is None:
                msg = (
                    f"the frames of asset {asset!r} cannot be combined: its column {name!r} holds "
                    f"{known} in {where} and {dtype} in {label}; cast it to one type in the asset's "
                    "function, and materialize these partitions again"
                )
                raise ExecutionError(msg)
            columns[name] = common, (label if common == dtype != known else where)
    return pl.Schema({name: dtype for name, (dtype, _) in columns.items()})


def conform(frame: Frame, own: pl.Schema, target: pl.Schema) -> Frame:
    """Return a frame in another schema, which `merged` made of its own."""
    if own == target:
        return frame
    columns = (
        _converted(pl.col(name), own[name], dtype).alias(name)
        if name in own
        else pl.lit(None, dtype).alias(name)
        for name, dtype in target.items()
    )
    return frame.select(columns) if own else type(frame)(schema=target)


def combine(
    asset: str, frames: Sequence[tuple[str, pl.DataFrame]], rule: SchemaRule = "merge"
) -> pl.DataFrame:
    """Return the rows of several frames as one frame; see `merged`."""
    target = merged(asset, ((label, frame.schema) for label, frame in frames), rule)
    return pl.concat([conform(frame, frame.schema, target) for _, frame in frames])


def supertype(first: pl.DataType, second: pl.DataType) -> pl.DataType | None:
    """Return a type that holds the values of both; None if there is none."""
    if pl.Null in (first, second) or first == second:
        return second if first == pl.Null else first
    for kind, common in _NESTED.items():
        if isinstance(first, kind) and isinstance(second, kind):
            return common(first, second)
    if first.is_numeric() and second.is_numeric():
        frames = [pl.DataFrame(schema={"": dtype}) for dtype in (first, second)]
        return pl.concat(frames, how="vertical_relaxed").schema[""]
    if isinstance(first, _TEXTS) and isinstance(second, _TEXTS):
        return pl.String()
    return _of_two_kinds(first, second)


def _of_two_kinds(first: pl.DataType, second: pl.DataType) -> pl.DataType | None:
    if isinstance(first, _LISTS) and isinstance(second, _LISTS):
        return _lists(pl.List(first.inner), pl.List(second.inner))
    dates = [dtype for dtype in (first, second) if isinstance(dtype, pl.Datetime)]
    if len(dates) == 1 and pl.Date in (first, second) and dates[0].time_zone is None:
        return dates[0]
    return None


def _decimals(first: pl.Decimal, second: pl.Decimal) -> pl.DataType:
    scale = max(first.scale, second.scale)
    whole = max((of.precision or _MAX_PRECISION) - of.scale for of in (first, second))
    return pl.Decimal(min(_MAX_PRECISION, whole + scale), scale)


def _datetimes(first: pl.Datetime, second: pl.Datetime) -> pl.DataType | None:
    if (first.time_zone is None) != (second.time_zone is None):
        return None
    zone = first.time_zone if first.time_zone == second.time_zone else "UTC"
    return pl.Datetime(_finer(first.time_unit, second.time_unit), zone)


def _durations(first: pl.Duration, second: pl.Duration) -> pl.DataType:
    return pl.Duration(_finer(first.time_unit, second.time_unit))


def _finer(first: str, second: str) -> Literal["ms", "us", "ns"]:
    return max((unit for unit in _UNITS if unit in (first, second)), key=_UNITS.index)


def _lists(first: pl.List, second: pl.List) -> pl.DataType | None:
    inner = supertype(_dtype(first.inner), _dtype(second.inner))
    return None if inner is None else pl.List(inner)


def _arrays(first: pl.Array, second: pl.Array) -> pl.DataType | None:
    """Return what is common to two arrays: a list, if their widths differ."""
    inner = supertype(_dtype(first.inner), _dtype(second.inner))
    if inner is None:
        return None
    return pl.Array(inner, first.size) if first.size == second.size else pl.List(inner)


def without_empty_leaves(column: pl.Series) -> pl.DataType:
    """Return the type of a column, with `Null` for what holds no value in any row, as in `[[], []]`."""
    if column.null_count() == len(column):
        return pl.Null()
    dtype = column.dtype
    if isinstance(dtype, pl.List):
        return pl.List(without_empty_leaves(column.drop_nulls().list.explode()))
    if isinstance(dtype, pl.Struct):
        return pl.Struct(
            {
                field.name: without_empty_leaves(column.struct.field(field.name))
                for field in dtype.fields
            }
        )
    return dtype


def _structs(first: pl.Struct, second: pl.Struct) -> pl.DataType | None:
    fields: dict[str, pl.DataType] = {}
    for field in itertools.chain(first.fields, second.fields):
        dtype = _dtype(field.dtype)
        common = supertype(fields.get(field.name, dtype), dtype)
        if common is None:
            return None
        fields[field.name] = common
    return pl.Struct(fields)


_NESTED: dict[type[pl.DataType], Callable[..., pl.DataType | None]] = {
    pl.Decimal: _decimals,
    pl.Datetime: _datetimes,
    pl.Duration: _durations,
    pl.List: _lists,
    pl.Array: _arrays,
    pl.Struct: _structs,
}
"""Types with parameters, which decide what is common to two of one kind."""


def _dtype(dtype: object) -> pl.DataType:
    """Return an inner type as an instance; Polars also allows classes there."""
    if isinstance(dtype, pl.DataType):
        return dtype
    if isinstance(dtype, type) and issubclass(dtype, pl.DataType):
        return dtype()
    msg = f"{dtype!r} is no data type"
    raise TypeError(msg)


def _converted(expression: pl.Expr, own: pl.DataType, target: pl.DataType) -> pl.Expr:
    """Return a column in another type; fields of structs are matched by name."""
    if own == target:
        return expression
    if isinstance(own, pl.Struct) and isinstance(target, pl.Struct):
        known = {field.name: _dtype(field.dtype) for field in own.fields}
        fields = [
            _converted(expression.struct.field(field.name), known[field.name], _dtype(field.dtype))
            .alias(field.name)
            if field.name in known
            else pl.lit(None, _dtype(field.dtype)).alias(field.name)
            for field in target.fields
        ]  # fmt: skip
        return pl.when(expression.is_not_null()).then(pl.struct(fields))
    if isinstance(own, pl.Array) and isinstance(target, pl.List):
        own, expression = pl.List(own.inner), expression.arr.to_list()
    if isinstance(own, pl.List) and isinstance(target, pl.List):
        inner = _converted(pl.element(), _dtype(own.inner), _dtype(target.inner))
        return expression.list.eval(inner).cast(target)
    if isinstance(own, pl.Datetime) and isinstance(target, pl.Datetime) and target.time_zone:
        return expression.dt.convert_time_zone(target.time_zone).cast(target)
    return expression.cast(target)


def _differ(
    asset: str, label: str, schema: pl.Schema, other_label: str, other: pl.Schema
) -> ExecutionError:
    """Return the error for two frames that are not the same, which says in what they differ."""
    if missing := [name for name in schema if name not in other]:
        reason = f"column {missing[0]!r} exists in {label}, but not in {other_label}"
    elif extra := [name for name in other if name not in schema]:
        reason = f"column {extra[0]!r} exists in {other_label}, but not in {label}"
    elif typed := [name for name in schema if schema[name] != other[name]]:
        name = typed[0]
        reason = (
            f"column {name!r} holds {schema[name]} in {label} and {other[name]} in {other_label}"
        )
    else:
        pairs = zip(schema, other, strict=True)
        name = next(own for own, theirs in pairs if own != theirs)
        reason = f"column {name!r} has another position in {label} than in {other_label}"
    return ExecutionError(f"the frames of asset {asset!r} differ under schema='strict': {reason}")
