"""Files in a folder: replaced in one step, durable, and tidy after a crash."""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, Self
from uuid import uuid4

from rivers.io.files import Files
from rivers.io.paths import base_folder

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from rivers.io.files import Replacing

_TEMPORARY = re.compile(r"\.(?:(?P<pid>\d+)-(?P<machine>[0-9a-f]{8})-)?[0-9a-f]{32}\.tmp")
"""Names of temporary files; earlier versions wrote them without process and machine."""

_MIN_AGE_SECONDS = 3600
"""Age from which a temporary file is removed whose process cannot be looked for."""

_MAX_PENDING = 256
"""Maximum number of files that are written before they are synced and take their places."""

_MAX_SYNC_THREADS = 16
"""Maximum number of threads that wait for the disk; they use no processor."""

_MAX_TIDIED = 10_000
"""Maximum number of folders that are remembered as tidied."""

_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
"""Errors that say that there is no file; others, such as of permissions, do not."""

_CLOCK_TICK_SECONDS = 0.011
"""By how much the times of two files may be wrong: a file system takes them from a clock that ticks."""


class Folder(Files):
    """Files in a folder, which is made with the first of them.

    A file is written under a temporary name, synced, and then takes its place. The first write into
    each folder removes the temporary files of processes that have died.
    """

    base: Path

    def __init__(
        self, base_dir: str | os.PathLike[str], prefix: PurePath, *, sync: bool = True
    ) -> None:
        self.base = base_folder(base_dir) / prefix
        self._sync = sync
        self._tidied: set[Path] = set()

    def __str__(self) -> str:
        return str(self.base)

    def open(self, path: PurePath) -> BinaryIO:
        """Open a file to read it; see `Files.open`."""
        return Path(path).open("rb")

    def exists(self, path: PurePath) -> bool:
        """Whether there is a file; see `Files.exists`."""
        try:
            os.stat(path)  # noqa: PTH116  (called for thousands of files)
        except OSError as error:
            if error.errno in _NO_FILE:
                return False
            raise
        return True

    def remove(self, path: PurePath) -> None:
        """Remove a file, durably; see `Files.remove`."""
        try:
            Path(path).unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        if self._sync:
            sync_folders([Path(path).parent])

    def remove_older(self, paths: Sequence[PurePath], age: float) -> None:
        """Remove files that took their places before that; see `Files.remove_older`."""
        found: dict[Path, float] = {}
        for path in map(Path, paths):
            with suppress(FileNotFoundError, NotADirectoryError):
                status = path.stat()
                # A file that was moved here keeps the time of its last write. One with several links is
                # ours, and changes with each link that is removed.
                changed = status.st_ctime if status.st_nlink == 1 else status.st_mtime
                found[path] = max(status.st_mtime, changed)
        if not found:
            return
        probe = next(iter(found)).with_name(_temporary_name())
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        for path, put in found.items():
            if now - put > age + _CLOCK_TICK_SECONDS:
                self.remove(path)

    def identity(self, path: PurePath, file: BinaryIO) -> Hashable:  # noqa: ARG002  (see `Objects`)
        """Return the file's device and number; see `Files.identity`."""
        status = os.fstat(file.fileno())
        return status.st_dev, status.st_ino

    @contextmanager
    def batch(self) -> Iterator[Replacing]:
        """Replace files whose syncs share one write of the disk; see `Files.batch`."""
        with _Batch(self) as batch:

            @contextmanager
            def replacing(path: PurePath) -> Iterator[Path]:
                yield batch.add(Path(path))
                batch.place_some()

            yield replacing

    def write_all(self, paths: Sequence[PurePath], data: bytes) -> None:
        """Write the first file, and link the others to it; see `Files.write_all`."""
        first, *rest = map(Path, paths)
        with _Batch(self) as batch:
            # Until it takes its place, the first file is ours alone: no other writer can put another
            # value where the links point to.
            original = batch.add(first)
            original.write_bytes(data)
            with _Batch(self) as links:
                for path in rest:
                    link = links.add(path)
                    if not _link(original, link):
                        link.write_bytes(data)
                    links.place_some()

    def polars_source(self, path: PurePath) -> str | None:
        """Return the path, if it is there; see `Files.polars_source`."""
        return str(path) if Path(path).exists() else None

    def prepare(self, folder: Path) -> list[Path]:
        """Make a folder, and tidy it before its first file; returns the folders that it changed."""
        changed: list[Path] = []
        if folder not in self._tidied:
            above = folder
            while not above.exists():  # A new folder is durable when the one above it is.
                above = above.parent
                changed.append(above)
        folder.mkdir(parents=True, exist_ok=True)
        if folder not in self._tidied:
            tidy(folder)
            if len(self._tidied) >= _MAX_TIDIED:
                self._tidied.clear()
            self._tidied.add(folder)
        return changed

    @property
    def sync(self) -> bool:
        """Whether files are durable when they take their places."""
        return self._sync


class _Batch:
    """Files that are written one after another, then synced and put in their places together."""

    def __init__(self, files: Folder) -> None:
        self._files = files
        self._pending: list[tuple[Path, Path]] = []
        self._folders: dict[Path, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.place()
        finally:
            for temporary, _path in self._pending:
                temporary.unlink(missing_ok=True)

    def add(self, path: Path) -> Path:
        """Return a temporary path to write to, which then takes the place of `path`."""
        self._folders.update(dict.fromkeys(self._files.prepare(path.parent)))
        temporary = path.with_name(_temporary_name())
        self._pending.append((temporary, path))
        return temporary

    def place_some(self) -> None:
        """Put what is written in its places if it is much."""
        if len(self._pending) >= _MAX_PENDING:
            self.place()

    def place(self) -> None:
        """Sync what is written, and put it in its places."""
        if self._files.sync:
            sync_files([temporary for temporary, _ in self._pending])
        while self._pending:
            temporary, path = self._pending[-1]
            temporary.replace(path)
            self._folders[path.parent] = None
            self._pending.pop()
        if self._files.sync:
            sync_folders(self._folders)
        self._folders.clear()


def _temporary_name() -> str:
    return f".{os.getpid()}-{_MACHINE}-{uuid4().hex}.tmp"


def tidy(folder: Path) -> None:
    """Remove the temporary files that processes left in a folder when they died."""
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match and _is_abandoned(entry, match):
                Path(entry).unlink(missing_ok=True)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names of new and replaced files durable."""
    for folder in folders:
        try:
            _sync(folder)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # Some file systems need no sync.
                raise


def _is_abandoned(entry: os.DirEntry[str], match: re.Match[str]) -> bool:
    if match["machine"] != _MACHINE:
        with suppress(FileNotFoundError):
            return time.time() - entry.stat().st_mtime > _MIN_AGE_SECONDS
        return False
    try:
        os.kill(int(match["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def sync_files(paths: Sequence[Path]) -> None:
    """Sync files that are all written, many at once: the disk then needs few flushes for all."""
    if len(paths) == 1:
        _sync(paths[0])
        return
    with ThreadPoolExecutor(_MAX_SYNC_THREADS) as threads:
        for _ in threads.map(_sync, paths):
            pass


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(source: Path, target: Path) -> bool:
    """Make `target` a hard link to `source`; False if there can be none (or no more) here."""
    try:
        target.hardlink_to(source)
    except (OSError, NotImplementedError):
        return False
    return True


def _machine() -> str:
    """Return what the processes of a machine, or of a container, have in common."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        processes = ""
    return sha256(f"{socket.gethostname()} {processes}".encode()).hexdigest()[:8]


_MACHINE = _machine()
