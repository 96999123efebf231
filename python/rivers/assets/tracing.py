"""Tracing of graph assets: a function runs once on placeholders, and its task calls are recorded."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from rivers.assets.signature import Signature
    from rivers.execution.compute import Compute
    from rivers.io.base import BaseIOHandler
    from rivers.policies.retry import RetryPolicy

_TRACE: ContextVar[Trace | None] = ContextVar("rivers_trace", default=None)


@dataclass(frozen=True)
class Placeholder:
    """Stands for a value that exists only in a run: that of an asset, or what a task returns.

    Attributes:
        source: The asset's name, or the index of the task call.
        name: The asset's or the task's name, for messages.
        is_optional: Whether the argument is left out if there is no such asset.
    """

    source: str | int
    name: str
    is_optional: bool = False

    def __bool__(self) -> bool:
        msg = f"the value of {self.name!r} is known when the asset runs: decide on it in a task"
        raise AssetDefinitionError(msg)

    __iter__ = None  # A value that does not exist yet cannot be unpacked either.


@dataclass
class TaskCall:
    """A recorded call of a task.

    Attributes:
        name: Name of the task, with a number if the graph asset calls it more than once.
        fn: Function of the task.
        is_async: Whether `fn` is a coroutine function.
        signature: Parameters of `fn`.
        arguments: Arguments by parameter; placeholders may be inside lists, tuples and dicts.
        io_handler: Stores what the task returns; `None`: nothing does.
        retry: Whether and when the task alone is retried: a policy, or the name of one.
        timeout: Maximum duration of a call, in seconds; `None`: for ever.
        task_name: Name of the task, without a number.
        tags: Tags of the task.
        compute: What the task needs of the machine that executes it; `None`: the default.
    """

    name: str
    fn: Callable[..., Any]
    is_async: bool
    signature: Signature
    arguments: dict[str, Any]
    io_handler: BaseIOHandler | str | None = None
    retry: RetryPolicy | str | None = None
    timeout: float | None = None
    task_name: str = ""
    tags: Mapping[str, str] | Iterable[str] | None = None
    compute: Compute | None = None


@dataclass
class Trace:
    """What a graph asset's function does while it is traced.

    Attributes:
        calls: The recorded calls of tasks.
        signature: The assets that the function and its tasks take.
    """

    signature: Signature
    calls: list[TaskCall] = field(default_factory=list)

    def take(self, name: str, *, is_optional: bool = False) -> Placeholder:
        """Returns a placeholder for the value of an asset, which becomes an input."""
        if name not in self.signature.inputs:
            self.signature.inputs.append(name)
            if is_optional:
                self.signature.optional_inputs.add(name)
        elif not is_optional:
            self.signature.optional_inputs.discard(name)
        return Placeholder(name, name, is_optional)

    def record(self, call: TaskCall) -> Placeholder:
        """Records a call, and returns a placeholder for what it will return."""
        for parameter in call.signature.inputs:
            if parameter not in call.arguments:
                is_optional = parameter in call.signature.optional_inputs
                call.arguments[parameter] = self.take(parameter, is_optional=is_optional)
        name, names = call.name, {other.name for other in self.calls}
        number = 1
        while call.name in names:
            number += 1
            call.name = f"{name}_{number}"
        self.calls.append(call)
        return Placeholder(len(self.calls) - 1, name)


def current_trace() -> Trace | None:
    """Returns the trace of the graph asset that is being traced; `None` outside of one."""
    return _TRACE.get()


@contextmanager
def tracing(signature: Signature) -> Generator[Trace]:
    """Records calls of tasks instead of executing them."""
    trace = Trace(signature)
    token = _TRACE.set(trace)
    try:
        yield trace
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
    fn: Callable[..., Any],
    context_param: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    """Returns the arguments of a call by parameter, without the context; some may be missing.

    Raises:
        TypeError: They do not fit the function.
    """
    signature = inspect.signature(fn)
    others = [p for name, p in signature.parameters.items() if name != context_param]
    return signature.replace(parameters=others).bind_partial(*args, **kwargs).arguments
