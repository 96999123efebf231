"""Sets of partitions, described without listing them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivers._arrow import frame
from rivers.exceptions import ConfigurationError, PartitionValidationError
from rivers.partitions.key_range import is_range_end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import polars as pl

    from rivers._rivers import PartitionKey, PartitionsDefinition, Selection, Space
    from rivers.partitions.dynamic_keys import DynamicKeySource

_PAIR = 2


@dataclass(frozen=True)
class Exclude:
    """All keys of a dimension except those of `part`; `exclude` makes it."""

    part: Any


def exclude(part: tuple[str, str] | list[str] | re.Pattern[str]) -> Exclude:
    """Selects all keys of a dimension except those of `part`.

    Args:
        part: A `(from, to)` range, a list of keys, or a compiled regular expression.

    Example:
        >>> import rivers as rs
        >>> regions = rs.PartitionsDefinition.static_(["us", "eu", "asia"])
        >>> regions.select(rs.exclude(["us"])).keys()
        [PartitionKey("eu"), PartitionKey("asia")]
    """
    return Exclude(part)


class PartitionSet:
    """A set of partitions of a definition, described without listing them.

    `PartitionsDefinition.select` makes sets; sets of the same definition combine with `|`, `&` and `-`. A
    set is evaluated when it is used, so it includes dynamic keys and time windows added since.

    Example:
        >>> import re, rivers as rs
        >>> grid = rs.PartitionsDefinition.multi(
        ...     {
        ...         "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01"),
        ...         "region": rs.PartitionsDefinition.static_(["us", "eu-west", "eu-east"]),
        ...     }
        ... )
        >>> europe = grid.select(region=re.compile("^eu-"))
        >>> (europe - grid.select(date=("2024-01-02", "2024-01-31"))).count()
        2
    """

    def __init__(
        self, definition: PartitionsDefinition, resolve: Callable[[Space], Selection], text: str
    ) -> None:
        self._definition = definition
        self._resolve = resolve
        self._text = text

    def resolve_in(self, space: Space) -> Selection:
        """Returns the partitions of the set in a resolved space of its definition."""
        return self._resolve(space)

    def _resolved(self, storage: DynamicKeySource | None, now: datetime | None) -> Selection:
        return self._resolve(self._definition.resolve(now, storage))

    def count(self, *, storage: DynamicKeySource | None = None, now: datetime | None = None) -> int:
        """Returns the number of partitions."""
        return self._resolved(storage, now).num_partitions

    def keys(
        self, *, storage: DynamicKeySource | None = None, now: datetime | None = None
    ) -> list[PartitionKey]:
        """Returns the partition keys in definition order."""
        return self._resolved(storage, now).keys()

    def to_polars(
        self, *, storage: DynamicKeySource | None = None, now: datetime | None = None
    ) -> pl.DataFrame:
        """Returns the partitions, one row each, with one column per dimension."""
        return frame(self._resolved(storage, now).table())

    def _combined(self, other: object, method: str, sign: str) -> PartitionSet:
        if not isinstance(other, PartitionSet):
            return NotImplemented  # type: ignore[no-any-return]
        if other._definition != self._definition:  # noqa: SLF001  (its own class)
            msg = "sets of different definitions do not combine"
            raise PartitionValidationError(msg)
        here, there = self.resolve_in, other.resolve_in
        return PartitionSet(
            self._definition,
            lambda space: getattr(here(space), method)(there(space)),
            f"({self!r} {sign} {other!r})",
        )

    def __or__(self, other: object) -> PartitionSet:
        return self._combined(other, "union", "|")

    def __and__(self, other: object) -> PartitionSet:
        return self._combined(other, "intersection", "&")

    def __sub__(self, other: object) -> PartitionSet:
        return self._combined(other, "difference", "-")

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        from rivers.partitions.notebook import set_html  # noqa: PLC0415  (notebooks alone need it)

        return set_html(self._text, lambda: self._resolved(None, None))


def select(
    definition: PartitionsDefinition, parts: object, dimensions: Mapping[str, object] | None
) -> PartitionSet:
    """Implements `PartitionsDefinition.select`; the binding calls it by name."""
    if definition.dimension_names():
        named = {**_mapping(parts), **(dimensions or {})}
    else:
        if dimensions:
            msg = "the definition has a single dimension without a name: select(part), without keywords"
            raise ConfigurationError(msg)
        named = {} if parts is None else {"": parts}
    checked = {name: _checked(name, part) for name, part in named.items()}
    shown = ", ".join(f"{name}={part!r}" if name else repr(part) for name, part in named.items())
    return PartitionSet(definition, lambda space: _product(space, checked), f"select({shown})")


def _mapping(parts: object) -> dict[str, object]:
    if parts is None:
        return {}
    if isinstance(parts, dict):
        return parts
    msg = f"select() of named dimensions takes a dict or keywords, got {parts!r}"
    raise TypeError(msg)


def _checked(name: str, part: object) -> tuple[object, bool]:
    """Returns the part, and whether it is excluded.

    Raises:
        TypeError: The part has another form.
    """
    excluded = isinstance(part, Exclude)
    inner = part.part if isinstance(part, Exclude) else part
    is_list = isinstance(inner, list) and all(isinstance(key, str) for key in inner)
    is_range = isinstance(inner, tuple) and len(inner) == _PAIR and all(map(is_range_end, inner))
    if isinstance(inner, re.Pattern) or is_list or is_range:
        return inner, excluded
    whose = f"the dimension {name!r}" if name else "the part"
    msg = (
        f"{whose} must be a (from, to) tuple, a list of str, a compiled regular expression, or "
        f"exclude() of one, got {part!r}"
    )
    raise TypeError(msg)


def _product(space: Space, parts: Mapping[str, tuple[object, bool]]) -> Selection:
    names = [name for name, _, _ in space.dimensions()]
    resolved = []
    for name, (part, excluded) in parts.items():
        keys: Any = part
        if isinstance(part, re.Pattern):
            index = names.index(name) if name in names else -1
            keys = [key for key in space.labels(index) if part.search(key)] if index >= 0 else [""]
            if not keys:
                if excluded:
                    continue
                return space.select_numbers([])
        resolved.append((name, keys, excluded))
    return space.select_parts(resolved)
