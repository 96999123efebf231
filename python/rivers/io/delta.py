"""Frames, in a Delta Lake table per asset."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from rivers.exceptions import ConfigurationError
from rivers.io.delta_limits import check_folder, check_lengths, has_long_keys
from rivers.io.delta_rows import (
    HIVE_NULL,
    in_partitions,
    predicate,
    with_hive_null,
)
from rivers.io.delta_tables import DeltaTables
from rivers.io.delta_types import as_stored, check_key_type, check_names
from rivers.io.frame_types import as_wanted, wants_lazy
from rivers.io.frames import FrameIOHandler
from rivers.io.key_windows import key_texts
from rivers.io.paths import base_folder
from rivers.io.schemas import combine, conform, merged, supertype, without_empty_leaves
from rivers.io.store_options import StoreOptions
from rivers.io.values import (
    by_partition,
    dimensions,
    label_of,
    nothing_stored,
    single_key,
    wanted_keys,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deltalake import DeltaTable

    from rivers._rivers import PartitionKey
    from rivers.io.base import InputContext, OutputContext
    from rivers.io.frame_types import SchemaRule
    from rivers.io.key_windows import Windows

_INDEX = "__rivers_partition__"


class DeltaIOHandler(FrameIOHandler):
    """Keeps frames in a Delta Lake table per asset, through `deltalake` (`rivers[delta]`).

    A table of a partitioned asset has a column for each dimension, and is partitioned by them. What a
    run returns takes the place of the rows of its partitions, in one commit; runs that write other
    partitions at the same time do not disturb it. Of an asset without partitions the whole table is
    replaced, with its columns. In a partitioned one, new columns are added, null where there were none,
    and a column that needs a wider type gets it (then the table is written again).

    Columns of keys hold text or whole numbers, which are compared as text, or dates and datetimes,
    which belong to the windows of the partitions.

    An asset returns a frame of Polars (a `LazyFrame` is collected), pandas or Arrow, or a dict with a
    frame for each partition. Several partitions are loaded as one frame, in the order in which they are
    needed, as the annotation of the parameter says (see `ParquetIOHandler`). A partition without rows
    gives none, also where it was never stored.

    Args:
        table_uri: The folder of the tables, or its URL: `s3://`, `gs://`, `az://`.
        partition_by: Which column holds the keys: a name for partitions of one dimension, a dict
            from dimensions to columns for several. A dimension that is not in it has a column of
            its own name.
        storage_options: The configuration of the store of a URL; the names are those of
            `PickleIOHandler`, and `deltalake`'s own for its commits.
        schema: `"merge"` or `"strict"`; see `ParquetIOHandler`.
        sync: Whether commits are on the disk before a run is recorded as completed. Without it, a power
            loss can take tables that were reported as stored, or leave them unreadable.

    Raises:
        TypeError: If `table_uri` is no folder or URL, or `partition_by` neither a name nor a dict of
            names.
        ConfigurationError: If two dimensions are given the same column, `schema` or an option is
            unknown, or `deltalake` is missing.

    Example:
        >>> import polars as pl
        >>> import rivers as rs
        >>> @rs.Asset(
        ...     partitions_def=rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04"),
        ...     io_handler=rs.DeltaIOHandler("tables", partition_by="day"),
        ... )
        ... def sales(context: rs.AssetExecutionContext) -> pl.DataFrame:
        ...     return pl.DataFrame({"day": [context.partition_key], "sold": [5]})
        >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
        >>> days = rs.PartitionKeyRange.single("2024-01-01", "2024-01-03")
        >>> repo.backfill(partition_range=days).completed
        3
        >>> pl.read_delta("tables/sales").height
        3
    """

    _otherwise = ""

    def __init__(
        self,
        table_uri: str | os.PathLike[str],
        partition_by: str | Mapping[str, str] | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
        schema: SchemaRule = "merge",
        sync: bool = True,
    ) -> None:
        super().__init__(partition_by, schema)
        if not isinstance(table_uri, str | os.PathLike):
            msg = f"tables are kept in a folder or at a URL, not in {table_uri!r}"
            raise TypeError(msg)
        try:
            import deltalake  # noqa: F401, PLC0415  (an extra)
        except ImportError as error:
            msg = "to keep Delta Lake tables, install deltalake: pip install 'rivers[delta]'"
            raise ConfigurationError(msg) from error
        is_url = isinstance(table_uri, str) and "://" in table_uri
        base = str(table_uri).rstrip("/") if is_url else str(base_folder(table_uri))
        if not is_url:
            check_folder(base)
        options = (
            StoreOptions(base, storage_options).for_delta() if is_url or storage_options else None
        )
        self._tables = DeltaTables(base, options, sync=sync)
        is_remote = is_url and not str(table_uri).startswith("file://")
        self.reach = "anywhere" if is_remote else "machine"

    def __repr__(self) -> str:
        return f"DeltaIOHandler({self._tables.base!r}, partition_by={self.partition_by!r})"

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Replace the rows of the run's partitions; see `BaseIOHandler.handle_output`.

        Raises:
            TypeError: If the value is neither a frame nor a dict of frames, or a column of keys holds
                something other than text, dates, datetimes or whole numbers.
            PartitionValidationError: If a dict's keys are not exactly the run's partitions, or the
                frame lacks a column of keys or has rows of no partition of the run.
            ExecutionError: If the frames cannot be one frame, or not one with what is stored.
            ConfigurationError: If `partition_by` does not fit the run's partitions.
        """
        asset = context.asset_name
        values = by_partition(context, value, dict_is_value=False)
        frames = [("its value", value)] if values is None else [
            (label_of(key), item) for key, item in values.items()
        ]  # fmt: skip
        if context.run_partitions and not context.partitions:
            return
        kept = [(label, self._frame(context, item)) for label, item in frames if item is not None]
        frame = combine(asset, kept, self.schema) if kept else None
        if not context.run_partitions:
            if frame is None or not frame.height:
                self._tables.mark_none(asset, [""] if frame is None else [], [""])
            self._tables.replace_all(
                asset, None if frame is None else as_stored(asset, "its value", frame)
            )
            return
        none = [
            _text(key)
            for key in context.partitions
            if (value if values is None else values[key]) is None
        ]
        if frame is None or not frame.width:
            stored = none if frame is None else [_text(key) for key in context.partitions]
            self._tables.mark_none(asset, none, stored)
            self._remove(context)
        else:
            self._replace(context, frame, none)

    def _note_no_value(self, context: OutputContext, age: float) -> None:
        """Remove the rows that earlier runs stored; see `BaseIOHandler._note_no_value`."""
        asset = context.asset_name
        keys = self._key_columns(asset, context.partitions, varying=False)
        table = self._tables.open(asset)
        if table is not None and self._tables.has_newer(table, time.time() - age, keys):
            return
        stored = [_text(key) for key in context.partitions] or [""]
        self._tables.mark_none(asset, [], stored)
        if context.run_partitions:
            self._remove(context)
        else:
            self._tables.replace_all(asset, None)

    def load_input(self, context: InputContext) -> object:
        """Return the rows of the partitions, in their order, as what the parameter takes.

        Raises:
            ExecutionError: If the asset has no table.
        """
        asset = context.asset_name
        keys = [_text(key) for key in context.partitions] or [""]
        table = self._tables.open(asset)
        if table is None:
            if not set(keys) <= self._tables.nones(asset) | self._tables.empties(asset):
                raise nothing_stored(context, wanted_keys(context), f"in {self._tables.base}")
            is_none = len(keys) == 1 and keys[0] in self._tables.nones(asset)
            return None if is_none else as_wanted(pl.LazyFrame(), context.type_hint)
        rows = self._rows(context, table)
        if len(keys) > 1:
            return as_wanted(rows, context.type_hint)
        if not wants_lazy(context.type_hint):
            rows = rows.collect().lazy()
        is_none = keys[0] in self._tables.nones(asset) and not rows.head(1).collect().height
        return None if is_none else as_wanted(rows, context.type_hint)

    def _absent(self, context: InputContext) -> list[PartitionKey]:
        """Return the partitions without rows that were never stored; see `BaseIOHandler`."""
        asset = context.asset_name
        table = self._tables.open(asset)
        stored = self._tables.nones(asset) | self._tables.empties(asset)
        without = [key for key in context.partitions if _text(key) not in stored]
        if table is None or not without:
            return without
        rows, _, keys, own = self._matching(context, table)
        own = [text.alias(name) for name, text in zip(keys, own, strict=True)]
        found = set(rows.select(own).unique().collect().iter_rows())
        points = zip(context.partitions, zip(*keys.values(), strict=True), strict=True)
        present = {_text(key) for key, point in points if point in found}
        return [key for key in without if _text(key) not in present]

    def _rows(self, context: InputContext, table: DeltaTable) -> pl.LazyFrame:
        """Return the rows of the partitions, in their order."""
        if not context.partitions:
            return self._tables.scan(table)
        rows, schema, keys, own = self._matching(context, table)
        names = [str(number) for number in range(len(keys))]
        index = pl.LazyFrame(dict(zip(names, keys.values(), strict=True))).with_row_index(_INDEX)
        found = rows.join(index, left_on=own, right_on=names, how="inner", maintain_order="left")
        return found.sort(_INDEX, maintain_order=True).select(schema.names())

    def _matching(
        self, context: InputContext, table: DeltaTable
    ) -> tuple[pl.LazyFrame, pl.Schema, dict[str, list[str]], list[pl.Expr]]:
        """Return the rows of the partitions in any order, the table's schema, and how rows have keys.

        The last two are the columns of keys, each with its text for every partition, and their texts in
        the rows.
        """
        keys = self._key_columns(context.asset_name, context.partitions, varying=False)
        rows = self._tables.scan(table)
        schema = rows.collect_schema()
        windows = self._all_windows(context, schema, keys)
        rows = with_hive_null(
            rows, schema, [name for name, texts in keys.items() if HIVE_NULL in texts]
        ).filter(in_partitions(schema, keys, windows))
        own = [
            _texts_of(column, windows[column])
            if column in windows
            else pl.col(column).cast(pl.String)
            for column in keys
        ]
        return rows, schema, keys, own

    def _replace(self, context: OutputContext, frame: pl.DataFrame, none: Sequence[str]) -> None:
        """Put the rows of a frame in the place of those of its partitions."""
        asset = context.asset_name
        keys = self._key_columns(asset, context.run_partitions, varying=False)
        parts = self._split(context, frame, keys)
        empty = [_text(key) for key, part in parts.items() if not part.height]
        rows = pl.concat(parts.values())
        for name in keys:
            check_key_type(name, rows.schema[name])
        rows = as_stored(asset, label_of(context.partitions[0]), rows)
        own = rows.schema
        windows = self._all_windows(context, own, keys)
        stored = self._key_columns(asset, context.partitions, varying=False)
        columns = [name for name in keys if _has_a_value_per_key(own[name], windows.get(name))]
        # Delta Lake needs a column besides those by which a table is partitioned.
        columns = columns if len(columns) < len(own) else []

        def commit(uri: str, table: DeltaTable | None) -> None:
            if table is None:
                short = [
                    name for name in columns if not has_long_keys(context, name, self._names(name))
                ]
                if self._tables.make(uri, rows, short):
                    return
                table = self._tables.open(asset)
                if table is None:
                    raise AssertionError  # `make` has found it.
            check_lengths(asset, table.metadata().partition_columns, stored)
            known = self._tables.scan(table).collect_schema()
            target = self._target(context, table, rows, known)
            options: dict[str, Any] = {"partition_by": table.metadata().partition_columns or None}
            if all(target[name] == dtype for name, dtype in known.items()):
                options |= {"predicate": predicate(target, stored, windows), "schema_mode": "merge"}
                self._tables.write(uri, table, conform(rows, own, target), options)
                return
            # A wider type: Delta Lake changes none, so all rows are written again, in one commit.
            others = with_hive_null(self._tables.scan(table), known, list(keys)).collect()
            others = others.remove(self._are_replaced(known, stored, windows))
            both = [conform(others, known, target), conform(rows, own, target)]
            options |= {"predicate": "true", "schema_mode": "overwrite"}
            self._tables.write(uri, table, pl.concat(both), options)

        self._tables.mark_none(asset, none, empty)
        self._tables.commit(asset, commit)

    def _names(self, column: str) -> str | None:
        """Return the dimension that a column holds; None where the partitions have but one."""
        if not isinstance(self.partition_by, Mapping):
            return None if self.partition_by == column else column
        found = [name for name, held in self.partition_by.items() if held == column]
        return found[0] if found else column

    def _remove(self, context: OutputContext) -> None:
        """Remove the rows of partitions whose value is `None`."""
        keys = self._key_columns(context.asset_name, context.partitions, varying=False)

        def commit(_uri: str, table: DeltaTable | None) -> None:
            if table is not None:
                schema = self._tables.scan(table).collect_schema()
                windows = self._all_windows(context, schema, keys)
                table.delete(predicate(schema, keys, windows))

        self._tables.commit(context.asset_name, commit)

    def _target(
        self, context: OutputContext, table: DeltaTable, rows: pl.DataFrame, known: pl.Schema
    ) -> pl.Schema:
        """Return the columns of a table together with those of new rows.

        Raises:
            ExecutionError: If a column holds what cannot be combined.
        """
        own = rows.schema
        for name, dtype in own.items():
            if name not in known or supertype(known[name], dtype) is not None:
                continue
            # What has no values yet is stored as text.
            common = supertype(known[name], without_empty_leaves(rows[name]))
            if common is not None:
                own = pl.Schema({**own, name: common})
                continue
            stored = self._tables.scan(table).select(name).collect()[name]
            common = supertype(without_empty_leaves(stored), dtype)
            if common is not None:
                known = pl.Schema({**known, name: common})
                continue
            found = self._tables.scan(table).filter(pl.col(name).is_not_null()).head(1).collect()
            keys = self._key_columns(context.asset_name, context.partitions, varying=False)
            first = ", ".join(str(found[column][0]) for column in keys)
            merged(
                context.asset_name,
                [
                    (f"partition {first!r}", pl.Schema({name: known[name]})),
                    (label_of(context.partitions[0]), pl.Schema({name: dtype})),
                ],
            )
        labels = ("what is stored", label_of(context.partitions[0]))
        if self.schema == "strict" and set(own.items()) == set(known.items()):
            return known  # Delta Lake keeps no order of columns.
        both = merged(context.asset_name, zip(labels, (known, own), strict=True), self.schema)
        check_names(context.asset_name, both)
        return both

    def _all_windows(
        self,
        context: OutputContext | InputContext,
        schema: pl.Schema,
        keys: Mapping[str, list[str]],
    ) -> dict[str, Windows]:
        """Return the windows of the columns of keys that hold times."""
        found = {name: self._windows(context, schema[name], name) for name in keys}
        return {name: windows for name, windows in found.items() if windows is not None}

    @staticmethod
    def _are_replaced(
        schema: pl.Schema, keys: Mapping[str, list[str]], windows: Mapping[str, Windows]
    ) -> pl.Expr:
        points = zip(*keys.values(), strict=True)
        return pl.any_horizontal(
            in_partitions(
                schema,
                {name: [text] for name, text in zip(keys, point, strict=True)},
                {
                    name: {text: windows[name][text]}
                    for name, text in zip(keys, point, strict=True)
                    if name in windows
                },
            )
            for point in points
        )


def _texts_of(column: str, windows: Windows) -> pl.Expr:
    return pl.col(column).map_batches(
        lambda values: key_texts(values.to_frame(column), column, windows),
        return_dtype=pl.String,
        is_elementwise=True,
    )


def _has_a_value_per_key(dtype: pl.DataType, windows: Windows | None) -> bool:
    """Whether all rows of a key have one value, so that a table can be partitioned by the column."""
    if isinstance(dtype, pl.Datetime):
        return False
    day = dt.timedelta(days=1)
    return windows is None or all(end - start <= day for start, end in windows.values())


def _text(partition: PartitionKey) -> str:
    values = dimensions(partition)
    return single_key(partition) if values is None else str(partition)
