"""What the names of folders cannot be, above Delta Lake tables and in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from rivers._rivers import PartitionsDefinition
from rivers.exceptions import ConfigurationError, ExecutionError
from rivers.io.values import dimensions, single_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rivers.io.base import OutputContext

_UNUSABLE = re.compile(r"[\[\]]|%[0-9A-Fa-f]{2}")
"""What deltalake misreads in the path of a folder."""

_MAX_NAME_BYTES = 250
"""Maximum length of the name of a folder; file systems allow 255."""


def check_folder(path: str) -> None:
    """Check that tables can be below a folder.

    Raises:
        ConfigurationError: If they cannot.
    """
    if wrong := _UNUSABLE.search(path):
        msg = (
            f"deltalake keeps no tables below a folder with {wrong[0]!r} in its path, got {path!r}"
        )
        raise ConfigurationError(msg)


def _is_too_long(column: str, text: str) -> bool:
    """Whether a table cannot be partitioned by a text, as no file system has so long a name."""
    # What is not a letter or a digit is encoded, twice in a folder.
    encoded = quote(f"{column}={text}", safe="")
    return len(encoded) + 2 * encoded.count("%") > _MAX_NAME_BYTES


def has_long_keys(context: OutputContext, column: str, dimension: str | None) -> bool:
    """Whether a column holds keys by which a table cannot be partitioned, in this run or a later one."""
    definition = None if context.partition is None else context.partition.definition
    if isinstance(definition, PartitionsDefinition.Multi):
        definition = dict(definition.dimensions).get(dimension or "")
    texts: Iterable[str] = ()
    if isinstance(definition, PartitionsDefinition.Static):
        texts = definition.keys
    else:
        values = (dimensions(key) for key in context.run_partitions)
        texts = [
            single_key(key) if value is None else value[dimension or ""]
            for key, value in zip(context.run_partitions, values, strict=True)
        ]
    return any(_is_too_long(column, text) for text in texts)


def check_lengths(asset: str, columns: Sequence[str], keys: Mapping[str, list[str]]) -> None:
    """Check that the table's folders can have the names of the keys.

    Raises:
        ExecutionError: If one is too long.
    """
    for column in columns:
        for text in keys.get(column, ()):
            if _is_too_long(column, text):
                msg = (
                    f"the table of asset {asset!r} is partitioned by {column!r}, and the key {text!r} is "
                    "too long for the name of a folder; use shorter keys, or remove the table so that it "
                    "is made without"
                )
                raise ExecutionError(msg)
