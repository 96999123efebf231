"""Ranges of partitions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rivers._arrow import frame
from rivers._text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from rivers._rivers import PartitionsDefinition
    from rivers.partitions.dynamic_keys import DynamicKeySource

RangeEnd: TypeAlias = str | dt.date | None
"""An end of a range: a key, a short form of a time, a date or a datetime; `None` is open."""

RangePart: TypeAlias = tuple[RangeEnd, RangeEnd] | list[str]

_PAIR = 2


@dataclass(frozen=True, eq=False, repr=False)
class PartitionKeyRange:
    """A range of partitions, inclusive at both ends; `single` and `multi` make ranges.

    Ranges are equal if they select the same: the order of dimensions and of listed keys does not matter.
    A `(from, to)` pair is not equal to a list of its ends.

    In a time dimension, an end can also be a short form, which stands for the windows that start in it:

    * a year, quarter, month, ISO week or day: `"2024"`, `"2024-Q1"`, `"2024-01"`, `"2024-W05"`,
      `"2024-01-31"`;
    * `"today"`, `"yesterday"`, or a time before now: `"-7d"`, `"-2w"` (days), `"-3h"` (an hour). Now is
      the time of the repository's `clock`, in the definition's zone. If no window starts then, the window
      that contains it is meant; what lies outside the grid is left out;
    * a `date`, which is a day, or a `datetime`, which means the window that contains it.

    As the first end, a short form means the first of its windows, as the last end the last one. In any
    dimension, `None` is the first key or the last.

    Attributes:
        from_key: The first key; `None` for an open end, or for a range of named dimensions.
        to_key: The last key; `None` for an open end, or for a range of named dimensions.
        dimensions: The `(from, to)` pair or the list of keys of each named dimension; an omitted
            dimension means all of its keys. `None` for a range of a single dimension.

    Example:
        >>> from rivers import PartitionKeyRange
        >>> PartitionKeyRange.single("2024-01-01", "2024-01-31")
        PartitionKeyRange.single(from_key="2024-01-01", to_key="2024-01-31")
    """

    from_key: RangeEnd
    to_key: RangeEnd
    dimensions: list[tuple[str, RangePart]] | None

    @staticmethod
    def single(from_key: RangeEnd, to_key: RangeEnd) -> PartitionKeyRange:
        """Makes a range of a definition with one dimension.

        Args:
            from_key: The first key, or a short form; `None` starts with the first partition.
            to_key: The last key, which belongs to the range, or a short form; `None` ends with the last
                partition.

        Raises:
            TypeError: A key has another type.

        Example:
            >>> import rivers as rs
            >>> days = rs.PartitionsDefinition.daily("2024-01-01", end="2025-01-01")
            >>> rs.PartitionKeyRange.single("2024-02", "2024-Q2").to_polars(days).height
            151
        """
        for name, key in (("from_key", from_key), ("to_key", to_key)):
            if not is_range_end(key):
                msg = (
                    f"{name} must be a str, got {type(key).__name__}: {key!r}; None is an open end, and "
                    f"a time dimension also takes a date or a datetime"
                )
                raise TypeError(msg)
        return PartitionKeyRange(from_key, to_key, None)

    @staticmethod
    def multi(dimensions: Mapping[str, RangePart]) -> PartitionKeyRange:
        """Makes a range of a definition with named dimensions: a product of parts.

        Args:
            dimensions: A `(from, to)` tuple of ends, as in `single`, or a list of keys or short forms, for
                each dimension.

        Raises:
            TypeError: A dimension has another form.

        Example:
            >>> from rivers import PartitionKeyRange
            >>> week = {"date": ("2024-01-01", "2024-01-07"), "region": ["us", "eu"]}
            >>> PartitionKeyRange.multi(week).dimensions[1]
            ('region', ['us', 'eu'])
        """
        if not hasattr(dimensions, "items"):
            msg = (
                f"PartitionKeyRange.multi() takes a dict of dimension to range, got {dimensions!r}"
            )
            raise TypeError(msg)
        return PartitionKeyRange(
            None, None, [(name, _part(name, part)) for name, part in dimensions.items()]
        )

    def to_polars(
        self,
        definition: PartitionsDefinition,
        *,
        storage: DynamicKeySource | None = None,
        now: dt.datetime | None = None,
    ) -> pl.DataFrame:
        """Returns the partitions of the range, one row each, with one column per dimension.

        Args:
            definition: The definition that the range belongs to.
            storage: The storage that has the keys of dynamic dimensions.
            now: The time that a definition without an `end` reaches; by default the current time.

        Raises:
            PartitionValidationError: The range does not fit the definition.

        Example:
            >>> import rivers as rs
            >>> days = rs.PartitionsDefinition.daily("2024-01-01")
            >>> rs.PartitionKeyRange.single("2024-01-01", "2024-01-03").to_polars(days).shape
            (3, 2)
        """
        return frame(definition.resolve(now, storage).select_range(self).table())

    def __repr__(self) -> str:
        if self.dimensions is None:
            from_key, to_key = _shown_end(self.from_key), _shown_end(self.to_key)
            return f"PartitionKeyRange.single(from_key={from_key}, to_key={to_key})"
        shown = [f"{quoted(name)}: {_shown(part)}" for name, part in sorted(self.dimensions)]
        return f"PartitionKeyRange.multi({{{', '.join(shown)}}})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PartitionKeyRange):
            return NotImplemented
        return self._selected() == other._selected()

    def __hash__(self) -> int:
        return hash(self._selected())

    def _selected(self) -> object:
        """What the range selects, in a form that does not depend on order."""
        if self.dimensions is None:
            return self.from_key, self.to_key
        return frozenset(
            (name, part if isinstance(part, tuple) else frozenset(part))
            for name, part in self.dimensions
        )


def is_range_end(end: object) -> bool:
    """Returns whether a value can be an end of a range."""
    return end is None or isinstance(end, str | dt.date)


def _shown_end(end: RangeEnd) -> str:
    return quoted(end) if isinstance(end, str) else repr(end)


def _shown(part: RangePart) -> str:
    if isinstance(part, tuple):
        return f"({', '.join(map(_shown_end, part))})"
    return f"[{', '.join(map(quoted, sorted(part)))}]"


def _part(name: object, part: object) -> RangePart:
    """Returns a copy of one dimension's part.

    Raises:
        TypeError: It is neither a pair of ends nor a list of `str`.
    """
    if not isinstance(name, str):
        msg = f"a dimension's name must be a str, got {name!r}"
        raise TypeError(msg)
    if isinstance(part, list) and all(isinstance(key, str) for key in part):
        return list(part)
    if isinstance(part, tuple) and len(part) == _PAIR and all(map(is_range_end, part)):
        return (part[0], part[1])
    msg = f"the dimension {name!r} must be a (from, to) tuple or a list of str, got {part!r}"
    raise TypeError(msg)
