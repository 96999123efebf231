"""The partitions that a function, or an IO handler, is called for."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from rivers._rivers import PartitionKey, PartitionsDefinition
from rivers.exceptions import PartitionDefinitionError, PartitionValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rivers._rivers import Selection

MaybeNone: TypeAlias = Any
"""For type checkers: `None` in cases that the function which reads the attribute knows."""

_FAR_FUTURE = datetime(2200, 1, 1)  # noqa: DTZ001  (naive times are UTC)
"""Keys given by hand may name windows that have not begun."""


class PartitionContext:
    """The partitions that a function, or an IO handler, is called for.

    A run makes one itself. Make one by hand to test a function or a handler alone: its keys are then
    taken as they are, in the order given, and need not exist yet (dynamic keys need no storage).

    Args:
        keys: The partitions; a key with several values stands for several partitions.
        definition: The definition that the keys belong to.

    Raises:
        PartitionValidationError: If there is no key, or a key has other dimensions than `definition`.
        TypeError: If `keys` are not `PartitionKey`s, or `definition` is no `PartitionsDefinition`.

    Example:
        >>> import rivers as rs
        >>> days = rs.PartitionsDefinition.daily("2024-01-01")
        >>> partition = rs.PartitionContext([rs.PartitionKey.single("2024-01-31")], days)
        >>> print(partition.key, partition.time_window()[1])
        2024-01-31 2024-02-01 00:00:00
    """

    __slots__ = ("_definition", "_keys", "_selection")

    _selection: Selection | None
    _keys: list[PartitionKey] | None

    def __init__(self, keys: Sequence[PartitionKey], definition: PartitionsDefinition) -> None:
        if not isinstance(definition, PartitionsDefinition):
            msg = f"definition must be a PartitionsDefinition, got {definition!r}"
            raise TypeError(msg)
        self._definition: PartitionsDefinition | None = definition
        self._keys = list(dict.fromkeys(expanded(keys, definition)))
        self._selection = None
        if not self._keys:
            raise PartitionValidationError("keys must name at least one partition, got []")

    @property
    def keys(self) -> list[PartitionKey]:
        """All keys, one partition each; in a run, in definition order."""
        if self._keys is None:
            self._keys = self._selected().keys()
        return self._keys

    @property
    def key(self) -> PartitionKey:
        """The first key."""
        return self._selected().key(0) if self._keys is None else self._keys[0]

    @property
    def definition(self) -> PartitionsDefinition | None:
        """The asset's partitions definition."""
        return self._definition

    def time_window(self, dimension: str | None = None) -> tuple[datetime, datetime] | MaybeNone:
        """The half-open window `[start, end)` that the partitions cover.

        The datetimes are aware, in the zone of the definition, or naive in UTC if it has no zone.

        Args:
            dimension: The time dimension; may be left out if there is only one. Without it, the window
                is `None` if no dimension is a time dimension.

        Raises:
            PartitionValidationError: If `dimension` is no time dimension, or is left out and there are
                several, or a key given by hand is not one of the definition's.
        """
        if dimension is None and not self._has_time_windows():
            return None
        return self._selected().time_window(dimension)

    def _has_time_windows(self) -> bool:
        try:
            return self._selected().space.has_time_windows
        except PartitionDefinitionError:
            # The keys of dynamic partitions are in no storage here; alone, they are no windows.
            if self._definition is not None and self._definition.dimension_names():
                raise
            return False

    def _selected(self) -> Selection:
        if self._selection is None:
            if self._definition is None or self._keys is None:
                raise AssertionError  # `__init__` and `context_of` set them.
            space = self._definition.resolve(_FAR_FUTURE)
            self._selection = space.select_keys(self._keys)
        return self._selection

    def __repr__(self) -> str:
        if self._keys is None:
            count, first = self._selected().num_partitions, self._selected().text(0)
        else:
            count, first = len(self._keys), str(self._keys[0])
        more = f" and {count - 1} more" if count > 1 else ""
        return f"<PartitionContext {first}{more}>"


def context_of(selection: Selection, definition: PartitionsDefinition | None) -> PartitionContext:
    """The context of a selection, whose keys are listed only when they are asked for."""
    context = PartitionContext.__new__(PartitionContext)
    context._selection = selection  # noqa: SLF001  (made without `__init__`, which takes keys)
    context._definition = definition  # noqa: SLF001
    context._keys = None  # noqa: SLF001
    return context


def expanded(
    keys: Iterable[PartitionKey], definition: PartitionsDefinition
) -> Iterator[PartitionKey]:
    """The partitions that keys stand for, one key each."""
    names = definition.dimension_names()
    if isinstance(keys, PartitionKey | str):
        msg = f"keys must be a list of PartitionKeys, got {keys!r}"
        raise TypeError(msg)
    for key in keys:
        if isinstance(key, PartitionKey.Single) and not names:
            yield from map(PartitionKey.single, key.key)
        elif isinstance(key, PartitionKey.Multi) and key.keys.keys() == set(names):
            for point in itertools.product(*(key.keys[name] for name in names)):
                yield PartitionKey.multi(dict(zip(names, point, strict=True)))
        elif isinstance(key, PartitionKey):
            has = f"the dimensions {', '.join(names)}" if names else "a single dimension"
            msg = f"the key {key!r} does not fit the definition, which has {has}"
            raise PartitionValidationError(msg)
        else:
            msg = f"keys must be PartitionKeys, got {key!r}"
            raise TypeError(msg)


def windows_of(
    context: PartitionContext, keys: Sequence[PartitionKey], dimension: str | None
) -> list[tuple[datetime, datetime]] | None:
    """The time window of each key; `None` if the dimension has no windows, or a key is not known."""
    try:
        space = context._selected().space  # noqa: SLF001  (a part of the class that users do not need)
        return [space.select_keys([key]).time_window(dimension) for key in keys]
    except (PartitionDefinitionError, PartitionValidationError):
        return None
