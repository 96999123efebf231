"""Names of files and folders: any key has one, on any system, and no other key has it.

A name is made of ASCII alone. Names differ also where a file system ignores case, none is reserved on
Windows, and none is longer than file systems allow.

    key                 file
    2024-01-01T05:00    2024-01-01T05%3A00.pickle    what is not a letter, digit or `-._~` is escaped
    us                  us.pickle
    US                  US+3.pickle                  `+`: which letters are in unusual case, in hex
    con                 %63on.pickle                 reserved on Windows
    x.                  x%2E.pickle                  as is a dot at either end
    a long one          its start+its digest.pickle
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from rivers.io.values import dimensions, single_key

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from rivers._rivers import PartitionKey

P = TypeVar("P", bound=PurePath)

MAX_NAME_BYTES = 200
"""Maximum length of the name of a folder or a file, without its suffix; file systems allow 255."""

_DIGEST_CHARS = 64

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names of devices on Windows, whatever the suffix."""

_DIGITS = re.compile(r"\d[\d-]{0,99}", re.ASCII)
"""Usual keys that are their own names, such as days: thousands of them are looked up at once."""

_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_USUALLY_UPPER = re.compile(r"(?<=\d)[tqwz](?=\d|$)|(?<=\d-)[qw](?=\d)")
"""Letters of time keys in lower case, as in `2024-01-01t05`, `2024-q1` and `2024-w05`."""


def base_folder(base_dir: str | os.PathLike[str]) -> Path:
    """Return a handler's folder as an absolute path, so that no later `chdir` moves it."""
    return Path(base_dir).expanduser().absolute()


def partition_path(base: P, asset: str, partition: PartitionKey | None, suffix: str) -> P:
    """Return the file of a partition, which is always below `base`.

    Args:
        base: The handler's folder, or what stands for it in an object store.
        asset: The asset's name.
        partition: Exactly one partition; None for an asset that has none.
        suffix: The file's suffix, with its dot.
    """
    return _path(base, asset, partition, suffix, _name)


def partition_names(
    asset: str, partitions: Sequence[PartitionKey], suffix: str
) -> tuple[str, list[str]]:
    """Return the folder in which the files of some partitions are, and their paths below it.

    The folder is below the handler's; there is `/` between the parts of a path.
    """
    folder = _asset_name(asset, _name)
    return folder, [_below(partition, suffix, _name) for partition in partitions]


def former_path(base: P, asset: str, partition: PartitionKey | None, suffix: str) -> P | None:
    """Return where earlier versions kept the file of a partition; None if that is the same path."""
    path = _path(base, asset, partition, suffix, _former_name)
    return None if path == partition_path(base, asset, partition, suffix) else path


def folder_name(asset: str) -> str:
    """Return the name of an asset's folder."""
    return _asset_name(asset, _name)


def former_folder_name(asset: str) -> str:
    """Return the name that earlier versions gave to an asset's folder."""
    return _asset_name(asset, _former_name)


def _path(
    base: P, asset: str, partition: PartitionKey | None, suffix: str, name: Callable[[str], str]
) -> P:
    if partition is None:
        return base / f"{_asset_name(asset, name)}{suffix}"
    return base / f"{_asset_name(asset, name)}/{_below(partition, suffix, name)}"


def _below(partition: PartitionKey, suffix: str, name: Callable[[str], str]) -> str:
    """Return the path of a partition's file below the asset's folder."""
    values = dimensions(partition)
    if values is None:
        key = single_key(partition)
        return f"{key if _DIGITS.fullmatch(key) else name(_escape(key))}{suffix}"
    names = [name(f"{_escape(key)}={_escape(value)}") for key, value in values.items()]
    return "/".join((*names, f"data{suffix}"))


@lru_cache(maxsize=1024)
def _asset_name(asset: str, name: Callable[[str], str]) -> str:
    # Without dots, the folder of one asset never has the name of another one's file.
    return name(_escape(asset).replace(".", "%2E"))


def _escape(text: str) -> str:
    """Return `text` as a part of a file name: letters, digits, and `-._~`; the rest as `%XX`."""
    escaped = quote(text, safe="", errors="surrogatepass")
    if escaped.startswith("."):
        escaped = f"%2E{escaped[1:]}"
    if escaped.endswith("."):
        escaped = f"{escaped[:-1]}%2E"
    return escaped or "%"


def _name(escaped: str) -> str:
    """Return the name of a file or folder for an escaped text."""
    if _RESERVED.match(escaped):
        escaped = f"%{ord(escaped[0]):02X}{escaped[1:]}"
    if len(escaped) > MAX_NAME_BYTES:
        return _former_name(escaped)
    unusual = _unusual_case(escaped)
    return f"{escaped}+{unusual:x}" if unusual else escaped


def _unusual_case(escaped: str) -> int:
    """Return which letters are not in the case that is usual at their position, as bits.

    The usual case follows from the text in lower case, so that two texts which differ in case alone
    never have the same bits.
    """
    text = _ESCAPE.sub("%", escaped)
    lower = text.lower()
    if text == _USUALLY_UPPER.sub(_upper, lower):
        return 0
    upper = {match.start() for match in _USUALLY_UPPER.finditer(lower)}
    letters = [at for at, letter in enumerate(lower) if letter.isalpha()]
    bits = (1 << n for n, at in enumerate(letters) if text[at].isupper() != (at in upper))
    return sum(bits)


def _upper(match: re.Match[str]) -> str:
    return match[0].upper()


def _former_name(escaped: str) -> str:
    """Return an escaped text, or its start and a digest of it; `+` is in no escaped text."""
    if len(escaped) <= MAX_NAME_BYTES:
        return escaped
    digest = sha256(escaped.encode()).hexdigest()
    return f"{escaped[: MAX_NAME_BYTES - _DIGEST_CHARS - 1]}+{digest}"
