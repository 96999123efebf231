"""Backfills from async code: the loop goes on while they run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rivers._validation import check_seconds
from rivers.exceptions import ExecutionError
from rivers.repository.insight import Insight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rivers.status.results import BackfillStatus


class Awaiting(Insight):
    """What a `CodeRepository` offers to async code."""

    async def watch(self, backfill_id: str, *, every: float = 0.5) -> AsyncIterator[BackfillStatus]:
        """How a backfill stands: now, whenever that has changed, and at last how it ended.

        It may run in another process.

        Args:
            backfill_id: The backfill.
            every: Seconds between two looks.

        Yields:
            Its status; the last one is not `"in_progress"`.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: Its process is gone, so that nothing more will happen.

        Example:
            >>> import asyncio, rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales() -> int:
            ...     return 1
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> launched = repo.backfill(partition_range=everywhere, block=False)
            >>> async def follow():
            ...     async for status in repo.watch(launched.backfill_id, every=0.01):
            ...         pass
            ...     print(status.status, status.completed_partitions)
            >>> asyncio.run(follow())
            completed 3
        """
        check_seconds("every", every)
        told: tuple[Any, ...] | None = None
        while True:
            self._record(backfill_id)
            # Before the status: what ends in between has ended.
            gone = backfill_id in self._runtime.store.interrupted()
            status = self.get_backfill(backfill_id)
            if status is None:
                raise AssertionError  # Its record was there, and nothing is taken away.
            ended = (
                status.completed_partitions,
                status.failed_partitions,
                status.canceled_partitions,
            )
            seen = (status.status, status.paused, *ended)
            if seen != told:
                told = seen
                yield status
            if status.status != "in_progress":
                return
            if gone:
                msg = (
                    f"the backfill {backfill_id!r} was interrupted: its process is gone; continue it "
                    f"with resume_backfill({backfill_id!r})"
                )
                raise ExecutionError(msg)
            await asyncio.sleep(every)
