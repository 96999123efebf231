"""Where files are kept: in a folder, or as objects in a store.

A handler asks `places.files_at` for one of the two, and does not distinguish them. What `paths` says of
names holds for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO

from rivers.io.paths import former_path, partition_path

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from io import BytesIO

    from rivers._rivers import PartitionKey
    from rivers.io.base import Reach

    Replacing = Callable[[PurePath], AbstractContextManager[Path | BytesIO]]


class Files(ABC):
    """Files below one place, each replaced in one step.

    Attributes:
        base: What the paths of all files begin with.
        reach: From where the files can be read; see `BaseIOHandler.reach`.
    """

    base: PurePath
    reach: Reach = "machine"

    def path(self, asset: str, partition: PartitionKey | None, suffix: str) -> PurePath:
        """Return the path of a partition's file; see `partition_path`."""
        return partition_path(self.base, asset, partition, suffix)

    def former_path(
        self, asset: str, partition: PartitionKey | None, suffix: str
    ) -> PurePath | None:
        """Return where earlier versions kept that file; see `former_path`."""
        return former_path(self.base, asset, partition, suffix)

    @abstractmethod
    def open(self, path: PurePath) -> BinaryIO:
        """Open a file to read it.

        Raises:
            FileNotFoundError: If there is none.
        """

    @abstractmethod
    def exists(self, path: PurePath) -> bool:
        """Whether there is a file.

        Raises:
            OSError: It cannot be known, as without the permission to look.
        """

    @abstractmethod
    def remove(self, path: PurePath) -> None:
        """Remove a file, if there is one."""

    @abstractmethod
    def remove_older(self, paths: Sequence[PurePath], age: float) -> None:
        """Remove those of some files that took their places more than `age` seconds ago.

        The clock is that of the place, so that no difference between clocks takes a newer file. A file of
        which it is uncertain stays.
        """

    @abstractmethod
    def identity(self, path: PurePath, file: BinaryIO) -> Hashable:
        """Return what an open file has in common with those that are links to the same data."""

    @abstractmethod
    @contextmanager
    def batch(self) -> Iterator[Replacing]:
        """Give a function that replaces files, whose writes all become durable at the end.

        The function returns a context manager for a path, which gives something to write to. If
        writing fails, the file at the path stays as it was.
        """

    @abstractmethod
    def write_all(self, paths: Sequence[PurePath], data: bytes) -> None:
        """Write the same data to each path, as links to one file where there are links."""

    @abstractmethod
    def polars_source(self, path: PurePath) -> str | None:
        """Return the file as Polars reads it without fetching it whole; None if it cannot."""

    @property
    def polars_options(self) -> dict[str, str] | None:
        """The storage options with which Polars reads `polars_source`."""
        return None


def write(target: Path | BytesIO, data: bytes) -> None:
    """Write all of a file to what `Files.batch` gives for it."""
    if isinstance(target, Path):
        target.write_bytes(data)
    else:
        target.write(data)
