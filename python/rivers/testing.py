"""Storages for tests of a program that uses `rivers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.storage.storage import Storage

if TYPE_CHECKING:
    import os

__all__ = ["embedded_storage", "memory_storage"]


def memory_storage() -> Storage:
    """Returns a new storage in memory, which shares nothing with any other.

    Example:
        >>> import rivers as rs
        >>> from rivers.testing import memory_storage
        >>> rs.CodeRepository([]).resolve(memory_storage()).backfills().height
        0
    """
    return Storage.memory()


def embedded_storage(path: str | os.PathLike[str]) -> Storage:
    """Returns a storage in one SQLite file.

    Args:
        path: The file, such as `tmp_path / "rivers.db"`; made if it is missing.
    """
    return Storage.embedded(path)
