"""The Delta Lake tables of assets: opened, written and committed, and which partitions are `None`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import polars as pl

from rivers.io.delta_rows import HIVE_NULL
from rivers.io.delta_sync import local_folder, sync_commits
from rivers.io.objects import no_panic
from rivers.io.paths import folder_name, former_folder_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from deltalake import DeltaTable

_TRIES = 20
"""How often a commit is tried: two writers that make a table at once disturb each other."""

_NONE, _EMPTY = "=none", "=empty"
"""What is added to a table's name, for the tables of its partitions that are `None` or have no rows.

No asset's table has such a name: in one, `=` is followed by two digits in hex.
"""


class DeltaTables:
    """The tables below one folder or URL.

    Args:
        base: The folder or URL.
        options: The configuration of the URL's store.
        sync: Whether commits in a folder of this machine are durable when they return.
    """

    def __init__(self, base: str, options: Mapping[str, str] | None, *, sync: bool = True) -> None:
        self.base = base
        self._is_synced = sync and local_folder(base) is not None
        self._options = None if options is None else dict(options)

    def open(self, asset: str) -> DeltaTable | None:
        """Return an asset's table; None if there is none."""
        former = f"{self.base}/{former_folder_name(asset).replace('%', '=')}"
        table = self._open(self._uri(asset))
        return self._open(former) if table is None and former != self._uri(asset) else table

    def scan(self, table: DeltaTable) -> pl.LazyFrame:
        """Return all rows of a table, lazily.

        Polars finds no file in a local folder whose name deltalake encodes in its URIs (`My%20Data`), and
        takes folders above the table for columns of keys (`run=5`). Then the files are named here.
        """
        scan = pl.scan_delta(table, storage_options=self._options)
        root = table.table_uri
        folder = local_folder(root)
        encoded = root if folder is None else root.removeprefix("file://")
        above = encoded if folder is None else f"{folder}/"
        keys = table.metadata().partition_columns
        strangers = [part.partition("=")[0] for part in above.split("/") if part.count("=") == 1]
        if above == encoded and not (keys and strangers):
            return scan
        files = [above + uri.removeprefix(encoded) for uri in table.file_uris()]
        return _scan_files(files, scan.collect_schema(), keys, strangers, self._options)

    def has_newer(self, table: DeltaTable, since: float, keys: Mapping[str, Sequence[str]]) -> bool:
        """Whether rows of some partitions may have been added since a time, in seconds since 1970.

        Args:
            table: The table.
            since: The time.
            keys: The columns of keys, each with the texts of the partitions.
        """
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        added = files.filter(pl.col("modification_time") >= since * 1000)
        for column in table.metadata().partition_columns:
            own = f"partition.{column}"
            if column in keys and files.schema[own] == pl.String:
                added = added.filter(pl.col(own).is_null() | pl.col(own).is_in(list(keys[column])))
        return added.height > 0

    def commit(self, asset: str, change: Callable[[str, DeltaTable | None], None]) -> None:
        """Change an asset's table; tried again where another writer was faster.

        Args:
            asset: The asset.
            change: Called with the table's place and the table as it is now; None if there is none.
        """
        former = f"{self.base}/{former_folder_name(asset).replace('%', '=')}"
        uri = self._uri(asset)
        if former != uri and self._open(uri) is None and self._open(former) is not None:
            uri = former
        self._commit(uri, change)

    def write(
        self, uri: str, table: DeltaTable | None, rows: pl.DataFrame, options: Mapping[str, Any]
    ) -> None:
        """Commit rows in the place of others, based on the state of the table that was opened."""
        with no_panic(self.base):
            rows.write_delta(
                uri if table is None else table,
                mode="overwrite",
                storage_options=self._options if table is None else None,
                delta_write_options=dict(options),
            )

    def make(self, uri: str, rows: pl.DataFrame, columns: Sequence[str] = ()) -> bool:
        """Make a table with these rows; returns false if another writer has made it meanwhile.

        Args:
            uri: The table's place.
            rows: Its first rows.
            columns: The columns by which it is partitioned.
        """
        from deltalake import CommitProperties  # noqa: PLC0415  (an extra)
        from deltalake.exceptions import DeltaError  # noqa: PLC0415

        # Without a retry of its own, which would add the rows to those of the other writer.
        options: dict[str, Any] = {"commit_properties": CommitProperties(max_commit_retries=0)}
        if columns:
            options["partition_by"] = list(columns)
        try:
            with no_panic(self.base):
                rows.write_delta(
                    uri, mode="error", storage_options=self._options, delta_write_options=options
                )
        except DeltaError:
            if self._open(uri) is None:
                raise
            return False
        return True

    def replace_all(self, asset: str, frame: pl.DataFrame | None) -> None:
        """Replace a whole table with its columns; None removes all rows."""

        def change(uri: str, table: DeltaTable | None) -> None:
            if frame is not None:
                self.write(uri, table, frame, {"schema_mode": "overwrite"})
            elif table is not None:
                table.delete()

        self.commit(asset, change)

    def nones(self, asset: str) -> set[str]:
        """Return the keys of partitions whose value was `None`; where there are rows, it is no more."""
        return self._marked(asset, _NONE)

    def empties(self, asset: str) -> set[str]:
        """Return the keys of partitions whose frame had no rows; where there are rows, it is no more."""
        return self._marked(asset, _EMPTY)

    def mark_none(self, asset: str, none: Sequence[str], stored: Sequence[str]) -> None:
        """Record which of the partitions that are being stored without rows are `None`.

        Args:
            asset: The asset.
            none: Their keys; empty for an asset that never returned `None`.
            stored: The keys of all partitions that are being stored without rows.
        """
        self._mark(asset, _NONE, none, stored)
        # An asset without partitions has the key "".
        empty = [key for key in stored if key and key not in set(none)]
        self._mark(asset, _EMPTY, empty, stored)

    def _marked(self, asset: str, mark: str) -> set[str]:
        table = self._open(self._uri(asset) + mark)
        return set() if table is None else set(self.scan(table).collect()["key"])

    def _mark(self, asset: str, mark: str, marked: Sequence[str], stored: Sequence[str]) -> None:
        if not stored or (not marked and not self._marked(asset, mark)):
            return
        keys = pl.DataFrame({"key": list(marked)}, schema={"key": pl.String})
        listed = ", ".join("'" + key.replace("'", "''") + "'" for key in stored)

        def change(uri: str, table: DeltaTable | None) -> None:
            if table is not None or not self.make(uri, keys):
                self.write(uri, table, keys, {"predicate": f"key IN ({listed})"})

        self._commit(self._uri(asset) + mark, change)

    def _commit(self, uri: str, change: Callable[[str, DeltaTable | None], None]) -> None:
        from deltalake.exceptions import CommitFailedError  # noqa: PLC0415  (an extra)

        for left in reversed(range(_TRIES)):
            table = self._open(uri)
            version = 0 if table is None else table.version() + 1
            try:
                change(uri, table)
            except CommitFailedError:
                if not left:
                    raise
            else:
                folder = local_folder(uri) if self._is_synced else None
                if folder is not None:
                    sync_commits(folder, version)
                return

    def _uri(self, asset: str) -> str:
        # What is percent-encoded, deltalake decodes: `%2E%2E` would lead out of the folder.
        return f"{self.base}/{folder_name(asset).replace('%', '=')}"

    def _open(self, uri: str) -> DeltaTable | None:
        from deltalake import DeltaTable  # noqa: PLC0415  (an extra)
        from deltalake.exceptions import TableNotFoundError  # noqa: PLC0415

        try:
            with no_panic(self.base):
                return DeltaTable(uri, storage_options=self._options)
        except TableNotFoundError:
            return None


