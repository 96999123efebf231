"""Calls that may not take longer than their timeout."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from rivers.execution.event_loop import NoThreadError, outcome_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_log = logging.getLogger("rivers")

_CANCEL_SECONDS = 1.0
"""Time that a coroutine has to end after it was canceled."""

_abandoned: set[asyncio.Task[Any]] = set()
"""Coroutines that ignored their cancellation; a task needs a reference."""

num_abandoned = 0
"""Number of threads and coroutines of this process that were abandoned."""

on_abandoned: Callable[[], object] | None = None
"""Called when one is abandoned."""


def timed_out(what: str, seconds: float, end: str) -> TimeoutError:
    """The error of a call that took too long.

    Args:
        what: What was called, such as `"the asset 'sales'"`.
        seconds: The timeout.
        end: What became of the call.
    """
    return TimeoutError(f"{what} took longer than its timeout of {seconds:g} s; {end}")


def call_in_time(
    fn: Callable[..., Any], arguments: Mapping[str, Any], seconds: float, what: str
) -> Any:
    """Calls a function in a thread of its own, and abandons that thread if it takes too long.

    Args:
        fn: The function.
        arguments: Its arguments, by keyword.
        seconds: The timeout.
        what: What is called, for the message.

    Raises:
        TimeoutError: The function has not returned within `seconds`; it goes on, and what it returns is
            dropped.
        NoThreadError: The function was not called.
    """
    outcome: list[tuple[Any, BaseException | None]] = []
    ended = threading.Event()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.append((context.run(fn, **arguments), None))
        except BaseException as error:  # noqa: BLE001  (the caller raises it)
            outcome.append((None, error))
        ended.set()

    try:
        threading.Thread(target=work, name="rivers-timed-call", daemon=True).start()
    except RuntimeError as error:
        raise NoThreadError(str(error)) from error
    if not ended.wait(seconds):
        _abandon()
        late = timed_out(what, seconds, "its thread was abandoned, and goes on until it returns")
        _log.warning("%s", late)
        raise late
    value, raised = outcome[0]
    if raised is not None:
        raise raised
    return value


async def await_in_time(coroutine: Coroutine[Any, Any, Any], seconds: float, what: str) -> Any:
    """Awaits a coroutine, and cancels it if it takes too long.

    Args:
        coroutine: The call.
        seconds: The timeout.
        what: What is called, for the message.

    Raises:
        TimeoutError: The coroutine has not returned within `seconds`. One that ignores its cancellation
            goes on, and what it returns is dropped.
    """
    began: list[float] = []

    async def call() -> Any:
        began.append(time.monotonic())
        value = await coroutine
        return value, time.monotonic()

    task = asyncio.ensure_future(call())
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            value, ended = await task
            if ended - began[0] <= seconds:
                return value
            # Nothing could stop it: a function that does not await keeps the event loop to itself.
            late = timed_out(
                what, seconds, "it kept the event loop from canceling it until it returned"
            )
            _log.warning("%s", late)
            raise late
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_SECONDS)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        end = "its coroutine was canceled"
        if not task.cancelled():
            task.exception()  # What it raised meanwhile is dropped, not warned of.
    else:
        end = "its coroutine ignored that it was canceled, and was abandoned"
        _abandon()
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)
    error = timed_out(what, seconds, end)
    _log.warning("%s", error)
    raise error


async def outcome_in_time(
    fn: Callable[..., Any], arguments: Mapping[str, Any], seconds: float | None, what: str
) -> tuple[Any, BaseException | None]:
    """As `outcome_in_thread`, for a call that may have a timeout."""
    if seconds is None:
        return await outcome_in_thread(fn, arguments)
    timed = {"fn": fn, "arguments": arguments, "seconds": seconds, "what": what}
    value, error = await outcome_in_thread(call_in_time, timed)
    if isinstance(error, NoThreadError):
        raise error
    return value, error


def _abandon() -> None:
    global num_abandoned  # noqa: PLW0603  (it describes the process)
    num_abandoned += 1
    if on_abandoned is not None:
        on_abandoned()
