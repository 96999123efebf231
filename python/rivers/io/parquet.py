"""Polars frames, in a Parquet file per partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from rivers.io.base import (
    InputContext,
    OutputContext,
    by_partition,
    nothing_stored,
    wanted_keys,
)
from rivers.io.files import files_at
from rivers.io.frames import FrameIOHandler

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import PurePath

    from obstore.store import ObjectStore

    from rivers._rivers import PartitionKey

_SUFFIX = ".parquet"


class ParquetIOHandler(FrameIOHandler):
    """Keeps Polars frames, in a Parquet file per partition.

    The files are `<asset>.parquet` without partitions, `<asset>/<key>.parquet` with one dimension
    and `<asset>/<dimension>=<value>/.../data.parquet` with several. A file is replaced in one
    step. What was written is what is read: no column is made from a path.

    An asset returns a `DataFrame`, a `LazyFrame` (collected) or a dict with a frame for each
    partition. One frame from a run of several partitions is split by the columns that hold their
    keys, compared as text; a partition without rows gets a frame without rows. Several partitions
    are loaded as one frame, in the order wanted.

    Args:
        base_dir: The folder to keep the files in, or an object store, as for `PickleIOHandler`; a
            folder is made when the first frame is stored.
        partition_by: Which column holds the keys: a name for partitions of one dimension, a dict
            from dimensions to columns for several. A dimension that is not in it has a column of
            its own name.
        storage_options: The configuration of the store of a URL.

    Raises:
        TypeError: If `partition_by` is neither a name nor a dict of names.
        ConfigurationError: If two dimensions are given the same column, `obstore` is missing, or the
            store cannot be opened as told.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> from rivers.io import InputContext, OutputContext, ParquetIOHandler
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     handler = ParquetIOHandler(folder, partition_by="day")
        ...     handler.handle_output(OutputContext("sales", [], "r1"), pl.DataFrame({"x": [1, 2]}))
        ...     handler.load_input(InputContext("sales", [])).height
        2
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str] | ObjectStore,
        partition_by: str | Mapping[str, str] | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(partition_by)
        self._files = files_at(base_dir, storage_options)
        self.reach = self._files.reach

    def __repr__(self) -> str:
        return f"ParquetIOHandler({str(self._files)!r}, partition_by={self.partition_by!r})"

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Keep a frame, or a frame per partition; see `BaseIOHandler.handle_output`.

        Raises:
            TypeError: If the value is neither a frame nor a dict of frames.
            PartitionValidationError: If a dict's keys are not just the run's partitions, a frame
                lacks a column to split it by, or it has rows of no partition of the run.
            ConfigurationError: If `partition_by` does not fit the run's partitions.
        """
        run = context.run_partitions
        frames: Mapping[Any, pl.DataFrame]  # None stands for an asset without partitions.
        values = by_partition(context, value, dict_is_value=False)
        if values is not None:
            frames = {key: self._frame(context, item) for key, item in values.items()}
        elif len(run) > 1:
            keys = self._key_columns(context.asset, run, varying=True)
            frames = self._split(context, self._frame(context, value), keys)
        elif context.failed:
            return
        else:
            frames = {run[0] if run else None: self._frame(context, value)}
        for partition, frame in frames.items():
            with self._files.replacing(self._path(context.asset, partition)) as target:
                frame.write_parquet(target)

    def load_input(self, context: InputContext) -> pl.DataFrame:
        """Return the rows of the wanted partitions, in their order.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """
        wanted = wanted_keys(context)
        frames: list[pl.DataFrame] = []
        lacking: list[PartitionKey | None] = []
        for partition in wanted:
            try:
                file = self._files.open(self._path(context.asset, partition))
            except FileNotFoundError:
                lacking.append(partition)
                continue
            with file:
                frames.append(pl.read_parquet(file, hive_partitioning=False))
        if lacking:
            raise nothing_stored(context, lacking, f"in {self._files}")
        return frames[0] if len(frames) == 1 else pl.concat(frames)

    def _path(self, asset: str, partition: PartitionKey | None) -> PurePath:
        return self._files.path(asset, partition, _SUFFIX)
