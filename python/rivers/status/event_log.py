"""Logs a line when a backfill starts, ends, or stops in this process."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from rivers._text import printable
from rivers.exceptions import RiversError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Engine, Store
    from rivers.execution.observer import Observation
    from rivers.status.notifications import Notifier

_log = logging.getLogger("rivers")

_WAIT_SECONDS = 1.0
"""Time that the thread waits for an end before it checks whether any backfill is live."""

_NOTIFICATION_WAIT_SECONDS = 60.0
"""Maximum time that a call waits for notifications that another thread sends."""


class EventLog:
    """Logs the starts and ends of the backfills of one engine.

    A call that waits for a backfill logs its end before it returns; a thread logs the other ends.

    Args:
        engine: The engine.
        store: Its storage.
        on_end: Called with the number of each backfill that has ended, before that is logged.
        on_idle: Called when nothing is live any more, after the ends have been logged.
        notifier: Notifies of ends.

    Attributes:
        lock: Held while logging. Also held during submission, so that an end is never logged before its
            start.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        *,
        on_end: Callable[[int], None],
        on_idle: Callable[[], None],
        notifier: Notifier,
    ) -> None:
        self._notifier = notifier
        self._expected: set[str] = set()
        self._observations: dict[int, Observation] = {}
        self._notifying: dict[str, int] = {}
        self._notified = threading.Condition()
        self._engine = engine
        self._store = store
        self._on_end = on_end
        self._on_idle = on_idle
        self.lock = threading.RLock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def started(self, backfill_id: str, num_partitions: int, num_runs: int, assets: str) -> None:
        """Logs that a backfill was recorded."""
        _log.info(
            "backfill %s started: %d partitions in %d runs of %s",
            backfill_id, num_partitions, num_runs, printable(assets),
        )  # fmt: skip
        self._watch()

    def taken_over(self, backfill_id: str, left: int, num_partitions: int) -> None:
        """Logs that a backfill whose process died continues in this process."""
        _log.info(
            "backfill %s taken over, its process is gone: %d of %d partitions are left",
            backfill_id, left, num_partitions,
        )  # fmt: skip
        self._watch()

    def expect(self, backfill_id: str) -> None:
        """Has the end of a backfill of this process notified, as far as the storage says so."""
        self._expected.add(backfill_id)

    def observe(self, observation: Observation | None, key: int, backfill_id: str) -> None:
        """Has a backfill that was just recorded followed to its end.

        Args:
            observation: What follows it; `None`: nothing does.
            key: Its number in the storage.
            backfill_id: Its id.
        """
        if observation is not None:
            self._observations[key] = observation
            observation.started(self._engine, key, backfill_id)

    @property
    def notifies(self) -> bool:
        """Whether the end of a live backfill is notified, which may take seconds."""
        return bool(self._expected or self._notifying)

    def publish(self) -> None:
        """Logs the backfills that have ended since the last call, and notifies of them."""
        ended: list[str] = []
        # A second caller returns once the first has logged them.
        with self.lock:
            for key in self._engine.drain_finished():
                self._on_end(key)
                backfill_id = self._log_end(key)
                if backfill_id in self._expected:
                    self._expected.discard(backfill_id)
                    self._notifying[backfill_id] = threading.get_ident()
                    ended.append(backfill_id)
        # Without the lock, so that other threads may submit while a hook is running.
        for backfill_id in ended:
            try:
                self._notifier.notify_ended(backfill_id)
            except RiversError as error:
                _log.warning("the end of backfill %s was not notified: %s", backfill_id, error)
            finally:
                with self._notified:
                    del self._notifying[backfill_id]
                    self._notified.notify_all()
        self._wait_for_notifications()

    def _wait_for_notifications(self) -> None:
        """Waits for what other threads notify of, so that a call returns after the hooks of its backfill."""
        me = threading.get_ident()
        if me in self._notifying.values():
            return  # A hook made this call.
        with self._notified:
            self._notified.wait_for(lambda: not self._notifying, _NOTIFICATION_WAIT_SECONDS)

    def close(self) -> None:
        """Waits for the thread once the engine is closed, since it must not outlive the interpreter."""
        with self._starting:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_WAIT_SECONDS)

    def _log_end(self, key: int) -> str | None:
        """Logs how a backfill ended or stopped; returns its id if it has ended."""
        record = None
        observation = self._observations.pop(key, None)
        try:
            record = self._store.backfill_by_key(key)
            self._engine.wait(key, 0.0)
        except RiversError as error:
            which = record["backfill_id"] if record else f"number {key}"
            _log.error("backfill %s stopped here: %s", which, printable(str(error)))
            if observation is not None:
                observation.stopped(str(error))
            return None
        if observation is not None:
            observation.ended(record)
        if record is None or record["manual"] or record["ended_at"] is None:
            return None
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
            f"; {printable(failure)}" if failure else "",
        )  # fmt: skip
        backfill_id: str = record["backfill_id"]
        return backfill_id

    def _watch(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="rivers-reports", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._engine.wait_finished(_WAIT_SECONDS)
            self.publish()
            with self._starting:
                if not self._engine.live():
                    self._thread = None
                    break
        self._on_idle()
