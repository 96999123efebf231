"""The backfills of this process, as a `BackfillClient` uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rivers._rivers import Engine
    from rivers.execution.in_process import Workers
    from rivers.status.event_log import Reports


class EngineBackfills:
    """Lets a client change the backfills of an engine at once, and read them without a query.

    Args:
        engine: The engine.
        workers: Its workers; a change may give them something to do.
        reports: Its event log; a canceled backfill may have ended.
    """

    def __init__(self, engine: Engine, workers: Workers, reports: Reports) -> None:
        self.engine = engine
        self._workers = workers
        self._reports = reports

    def snapshot(self, backfill_id: str, /) -> dict[str, Any] | None:
        """The record of a backfill that is live in this process."""
        return self.engine.standing(backfill_id)

    def wait(self, key: int, timeout: float, /) -> bool:
        """Waits for the end of a backfill of this process, and logs it."""
        try:
            return self.engine.wait(key, timeout)
        finally:
            self._reports.tell()

    def cancel(self, backfill_id: str, /) -> bool:
        """Cancels a backfill, and logs its end if its process was dead."""
        try:
            return self.engine.cancel(backfill_id)
        finally:
            self._reports.tell()

    def set_paused(self, backfill_id: str, paused: bool, /) -> None:
        """Pauses or unpauses a backfill."""
        self.engine.set_paused(backfill_id, paused)

    def change(self, backfill_id: str, /, **limits: Any) -> None:
        """Changes the limits of a backfill, and starts workers that are needed now."""
        self.engine.change(backfill_id, **limits)
        self._workers.call()
