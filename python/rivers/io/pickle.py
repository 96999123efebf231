"""Any Python value, in a file per partition."""

from __future__ import annotations

import itertools
import pickle
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from rivers.io.base import BaseIOHandler, InputContext, OutputContext
from rivers.io.files import write
from rivers.io.folder import Folder
from rivers.io.metadata_value import MetadataValue
from rivers.io.places import files_at, prefix_path
from rivers.io.values import group, nothing_stored, ungroup, wanted_keys

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import PurePath

    from obstore.store import ObjectStore

    from rivers._rivers import PartitionKey, Selection
    from rivers.io.files import Replacing

_SUFFIX = ".pickle"
_MAX_LOOKED_FOR = 10_000
"""Maximum number of partitions whose files are looked for whenever a table is shown: some 50 ms."""


class PickleIOHandler(BaseIOHandler):
    """Keeps any value that can be pickled, in a file or an object per partition.

    Unpickling a file can run any code that its writer chose. Only files in the handler's own place are
    read: let only those write there whom you trust.

    A file is replaced in one step, so that a reader sees the old value or the new one. One value for
    several partitions stands for all of them (their files are then hard links to one, where the file
    system has them); a dict that has the run's partitions as its keys is kept partition by partition.

    The metadata of a materialization has `path`, `serializer`, `size_bytes` and `write_duration_s`, the
    seconds that it took to store all values of the run.

    Args:
        base_dir: The folder to keep the files in; made when the first value is stored. Or an object
            store (needs `pip install 'rivers[obstore]'`): the URL of one, with the prefix of all
            names (`s3://bucket/prefix`, `gs://`, `az://`, `memory://`), or an `obstore` store.
            One in memory belongs to this process alone.
        store: An `obstore` store, in place of `base_dir`.
        prefix: A folder inside that place, which holds all files: handlers with different prefixes do
            not see each other's values.
        storage_options: The configuration of the URL's store, such as `{"region": "eu-west-1"}`;
            what it lacks comes from the environment, as `obstore` describes.
        sync: Whether a value is on disk, and not only in the operating system's memory, when its
            partition is recorded as materialized. `False` is faster with many small values, which a
            loss of power may then lose. Object stores need no sync.
        shared: Whether all machines mount the folder at the same path, so that workers on other
            machines (`Executor.ray`) can use it. Object stores are shared anyway.

    Raises:
        ConfigurationError: If `obstore` is missing, the store cannot be opened with these options, or
            `prefix` is absolute or has `..`.
        TypeError: If neither or both of `base_dir` and `store` are given, or one has the wrong type.

    Example:
        >>> import tempfile
        >>> from rivers.io import InputContext, OutputContext, PickleIOHandler
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     handler = PickleIOHandler(folder, prefix="v1")
        ...     handler.handle_output(OutputContext("report"), {"rows": 3})
        ...     handler.load_input(InputContext("report", "mail"))
        {'rows': 3}
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str] | ObjectStore | None = None,
        *,
        store: ObjectStore | None = None,
        prefix: str = "",
        storage_options: Mapping[str, Any] | None = None,
        sync: bool = True,
        shared: bool = False,
    ) -> None:
        self._files = files_at(base_dir, storage_options, store=store, prefix=prefix, sync=sync)
        self._prefix = prefix_path(prefix).as_posix() if prefix else ""
        self.reach = "anywhere" if shared else self._files.reach

    def __repr__(self) -> str:
        prefix = f", prefix={self._prefix!r}" if self._prefix else ""
        return f"PickleIOHandler({str(self._files)!r}{prefix})"

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Store a value; see `BaseIOHandler.handle_output`.

        Raises:
            PartitionValidationError: If a dict's keys are not exactly the run's partitions.
        """
        self._store([(context, value)])

    def handle_outputs(self, items: Sequence[tuple[OutputContext, object]]) -> None:
        """Store values, which wait for the disk together; see `BaseIOHandler.handle_outputs`.

        Raises:
            PartitionValidationError: If a dict's keys are not exactly the run's partitions.
        """
        self._store(items)

    def _store(self, items: Sequence[tuple[OutputContext, object]]) -> None:
        start = time.perf_counter()
        with self._files.batch() as replacing:
            stored = [self._write(context, value, replacing) for context, value in items]
        seconds = round((time.perf_counter() - start) / max(len(items), 1), 6)
        for (context, _), files in zip(items, stored, strict=True):
            context.add_output_metadata({"serializer": "pickle", "write_duration_s": seconds})
            for key, path, size in files:
                own = {"path": MetadataValue.path(str(path)), "size_bytes": size}
                context.add_output_metadata(own, key if len(files) > 1 else None)

    def _write(
        self, context: OutputContext, value: object, replacing: Replacing
    ) -> list[tuple[PartitionKey | None, PurePath, int]]:
        """Write the files of a value; returns them with their partitions and sizes."""
        stored: list[tuple[PartitionKey | None, PurePath, int]] = []
        for partitions, item in group(context, value):
            data = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
            paths = [self._files.path(context.asset_name, key, _SUFFIX) for key in partitions]
            of_data = itertools.repeat(len(data))
            stored.extend(zip(partitions, paths, of_data, strict=False))
            if len(paths) > 1:
                self._files.write_all(paths, data)
                continue
            with replacing(paths[0]) as target:
                write(target, data)
        return stored

    def _note_no_value(self, context: OutputContext, age: float) -> None:
        """Remove what earlier runs stored; see `BaseIOHandler._note_no_value`."""
        keys: Sequence[PartitionKey | None] = context.partitions or [None]
        paths = [
            path
            for key in keys
            for place in (self._files.path, self._files.former_path)
            if (path := place(context.asset_name, key, _SUFFIX)) is not None
        ]
        self._files.remove_older(paths, age)

    def _without_file(self, asset: str, partitions: Selection) -> Selection:
        """Those whose files were deleted, of not too many in a folder; see `BaseIOHandler._without_file`."""
        none = partitions.difference(partitions)
        own, ours = type(self), PickleIOHandler
        is_plain = own.handle_output is ours.handle_output and own.load_input is ours.load_input
        is_cheap = isinstance(self._files, Folder) and partitions.num_partitions <= _MAX_LOOKED_FOR
        if not is_plain or not is_cheap:
            return none
        if not partitions.space.dimensions():
            return none if self._has_file(asset, None) else partitions
        gone = [key for key in partitions.keys() if not self._has_file(asset, key)]  # noqa: SIM118
        return partitions.space.select_keys(gone) if gone else none

    def _has_file(self, asset: str, partition: PartitionKey | None) -> bool:
        """Whether there is a file; also if that cannot be known: this user may not see the folder."""
        try:
            if self._files.exists(self._files.path(asset, partition, _SUFFIX)):
                return True
            former = self._files.former_path(asset, partition, _SUFFIX)
            return former is not None and self._files.exists(former)
        except OSError:
            return True

    def load_input(self, context: InputContext) -> object:
        """Return the value of one partition, or a dict of several; see `BaseIOHandler.load_input`.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """
        wanted = wanted_keys(context)
        stored: list[object] = []
        missing: list[PartitionKey | None] = []
        seen: dict[Hashable, object] = {}  # Linked files hold one value: read it once.
        for partition in wanted:
            found = self._open(context.asset_name, partition)
            if found is None:
                missing.append(partition)
                continue
            path, file = found
            with file:
                identity = self._files.identity(path, file)
                if identity not in seen:
                    seen[identity] = pickle.load(file)
            stored.append(seen[identity])
        if missing:
            raise nothing_stored(context, missing, f"in {self._files}")
        return ungroup(context, stored)

    def _open(self, asset: str, partition: PartitionKey | None) -> tuple[PurePath, BinaryIO] | None:
        """Open the file of a partition, where this or an earlier version wrote it."""
        for place in (self._files.path, self._files.former_path):
            path = place(asset, partition, _SUFFIX)
            with suppress(FileNotFoundError):
                if path is not None:
                    return path, self._files.open(path)
        return None
