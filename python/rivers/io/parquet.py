"""Frames, in a Parquet file per partition."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl

from rivers.io.files import write
from rivers.io.folder import Folder
from rivers.io.frame_types import as_wanted, wants_lazy
from rivers.io.frames import FrameIOHandler
from rivers.io.known_schemas import have_one_schema, note_schemas
from rivers.io.lazy_objects import scan_object
from rivers.io.objects import Objects
from rivers.io.paths import partition_names
from rivers.io.places import files_at, prefix_path
from rivers.io.schemas import conform, merged
from rivers.io.values import by_partition, label_of, nothing_stored, wanted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import PurePath

    from obstore.store import ObjectStore

    from rivers._rivers import PartitionKey
    from rivers.io.base import InputContext, OutputContext
    from rivers.io.frame_types import SchemaRule

_SUFFIX = ".parquet"

_MIN_LISTED = 100
"""Number of files from which a folder is listed, and not each of them looked for."""

_MAX_LISTED_SHARE = 4
"""How many times as many files as are looked for a folder is listed for at most."""


class ParquetIOHandler(FrameIOHandler):
    """Keeps frames, in a Parquet file per partition.

    The files are `<asset>.parquet` without partitions, `<asset>/<key>.parquet` with one dimension
    and `<asset>/<dimension>=<value>/.../data.parquet` with several. A file is replaced in one
    step. What was written is what is read: no column is made from a path. A partition whose value is
    `None` has an empty, hidden file in place of the Parquet file.

    An asset returns a frame of Polars (a `LazyFrame` is collected), pandas or Arrow, or a dict with a
    frame for each partition. One frame from a run of several partitions is split by the columns that
    hold their keys: dates and datetimes by the windows of the partitions, everything else as text. A
    partition without rows gets a frame without rows.

    Several partitions are loaded as one frame, in the order in which they are needed, with the columns
    of all of them. The annotation of the parameter decides what it gets: a `pl.DataFrame` by default,
    a `pl.LazyFrame` (then nothing is read yet), a `pandas.DataFrame` or a `pyarrow.Table`.

    Args:
        base_dir: The folder to keep the files in, or an object store, as for `PickleIOHandler`; a
            folder is made when the first frame is stored.
        partition_by: Which column holds the keys: a name for partitions of one dimension, a dict
            from dimensions to columns for several. A dimension that is not in it has a column of
            its own name.
        store: An `obstore` store, in place of `base_dir`.
        prefix: A folder inside that place, which holds all files.
        storage_options: The configuration of the store of a URL.
        schema: What happens if the frames of an asset's partitions differ in their columns. `"merge"`
            gives one frame with all columns, null where a partition lacks one, in the wider type;
            `"strict"` refuses them. Text beside numbers is always refused.
        sync: Whether a file is on disk when its partition is recorded; see `PickleIOHandler`.
        shared: Whether all machines mount the folder at the same path; see `PickleIOHandler`.

    Raises:
        TypeError: If `partition_by` is neither a name nor a dict of names.
        ConfigurationError: If two dimensions are given the same column, `schema` is unknown, `obstore`
            is missing, or the store cannot be opened with these options.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> from rivers.io import InputContext, OutputContext, ParquetIOHandler
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     handler = ParquetIOHandler(folder, partition_by="day")
        ...     handler.handle_output(OutputContext("sales"), pl.DataFrame({"x": [1, 2]}))
        ...     handler.load_input(InputContext("sales", "report")).height
        2
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str] | ObjectStore | None = None,
        partition_by: str | Mapping[str, str] | None = None,
        *,
        store: ObjectStore | None = None,
        prefix: str = "",
        storage_options: Mapping[str, Any] | None = None,
        schema: SchemaRule = "merge",
        sync: bool = True,
        shared: bool = False,
    ) -> None:
        super().__init__(partition_by, schema)
        self._files = files_at(base_dir, storage_options, store=store, prefix=prefix, sync=sync)
        self._prefix = prefix_path(prefix).as_posix() if prefix else ""
        self.reach = "anywhere" if shared else self._files.reach

    def __repr__(self) -> str:
        prefix = f", prefix={self._prefix!r}" if self._prefix else ""
        return f"ParquetIOHandler({str(self._files)!r}, partition_by={self.partition_by!r}{prefix})"

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Store a frame, or a frame per partition; see `BaseIOHandler.handle_output`.

        Raises:
            TypeError: If the value is neither a frame nor a dict of frames.
            PartitionValidationError: If a dict's keys are not exactly the run's partitions, a frame
                lacks a column to split it by, or it has rows of no partition of the run.
            ExecutionError: If the frames of a dict cannot be one frame.
            ConfigurationError: If `partition_by` does not fit the run's partitions.
        """
        frames = self._by_partition(context, value)
        named = [
            (label_of(key), frame.schema) for key, frame in frames.items() if frame is not None
        ]
        merged(context.asset_name, named, self.schema)
        if isinstance(self._files, Folder) and context.run_partitions:
            note_schemas(self._files, context.asset_name, [schema for _, schema in named])
        with self._files.batch() as replacing:
            for partition, frame in frames.items():
                path = self._path(context.asset_name, partition)
                if frame is None:
                    with replacing(_none_of(path)) as target:
                        write(target, b"")
                else:
                    with replacing(path) as target:
                        frame.write_parquet(target)
        for partition, frame in frames.items():
            if frame is None:  # Its file hides the marker, so it is removed when that is in place.
                self._files.remove(self._path(context.asset_name, partition))

    def _note_no_value(self, context: OutputContext, age: float) -> None:
        """Remove what earlier runs stored; see `BaseIOHandler._note_no_value`."""
        keys: Sequence[PartitionKey | None] = context.partitions or [None]
        paths = []
        for key in keys:
            path = self._path(context.asset_name, key)
            former = self._files.former_path(context.asset_name, key, _SUFFIX)
            paths += [path, _none_of(path)] if former is None else [path, _none_of(path), former]
        self._files.remove_older(paths, age)

    def load_input(self, context: InputContext) -> object:
        """Return the rows of the partitions, in their order, as what the parameter takes.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions, or their frames cannot be
                one frame.
        """
        asset = context.asset_name
        known = self._alike(context)
        if known is not None:
            scan = pl.scan_parquet(known, hive_partitioning=False, glob=False)
            if wants_lazy(context.type_hint):
                return scan
            # A file may have been written by another program: then its schema is looked at below.
            with suppress(pl.exceptions.PolarsError):
                return as_wanted(scan.collect().lazy(), context.type_hint)
        found: list[tuple[PartitionKey | None, PurePath]] = []
        missing: list[PartitionKey | None] = []
        wanted = wanted_keys(context)
        for partition in wanted:
            path = self._path(asset, partition)
            if self._files.exists(path):
                found.append((partition, path))
            elif not self._files.exists(_none_of(path)):
                former = self._files.former_path(asset, partition, _SUFFIX)
                if former is not None and self._files.exists(former):
                    found.append((partition, former))
                else:
                    missing.append(partition)
        if missing:
            raise nothing_stored(context, missing, f"in {self._files}")
        if not found:
            return None if len(wanted) == 1 else as_wanted(pl.LazyFrame(), context.type_hint)
        scan = self._scan(asset, found, lazy=wants_lazy(context.type_hint))
        return as_wanted(scan, context.type_hint)

    def _alike(self, context: InputContext) -> list[str] | None:
        """Return the files of the partitions, if all are there and are known to have one schema.

        There can be thousands, so that paths are texts here.
        """
        asset, files = context.asset_name, self._files
        if not isinstance(files, Folder) or not context.partitions:
            return None
        if not have_one_schema(files, asset):
            return None
        folder, names = partition_names(asset, context.partitions, _SUFFIX)
        folder = f"{files.base}/{folder}"
        return [f"{folder}/{name}" for name in names] if _are_there(folder, names) else None

    def _by_partition(
        self, context: OutputContext, value: object
    ) -> dict[PartitionKey | None, pl.DataFrame | None]:
        """Return the frame of each partition; None stands for an asset without partitions."""
        run = context.run_partitions
        values = by_partition(context, value, dict_is_value=False)
        if values is not None:
            return {
                key: None if item is None else self._frame(context, item)
                for key, item in values.items()
            }
        if value is None:
            return dict.fromkeys(context.partitions) if run else {None: None}
        frame = self._frame(context, value)
        if len(run) > 1:
            keys = self._key_columns(context.asset_name, run, varying=True)
            return dict(self._split(context, frame, keys))  # type: ignore[arg-type]  # A wider dict.
        if context.failed:
            return {}
        return {run[0] if run else None: frame}

    def _scan(
        self, asset: str, found: Sequence[tuple[PartitionKey | None, PurePath]], *, lazy: bool
    ) -> pl.LazyFrame:
        """Return the rows of files as one lazy frame; objects are fetched, unless it is to be `lazy`."""
        if lazy and isinstance(self._files, Objects) and not self._files.has_urls:
            return self._scan_objects(asset, self._files, found)
        sources = [self._source(path, lazy=lazy) for _, path in found]
        options = self._files.polars_options if lazy else None
        schemas = [_schema(source, options) for source in sources]
        labels = (label_of(partition) for partition, _ in found)
        target = merged(asset, zip(labels, schemas, strict=True), self.schema)
        # Files in a row that have one schema are read in one operation.
        scans: list[pl.LazyFrame] = []
        pairs = zip(schemas, sources, strict=True)
        for own, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
            scan = pl.scan_parquet(
                [at for _, at in group],
                hive_partitioning=False,
                glob=False,
                storage_options=options,
            )
            scans.append(conform(scan, own, target))
        return scans[0] if len(scans) == 1 else pl.concat(scans)

    def _scan_objects(
        self, asset: str, objects: Objects, found: Sequence[tuple[PartitionKey | None, PurePath]]
    ) -> pl.LazyFrame:
        """Return the rows of objects to which Polars has no access as one lazy frame."""
        scanned = [(label_of(key), *scan_object(objects, path)) for key, path in found]
        target = merged(asset, [(label, own) for label, _, own in scanned], self.schema)
        return pl.concat([conform(rows, own, target) for _, rows, own in scanned])

    def _source(self, path: PurePath, *, lazy: bool) -> Any:
        """Return a file as Polars reads it: by its path or URL, or as the bytes of an object."""
        place = self._files.polars_source(path) if lazy or isinstance(self._files, Folder) else None
        return self._files.open(path) if place is None else place

    def _path(self, asset: str, partition: PartitionKey | None) -> PurePath:
        return self._files.path(asset, partition, _SUFFIX)


def _none_of(path: PurePath) -> PurePath:
    """Return the file that stands for `None`; other programs that read the folder ignore hidden files."""
    return path.with_name(f".{path.name}.none")


def _are_there(folder: str, names: Sequence[str]) -> bool:
    """Whether a folder has all of some files; of thousands, it is listed, if it has few others."""
    found: set[str] = set()
    if len(names) >= _MIN_LISTED:
        with suppress(OSError), os.scandir(folder) as entries:
            limit = _MAX_LISTED_SHARE * len(names)
            found = {entry.name for entry in itertools.islice(entries, limit)}
    return all(name in found or os.path.exists(f"{folder}/{name}") for name in names)  # noqa: PTH110


def _schema(source: Any, options: dict[str, str] | None) -> pl.Schema:
    if isinstance(source, str) and not any(letter in source for letter in ":*?["):
        return pl.Schema(pl.read_parquet_schema(source))
    scan = pl.scan_parquet(source, glob=False, hive_partitioning=False, storage_options=options)
    return scan.collect_schema()
