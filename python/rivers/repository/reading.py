"""What a repository shows of its records: tables of millions of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers.exceptions import BackfillNotFoundError
from rivers.status import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from rivers.repository.runtime import Runtime


class Reading:
    """The tables of a `CodeRepository`; `rivers.status.tables` says what their columns are."""

    _runtime: Runtime

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
        store = self._runtime.store
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
        return tables.backfill_runs(self._runtime.store, backfill_id, status)

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
        connection = self._runtime.connect()
        return tables.backfills(connection.store, connection.engine, status, limit)

    def _record(self, backfill_id: str) -> dict[str, Any]:
        record = self._runtime.store.backfill(backfill_id)
        if record is None or record["manual"]:
            msg = f"there is no backfill {backfill_id!r}; backfills() lists those there are"
            raise BackfillNotFoundError(msg)
        return record
