"""Where a partition's file is, and how it is written so that nobody sees half of it.

Names are made of ASCII alone, and two partitions never have the same one. (A file system that
takes no notice of case still makes one file of the keys `US` and `us`.)
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote
from uuid import uuid4

from rivers.io.base import dimensions, single_key

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rivers._rivers import PartitionKey

P = TypeVar("P", bound=PurePath)

MAX_NAME_BYTES = 200
"""Longest name of a folder or a file, without its suffix; file systems allow 255."""

_DIGEST_CHARS = 64


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
    folder = folder_name(asset)
    if partition is None:
        return base / f"{folder}{suffix}"
    values = dimensions(partition)
    if values is None:
        return base / folder / f"{_shorten(_escape(single_key(partition)))}{suffix}"
    names = [_shorten(f"{_escape(name)}={_escape(value)}") for name, value in values.items()]
    return base.joinpath(folder, *names, f"data{suffix}")


def folder_name(asset: str) -> str:
    """Return the name of an asset's folder."""
    # Without dots, the folder of one asset never has the name of another one's file.
    return _shorten(_escape(asset).replace(".", "%2E"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which then takes the place of `path` in one step.

    If writing fails, `path` stays as it was and the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _escape(text: str) -> str:
    """Return `text` as a part of a file name: letters, digits, and `-._~`; the rest as `%XX`."""
    escaped = quote(text, safe="", errors="surrogatepass")
    if escaped.startswith("."):
        escaped = f"%2E{escaped[1:]}"
    if escaped.endswith("."):
        escaped = f"{escaped[:-1]}%2E"
    return escaped or "%"


def _shorten(name: str) -> str:
    """Return `name`, or its start and a digest of all of it; `+` is in no escaped name."""
    if len(name) <= MAX_NAME_BYTES:
        return name
    digest = sha256(name.encode()).hexdigest()
    return f"{name[: MAX_NAME_BYTES - _DIGEST_CHARS - 1]}+{digest}"
