"""The calls of a graph asset: noted once, when it is defined, and made in each run."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pydantic import BaseModel

_Known = dict[str | int, Any]
"""Inputs by name, and what calls gave by number."""

_NOTED: ContextVar[list[Call] | None] = ContextVar("rivers_noted", default=None)


@dataclass(frozen=True)
class Later:
    """A value that is there when the asset runs: an input, or the output of a task.

    Attributes:
        source: The input's name, or the number of the call.
        name: What it is called in messages.
    """

    source: str | int
    name: str

    def __bool__(self) -> bool:
        msg = f"the value of {self.name!r} is known when the asset runs: decide on it in a task"
        raise AssetDefinitionError(msg)

    __iter__ = None  # Nor can it be unpacked.


@dataclass
class Call:
    """A task's call, with `Later`s among its arguments, also in lists, tuples and dicts."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    context_param: str | None
    config_model: type[BaseModel] | None
    arguments: dict[str, Any]


def noted() -> list[Call] | None:
    """The calls noted so far, while a graph asset is being defined."""
    return _NOTED.get()


@contextmanager
def noting() -> Generator[list[Call]]:
    """Notes calls of tasks instead of making them."""
    calls: list[Call] = []
    token = _NOTED.set(calls)
    try:
        yield calls
    finally:
        _NOTED.reset(token)


def laters(value: Any) -> list[Later]:
    """What of a value is there only when the asset runs."""
    if isinstance(value, Later):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        return [later for part in parts for later in laters(part)]
    return []


def _filled(value: Any, known: _Known) -> Any:
    if isinstance(value, Later):
        return known[value.source]
    if not laters(value):
        return value
    if isinstance(value, dict):
        return {key: _filled(part, known) for key, part in value.items()}
    return type(value)([_filled(part, known) for part in value])


@dataclass
class Composed:
    """The function of a graph asset: makes the calls in the order in which they were noted.

    Attributes:
        name: The asset.
        calls: The calls.
        result: The asset's value, in terms of them.
        context_param: The argument that is the context.
    """

    name: str
    calls: list[Call]
    result: Any
    context_param: str | None

    def __call__(self, **inputs: Any) -> Any:
        """The value for these inputs."""
        known, context = self._begin(inputs)
        for number, call in enumerate(self.calls):
            with self._noted_in(call):
                known[number] = call.fn(**_arguments(call, known, context))
        return _filled(self.result, known)

    async def call_async(self, **inputs: Any) -> Any:
        """The same where a task is async; plain ones are called in a thread."""
        known, context = self._begin(inputs)
        for number, call in enumerate(self.calls):
            with self._noted_in(call):
                arguments = _arguments(call, known, context)
                if call.is_async:
                    known[number] = await call.fn(**arguments)
                else:
                    known[number] = await asyncio.to_thread(call.fn, **arguments)
        return _filled(self.result, known)

    def _begin(self, inputs: dict[str, Any]) -> tuple[_Known, Any]:
        context = inputs.pop(self.context_param) if self.context_param else None
        return dict(inputs.items()), context

    @contextmanager
    def _noted_in(self, call: Call) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            error.add_note(f"in the task {call.name!r} of the asset {self.name!r}")
            raise


def _arguments(call: Call, known: _Known, context: Any) -> dict[str, Any]:
    arguments = {name: _filled(value, known) for name, value in call.arguments.items()}
    if call.context_param is not None:
        arguments[call.context_param] = context
    return arguments


def bound(
    fn: Callable[..., Any], context_param: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name, but for the context.

    Raises:
        TypeError: They do not fit the function.
    """
    signature = inspect.signature(fn)
    others = [p for name, p in signature.parameters.items() if name != context_param]
    return signature.replace(parameters=others).bind(*args, **kwargs).arguments
