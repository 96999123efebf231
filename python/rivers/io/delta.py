"""Polars frames, in a Delta Lake table per asset."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import polars as pl

from rivers.exceptions import ConfigurationError
from rivers.io.base import InputContext, OutputContext, by_partition, nothing_stored, wanted_keys
from rivers.io.frames import FrameIOHandler
from rivers.io.paths import base_folder, folder_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltalake import DeltaTable

_TRIES = 20
"""How often a commit is tried: two that make the table at once get into each other's way."""

_INDEX = "__rivers_partition__"


class DeltaIOHandler(FrameIOHandler):
    """Keeps Polars frames in a Delta Lake table per asset, through `deltalake` (`rivers[delta]`).

    A table of a partitioned asset has a column for each dimension, and is partitioned by them. What a
    run returns takes the place of the rows of its partitions, in one commit; runs that write other
    partitions at the same time do not disturb it. Of an asset without partitions the whole table is
    replaced, with its columns; those of a partitioned one stay what they were first. Which rows belong
    to a partition is compared as text, and the columns of keys hold text, dates or whole numbers.

    An asset returns a `DataFrame`, a `LazyFrame` (collected) or a dict with a frame for each
    partition. Several partitions are loaded as one frame, in the order wanted; a partition without
    rows gives none, also where it was never stored.

    Args:
        table_uri: The folder of the tables, or its URL: `s3://`, `gs://`, `az://`.
        partition_by: Which column holds the keys: a name for partitions of one dimension, a dict
            from dimensions to columns for several. A dimension that is not in it has a column of
            its own name.
        storage_options: The configuration of the store of a URL, as `deltalake` takes it.

    Raises:
        TypeError: If `table_uri` is no folder or URL, or `partition_by` neither a name nor a dict of
            names.
        ConfigurationError: If two dimensions are given the same column, or `deltalake` is missing.

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
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(partition_by)
        if not isinstance(table_uri, str | os.PathLike):
            msg = f"tables are kept in a folder or at a URL, not in {table_uri!r}"
            raise TypeError(msg)
        try:
            import deltalake  # noqa: F401, PLC0415  (an extra)
        except ImportError as error:
            msg = "to keep Delta Lake tables, install deltalake: pip install 'rivers[delta]'"
            raise ConfigurationError(msg) from error
        is_url = isinstance(table_uri, str) and "://" in table_uri
        self._base = str(table_uri).rstrip("/") if is_url else str(base_folder(table_uri))
        is_remote = is_url and not str(table_uri).startswith("file://")
        self.reach = "anywhere" if is_remote else "machine"
        self._options = None if storage_options is None else dict(storage_options)

    def __repr__(self) -> str:
        return f"DeltaIOHandler({self._base!r}, partition_by={self.partition_by!r})"

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Replace the rows of the run's partitions; see `BaseIOHandler.handle_output`.

        Raises:
            TypeError: If the value is neither a frame nor a dict of frames, or a column of keys holds
                something else than text, dates or whole numbers.
            PartitionValidationError: If a dict's keys are not just the run's partitions, or the frame
                lacks a column of keys or has rows of no partition of the run.
            ConfigurationError: If `partition_by` does not fit the run's partitions.
        """
        values = by_partition(context, value, dict_is_value=False)
        frames = [value] if values is None else list(values.values())
        if context.run_partitions and not (context.partitions and frames):
            return
        frame = pl.concat([self._frame(context, item) for item in frames])
        if not context.run_partitions:
            self._write(context.asset, frame, {"schema_mode": "overwrite"})
            return
        keys = self._key_columns(context.asset, context.run_partitions, varying=False)
        parts = self._split(context, frame, keys)
        stored = self._key_columns(context.asset, context.partitions, varying=False)
        rows = pl.concat(parts.values()).with_columns(_key_column(frame, name) for name in keys)
        predicate = _predicate(rows.schema, stored)
        self._write(context.asset, rows, {"predicate": predicate, "partition_by": list(keys)})

    def _write(self, asset: str, frame: pl.DataFrame, options: dict[str, Any]) -> None:
        from deltalake.exceptions import CommitFailedError  # noqa: PLC0415  (an extra)

        for left in reversed(range(_TRIES)):
            try:
                frame.write_delta(
                    self._uri(asset),
                    mode="overwrite",
                    storage_options=self._options,
                    delta_write_options=options,
                )
            except CommitFailedError:
                if not left:
                    raise
            else:
                return

    def load_input(self, context: InputContext) -> pl.DataFrame:
        """Return the rows of the wanted partitions, in their order.

        Raises:
            ExecutionError: If the asset has no table.
        """
        rows = pl.scan_delta(self._table(context), storage_options=self._options)
        if not context.partitions:
            return rows.collect()
        keys = self._key_columns(context.asset, context.partitions, varying=False)
        schema = rows.collect_schema()
        for column, texts in keys.items():  # Files of other partitions are not read.
            wanted = pl.Series(list(dict.fromkeys(texts)))
            if schema[column] == pl.Date:
                wanted = wanted.str.to_date("%Y-%m-%d", strict=False)
            wanted = wanted.cast(schema[column], strict=False)
            rows = rows.filter(pl.col(column).is_in(wanted.implode()))
        names = [str(number) for number in range(len(keys))]
        index = pl.LazyFrame(dict(zip(names, keys.values(), strict=True))).with_row_index(_INDEX)
        own = [pl.col(column).cast(pl.String) for column in keys]
        found = rows.join(index, left_on=own, right_on=names, how="inner", maintain_order="left")
        return found.sort(_INDEX, maintain_order=True).select(schema.names()).collect()

    def _uri(self, asset: str) -> str:
        # What is percent-encoded, deltalake decodes: `%2E%2E` would lead out of the folder.
        return f"{self._base}/{folder_name(asset).replace('%', '=')}"

    def _table(self, context: InputContext) -> DeltaTable:
        from deltalake import DeltaTable  # noqa: PLC0415  (an extra)
        from deltalake.exceptions import TableNotFoundError  # noqa: PLC0415

        try:
            return DeltaTable(self._uri(context.asset), storage_options=self._options)
        except TableNotFoundError:
            raise nothing_stored(context, wanted_keys(context), f"in {self._base}") from None


