"""What handlers of Polars frames have in common: which rows belong to which partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from rivers.exceptions import ConfigurationError, PartitionValidationError
from rivers.io.base import BaseIOHandler, InputContext, OutputContext
from rivers.io.frame_types import as_frame, check_rule
from rivers.io.key_windows import key_texts, key_windows
from rivers.io.values import dimensions, labels, single_key

if TYPE_CHECKING:
    from rivers._rivers import PartitionKey
    from rivers.io.frame_types import SchemaRule
    from rivers.io.key_windows import Windows

_INDEX = "__rivers_partition__"


class FrameIOHandler(BaseIOHandler):
    """A handler of frames, whose columns may hold the keys of partitions.

    Args:
        partition_by: Which column holds the keys: a name for partitions of one dimension, a dict
            from dimensions to columns for several. A dimension that is not in it has a column of
            its own name.
        schema: `"merge"` combines frames that differ; `"strict"` refuses them.

    Raises:
        TypeError: If `partition_by` is neither a name nor a dict of names.
        ConfigurationError: If two dimensions are given the same column, or `schema` is unknown.
    """

    _gives_one_frame = True
    _otherwise = ", or return a dict with a frame per partition"

    def __init__(
        self, partition_by: str | Mapping[str, str] | None, schema: SchemaRule = "merge"
    ) -> None:
        self.schema = check_rule(schema)
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

    def _split(
        self, context: OutputContext, frame: pl.DataFrame, keys: Mapping[str, list[str]]
    ) -> dict[PartitionKey, pl.DataFrame]:
        """Return the rows of each partition to store, those in the order of the frame.

        Args:
            context: Whose frame it is.
            frame: The frame.
            keys: The columns to split by, each with its text for every partition of the run.
        """
        run = context.run_partitions
        if not frame.width:  # No columns: no rows of any partition.
            return dict.fromkeys(context.partitions, frame)
        if lacking := [column for column in keys if column not in frame.columns]:
            msg = (
                f"asset {context.asset_name!r} returned one frame for {len(run)} partitions, without the"
                f" column {', '.join(map(repr, lacking))} to split it by; it has {frame.columns};"
                f" name the column in partition_by{self._otherwise}"
            )
            raise PartitionValidationError(msg)
        # The columns are numbered, so that none of the user's can be the index.
        names = [str(number) for number in range(len(keys))]
        index = pl.DataFrame(dict(zip(names, keys.values(), strict=True))).with_row_index(_INDEX)
        rows = pl.DataFrame(
            [
                self._key_texts(context, frame, column).alias(name)
                for name, column in zip(names, keys, strict=True)
            ]
        )
        found = rows.join(index, on=names, how="left", maintain_order="left")[_INDEX]
        if found.null_count():
            strangers = frame.filter(found.is_null()).select(pl.col(list(keys)).cast(pl.String))
            unique = strangers.unique(maintain_order=True).rows()
            texts = [", ".join(map(str, row)) for row in unique]
            msg = (
                f"asset {context.asset_name!r} returned rows ({found.null_count()}) that belong to none"
                f" of its run's partitions {labels(run)}: {', '.join(keys)} is {labels(texts)}"
            )
            raise PartitionValidationError(msg)
        parts = frame.with_columns(found).partition_by(_INDEX, as_dict=True, include_key=False)
        empty = frame.clear()
        return {p: parts.get((number,), empty) for number, p in enumerate(context.partitions)}

    def _key_texts(self, context: OutputContext, frame: pl.DataFrame, column: str) -> pl.Series:
        """Return the text of the key that each row belongs to, in one column of keys."""
        windows = self._windows(context, frame.schema[column], column)
        if windows is None:
            return frame[column].cast(pl.String)
        return key_texts(frame, column, windows)

    def _windows(
        self, context: OutputContext | InputContext, dtype: pl.DataType, column: str
    ) -> Windows | None:
        """Return the windows of a column of keys that holds times; None if it holds their texts."""
        if dtype != pl.Date and not isinstance(dtype, pl.Datetime):
            return None
        renames = self.partition_by if isinstance(self.partition_by, dict) else {}
        names = {given: name for name, given in renames.items()}
        is_multi = not isinstance(self.partition_by, str)
        run = context.run_partitions if isinstance(context, OutputContext) else context.partitions
        return key_windows(context.partition, run, names.get(column, column) if is_multi else None)

    def _key_columns(
        self, asset: str, run: Sequence[PartitionKey], *, varying: bool
    ) -> dict[str, list[str]]:
        """Return the columns that hold keys, each with its text for every one of the partitions.

        Args:
            asset: Whose partitions they are.
            run: The partitions.
            varying: Whether to leave out dimensions in which all are the same.
        """
        points = [values for values in map(dimensions, run) if values is not None]
        if not points:
            if not isinstance(self.partition_by, str):
                msg = (
                    f"asset {asset!r} has one frame for {len(run)} partitions: name"
                    f" the column of their keys, as in {self._kind}(..., partition_by='day')"
                    f" (it is {self.partition_by!r}){self._otherwise}"
                )
                raise ConfigurationError(msg)
            return {self.partition_by: [single_key(partition) for partition in run]}
        renames = {} if self.partition_by is None else self.partition_by
        if isinstance(renames, str) or not renames.keys() <= points[0].keys():
            msg = (
                f"asset {asset!r} has the dimensions {list(points[0])}: partition_by is a"
                f" dict from these to columns, not {self.partition_by!r}"
            )
            raise ConfigurationError(msg)
        columns = {
            name: [point[name] for point in points]
            for name in points[0]
            if not varying or any(point[name] != points[0][name] for point in points)
        }
        renamed = {renames.get(name, name): texts for name, texts in columns.items()}
        if len(renamed) < len(columns):
            msg = f"partition_by gives the same column to several dimensions: {renames!r}"
            raise ConfigurationError(msg)
        return renamed

    def _frame(self, context: OutputContext, value: object) -> pl.DataFrame:
        """Return `value` as a frame in memory."""
        frame = as_frame(value)
        if frame is None:
            msg = (
                f"asset {context.asset_name!r} returned {type(value).__name__}, which {self._kind} "
                "cannot keep: return a polars DataFrame or LazyFrame, a pandas DataFrame or an Arrow "
                "table, or a dict with one for each partition"
            )
            raise TypeError(msg)
        return frame

    @property
    def _kind(self) -> str:
        return type(self).__name__
