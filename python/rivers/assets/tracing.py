"""Tracing of graph assets: a function runs once on placeholders, and its task calls are recorded."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pydantic import BaseModel

_TRACE: ContextVar[list[TaskCall] | None] = ContextVar("rivers_trace", default=None)


@dataclass(frozen=True)
class Placeholder:
    """Stands for a value that exists only in a run: an input, or what a task returns.

    Attributes:
        source: The input's name, or the index of the task call.
        name: The input's or the task's name, for messages.
    """

    source: str | int
    name: str

    def __bool__(self) -> bool:
        msg = f"the value of {self.name!r} is known when the asset runs: decide on it in a task"
        raise AssetDefinitionError(msg)

    __iter__ = None  # A value that does not exist yet cannot be unpacked either.


@dataclass
class TaskCall:
    """A recorded call of a task.

    Attributes:
        name: Name of the task.
        fn: Function of the task.
        is_async: Whether `fn` is a coroutine function.
        context_param: The parameter of `fn` that receives the context, if there is one.
        config_model: The model of the context's configuration, if there is one.
        arguments: Arguments by parameter; placeholders may be inside lists, tuples and dicts.
    """

    name: str
    fn: Callable[..., Any]
    is_async: bool
    context_param: str | None
    config_model: type[BaseModel] | None
    arguments: dict[str, Any]


def current_trace() -> list[TaskCall] | None:
    """Returns the calls recorded so far; `None` unless a graph asset is being traced."""
    return _TRACE.get()


@contextmanager
def tracing() -> Generator[list[TaskCall]]:
    """Records calls of tasks instead of executing them."""
    calls: list[TaskCall] = []
    token = _TRACE.set(calls)
    try:
        yield calls
    finally:
        _TRACE.reset(token)


def placeholders(value: Any) -> list[Placeholder]:
    """Returns the placeholders in a value, also those inside lists, tuples and dicts."""
    if isinstance(value, Placeholder):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        return [found for part in parts for found in placeholders(part)]
    return []


def fill(value: Any, values: dict[str | int, Any]) -> Any:
    """Returns the value with each placeholder replaced by the value of its source."""
    if isinstance(value, Placeholder):
        return values[value.source]
    if not placeholders(value):
        return value
    if isinstance(value, dict):
        return {key: fill(part, values) for key, part in value.items()}
    return type(value)([fill(part, values) for part in value])


def bind_arguments(
    fn: Callable[..., Any], context_param: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of a call by parameter, without the context.

    Raises:
        TypeError: They do not fit the function.
    """
    signature = inspect.signature(fn)
    others = [p for name, p in signature.parameters.items() if name != context_param]
    return signature.replace(parameters=others).bind(*args, **kwargs).arguments
