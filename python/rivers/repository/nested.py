"""Waiting for a backfill in a function that a run of the same engine executes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rivers.exceptions import ExecutionError
from rivers.execution.current_call import current_call

if TYPE_CHECKING:
    from collections.abc import Generator

    from rivers._rivers import Engine


@contextmanager
def nested_wait(engine: Engine, key: int) -> Generator[None]:
    """Lends the slots that the current run holds of the queue while it waits for a backfill.

    Outside of runs it does nothing.

    Args:
        engine: The engine that runs the backfill.
        key: The number of the backfill in the storage.

    Raises:
        ExecutionError: The wait could never end.
    """
    call = current_call(engine)
    if call is None:
        yield
        return
    engine.begin_wait(call.key, key)
    try:
        yield
    finally:
        engine.end_wait(call.key, key)


@contextmanager
def submission(engine: Engine) -> Generator[None]:
    """Has `close()` wait for what is being submitted; or, once it waits, refuses new backfills.

    Raises:
        ExecutionError: The repository is being closed, and no function of a run makes the call.
    """
    engine.begin_submission(current_call(engine) is not None)
    try:
        yield
    finally:
        engine.end_submission()


def refuse_blocking_the_loop(engine: Engine, *, is_async: bool, has_queue: bool) -> None:
    """Refuses a blocking call on the event loop of the runs that it would wait for.

    Args:
        engine: The engine.
        is_async: Whether the runs to wait for are executed on the loop.
        has_queue: Whether those runs may have to wait for others, which may be on the loop.

    Raises:
        ExecutionError: The runs could not be executed while the loop is blocked.
    """
    call = current_call(engine)
    if call is not None and call.blocks_loop and (is_async or has_queue):
        msg = (
            "a blocking call in an async function would block the event loop that has to execute its "
            "runs; await backfill_async(), or make the call in a thread (asyncio.to_thread)"
        )
        raise ExecutionError(msg)
