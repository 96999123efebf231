"""What went wrong: a million failures by their causes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rivers.exceptions import ConfigurationError
from rivers.repository.reading import Reading
from rivers.status import tables
from rivers.status.results import BackfillStatus, run_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from rivers._rivers import Plan, Selection
    from rivers.assets.asset_graph import Node


class Insight(Reading):
    """What a `CodeRepository` tells of its backfills beyond their records."""

    def get_backfill(self, backfill_id: str) -> BackfillStatus | None:
        """How a backfill stands, as far as it is recorded; `None` if there is none of this id.

        Its cost does not grow with the backfill.
        """
        storage, engine, _ = self._connected()
        store = storage._store  # noqa: SLF001
        # Of one that runs here the engine knows it without a wait, neither for the storage nor for the
        # interpreter, which beside functions that compute takes milliseconds to win back.
        record = engine.snapshot(backfill_id) or store.backfill(backfill_id)
        if record is None or record["manual"]:
            return None
        is_on = record["status"] == "in_progress"
        status = BackfillStatus(
            backfill_id=backfill_id,
            status=record["status"],
            total_partitions=record["num_partitions"],
            completed_partitions=record["completed"],
            failed_partitions=record["failed"],
            canceled_partitions=record["canceled"],
            error=None if is_on else store.error(backfill_id),
            tags=record["tags"],
            paused=record["paused"],
        )
        left = (
            record["num_partitions"] - record["completed"] - record["failed"] - record["canceled"]
        )
        status._later(  # noqa: SLF001
            run_ids=lambda: run_ids(backfill_id, record["num_runs"]),
            rate=lambda: store.rate(backfill_id) if is_on else None,
            eta=lambda: left / status.rate if status.rate else None,
        )
        status.__dict__["_table"] = self._drawn(backfill_id)
        return status

    def backfill_errors(self, backfill_id: str) -> pl.DataFrame:
        """Why the partitions of a backfill failed: one row per cause, the most frequent first.

        Failures have one cause where their types are equal, and their messages but for what varies:
        numbers, dates, ids, hexadecimal numbers, quoted texts and the keys of the partition itself,
        which are shown as `…`. A partition that failed for several causes counts for its first.

        Args:
            backfill_id: The backfill; also one that has not ended.

        Returns:
            `error_type` and `message` (String), `count` (UInt64: partitions), `first_at` and `last_at`
            (Datetime: when the first and the last run that met it ended), and of its first failure
            `partition` and `traceback` (String; null where a partition was only marked as failed).

        Raises:
            BackfillNotFoundError: There is no such backfill.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales(context: rs.AssetExecutionContext) -> int:
            ...     raise ValueError(f"no sales in {context.partition_key}")
            >>> with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
            ...     result = repo.backfill(partition_range=rs.PartitionKeyRange.single("us", "eu"))
            ...     errors = repo.backfill_errors(result.backfill_id)
            >>> errors.select("error_type", "message", "count").rows()
            [('ValueError', 'no sales in …', 2)]
        """
        self._record(backfill_id)
        return tables.causes(self.storage._store.error_groups(backfill_id))  # noqa: SLF001

    def _drawn(self, backfill_id: str) -> Callable[[], pl.DataFrame]:
        """The table that a notebook draws a map of."""
        store = self.storage._store  # noqa: SLF001
        return lambda: tables.backfill_partitions(
            store, backfill_id, None, run_id=False, errors=False
        )

    def _estimate(self, nodes: list[Node], plan: Plan, max_concurrency: int) -> float | None:
        """Seconds that the runs of a plan would take, by what their assets took lately."""
        names = [node.name for node in nodes]
        seconds = self.storage._store.seconds_per_partition(names)  # noqa: SLF001
        if seconds is None or not plan.num_runs:
            return None if seconds is None else 0.0
        queue = self._run_queue.max_concurrent_runs if self._run_queue else None
        bounds = [max_concurrency, self._executor.capacity, queue]
        at_once = min(bound for bound in bounds if bound is not None)
        rounds = math.ceil(plan.num_runs / at_once)
        return rounds * seconds * plan.num_partitions / plan.num_runs

    def _failed_with(self, backfill_id: str, error_type: str) -> list[Selection]:
        """The partitions that failed with this type of error, layer by layer.

        Raises:
            ConfigurationError: None did.
        """
        store = self.storage._store  # noqa: SLF001
        failed = store.failed_with(backfill_id, error_type) if isinstance(error_type, str) else []
        if not any(layer.num_partitions for layer in failed):
            types = sorted({cause["error_type"] for cause in store.error_groups(backfill_id)})
            there_are = f"the types are {', '.join(map(repr, types))}" if types else "none failed"
            msg = f"no partition of {backfill_id!r} failed with error_type={error_type!r}; {there_are}"
            raise ConfigurationError(msg)
        return failed
