"""One line in the log when a backfill starts, ends, or stops here."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from rivers.exceptions import RiversError

if TYPE_CHECKING:
    from rivers._rivers import Engine, Store

_log = logging.getLogger("rivers")

_PATIENCE = 1.0
"""Seconds that the thread waits for an end before it looks whether anything is live."""


class Reports:
    """Tells of the backfills of one engine.

    Whoever waits for one tells of its end before it returns; a thread tells of the others.

    Attributes:
        telling: Whoever has it tells; held while a backfill begins, so that its end is told later.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self.telling = threading.RLock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def started(self, backfill_id: str, num_partitions: int, num_runs: int, assets: str) -> None:
        """A backfill was recorded."""
        _log.info(
            "backfill %s started: %d partitions in %d runs of %s",
            backfill_id, num_partitions, num_runs, assets,
        )  # fmt: skip
        self._watch()

    def taken_over(self, backfill_id: str, left: int, num_partitions: int) -> None:
        """A backfill whose process died goes on here."""
        _log.info(
            "backfill %s taken over, its process is gone: %d of %d partitions are left",
            backfill_id, left, num_partitions,
        )  # fmt: skip
        self._watch()

    def tell(self) -> None:
        """Tells what has ended since the last time."""
        # Who comes second returns when it is told.
        with self.telling:
            for key in self._engine.drain_finished():
                self._tell(key)

    def close(self) -> None:
        """Waits for the thread, when the engine is closed: it must not outlive the interpreter."""
        with self._starting:
            thread = self._thread
        if thread is not None:
            thread.join(_PATIENCE)

    def _tell(self, key: int) -> None:
        record = None
        try:
            record = self._store.backfill_by_key(key)
            self._engine.wait(key, 0.0)
        except RiversError as error:
            which = record["backfill_id"] if record else f"number {key}"
            _log.error("backfill %s stopped here: %s", which, error)
            return
        if record is None or record["manual"] or record["status"] == "in_progress":
            return
        counts = ", ".join(
            f"{record[state]} {state}"
            for state in ("completed", "failed", "canceled")
            if record[state] or state == "completed"
        )
        took = (record["ended_at"] - record["created_at"]).total_seconds()
        level = logging.WARNING if record["failed"] else logging.INFO
        failure = self._store.error(record["backfill_id"])
        _log.log(
            level, "backfill %s %s: %s of %d partitions, %.1f s after its start%s",
            record["backfill_id"], record["status"], counts, record["num_partitions"], took,
            f"; {failure}" if failure else "",
        )  # fmt: skip

    def _watch(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="rivers-reports", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._engine.wait_finished(_PATIENCE)
            self.tell()
            with self._starting:
                if not self._engine.live():
                    self._thread = None
                    return
