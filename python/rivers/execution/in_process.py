"""Executes runs in this process: plain functions in threads, async functions on one event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from rivers.execution.current_call import enter_call
from rivers.execution.event_loop import PlainCalls, run_until_stopped
from rivers.execution.workers import Workers

if TYPE_CHECKING:
    from rivers._rivers import Batch, Engine
    from rivers.execution.runner import Program


class ThreadWorkers(Workers):
    """Threads of this process, and an event loop for programs with async functions."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_stopped = threading.Event()
        self._lock = threading.Lock()

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch in this thread."""
        enter_call(self._engine, batch.key)
        program.execute(batch)

    def cancel(self, backfill_key: int) -> None:
        """Does nothing: a function in a thread cannot be stopped, and no further run starts."""

    def close(self) -> None:
        """Ends the event loop; threads end by themselves."""
        with self._lock:
            loop, self._loop = self._loop, None
            self._loop_stopped.set()
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(loop.stop)

    def _dispatch(self, batch: Batch) -> None:
        """Executes a batch, or leaves it to the event loop."""
        if not batch.program.is_async:
            super()._dispatch(batch)
            return
        driver = self._drive(batch)
        try:
            asyncio.run_coroutine_threadsafe(driver, self._event_loop())
        except BaseException as error:  # noqa: BLE001  (no file descriptor or thread is left for a loop)
            driver.close()
            self._abort(batch, error)
            batch.close()

    async def _drive(self, batch: Batch) -> None:
        """Executes batches on the event loop, one after another."""
        try:
            while True:
                enter_call(self._engine, batch.key, asyncio.get_running_loop())
                try:
                    await batch.program.execute_async(batch)
                except BaseException as error:  # noqa: BLE001  (`wait` raises it)
                    self._abort(batch, error)
                finally:
                    batch.close()
                # Functions that never wait would keep the loop from all others until the last batch.
                await asyncio.sleep(0)
                following = self._engine.next_batch(0.0)
                if following is None:
                    return
                self.notify()
                batch = following
                if not batch.program.is_async:
                    self._start(batch)
                    return
        finally:
            # A thread has to wait for what is paused, and behind a run that may be slow; and a user
            # who cancels all tasks of the loop cancels this one, too.
            self.notify()

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                loop = asyncio.new_event_loop()
                # For plain functions beside async ones; threads are started as they are needed.
                loop.set_default_executor(PlainCalls())
                stopped = self._loop_stopped = threading.Event()
                thread = threading.Thread(
                    target=run_until_stopped, args=(loop, stopped.is_set), name="rivers-loop",
                    daemon=True,
                )  # fmt: skip
                try:
                    thread.start()
                except BaseException:
                    loop.close()
                    raise
                self._loop = loop
            return self._loop
