"""What went wrong: a million failures by their causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers import tables
from rivers.exceptions import ConfigurationError
from rivers.reading import Reading

if TYPE_CHECKING:
    import polars as pl

    from rivers._rivers import Selection


class Insight(Reading):
    """What a `CodeRepository` tells of its backfills beyond their records."""

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
        return tables.causes(self.storage._store.causes(backfill_id))  # noqa: SLF001

    def _failed_with(self, backfill_id: str, error_type: str) -> Selection:
        """The partitions that failed with this type of error.

        Raises:
            ConfigurationError: None did.
        """
        store = self.storage._store  # noqa: SLF001
        failed = store.failed_with(backfill_id, error_type) if isinstance(error_type, str) else None
        if failed is None or not failed.num_partitions:
            types = sorted({cause["error_type"] for cause in store.causes(backfill_id)})
            there_are = f"the types are {', '.join(map(repr, types))}" if types else "none failed"
            msg = f"no partition of {backfill_id!r} failed with error_type={error_type!r}; {there_are}"
            raise ConfigurationError(msg)
        return failed
