"""Ranges of partitions as text: how users type them on the command line and in the web UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers._text import listed
from rivers.exceptions import ConfigurationError
from rivers.partitions.key_range import PartitionKeyRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivers.partitions.key_range import RangePart

_SINGLE = "partition="
"""What may stand before the keys of a single dimension, as the name of a dimension does."""


def range_of_text(text: str, dimensions: Sequence[str]) -> PartitionKeyRange:
    """Parses partitions such as `2024-01..2024-02`, `-7d..` and `today`, or `date=2024-03|region=us,eu`.

    Args:
        text: The partitions; a dimension that is left out has all its keys, and so has an empty text.
        dimensions: Names of the dimensions; none for a definition of a single one.

    Raises:
        ConfigurationError: The text names no dimension where there are several, or one twice, or it
            lists keys of a single dimension.
    """
    words = [word.strip() for word in text.split("|")] if text.strip() else []
    if not dimensions:
        return _single(words, text)
    parts: dict[str, RangePart] = {}
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not name:
            msg = (
                f"the partitions {text!r} name no dimension, as {dimensions[0]}={word or 'KEY'} does; "
                f"the dimensions are {listed(dimensions)}"
            )
            raise ConfigurationError(msg)
        if name in parts:
            raise ConfigurationError(f"the partitions {text!r} name the dimension {name!r} twice")
        parts[name] = part_of_text(value)
    return PartitionKeyRange.multi(parts)


def _single(words: list[str], text: str) -> PartitionKeyRange:
    if not words:
        return PartitionKeyRange.single(None, None)
    part = part_of_text(words[0].removeprefix(_SINGLE))
    if len(words) > 1 or (isinstance(part, list) and len(part) > 1):
        msg = f"partitions of a single dimension are a range, FIRST..LAST, or one key; got {text!r}"
        raise ConfigurationError(msg)
    return PartitionKeyRange.single(part[0], part[-1])


def part_of_text(value: str) -> RangePart:
    """Parses a dimension's keys: `a..b`, of which an end may be left out, or `a,b`.

    `KEY..KEY` is that key, even if it has dots itself.
    """
    key = value[: len(value) // 2 - 1]
    if key and value == f"{key}..{key}":
        return key.strip(), key.strip()
    first, dots, last = (part.strip() for part in value.partition(".."))
    return (first or None, last or None) if dots else [key.strip() for key in value.split(",")]


def texts_of_range(part: PartitionKeyRange) -> list[str]:
    """Returns the words that stand for a range in `--range` options; without its open parts."""
    if part.dimensions is None:
        text = _text_of_part((part.from_key, part.to_key))
        # What is read as the name of the dimension may be the beginning of a key.
        return [f"{_SINGLE}{text}" if text.startswith(_SINGLE) else text] if text else []
    return [f"{name}={_text_of_part(keys)}" for name, keys in part.dimensions if any(keys)]


def _text_of_part(keys: RangePart) -> str:
    if isinstance(keys, list) and len(keys) > 1:
        return ",".join(keys)
    first, last = ("" if end is None else str(end) for end in (keys[0], keys[-1]))
    return first if first == last and ".." not in first else f"{first}..{last}"
