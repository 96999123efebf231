"""What a function returned is refused if it is no value: a call that has not happened yet."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from rivers.exceptions import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable


def is_coroutine_callable(fn: Callable[..., Any]) -> bool:
    """Returns whether a call must be awaited: also that of an object with an async `__call__`."""
    return inspect.iscoroutinefunction(fn) or (
        not inspect.isroutine(fn)
        and not inspect.isclass(fn)
        and inspect.iscoroutinefunction(getattr(type(fn), "__call__", None))  # noqa: B004
    )


def refuse_pending(value: Any, what: str) -> None:
    """Refuses an awaitable, whose body has not run or whose result is not there yet.

    Args:
        value: What a function returned.
        what: What the function belongs to, for the message: `"the asset 'sales'"`.

    Raises:
        ExecutionError: Nothing has awaited the value. A coroutine is closed.
    """
    kind = type(value)
    if not hasattr(kind, "__await__"):
        return
    if inspect.iscoroutine(value):
        value.close()
    msg = (
        f"{what} returned an awaitable ({kind.__name__}) that was never awaited, so there is no value: "
        "declare the function itself with 'async def', also where a decorator wraps it, or await the "
        "call inside it"
    )
    raise ExecutionError(msg)


def refuse_unconsumed(value: Any, what: str) -> None:
    """Refuses what is not a value yet: an awaitable, a generator or another iterator.

    Args:
        value: What a function returned.
        what: What the function belongs to, for the message: `"the asset 'sales'"`.

    Raises:
        ExecutionError: It is one of these. The message says what to return instead.
    """
    refuse_pending(value, what)
    kind = type(value)
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
        state = (
            "whose body has not run"
            if inspect.isgenerator(value) or inspect.isasyncgen(value)
            else "which can be read only once"
        )
        msg = (
            f"{what} returned an iterator ({kind.__name__}), {state}: it cannot be stored as a value; "
            "return the values themselves, such as list(...)"
        )
        raise ExecutionError(msg)
