"""Polars frames, in a Parquet file per partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from rivers.exceptions import ConfigurationError, PartitionValidationError
from rivers.io.base import (
    BaseIOHandler,
    InputContext,
    OutputContext,
    by_partition,
    dimensions,
    labels,
    nothing_stored,
    single_key,
    wanted_keys,
)
from rivers.io.files import files_at

if TYPE_CHECKING:
    import os
    from pathlib import PurePath

    from obstore.store import ObjectStore

    from rivers._rivers import PartitionKey

_SUFFIX = ".parquet"
_INDEX = "__rivers_partition__"


class ParquetIOHandler(BaseIOHandler):
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
        self._files = files_at(base_dir, storage_options)
        self.shared_between_processes = self._files.shared_between_processes
        self.partition_by = (
            dict(partition_by) if isinstance(partition_by, Mapping) else partition_by
        )
        if isinstance(self.partition_by, dict):
            texts = [*self.partition_by, *self.partition_by.values()]
            valid = all(isinstance(text, str) for text in texts)
        else:
            valid = self.partition_by is None or isinstance(self.partition_by, str)
        if not valid:
            msg = f"partition_by is a column or a dict of dimension: column, not {partition_by!r}"
            raise TypeError(msg)
        if isinstance(self.partition_by, dict):
            columns = list(self.partition_by.values())
            if len(set(columns)) < len(columns):
                msg = f"partition_by gives the same column to several dimensions: {partition_by!r}"
                raise ConfigurationError(msg)

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
            frames = {key: _frame(context, item) for key, item in values.items()}
        elif len(run) > 1:
            frames = self._split(context, _frame(context, value))
        elif context.failed:
            return
        else:
            frames = {run[0] if run else None: _frame(context, value)}
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

    def _split(
        self, context: OutputContext, frame: pl.DataFrame
    ) -> dict[PartitionKey, pl.DataFrame]:
        """Return the rows of each partition to store, those in the order of the frame."""
        run = context.run_partitions
        keys = self._key_columns(context)
        if lacking := [column for column in keys if column not in frame.columns]:
            msg = (
                f"asset {context.asset!r} returned one frame for {len(run)} partitions, without the"
                f" column {', '.join(map(repr, lacking))} to split it by; it has {frame.columns};"
                f" name the column in partition_by, or return a dict with a frame per partition"
            )
            raise PartitionValidationError(msg)
        # The columns are numbered, so that none of the user's can be the index.
        names = [str(number) for number in range(len(keys))]
        index = pl.DataFrame(dict(zip(names, keys.values(), strict=True))).with_row_index(_INDEX)
        rows = frame.select(
            pl.col(column).cast(pl.String).alias(name)
            for name, column in zip(names, keys, strict=True)
        )
        found = rows.join(index, on=names, how="left", maintain_order="left")[_INDEX]
        if found.null_count():
            strangers = rows.filter(found.is_null()).unique(maintain_order=True).rows()
            texts = [", ".join(map(str, row)) for row in strangers]
            msg = (
                f"asset {context.asset!r} returned rows ({found.null_count()}) that belong to none"
                f" of its run's partitions {labels(run)}: {', '.join(keys)} is {labels(texts)}"
            )
            raise PartitionValidationError(msg)
        parts = frame.with_columns(found).partition_by(_INDEX, as_dict=True, include_key=False)
        empty = frame.clear()
        return {p: parts.get((number,), empty) for number, p in enumerate(context.partitions)}

    def _key_columns(self, context: OutputContext) -> dict[str, list[str]]:
        """Return the columns to split by, each with its text for every partition of the run."""
        run = context.run_partitions
        points = [values for values in map(dimensions, run) if values is not None]
        if not points:
            if not isinstance(self.partition_by, str):
                msg = (
                    f"asset {context.asset!r} returned one frame for {len(run)} partitions: name"
                    f" the column of their keys, as in ParquetIOHandler(..., partition_by='day')"
                    f" (it is {self.partition_by!r}), or return a dict with a frame per partition"
                )
                raise ConfigurationError(msg)
            return {self.partition_by: [single_key(partition) for partition in run]}
        renames = {} if self.partition_by is None else self.partition_by
        if isinstance(renames, str) or not renames.keys() <= points[0].keys():
            msg = (
                f"asset {context.asset!r} has the dimensions {list(points[0])}: partition_by is a"
                f" dict from these to columns, not {self.partition_by!r}"
            )
            raise ConfigurationError(msg)
        columns = {
            name: [point[name] for point in points]
            for name in points[0]
            if any(point[name] != points[0][name] for point in points)
        }
        renamed = {renames.get(name, name): texts for name, texts in columns.items()}
        if len(renamed) < len(columns):
            msg = f"partition_by gives the same column to several dimensions: {renames!r}"
            raise ConfigurationError(msg)
        return renamed


def _frame(context: OutputContext, value: object) -> pl.DataFrame:
    """Return `value` as a frame in memory."""
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if isinstance(value, pl.DataFrame):
        return value
    msg = (
        f"asset {context.asset!r} returned {type(value).__name__}, which ParquetIOHandler cannot"
        f" keep: return a polars DataFrame or LazyFrame, or a dict with one for each partition"
    )
    raise TypeError(msg)
