"""Which partitions there are, and how a user names some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivers._arrow import frame
from rivers._rivers import PartitionKey, PartitionMapping, PartitionsDefinition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import polars as pl

    from rivers.storage.storage import Storage

__all__ = ["PartitionKey", "PartitionKeyRange", "PartitionMapping", "PartitionsDefinition"]

_PAIR = 2


@dataclass(frozen=True)
class PartitionKeyRange:
    """A range of partitions, inclusive at both ends (API page, "PartitionKeyRange"; SEMANTICS 3).

    Make one with `single` or `multi`.

    Attributes:
        from_key: The first key, of a single-dimension range.
        to_key: The last key, of a single-dimension range.
        dimensions: For each named dimension its range or its keys; a dimension that is left out
            means all its keys. `None` for a single-dimension range.

    Example:
        >>> from rivers import PartitionKeyRange
        >>> PartitionKeyRange.single("2024-01-01", "2024-01-31")
        PartitionKeyRange.single('2024-01-01', '2024-01-31')
    """

    from_key: str | None
    to_key: str | None
    dimensions: list[tuple[str, tuple[str, str] | list[str]]] | None

    @staticmethod
    def single(from_key: str, to_key: str) -> PartitionKeyRange:
        """The keys from one to another of a definition with a single dimension.

        Args:
            from_key: The first key.
            to_key: The last key; it belongs to the range.

        Raises:
            TypeError: A key is no `str`.
        """
        for name, key in (("from_key", from_key), ("to_key", to_key)):
            if not isinstance(key, str):
                msg = f"{name} must be a str, got {type(key).__name__}: {key!r}"
                raise TypeError(msg)
        return PartitionKeyRange(from_key, to_key, None)

    @staticmethod
    def multi(dimensions: Mapping[str, tuple[str, str] | list[str]]) -> PartitionKeyRange:
        """A part of the product of named dimensions.

        Args:
            dimensions: For each dimension a `(from, to)` tuple or a list of keys.

        Raises:
            TypeError: A dimension has another shape.

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
        storage: Storage | None = None,
        now: datetime | None = None,
    ) -> pl.DataFrame:
        """The partitions of the range: one row each, a column per dimension (see `rivers.status.tables`).

        Args:
            definition: What it is a range of.
            storage: Holds the keys of dynamic dimensions.
            now: What a definition without an end reaches to; the present by default.

        Raises:
            PartitionValidationError: The range does not belong to the definition.

        Example:
            >>> import rivers as rs
            >>> days = rs.PartitionsDefinition.daily("2024-01-01")
            >>> rs.PartitionKeyRange.single("2024-01-01", "2024-01-03").to_polars(days).shape
            (3, 2)
        """
        return frame(definition.resolve(now, storage).select_range(self).table())

    def __repr__(self) -> str:
        if self.dimensions is None:
            return f"PartitionKeyRange.single({self.from_key!r}, {self.to_key!r})"
        return f"PartitionKeyRange.multi({dict(self.dimensions)!r})"

    def __hash__(self) -> int:
        return hash(repr(self))


def _part(name: object, part: object) -> tuple[str, str] | list[str]:
    """One dimension's part, copied, or a `TypeError`."""
    if not isinstance(name, str):
        msg = f"a dimension's name must be a str, got {name!r}"
        raise TypeError(msg)
    if isinstance(part, tuple | list) and all(isinstance(key, str) for key in part):
        if isinstance(part, list):
            return list(part)
        if len(part) == _PAIR:
            return (part[0], part[1])
    msg = f"the dimension {name!r} must be a (from, to) tuple or a list of str, got {part!r}"
    raise TypeError(msg)
