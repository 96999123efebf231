"""Executes runs in this process: plain functions in threads, async functions on one event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from rivers.execution.current_call import enter_call
from rivers.execution.event_loop import PlainCalls, run_until_stopped
from rivers.execution.workers import Workers

_log = logging.getLogger("rivers")

_LOOP_RESPONSE_SECONDS = 1.0
"""Time after which an event loop that does not respond is regarded as blocked."""

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
        self._tasks: dict[asyncio.Task[None], Batch] = {}
        self._waiting: dict[Batch, asyncio.AbstractEventLoop] = {}
        """Batches that a loop has not begun."""

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch in this thread."""
        enter_call(self._engine, batch.key)
        program.execute(batch)

    def cancel(self, backfill_key: int) -> None:
        """Does nothing: a function in a thread cannot be stopped, and no further run starts."""

    def forget(self, backfill_key: int) -> None:
        """Cancels the coroutines that still execute a backfill that has ended; abandons its threads."""
        with self._lock:
            loop = self._loop
            tasks = [task for task, of in self._tasks.items() if of.key == backfill_key]
        if loop is not None and not loop.is_closed():
            for task in tasks:
                loop.call_soon_threadsafe(self._cancel, task, backfill_key)
            if tasks:
                threading.Thread(
                    target=self._replace_if_blocked, args=(loop,), name="rivers-loop-check",
                    daemon=True,
                ).start()  # fmt: skip
        num_threads = sum(key == backfill_key for key in list(self._executing.values()))
        if tasks or num_threads:
            _log.warning(
                "a backfill was ended by force: %d coroutines were canceled and %d threads abandoned, "
                "whose functions go on until they return", len(tasks), num_threads,
            )  # fmt: skip

    def close(self) -> None:
        """Ends the event loop; threads end by themselves."""
        with self._lock:
            loop, self._loop = self._loop, None
            self._loop_stopped.set()
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(loop.stop)

    def _cancel(self, task: asyncio.Task[None], backfill_key: int) -> None:
        if task in self._tasks and self._tasks[task].key == backfill_key:
            task.cancel()

    def _replace_if_blocked(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has new runs executed on a new loop, if a function that never awaits blocks this one."""
        responds = threading.Event()
        loop.call_soon_threadsafe(responds.set)
        if responds.wait(_LOOP_RESPONSE_SECONDS):
            return
        with self._lock:
            if self._loop is loop:
                self._loop = None
                _log.warning("an async function blocks the event loop; other runs get a new one")

    def _dispatch(self, batch: Batch) -> None:
        """Executes a batch, or leaves it to the event loop."""
        if not batch.program.is_async:
            super()._dispatch(batch)
            return
        has_begun = threading.Event()
        driver = self._drive(batch, has_begun)
        try:
            loop = self._event_loop()
            self._waiting[batch] = loop
            driving = asyncio.run_coroutine_threadsafe(driver, loop)
        except BaseException as error:  # noqa: BLE001  (no file descriptor or thread is left for a loop)
            driver.close()
            self._waiting.pop(batch, None)
            self._abort(batch, error)
            batch.close()
            return
        driving.add_done_callback(lambda _: self._give_back(batch, has_begun))

    def _give_back(self, batch: Batch, has_begun: threading.Event) -> None:
        """Returns the runs of a batch whose task a user's function has canceled before it began."""
        if not has_begun.is_set():
            self._waiting.pop(batch, None)
            batch.close()
            self.notify()

    async def _drive(self, batch: Batch, has_begun: threading.Event) -> None:
        """Executes batches on the event loop, one after another."""
        has_begun.set()
        self._waiting.pop(batch, None)
        task = asyncio.current_task()
        if task is None:
            raise AssertionError  # It is a task's coroutine.
        try:
            while True:
                self._tasks[task] = batch
                enter_call(self._engine, batch.key, asyncio.get_running_loop())
                try:
                    await batch.program.execute_async(batch)
                except BaseException as error:  # noqa: BLE001  (`wait` raises it)
                    self._abort(batch, error)
                finally:
                    self._tasks.pop(task, None)
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
            self._tasks.pop(task, None)
            # A thread has to wait for what is paused, and behind a run that may be slow; and a user
            # who cancels all tasks of the loop cancels this one, too.
            self.notify()

    def _broke(self, loop: asyncio.AbstractEventLoop, error: OSError) -> None:
        """Stops what a loop executes that cannot go on: its coroutines stay where they are."""
        with self._lock:
            if self._loop is loop:
                self._loop = None
        batches = [batch for task, batch in list(self._tasks.items()) if task.get_loop() is loop]
        batches += [batch for batch, of in list(self._waiting.items()) if of is loop]
        for batch in batches:
            self._abort(batch, error)
            batch.close()
        self.notify()

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                loop = asyncio.new_event_loop()
                # For plain functions beside async ones; threads are started as they are needed.
                loop.set_default_executor(PlainCalls())
                stopped = self._loop_stopped = threading.Event()
                thread = threading.Thread(
                    target=run_until_stopped, args=(loop, stopped.is_set, self._broke),
                    name="rivers-loop", daemon=True,
                )  # fmt: skip
                try:
                    thread.start()
                except BaseException:
                    loop.close()
                    raise
                self._loop = loop
            return self._loop
