"""The forms in which a user may write a key: a `PartitionKey`, a text, a dict, a date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, overload

from rivers._rivers import PartitionKey
from rivers._text import did_you_mean, listed
from rivers.exceptions import PartitionValidationError, RiversError
from rivers.partitions.key_range import PartitionKeyRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from typing import SupportsIndex

    from rivers._rivers import PartitionsDefinition, Selection, Space
    from rivers.partitions.partition_set import PartitionSet

    KeyLike: TypeAlias = (
        PartitionKey | str | dt.date | Mapping[str, "str | dt.date | Sequence[str]"]
    )
    """A key in any of its forms: `"2024-01-01"`, `"date=2024-01-01|region=us"`, a dict, a date."""

    class Rows(Protocol):
        """A table of any library that exports Arrow, such as a Polars frame."""

        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            """The rows as an Arrow stream."""

    class KeyList(Protocol):
        """A list or tuple of keys. A text is none, although it has characters, nor is a dict."""

        def __contains__(self, value: object, /) -> bool:
            """Whether a key is among them; a text looks for texts alone."""

        def __getitem__(self, index: SupportsIndex, /) -> KeyLike:
            """The key at a position; a dict has none."""

        def __iter__(self) -> Iterator[KeyLike]:
            """The keys."""

    KeyLikes: TypeAlias = KeyList | AbstractSet[KeyLike] | Iterator[KeyLike] | PartitionSet | Rows
    """Keys in any of their forms, a set of them, or a table with a row for each."""


class _UnknownDimensionError(PartitionValidationError, KeyError):
    """A key has no dimension of the name given."""

    __str__ = RiversError.__str__  # KeyError's would show the message in quotation marks.


def select_key_likes(space: Space, given: Iterable[KeyLike]) -> Selection:
    """Selects the partitions that keys in any form represent, in order, without duplicates.

    A text names the dimensions of a product: `date=2024-01-01|region=us,eu`. A datetime stands for the window
    that contains it, a date for all windows of that day.

    Raises:
        PartitionValidationError: A key does not belong to the space.
        TypeError: One of them has none of these forms.
    """
    likes = given if isinstance(given, list) else list(given)
    try:
        return space.select_keys(cast("list[PartitionKey]", likes))
    except TypeError:  # Not all are PartitionKeys, but most calls name nothing else.
        return space.select_keys([key for like in likes for key in _keys_of(space, like)])


def _keys_of(space: Space, given: KeyLike) -> Iterable[PartitionKey]:
    if isinstance(given, PartitionKey):
        return [given]
    if isinstance(given, dt.date):
        return _of_range(space, PartitionKeyRange.single(given, given))
    if isinstance(given, str):
        if not _is_product(space):
            return [PartitionKey.single(given.split(","))]
        return [PartitionKey.multi(_dimensions_of(given))]
    if isinstance(given, Mapping):
        parts = {name: _texts_or_dates(value) for name, value in given.items()}
        if any(isinstance(value, dt.date) for values in parts.values() for value in values):
            ranges = {
                name: (values[0], values[0]) if isinstance(values[0], dt.date) else values
                for name, values in parts.items()
                if values
            }
            _check_dimensions(space, given)
            return _of_range(space, PartitionKeyRange.multi(ranges))
        return [PartitionKey.multi(parts)]
    msg = (
        f"a partition key must be a PartitionKey, a text, a dict or a date, got "
        f"{type(given).__name__}: {given}"
    )
    raise TypeError(msg)


def _texts_or_dates(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _of_range(space: Space, key_range: PartitionKeyRange) -> list[PartitionKey]:
    return space.select_range(key_range).keys()


def _check_dimensions(space: Space, given: Mapping[str, Any]) -> None:
    """Refuses a dict that leaves out a dimension: as a range it would stand for all keys of it."""
    for name, _, _ in space.dimensions():
        if name not in given:
            msg = f"the key {given!r} does not name the dimension {name!r}"
            raise PartitionValidationError(msg)


def _is_product(space: Space) -> bool:
    return bool(space.num_partitions) and isinstance(space.all().key(0), PartitionKey.Multi)


def _dimensions_of(text: str) -> dict[str, list[str]]:
    """Reads `date=2024-01-01|region=us,eu`, the text of a key of a product.

    Raises:
        PartitionValidationError: A part has no `=`, or a dimension occurs twice.
    """
    found: dict[str, list[str]] = {}
    for part in text.split("|"):
        name, equals, values = part.partition("=")
        if not equals or name in found:
            problem = f"names {name!r} twice" if equals else f"has {part!r}"
            msg = f"the key {text!r} {problem}; it is written as date=2024-01-01|region=us"
            raise PartitionValidationError(msg)
        found[name] = values.split(",")
    return found


def value_of(key: PartitionKey.Multi, dimension: str) -> str:
    """The value of a dimension of a key; the binding's `PartitionKey.Multi.__getitem__`.

    Raises:
        KeyError: The key has no such dimension; it is a PartitionValidationError, too.
        PartitionValidationError: The key has several values of it.
    """
    values = key.keys.get(dimension)
    if values is None:
        msg = f"the key {str(key)!r} has no dimension {dimension!r}"
        msg += f"; its dimensions are {listed(key.keys)}{did_you_mean(str(dimension), key.keys)}"
        raise _UnknownDimensionError(msg)
    if len(values) > 1:
        msg = (
            f"the key has {len(values)} values of {dimension!r}; .keys[{dimension!r}] has them all"
        )
        raise PartitionValidationError(msg)
    return values[0]


def contains(definition: PartitionsDefinition, key: Any) -> bool:
    """Whether a definition has a partition; the binding's `PartitionsDefinition.__contains__`."""
    try:
        return bool(select_key_likes(definition.resolve(), [key]).num_partitions)
    except (PartitionValidationError, TypeError):
        return False


@overload
def item(definition: PartitionsDefinition, at: int) -> PartitionKey: ...
@overload
def item(definition: PartitionsDefinition, at: slice) -> list[PartitionKey] | PartitionSet: ...
def item(definition: PartitionsDefinition, at: Any) -> Any:
    """A key by position, keys by a slice of positions, or a set by a slice of keys.

    It is the binding's `PartitionsDefinition.__getitem__`. As in a `PartitionKeyRange`, both ends of a slice
    of keys are part of it; with positions the end is not, as in a list.

    Raises:
        IndexError: There is no such position.
        TypeError: `at` is something else.
    """
    space = definition.resolve()
    if isinstance(at, slice):
        ends = (at.start, at.stop)
        if all(end is None or isinstance(end, int) for end in (*ends, at.step)):
            everything = space.all()
            return [everything.key(n) for n in range(*at.indices(space.num_partitions))]
        if at.step is None and not any(isinstance(end, int) for end in ends):
            return definition.select(ends)
    elif isinstance(at, int):
        position = at + space.num_partitions if at < 0 else at
        if not 0 <= position < space.num_partitions:
            msg = f"there is no position {at}: the definition has {space.num_partitions} partitions"
            raise IndexError(msg)
        return space.all().key(position)
    msg = (
        f"a definition is indexed by a position, or by a slice of positions or of keys, such as "
        f'["2024-01-01":"2024-01-31"], got {at!r}'
    )
    raise TypeError(msg)
