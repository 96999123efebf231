"""Threads that take batches of runs from the engine; how a batch is executed is up to a subclass."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from rivers._text import kind_of, message_of
from rivers.execution.switch_interval import switch_interval

if TYPE_CHECKING:
    from rivers._rivers import Batch, Engine
    from rivers.execution.runner import Program

_log = logging.getLogger("rivers")

IDLE_TIMEOUT_SECONDS = 1.0
"""How long a thread waits for a batch before it ends."""


class Workers(ABC):
    """What executes the runs of one engine: as many threads as there are batches to execute.

    The threads are daemons, so that a second Ctrl-C can leave a function that hangs. Leaving the
    interpreter waits for the backfills instead.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._executing: dict[Batch, int] = {}
        self._counting = threading.Lock()
        self._num_threads = 0
        self._has_failed = False
        self._is_starting = False
        """Whether a thread has been started that has not taken its first batch yet."""

    def prepare(self) -> None:  # noqa: B027  (most have nothing to prepare)
        """Called before each submission: starts what takes long to start."""

    def notify(self) -> None:
        """Starts a thread if the engine has something to execute and no thread waits for it.

        The thread that is being started does the same when it has its batch. If each of thousands that
        end a run started another, all would wait for the interpreter, and runs for them.
        """
        if self._is_starting or not self._engine.wants_worker():
            return
        with self._counting:
            if self._is_starting:
                return
            self._is_starting = True
        try:
            self._start()
        except (
            BaseException
        ):  # Such as Ctrl-C before the thread is there: the next call tries again.
            self._is_starting = False
            raise

    @abstractmethod
    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch.

        An exception stops the backfill and leaves it resumable: a function that raises must fail its
        run instead.

        Args:
            batch: The runs; it is closed when this returns.
            program: What executes them.
        """

    @abstractmethod
    def cancel(self, backfill_key: int) -> None:
        """Stops the runs of a backfill that are being executed, at once where that is possible.

        Args:
            backfill_key: The number of the backfill in the storage. It is no longer live: what becomes
                of its runs is not recorded.
        """

    def forget(self, backfill_key: int) -> None:  # noqa: B027  (most keep nothing)
        """Drops what is kept for a backfill, which has ended; ends workers that still execute it.

        Those are there if the backfill was ended by force, and nothing that they do counts any more.

        Args:
            backfill_key: The number of the backfill in the storage.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends all workers; called when nothing is being executed any more."""

    def _start(self, batch: Batch | None = None) -> None:
        """Starts a thread; if the system starts none, the present ones go on, if there are any."""
        with self._counting:
            self._num_threads += 1
        try:
            threading.Thread(
                target=self._work_counted, args=(batch,), name="rivers-worker", daemon=True
            ).start()
        except (RuntimeError, MemoryError) as error:
            with self._counting:
                self._num_threads -= 1
                is_last = self._num_threads == 0
                self._has_failed = True
                self._is_starting = False
            if batch is not None:
                batch.close()
            if is_last:
                for key in self._engine.live():
                    self._engine.abort(key, f"no thread could be started: {error}")
            else:
                _log.warning("runs are executed in fewer threads than they might be: %s", error)

    def _work_counted(self, batch: Batch | None) -> None:
        switch_interval.count(+1)
        try:
            self._work(batch)
        finally:
            switch_interval.count(-1)
            with self._counting:
                self._num_threads -= 1
                tries_again, self._has_failed = self._has_failed, False
            if tries_again:
                self.notify()

    def _work(self, batch: Batch | None = None) -> None:
        if batch is None:
            try:
                batch = self._engine.next_batch(IDLE_TIMEOUT_SECONDS)
            finally:
                self._is_starting = False
        while batch is not None or self._engine.wants_worker():
            if batch is not None:
                self.notify()
                self._dispatch(batch)
            batch = self._engine.next_batch(IDLE_TIMEOUT_SECONDS)

    def _dispatch(self, batch: Batch) -> None:
        """Executes a batch in this thread."""
        self._executing[batch] = batch.key
        try:
            self.execute(batch, batch.program)
        except BaseException as error:  # noqa: BLE001  (`wait` raises it)
            self._abort(batch, error)
        finally:
            del self._executing[batch]
            batch.close()

    def _abort(self, batch: Batch, error: BaseException) -> None:
        """Stops a backfill, resumable: the error is one of the executor, not of a user's function."""
        _log.exception("a worker broke off")
        self._engine.abort(batch.key, f"a worker broke off: {kind_of(error)}: {message_of(error)}")
