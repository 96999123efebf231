"""Threads that take batches of runs from the engine and have them executed."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rivers.execution.parallel import Processes

if TYPE_CHECKING:
    from rivers._rivers import Batch, Engine
    from rivers.execution.runner import Program

_log = logging.getLogger("rivers")

_PATIENCE = 1.0
"""Seconds that a thread waits for work before it ends."""

_MOST_PLAIN = 1_024
"""Most plain functions of async programs that are called at once."""


class Workers:
    """As many threads as have something to do.

    They are daemons, so that a second Ctrl-C can leave a function that hangs; who leaves the
    interpreter waits for the backfills, not for the threads.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._processes: Processes | None = None

    def call(self) -> None:
        """There is something to do."""
        if self._engine.wants_worker():
            self._start()

    def start_processes(self) -> None:
        """Has a first worker process started, if there is none."""
        self._process_pool()

    def kill(self, key: int) -> None:
        """Ends the processes that execute runs of a backfill, at once."""
        if self._processes is not None:
            self._processes.kill(key)

    def close(self) -> None:
        """Ends the event loop and the processes; nothing is being executed any more."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None
            if self._processes is not None:
                self._processes.close()
                self._processes = None

    def _start(self, batch: Batch | None = None) -> None:
        threading.Thread(
            target=self._work, args=(batch,), name="rivers-worker", daemon=True
        ).start()

    def _work(self, batch: Batch | None = None) -> None:
        while True:
            batch = batch or self._engine.take(_PATIENCE)
            if batch is None:
                if self._engine.wants_worker():
                    continue
                return
            self.call()
            program: Program = batch.program
            if program.max_workers is None and program.is_async:
                asyncio.run_coroutine_threadsafe(self._drive(batch), self._event_loop())
            else:
                self._execute(batch, program)
            batch = None

    def _execute(self, batch: Batch, program: Program) -> None:
        try:
            if program.max_workers is None:
                program.execute(batch)
            else:
                self._process_pool().execute(batch, program)
        except BaseException as error:  # noqa: BLE001  (told to who waits)
            self._break_off(batch, error)
        finally:
            batch.close()

    def _break_off(self, batch: Batch, error: BaseException) -> None:
        """What is no failure of a function is one of ours: the backfill stops, resumable."""
        _log.exception("a worker broke off")
        self._engine.break_off(batch.key, f"a worker broke off: {type(error).__name__}: {error}")

    async def _drive(self, batch: Batch) -> None:
        """Executes batches on the event loop, one after another."""
        while True:
            try:
                await batch.program.execute_async(batch)
            except BaseException as error:  # noqa: BLE001  (told to who waits)
                self._break_off(batch, error)
            finally:
                batch.close()
            # Functions that never wait would hold the loop from all others until the last batch.
            await asyncio.sleep(0)
            following = self._engine.take(0.0)
            # Somebody has to wait for what is paused, and behind a run that may be slow.
            self.call()
            if following is None:
                return
            batch = following
            if batch.program.max_workers is not None or not batch.program.is_async:
                self._start(batch)
                return

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # Plain functions beside async ones; threads are made as they are needed.
                plain = ThreadPoolExecutor(_MOST_PLAIN, thread_name_prefix="rivers-plain")
                self._loop.set_default_executor(plain)
                threading.Thread(
                    target=_run_loop, args=(self._loop,), name="rivers-loop", daemon=True
                ).start()
            return self._loop

    def _process_pool(self) -> Processes:
        with self._lock:
            if self._processes is None:
                self._processes = Processes(self._engine.workers_file)
            return self._processes


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
