"""Waiting for the end of a backfill: blocking, from async code, and before the interpreter exits."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivers._rivers import Engine
    from rivers.repository.runtime import Runtime

MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.001, 0.05
"""Seconds that async code sleeps between two looks at a backfill; each is twice the one before."""

_waited_for: weakref.WeakSet[Runtime] = weakref.WeakSet()
_registered: set[bool] = set()
_lock = threading.Lock()


def wait(runtime: Runtime, key: int, request_id: str, total: int, advice: str) -> None:
    """Waits for the end of a backfill or a manual run, and shows its progress.

    The first Ctrl-C cancels it and waits for the runs in flight; the second leaves it at once.

    Args:
        runtime: Runs it.
        key: Its number in the storage.
        request_id: Its id.
        total: Number of its partitions.
        advice: What the user can do after Ctrl-C.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    connection = runtime.connect()
    engine = connection.engine
    interrupted = False
    try:
        try:
            with runtime.display(request_id, total, lambda: engine.progress(key)) as line:
                while not engine.wait(key, line.update_interval()):
                    line.update()
        except KeyboardInterrupt:
            interrupted = True
            engine.cancel(request_id)
            engine.wait(key)
    except KeyboardInterrupt:
        # The second Ctrl-C, wherever the handling of the first one was.
        engine.abandon(key)
        connection.workers.cancel(key)
        msg = f"left at once; continue it with resume_backfill({request_id!r})"
        raise KeyboardInterrupt(msg) from None
    finally:
        connection.event_log.publish()
    if interrupted:
        raise KeyboardInterrupt(f"canceled; {advice}")


async def wait_async(runtime: Runtime, key: int, backfill_id: str) -> None:
    """Waits for the end of a backfill without blocking the event loop.

    Cancelling the task has the effect of Ctrl-C in `wait()`, also the second time.

    Raises:
        asyncio.CancelledError: The task was canceled.
    """
    connection = runtime.connect()
    engine = connection.engine
    canceled = False
    try:
        try:
            await _poll(engine, key)
        except asyncio.CancelledError:
            canceled = True
            engine.cancel(backfill_id)
            await _poll(engine, key)
    except asyncio.CancelledError:
        # The task was canceled a second time.
        engine.abandon(key)
        connection.workers.cancel(key)
        msg = f"left at once; continue it with resume_backfill({backfill_id!r})"
        raise asyncio.CancelledError(msg) from None
    finally:
        connection.event_log.publish()
    if canceled:
        msg = f"canceled; run the rest with rerun_backfill({backfill_id!r})"
        raise asyncio.CancelledError(msg)


async def _poll(engine: Engine, key: int) -> None:
    seconds = MIN_POLL_SECONDS
    while not engine.wait(key, 0.0):
        await asyncio.sleep(seconds)
        seconds = min(2 * seconds, MAX_POLL_SECONDS)


def wait_at_exit(runtime: Runtime, *, processes: bool) -> None:
    """Has the interpreter wait for the backfills of a runtime before it exits.

    `concurrent.futures` waits for its threads in the same way.

    Args:
        runtime: Runs the backfills.
        processes: Whether runs are executed in processes, the first of which has been started.
    """
    with _lock:
        _waited_for.add(runtime)
        if processes not in _registered:
            # `atexit` is too late: by then thread pools, which a user's function may use, refuse work.
            # What is registered last is called first, and the process pools register themselves, with
            # the first process.
            threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # noqa: SLF001
            _registered.add(processes)


def _close_all() -> None:
    try:
        for runtime in list(_waited_for):
            runtime.close()
    except KeyboardInterrupt:
        for runtime in list(_waited_for):
            runtime.abandon()
        raise
