"""What a repository can do to a backfill that was launched, wherever it runs."""

from __future__ import annotations

from typing import Any

from rivers._validation import check_count, check_max_failures, check_priority
from rivers.exceptions import ConfigurationError
from rivers.repository.reading import Reading


class Control(Reading):
    """The verbs of a `CodeRepository` that steer a backfill."""

    def pause_backfill(self, backfill_id: str) -> None:
        """Has a backfill start nothing new until `unpause_backfill()`; what is in flight ends.

        Its status stays `"in_progress"`, and who waits for it, `close()` too, waits on. If it runs in
        this process, nothing starts once this returns; another process that runs it sees it within a
        second. The pause is kept in the storage: a backfill whose process died stays paused when it is
        resumed. Pausing it again changes nothing, and it can be canceled as ever.

        Args:
            backfill_id: The backfill.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: It has ended.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales(context: rs.AssetExecutionContext) -> None:
            ...     if context.partition_key == "us":
            ...         repo.pause_backfill(context.run_id.split(".")[0])
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> launched = repo.backfill(partition_range=everywhere, max_concurrency=1, block=False)
            >>> while not repo.get_backfill(launched.backfill_id).completed_partitions:
            ...     pass
            >>> repo.get_backfill(launched.backfill_id)  # doctest: +ELLIPSIS
            BackfillStatus(...: in_progress, paused, 3 partitions, 1 completed)
            >>> repo.unpause_backfill(launched.backfill_id)
            >>> repo.close()  # waits for it
            >>> repo.get_backfill(launched.backfill_id).status
            'completed'
        """
        self._record(backfill_id)
        self.engine.set_paused(backfill_id, True)

    def unpause_backfill(self, backfill_id: str) -> None:
        """Has a backfill that is paused go on; one that is not paused goes on as it does.

        Another process that runs it sees it within a second. If none does, it stays interrupted:
        `resume_backfill()` continues it.

        Args:
            backfill_id: The backfill.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: It has ended.
        """
        self._record(backfill_id)
        self.engine.set_paused(backfill_id, False)

    def update_backfill(
        self,
        backfill_id: str,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes how a backfill that is in progress goes on; what is in flight ends as it would.

        If it runs in this process, the change holds once this returns; another process that runs it
        sees it within a second. The change is kept in the storage: whoever resumes the backfill, or
        runs it again, does so with the new values.

        Args:
            backfill_id: The backfill.
            max_concurrency: Most runs in flight; `None` leaves it as it is.
            priority: Its place in the queue, the higher first; `None` leaves it as it is.
            max_failures: It stops when so many partitions have failed, as in `backfill()`; at once, if
                they have already. `None` leaves it as it is; a count as large as the backfill lifts it.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: Nothing is to be changed, or a value is not allowed.
            ExecutionError: It has ended.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales(context: rs.AssetExecutionContext) -> None:
            ...     if context.partition_key == "us":
            ...         repo.update_backfill(context.run_id.split(".")[0], max_concurrency=2)
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> repo.backfill(partition_range=everywhere, max_concurrency=1).completed
            3
        """
        changes: dict[str, Any] = {}
        if max_concurrency is not None:
            changes["max_concurrency"] = check_count("max_concurrency", max_concurrency)
        if priority is not None:
            changes["priority"] = check_priority(priority)
        if max_failures is not None:
            changes["max_failures"] = check_max_failures(max_failures)
        if not changes:
            msg = "nothing is to be changed; give max_concurrency, priority or max_failures"
            raise ConfigurationError(msg)
        self._record(backfill_id)
        _, engine, workers = self._connected()
        engine.change(backfill_id, **changes)
        workers.notify()
