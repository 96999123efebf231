"""Backfills from async code: the loop goes on while they run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rivers._validation import check_seconds
from rivers.exceptions import ExecutionError
from rivers.repository.insight import Insight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rivers._rivers import Engine
    from rivers.status.results import BackfillResult, BackfillStatus

_SHORTEST, _LONGEST = 0.001, 0.05
"""Seconds between two looks whether a backfill has ended."""


class Awaiting(Insight):
    """What a `CodeRepository` offers to async code."""

    if TYPE_CHECKING:

        def backfill(self, *args: Any, **kwargs: Any) -> BackfillResult:
            """See `CodeRepository.backfill`."""

    async def backfill_async(self, **arguments: Any) -> BackfillResult:
        """Launches a backfill and awaits its end; other tasks of the loop go on meanwhile.

        Cancelling the task does what Ctrl-C does to `backfill()`: nothing new starts, what is in flight
        ends, the rest is canceled and recorded, then `asyncio.CancelledError` is raised. Cancelling it
        again leaves at once; the backfill can be resumed then.

        Args:
            arguments: Those of `backfill()`, by name; all but `block`.

        Returns:
            What became of it; of a dry run: what is planned.

        Raises:
            TypeError: There is no such argument, or it is `block`.
            RiversError: As `backfill()`.

        Example:
            >>> import asyncio, rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... async def sales(context: rs.AssetExecutionContext) -> int:
            ...     await asyncio.sleep(0)
            ...     return len(context.partition_key)
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> asyncio.run(repo.backfill_async(partition_range=everywhere)).status
            'completed'
        """
        if "block" in arguments:
            raise TypeError("backfill_async() waits without blocking the loop: leave 'block' out")
        result = self.backfill(**arguments, block=False)
        if not result.is_dry_run:
            await self._await_end(result.backfill_id)
            result._fill(self._record(result.backfill_id))  # noqa: SLF001
        return result

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
            gone = backfill_id in self.storage._store.interrupted()  # noqa: SLF001
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

    async def _await_end(self, backfill_id: str) -> None:
        """As `_wait` does; cancelling the task is Ctrl-C."""
        key = self._record(backfill_id)["key"]
        _, engine, workers = self._connected()
        canceled = False
        try:
            try:
                await _end(engine, key)
            except asyncio.CancelledError:
                canceled = True
                engine.cancel(backfill_id)
                await _end(engine, key)
        except asyncio.CancelledError:
            # The second time.
            engine.abandon(key)
            workers.cancel(key)
            msg = f"left at once; continue it with resume_backfill({backfill_id!r})"
            raise asyncio.CancelledError(msg) from None
        finally:
            self._reports.tell()
        if canceled:
            msg = f"canceled; run the rest with rerun_backfill({backfill_id!r})"
            raise asyncio.CancelledError(msg)


async def _end(engine: Engine, key: int) -> None:
    nap = _SHORTEST
    while not engine.wait(key, 0.0):
        await asyncio.sleep(nap)
        nap = min(2 * nap, _LONGEST)
