"""Executes runs in this process: plain functions in threads, async functions on one event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rivers.execution.workers import Workers

if TYPE_CHECKING:
    from rivers._rivers import Batch, Engine
    from rivers.execution.runner import Program

_MAX_PLAIN_CALLS = 1_024
"""Maximum number of plain functions of async programs that are called at the same time."""


class ThreadWorkers(Workers):
    """Threads of this process, and an event loop for programs with async functions."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch in this thread."""
        program.execute(batch)

    def cancel(self, backfill_key: int) -> None:
        """Does nothing: a function in a thread cannot be stopped, and no further run starts."""

    def close(self) -> None:
        """Ends the event loop; threads end by themselves."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None

    def _dispatch(self, batch: Batch) -> None:
        """Executes a batch, or leaves it to the event loop."""
        if batch.program.is_async:
            asyncio.run_coroutine_threadsafe(self._drive(batch), self._event_loop())
        else:
            super()._dispatch(batch)

    async def _drive(self, batch: Batch) -> None:
        """Executes batches on the event loop, one after another."""
        while True:
            try:
                await batch.program.execute_async(batch)
            except BaseException as error:  # noqa: BLE001  (`wait` raises it)
                self._abort(batch, error)
            finally:
                batch.close()
            # Functions that never wait would keep the loop from all others until the last batch.
            await asyncio.sleep(0)
            following = self._engine.next_batch(0.0)
            # A thread has to wait for what is paused, and behind a run that may be slow.
            self.notify()
            if following is None:
                return
            batch = following
            if not batch.program.is_async:
                self._start(batch)
                return

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # For plain functions beside async ones; threads are started as they are needed.
                plain = ThreadPoolExecutor(_MAX_PLAIN_CALLS, thread_name_prefix="rivers-plain")
                self._loop.set_default_executor(plain)
                threading.Thread(
                    target=_run_loop, args=(self._loop,), name="rivers-loop", daemon=True
                ).start()
            return self._loop


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