def _scan_files(
    files: Sequence[str],
    schema: pl.Schema,
    keys: Sequence[str],
    strangers: Sequence[str],
    options: dict[str, str] | None,
) -> pl.LazyFrame:
    """Return the rows of a table's files.

    Args:
        files: Their paths or URLs.
        schema: The table's columns.
        keys: Those by which it is partitioned, whose values are the names of folders.
        strangers: What Polars takes for such columns in the names of folders above the table.
        options: The configuration of the store.
    """

    def scan(files: Sequence[str], hive: dict[str, pl.DataType] | None) -> pl.LazyFrame:
        return pl.scan_parquet(
            list(files), glob=False, hive_partitioning=hive is not None, hive_schema=hive,
            missing_columns="insert", extra_columns="ignore",
            cast_options=pl.ScanCastOptions(missing_struct_fields="insert"), storage_options=options,
        )  # fmt: skip

    if not files:
        return pl.LazyFrame(schema=schema)
    if not set(keys) & set(strangers):
        hive = {name: pl.String() for name in strangers} | {name: schema[name] for name in keys}
        return scan(files, hive if keys else None).select(schema.names())
    # A folder above has the name of a key: its value is not to be mistaken for that of the rows.
    folders: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        names = file.split("/")[-len(keys) - 1 : -1]
        folders.setdefault(tuple(name.partition("=")[2] for name in names), []).append(file)
    parts = [
        scan(group, None).with_columns(
            pl.lit(None if value == HIVE_NULL else unquote(value)).cast(schema[key]).alias(key)
            for key, value in zip(keys, values, strict=True)
        )
        for values, group in folders.items()
    ]
    return pl.concat([part.select(schema.names()) for part in parts], how="diagonal")
