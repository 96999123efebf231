"""Where files are kept: in a folder, or as objects in a store.

A handler asks `files_at` for one of the two and never looks which it got. What `paths` says of names
holds for both.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast, get_args
from urllib.parse import urlsplit
from urllib.request import url2pathname

from rivers.exceptions import ConfigurationError
from rivers.io.paths import base_folder, partition_path, replacing

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from obstore.store import ObjectStore

    from rivers._rivers import PartitionKey
    from rivers.io.base import Reach


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

    @abstractmethod
    def open(self, path: PurePath) -> BinaryIO:
        """Open a file to read it.

        Raises:
            FileNotFoundError: If there is none.
        """

    @abstractmethod
    def identity(self, path: PurePath, file: BinaryIO) -> Hashable:
        """Return what an open file has in common with those that are links to the same data."""

    @abstractmethod
    @contextmanager
    def replacing(self, path: PurePath) -> Iterator[Path | BytesIO]:
        """Give something to write to, which then takes the place of `path` in one step.

        If writing fails, `path` stays as it was.
        """

    @abstractmethod
    def write_all(self, paths: Sequence[PurePath], data: bytes) -> None:
        """Write the same data to each path, as links to one file where there are links."""


class Folder(Files):
    """Files in a folder, which is made with the first of them."""

    def __init__(self, base_dir: str | os.PathLike[str]) -> None:
        self.base = base_folder(base_dir)

    def __str__(self) -> str:
        return str(self.base)

    def open(self, path: PurePath) -> BinaryIO:
        """Open a file to read it; see `Files.open`."""
        return Path(path).open("rb")

    def identity(self, path: PurePath, file: BinaryIO) -> Hashable:  # noqa: ARG002  (see `Objects`)
        """Return the file's device and number; see `Files.identity`."""
        status = os.fstat(file.fileno())
        return status.st_dev, status.st_ino

    @contextmanager
    def replacing(self, path: PurePath) -> Iterator[Path | BytesIO]:
        """Give a temporary path to write to; see `Files.replacing`."""
        with replacing(Path(path)) as temporary:
            yield temporary

    def write_all(self, paths: Sequence[PurePath], data: bytes) -> None:
        """Write the first file, and link the others to it; see `Files.write_all`."""
        first, *rest = map(Path, paths)
        # Until it takes its place, the first file is ours alone: nobody can put another value
        # where the links point to.
        with replacing(first) as original:
            original.write_bytes(data)
            for path in rest:
                with replacing(path) as temporary:
                    if not _link(original, temporary):
                        temporary.write_bytes(data)


class Objects(Files):
    """Objects in a store, through `obstore`; an object is replaced in one step by nature."""

    base = PurePosixPath()

    def __init__(self, store: ObjectStore, name: str) -> None:
        from obstore.store import LocalStore, MemoryStore  # noqa: PLC0415  (an extra)

        self._store = store
        self._name = name
        if isinstance(store, MemoryStore):
            self.reach = "process"
        else:
            self.reach = "machine" if isinstance(store, LocalStore) else "anywhere"

    def __str__(self) -> str:
        return self._name

    def open(self, path: PurePath) -> BinaryIO:
        """Fetch an object; see `Files.open`."""
        import obstore  # noqa: PLC0415  (an extra)

        return BytesIO(obstore.get(self._store, path.as_posix()).bytes())

    def identity(self, path: PurePath, file: BinaryIO) -> Hashable:  # noqa: ARG002  (see `Folder`)
        """Return the object's path, as there are no links; see `Files.identity`."""
        return path

    @contextmanager
    def replacing(self, path: PurePath) -> Iterator[Path | BytesIO]:
        """Give a buffer to write to, which is put when it is whole; see `Files.replacing`."""
        buffer = BytesIO()
        yield buffer
        self.write_all([path], buffer.getvalue())

    def write_all(self, paths: Sequence[PurePath], data: bytes) -> None:
        """Put an object for each path; see `Files.write_all`."""
        import obstore  # noqa: PLC0415  (an extra)

        for path in paths:
            obstore.put(self._store, path.as_posix(), data)


def files_at(
    base: str | os.PathLike[str] | ObjectStore, storage_options: Mapping[str, Any] | None
) -> Files:
    """Return the files at a place.

    Args:
        base: A folder, a URL (`s3://`, `gs://`, `az://`, `memory://`, `file://`), or an `obstore` store.
        storage_options: The configuration of the URL's store.

    Raises:
        ConfigurationError: If `obstore` is not installed, or the store cannot be opened as told.
        TypeError: If `base` is none of these.
    """
    url = base if isinstance(base, str) and "://" in base else None
    if url is not None and urlsplit(url).scheme != "file":
        return Objects(_store_of(url, storage_options), url)
    if storage_options is not None:
        msg = f"storage_options are for the URL of an object store, such as 's3://...', not for {base!r}"
        raise ConfigurationError(msg)
    if url is not None:
        return Folder(url2pathname(urlsplit(url).path))
    if isinstance(base, str | os.PathLike):
        return Folder(base)
    if type(base).__module__.partition(".")[0] == "obstore":
        from obstore.store import ObjectStore  # noqa: PLC0415  (an extra)

        if isinstance(base, get_args(ObjectStore)):
            return Objects(base, repr(base))
    msg = f"values are kept in a folder, at a URL or in an obstore store, not in {base!r}"
    raise TypeError(msg)


def _store_of(url: str, storage_options: Mapping[str, Any] | None) -> ObjectStore:
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415  (an extra)
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError as error:
        msg = f"to keep values at {url!r}, install obstore: pip install 'rivers[obstore]'"
        raise ConfigurationError(msg) from error
    try:
        return from_url(url, config=cast("Any", dict(storage_options or {})))
    except (BaseError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]  # What follows is for who debugs obstore.
        msg = f"the object store {url!r} cannot be opened: {reason}"
        raise ConfigurationError(msg) from error


def _link(source: Path, target: Path) -> bool:
    """Make `target` a hard link to `source`; False if there can be none (or no more) here."""
    try:
        target.hardlink_to(source)
    except (OSError, NotImplementedError):
        return False
    return True
