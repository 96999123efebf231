"""Objects in a store, through `obstore`."""

from __future__ import annotations

from contextlib import contextmanager
from io import BytesIO
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from uuid import uuid4

from rivers.exceptions import ConfigurationError, ExecutionError
from rivers.io.files import Files
from rivers.io.store_options import StoreOptions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from obstore.store import ObjectStore

    from rivers.io.files import Replacing


_CLOCK_TICK_SECONDS = 1.0
"""By how much the times of two objects may be wrong: S3 gives them in seconds."""

_SCHEMES_OF_POLARS = ("s3", "gs", "az", "abfs", "abfss")


class Objects(Files):
    """Objects in a store; an object is replaced in one step, and durable, by nature."""

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        prefix: PurePath,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        from obstore.store import LocalStore, MemoryStore  # noqa: PLC0415  (an extra)

        self.base = PurePosixPath(prefix)
        self._store = store
        self._name = name
        self._options = storage_options
        if isinstance(store, MemoryStore):
            self.reach = "process"
        else:
            self.reach = "machine" if isinstance(store, LocalStore) else "anywhere"

    def __str__(self) -> str:
        return self._name

    def open(self, path: PurePath) -> BinaryIO:
        """Fetch an object; see `Files.open`."""
        import obstore  # noqa: PLC0415  (an extra)

        with no_panic(self._name):
            return BytesIO(obstore.get(self._store, path.as_posix()).bytes())

    def exists(self, path: PurePath) -> bool:
        """Whether there is an object; see `Files.exists`."""
        import obstore  # noqa: PLC0415  (an extra)

        try:
            with no_panic(self._name):
                obstore.head(self._store, path.as_posix())
        except FileNotFoundError:
            return False
        return True

    def size(self, path: PurePath) -> int:
        """Return the number of bytes of an object.

        Raises:
            FileNotFoundError: If there is none.
        """
        import obstore  # noqa: PLC0415  (an extra)

        with no_panic(self._name):
            return obstore.head(self._store, path.as_posix())["size"]

    def read_range(self, path: PurePath, start: int, end: int) -> bytes:
        """Fetch the bytes of an object from one position up to another."""
        import obstore  # noqa: PLC0415  (an extra)

        with no_panic(self._name):
            found = obstore.get_range(self._store, path.as_posix(), start=start, end=end)
        return found.to_bytes()

    def remove(self, path: PurePath) -> None:
        """Remove an object; see `Files.remove`."""
        import obstore  # noqa: PLC0415  (an extra)

        try:
            with no_panic(self._name):
                obstore.delete(self._store, path.as_posix())
        except FileNotFoundError:
            return

    def remove_older(self, paths: Sequence[PurePath], age: float) -> None:
        """Remove objects that were put before that; see `Files.remove_older`."""
        found = {path: put for path in paths if (put := self._put_at(path)) is not None}
        if not found:
            return
        probe = next(iter(found)).with_name(f".{uuid4().hex}.tmp")
        self.write_all([probe], b"")
        now = self._put_at(probe)
        self.remove(probe)
        for path, put in found.items():
            if now is not None and (now - put).total_seconds() > age + _CLOCK_TICK_SECONDS:
                self.remove(path)

    def _put_at(self, path: PurePath) -> dt.datetime | None:
        import obstore  # noqa: PLC0415  (an extra)

        try:
            with no_panic(self._name):
                return obstore.head(self._store, path.as_posix())["last_modified"]
        except FileNotFoundError:
            return None

    def identity(self, path: PurePath, file: BinaryIO) -> Hashable:  # noqa: ARG002  (see `Folder`)
        """Return the object's path, as there are no links; see `Files.identity`."""
        return path

    @contextmanager
    def batch(self) -> Iterator[Replacing]:
        """Give buffers to write to, each put when it is complete; see `Files.batch`."""

        @contextmanager
        def replacing(path: PurePath) -> Iterator[BytesIO]:
            buffer = BytesIO()
            yield buffer
            self.write_all([path], buffer.getvalue())

        yield replacing

    def write_all(self, paths: Sequence[PurePath], data: bytes) -> None:
        """Put an object for each path; see `Files.write_all`."""
        import obstore  # noqa: PLC0415  (an extra)

        for path in paths:
            with no_panic(self._name):
                obstore.put(self._store, path.as_posix(), data)

    @property
    def has_urls(self) -> bool:
        """Whether Polars has access to the store: then objects have URLs."""
        return self._name.partition("://")[0] in _SCHEMES_OF_POLARS

    def polars_source(self, path: PurePath) -> str | None:
        """Return the object's URL; Polars has no access to other stores. See `Files.polars_source`."""
        if not self.has_urls:
            return None
        return f"{self._name.rstrip('/')}/{path.as_posix()}"

    @property
    def polars_options(self) -> dict[str, str] | None:
        """The storage options, under the names that Polars knows."""
        return StoreOptions(self._name, self._options).for_delta()


def open_store(url: str, storage_options: Mapping[str, Any] | None) -> ObjectStore:
    """Open the store of a URL.

    Raises:
        ConfigurationError: If `obstore` is not installed, or an option is wrong.
    """
    options = StoreOptions(url, storage_options)
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415  (an extra)
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError as error:
        msg = f"to keep values at {url!r}, install obstore: pip install 'rivers[obstore]'"
        raise ConfigurationError(msg) from error
    client = cast("Any", options.client)
    try:
        with no_panic(url):
            return from_url(url, config=cast("Any", options.store), client_options=client or None)
    except (BaseError, ValueError, TypeError, ExecutionError) as error:
        reason = str(error).partition("\n")[0]  # The rest helps only to debug obstore.
        msg = f"the object store {url!r} cannot be opened: {reason}"
        raise ConfigurationError(msg) from error


@contextmanager
def no_panic(place: str) -> Iterator[None]:
    """Turn a panic of a library in Rust into an exception that `except Exception` catches.

    Raises:
        ExecutionError: In place of the panic.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        msg = f"the library that accesses {place!r} failed: {error}"
        raise ExecutionError(msg) from error
