"""The partitions that the options of a command name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rivers.cli import parse
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rivers.partitions import PartitionsDefinition


def chosen_partitions(
    definition_of: Callable[[], PartitionsDefinition],
    from_key: str | None,
    to_key: str | None,
    ranges: tuple[str, ...],
    partitions: tuple[str, ...],
    keys: Path | None,
    *,
    can_be_all: bool,
    all_of: str,
) -> dict[str, Any]:
    """Returns the partitions as the argument of a repository's method that fits how they were named.

    Args:
        definition_of: Returns the definition whose partitions they are.
        from_key: First key of a range.
        to_key: Last key of a range.
        ranges: Keys by dimension.
        partitions: Single partitions.
        keys: A table of partitions; `-`: what standard input has.
        can_be_all: Whether naming none stands for all.
        all_of: What an error message suggests for that.

    Raises:
        ConfigurationError: They are named in several ways, or not at all.
    """
    from rivers.partitions import PartitionKeyRange  # noqa: PLC0415

    is_range = from_key is not None or to_key is not None
    given = {
        "--from and --to": is_range,
        "--range": bool(ranges),
        "--partitions": bool(partitions),
        "--keys": keys is not None,
    }
    ways = [way for way, is_given in given.items() if is_given]
    if len(ways) > 1 or not (ways or can_be_all):
        what = f"not {' with '.join(ways)}" if ways else f"or {all_of}"
        raise ConfigurationError(f"name the partitions in one way, with {_either(given)}; {what}")
    if is_range and (dimensions := definition_of().dimension_names()):
        names = ", ".join(dimensions)
        msg = f"--from and --to are for one dimension, and these partitions have {names}; "
        raise ConfigurationError(
            f"{msg}give --range {dimensions[0]}={from_key or ''}..{to_key or ''}"
        )
    if is_range:
        return {"partition_range": PartitionKeyRange.single(from_key, to_key)}
    if ranges:
        return {"partition_range": parse.parse_range(ranges)}
    if keys is not None and str(keys) != "-":
        return {"partition_keys": parse.read_table(keys)}
    definition = definition_of()
    if keys is not None:
        if sys.stdin is None:
            raise ConfigurationError("--keys - reads standard input, which is closed; name a file")
        dimensions = definition.dimension_names()
        return {"partition_keys": parse.read_keys(sys.stdin.buffer.read(), dimensions)}
    if partitions:
        return {"partition_keys": parse.parse_keys(partitions, definition.dimension_names())}
    return {"partition_keys": definition.select()}


def _either(ways: dict[str, bool]) -> str:
    *first, last = ways
    return f"{', '.join(first)} or {last}"
