"""What a repository shows of its records: tables of millions of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.exceptions import BackfillNotFoundError
from rivers.planning import request as submission
from rivers.repository.runtime import Runtime
from rivers.status import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from rivers._storage import BackfillRecord


class Reading(Runtime):
    """The tables of a `CodeRepository`; `rivers.status.tables` says what their columns are."""

    def backfill_partitions(
        self, backfill_id: str, *, status: str | Sequence[str] | None = None, run_id: bool = False
    ) -> pl.DataFrame:
        """One row per partition of a backfill, in the order of its runs.

        Args:
            backfill_id: The backfill.
            status: Only these states.
            run_id: Whether to add the column `run_id`.

        Returns:
            A column per dimension (see `rivers.status.tables`), `status` (Enum: pending, running, completed,
            failed, canceled), `run` (UInt64: the run's number in the backfill), `run_id` (String, on
            request), `attempts` (UInt32: how many of its run have begun), `started_at` and
            `ended_at` (Datetime), `error` (String). Where assets have runs of their own: `assets`
            (String: those of the row).

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: There is no such state.
        """
        store = self.storage._store  # noqa: SLF001
        return tables.backfill_partitions(store, backfill_id, status, run_id=run_id)

    def backfill_runs(
        self, backfill_id: str, *, status: str | Sequence[str] | None = None
    ) -> pl.DataFrame:
        """One row per run of a backfill that has started, by number.

        One that waits for its next attempt is `waiting`; its `error` is that of the last attempt.

        Args:
            backfill_id: The backfill.
            status: Only these states.

        Returns:
            `run` (UInt64), `run_id` (String), `status` (Enum: running, completed, failed, canceled,
            waiting), `num_partitions` (UInt64), `attempts` (UInt32), `started_at` and
            `ended_at` (Datetime), `duration` (Duration), `error` (String).

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: There is no such state.
        """
        return tables.backfill_runs(self.storage._store, backfill_id, status)  # noqa: SLF001

    def backfills(
        self, *, status: str | Sequence[str] | None = None, limit: int | None = None
    ) -> pl.DataFrame:
        """One row per backfill, the newest first.

        Args:
            status: Only these states.
            limit: Most rows.

        Returns:
            `backfill_id` (String), `status` (Enum: in_progress, completed, failed, canceled), counts of
            partitions (UInt64), `strategy` (String), `assets` (List of String), `tags` (List of
            Struct), `created_at` and `ended_at` (Datetime), `rate` (Float64: partitions a second),
            `owner_alive` (Boolean: whether a process runs it) and `paused` (Boolean; both are null once it
            has ended), `error` (String).

        Raises:
            ConfigurationError: There is no such state.
        """
        storage, engine, _ = self._connected()
        return tables.backfills(storage._store, engine, status, limit)  # noqa: SLF001

    def partition_status(
        self, asset: str, *, status: str | Sequence[str] | None = None
    ) -> pl.DataFrame:
        """One row per partition of an asset, in definition order.

        Args:
            asset: Its name.
            status: Only these states.

        Returns:
            A column per dimension (see `rivers.status.tables`), `status` (Enum: missing, materialized,
            failed, in_progress), and of the last materialization `last_materialized_at` (Datetime),
            `backfill_id` (String), `run` (UInt64) and `code_version` (String).

        Raises:
            AssetNotFoundError: There is no such asset.
            ExecutionError: It is not partitioned.
            ConfigurationError: There is no such state.
        """
        node, *_ = submission.select_assets(self._graph, [asset])
        space = self._space(node.definition, self._clock())
        return tables.partition_status(self.storage._store, asset, space, status)  # noqa: SLF001

    def _record(self, backfill_id: str) -> BackfillRecord:
        record = self.storage._store.backfill(backfill_id)  # noqa: SLF001
        if record is None or record["manual"]:
            msg = f"there is no backfill {backfill_id!r}"
            raise BackfillNotFoundError(msg, remedy=("list",))
        return record
