"""Frames of other libraries: what an asset returns as Polars, and Polars as what a parameter takes.

A library is recognized by the name of its classes' module, so that none is imported that the user has
not imported before.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rivers._text import did_you_mean
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl


SchemaRule: TypeAlias = Literal["merge", "strict"]
"""What happens if the frames of an asset's partitions differ in their columns."""

_RULES = ("merge", "strict")


def check_rule(schema: SchemaRule) -> SchemaRule:
    """Return the argument `schema` of a handler.

    Raises:
        ConfigurationError: If it is unknown.
    """
    if schema not in _RULES:
        msg = (
            f"schema must be 'merge' or 'strict', got {schema!r}{did_you_mean(str(schema), _RULES)}"
        )
        raise ConfigurationError(msg)
    return schema


def as_frame(value: object) -> pl.DataFrame | None:
    """Return a Polars frame of a frame or table of Polars, pandas or Arrow; None for other values."""
    import polars as pl  # noqa: PLC0415  (a handler of any values loads it only for frames)

    if isinstance(value, pl.DataFrame):
        return value
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    kind = _kind(type(value))
    if kind == ("pandas", "DataFrame"):
        named = any(name is not None for name in getattr(value, "index").names)  # noqa: B009
        return pl.DataFrame(typing.cast("Any", pl).from_pandas(value, include_index=named))
    if kind in (("pyarrow", "Table"), ("pyarrow", "RecordBatch")):
        return pl.DataFrame(pl.from_arrow(typing.cast("Any", value)))
    return None


def is_frame(value: object) -> bool:
    """Whether a value is a frame or table of Polars, pandas or Arrow."""
    return _kind(type(value)) in _FRAMES


def wants_frame(type_hint: object) -> bool:
    """Whether a parameter takes a frame or table of Polars, pandas or Arrow."""
    return any(_kind(choice) in _FRAMES for choice in _choices(type_hint))


def wants_lazy(type_hint: object) -> bool:
    """Whether a parameter takes a `pl.LazyFrame`."""
    return any(_kind(choice) == ("polars", "LazyFrame") for choice in _choices(type_hint))


def as_annotated(value: object, type_hint: object) -> object:
    """Return a value as it is or, if it is a frame of another kind, as what a parameter takes."""
    if not wants_frame(type_hint) or not is_frame(value):
        return value
    if any(_kind(choice) == _kind(type(value)) for choice in _choices(type_hint)):
        return value
    frame = as_frame(value)
    return value if frame is None else as_wanted(frame.lazy(), type_hint)


def as_wanted(frame: pl.LazyFrame, type_hint: object) -> object:
    """Return a lazy frame as what a parameter takes; a `pl.DataFrame` where that is not known."""
    for choice in _choices(type_hint):
        kind = _kind(choice)
        if kind == ("polars", "LazyFrame"):
            return frame
        if kind == ("polars", "DataFrame"):
            break
        if kind == ("pandas", "DataFrame"):
            return frame.collect().to_pandas()
        if kind == ("pyarrow", "Table"):
            return frame.collect().to_arrow()
        if kind == ("pyarrow", "RecordBatch"):
            return frame.collect().to_arrow().combine_chunks().to_batches()[0]
    return frame.collect()


_FRAMES = {
    ("polars", "DataFrame"),
    ("polars", "LazyFrame"),
    ("pandas", "DataFrame"),
    ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
}


def _kind(cls: object) -> tuple[str, str]:
    """Return a class's library and name; of a subclass, those of the class that is known."""
    for base in getattr(cls, "__mro__", ()):
        kind = base.__module__.partition(".")[0], base.__name__
        if kind in _FRAMES:
            return kind
    return "", ""


def _choices(type_hint: object) -> Iterator[object]:
    """Yield the types of a union, or the one type."""
    if typing.get_origin(type_hint) in (typing.Union, types.UnionType):
        for choice in typing.get_args(type_hint):
            yield from _choices(choice)
    elif typing.get_origin(type_hint) is typing.Annotated:
        yield from _choices(typing.get_args(type_hint)[0])
    else:
        yield type_hint
