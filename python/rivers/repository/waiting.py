"""Waiting for the end of a backfill: blocking, and from async code."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rivers.exceptions import ExecutionError
from rivers.execution.current_call import current_call
from rivers.repository.nested import nested_wait

if TYPE_CHECKING:
    from collections.abc import Generator

    from rivers._rivers import Engine
    from rivers.repository.runtime import Progress, Runtime

MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.001, 0.05
"""Seconds that async code sleeps between two looks at a backfill; each is twice the one before."""


def wait(
    runtime: Runtime, key: int, request_id: str, total: int, advice: str, left_advice: str
) -> None:
    """Waits for the end of a backfill or a manual run, and shows its progress.

    The first Ctrl-C cancels it and waits for the runs in flight; the second leaves it at once.

    Args:
        runtime: Runs it.
        key: Its number in the storage.
        request_id: Its id.
        total: Number of its partitions.
        advice: What the user can do after Ctrl-C.
        left_advice: What the user can do after a second Ctrl-C.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    connection = runtime.connect()
    engine = connection.engine
    interrupted = False
    try:
        try:
            with (
                _canceled_if_refused(engine, key, request_id),
                runtime.display(request_id, total, lambda: engine.progress(key)) as line,
            ):
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
        raise KeyboardInterrupt(f"left at once; {left_advice}") from None
    finally:
        connection.event_log.publish()
    if interrupted:
        raise KeyboardInterrupt(f"canceled; {advice}")


async def wait_async(runtime: Runtime, key: int, backfill_id: str, total: int) -> None:
    """Waits for the end of a backfill without blocking the event loop, and shows its progress.

    Cancelling the task has the effect of Ctrl-C in `wait()`, also the second time.

    Raises:
        asyncio.CancelledError: The task was canceled.
    """
    connection = runtime.connect()
    engine = connection.engine
    canceled = False
    call = current_call(engine)
    if call is not None:
        engine.begin_wait(call.key, key)
    try:
        try:
            with runtime.display(backfill_id, total, lambda: engine.progress(key)) as line:
                await _poll(engine, key, line)
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
        if connection.event_log.notifies:
            # Hooks and requests may take a while, and the loop goes on.
            await asyncio.shield(asyncio.to_thread(connection.event_log.publish))
        else:
            connection.event_log.publish()
        if call is not None:
            # It may have to wait for its slots, which the loop must not.
            await asyncio.shield(asyncio.to_thread(engine.end_wait, call.key, key))
    if canceled:
        msg = f"canceled; run the rest with rerun_backfill({backfill_id!r})"
        raise asyncio.CancelledError(msg)


@contextmanager
def _canceled_if_refused(engine: Engine, key: int, request_id: str) -> Generator[None]:
    """As `nested_wait`, but a backfill that cannot be waited for does not run either."""
    waits = nested_wait(engine, key)
    try:
        waits.__enter__()
    except ExecutionError:
        engine.cancel(request_id)
        raise
    with ExitStack() as stack:
        stack.push(waits)
        yield


async def _poll(engine: Engine, key: int, line: Progress | None = None) -> None:
    seconds = MIN_POLL_SECONDS
    updated_at = time.monotonic()
    while not engine.wait(key, 0.0):
        await asyncio.sleep(seconds)
        seconds = min(2 * seconds, MAX_POLL_SECONDS)
        interval = None if line is None else line.update_interval()
        if line is not None and interval is not None and time.monotonic() - updated_at >= interval:
            line.update()
            updated_at = time.monotonic()
