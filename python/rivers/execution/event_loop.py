"""An event loop that survives what runs on it, and plain functions called beside it.

A task of a user that raises `SystemExit` or `KeyboardInterrupt`, and `loop.stop()`, end `run_forever`.
The tasks of all runs are then still there and go on when the loop is started again, so whatever ends it
fails at most the run that did.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_log = logging.getLogger("rivers")

T = TypeVar("T")

_MAX_PLAIN_CALLS = 1_024
"""Maximum number of plain functions of async programs that are called at the same time."""


_END_SECONDS = 0.5
"""Time that tasks have to end when their loop is closed."""

_WAKE_SECONDS = 1.0
"""Longest time that a loop sleeps."""

_broken: list[asyncio.AbstractEventLoop] = []
"""Loops whose files were closed; they must not be collected, which would close them."""

_abandoned: list[asyncio.Task[Any]] = []
"""Tasks of closed loops that did not end."""


class NoThreadError(RuntimeError):
    """The system starts no thread, so that a plain function could not be called: no fault of the function."""


class PlainCalls(ThreadPoolExecutor):
    """The threads that call plain functions; with fewer of them where the system starts no more."""

    def __init__(self) -> None:
        super().__init__(_MAX_PLAIN_CALLS, thread_name_prefix="rivers-plain")

    def _adjust_thread_count(self) -> None:
        """Starts a thread for the call that was queued, unless one is idle."""
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            # Any thread that exists takes the call when it has ended its own.
            if not any(thread.is_alive() for thread in self._threads):
                raise


def run_until_stopped(
    loop: asyncio.AbstractEventLoop,
    is_stopped: Callable[[], bool],
    broke: Callable[[asyncio.AbstractEventLoop, OSError], None],
) -> None:
    """Runs a loop in this thread until `is_stopped()`, whatever else ends it, and closes it.

    Args:
        loop: The loop.
        is_stopped: Whether the end is meant: set before `loop.stop` is called.
        broke: Called with the loop if it can never go on.
    """
    asyncio.set_event_loop(loop)
    _wake_regularly(loop)
    try:
        while not is_stopped() and not loop.is_closed():
            try:
                loop.run_forever()
            except OSError as error:
                # Not of a task: the loop waits in vain for its files, which other code has closed. It is not
                # closed, since their numbers may belong to other files by now.
                _broken.append(loop)
                broke(loop, error)
                return
            except BaseException as error:  # noqa: BLE001  (it was raised in a task of a user)
                _log.debug("the event loop goes on after %r", error)
    finally:
        if loop not in _broken:
            _end_tasks(loop)
            loop.close()


def _wake_regularly(loop: asyncio.AbstractEventLoop) -> None:
    """Has a loop wake up now and then: it would wait for ever for files that were closed meanwhile."""
    loop.call_later(_WAKE_SECONDS, _wake_regularly, loop)


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancels what was left on a loop; what ignores that is kept, since it cannot be collected cleanly."""
    left = asyncio.all_tasks(loop) if not loop.is_closed() else set()
    if not left:
        return
    for task in left:
        task.cancel()
    try:
        _, left = loop.run_until_complete(asyncio.wait(left, timeout=_END_SECONDS))
    except BaseException as error:  # noqa: BLE001  (it was raised in a task of a user)
        _log.debug("the event loop was ended by %r", error)
    _abandoned.extend(each for each in left if not each.done())


def run_to_end(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end and returns its result, whatever else ends the loop meanwhile."""
    task = loop.create_task(coroutine)
    while not task.done():
        try:
            loop.run_until_complete(task)
        except BaseException as error:
            # An error of the system is none of a task: the loop's files were closed.
            if task.done() or loop.is_closed() or isinstance(error, OSError):
                raise
            _log.debug("the event loop goes on after %r", error)
    return task.result()


async def outcome_in_thread(
    fn: Callable[..., Any], arguments: Mapping[str, Any]
) -> tuple[Any, BaseException | None]:
    """Calls a plain function in a thread of the running loop.

    An exception is returned, not raised: a future cannot carry a `StopIteration`.

    Args:
        fn: The function.
        arguments: Its arguments, by keyword.

    Returns:
        What it returned, or `None`; and what it raised, if anything.

    Raises:
        NoThreadError: The function was not called.
    """
    call = functools.partial(contextvars.copy_context().run, _outcome, fn, arguments)
    try:
        calling = asyncio.get_running_loop().run_in_executor(None, call)
    except RuntimeError as error:  # No thread can be started, or the interpreter is exiting.
        raise NoThreadError(str(error)) from error
    return await calling


def _outcome(
    fn: Callable[..., Any], arguments: Mapping[str, Any]
) -> tuple[Any, BaseException | None]:
    try:
        return fn(**arguments), None
    except BaseException as error:  # noqa: BLE001  (it fails the caller's run)
        return None, error