def _key_column(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A column of keys as it is kept.

    Raises:
        TypeError: It holds something of which there are no literals.
    """
    dtype = frame.schema[name]
    if dtype in (pl.Categorical, pl.Enum):
        return pl.col(name).cast(pl.String)
    if dtype.is_integer() or dtype in (pl.String, pl.Date):
        return pl.col(name)
    msg = (
        f"the column {name!r} holds the keys of partitions, so it must hold text, dates or whole numbers, "
        f"not {dtype}; cast it to text"
    )
    raise TypeError(msg)


def _predicate(schema: pl.Schema, keys: Mapping[str, list[str]]) -> str:
    """The condition that the rows of some partitions fulfil, in SQL."""
    literals = {
        column: [_literal(schema[column], text) for text in texts] for column, texts in keys.items()
    }
    *outer, last = literals
    if not outer:
        return f"{_quoted(last)} IN ({', '.join(literals[last])})"
    # Partitions that differ in the last dimension alone stand in one list.
    groups: dict[tuple[str, ...], list[str]] = {}
    for *rest, text in zip(*literals.values(), strict=True):
        groups.setdefault(tuple(rest), []).append(text)
    return " OR ".join(
        f"({' AND '.join(f'{_quoted(c)} = {text}' for c, text in zip(outer, rest, strict=True))}"
        f" AND {_quoted(last)} IN ({', '.join(texts)}))"
        for rest, texts in groups.items()
    )


def _literal(dtype: pl.DataType, text: str) -> str:
    if dtype.is_integer():
        return str(int(text))
    escaped = text.replace("'", "''")
    return f"DATE '{escaped}'" if dtype == pl.Date else f"'{escaped}'"


def _quoted(column: str) -> str:
    escaped = column.replace('"', '""')
    return f'"{escaped}"'
