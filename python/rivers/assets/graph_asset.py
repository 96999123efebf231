"""Graph assets: one asset, made by several tasks."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from rivers.assets.signature import Signature, read_signature
from rivers.assets.traced_function import TracedFunction
from rivers.assets.tracing import (
    Placeholder,
    TaskCall,
    bind_arguments,
    current_trace,
    placeholders,
    tracing,
)
from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable


class Task:
    """A part of a graph asset (`Asset.from_graph`): a function that several graph assets can use.

    Used as a decorator, bare or with a name. A parameter named `context`, or annotated with
    `AssetExecutionContext`, receives the asset's context. `async def` works. Called outside a graph
    asset, a task is its function.

    Args:
        fn: The function.
        name: Name of the task; by default the function's.

    Raises:
        AssetDefinitionError: `fn` is not a function, or has `*args`, `**kwargs` or positional-only
            parameters.

    Example:
        >>> import rivers as rs
        >>> @rs.Task
        ... def clean(rows: list[int]) -> list[int]:
        ...     return [row for row in rows if row > 0]
        >>> @rs.Task(name="total")
        ... def add_up(rows: list[int], start: int) -> int:
        ...     return sum(rows, start)
        >>> @rs.Asset
        ... def measured() -> list[int]:
        ...     return [3, -1, 4]
        >>> @rs.Asset.from_graph
        ... def total(measured):
        ...     return add_up(clean(measured), start=100)
        >>> repo = rs.CodeRepository([measured, total]).resolve(rs.Storage.memory())
        >>> repo.materialize().success, repo.load_node("total")
        (True, 107)
    """

    def __init__(self, fn: Callable[..., Any] | None = None, *, name: str | None = None) -> None:
        if fn is not None and not callable(fn):
            msg = f"@Task decorates a function, got {fn!r}; its name is a keyword"
            raise AssetDefinitionError(msg)
        if name is not None and (not isinstance(name, str) or not name):
            msg = f"name of a task must be a str, got {name!r}"
            raise AssetDefinitionError(msg)
        self._name = name
        self.fn = fn
        if fn is None:
            return
        self.name = name or str(getattr(fn, "__name__", "task"))
        self.is_async = inspect.iscoroutinefunction(fn)
        self.signature = read_signature(fn, f"the task {self.name!r}")
        functools.update_wrapper(self, fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decorates a function, records a call while a graph asset is traced, or calls the function."""
        if self.fn is None:
            if len(args) != 1 or kwargs or not callable(args[0]):
                msg = "@Task(...) decorates a function"
                raise AssetDefinitionError(msg)
            return Task(args[0], name=self._name)
        trace = current_trace()
        if trace is None:
            return self.fn(*args, **kwargs)
        read = self.signature
        try:
            arguments = bind_arguments(self.fn, read.context_param, args, kwargs)
        except TypeError as error:
            msg = f"the task {self.name!r} is not called as it is defined: {error}"
            raise AssetDefinitionError(msg) from None
        trace.append(
            TaskCall(
                self.name, self.fn, self.is_async, read.context_param, read.config_model, arguments
            )
        )
        return Placeholder(len(trace) - 1, self.name)

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>" if self.fn is not None else "<Task without a function>"


def trace_graph(fn: Callable[..., Any], name: str) -> tuple[Callable[..., Any], bool, Signature]:
    """Traces the function of a graph asset.

    Args:
        fn: The function; it is called once, with a placeholder for each parameter.
        name: Name of the asset.

    Returns:
        A function that executes the recorded calls, whether it is a coroutine function, and what it
        takes.

    Raises:
        AssetDefinitionError: The function takes a context, is async, uses a value other than by
            passing it to a task, or returns nothing that a task returned; or two of its tasks take
            different configurations.
    """
    read = read_signature(fn, f"the asset {name!r}")
    if read.context_param is not None or inspect.iscoroutinefunction(fn):
        msg = (
            f"the graph asset {name!r} takes a context or is async, but its function is called "
            "once, when it is defined: have its tasks take the context or be async"
        )
        raise AssetDefinitionError(msg)
    with tracing() as calls:
        result = _call_with_placeholders(fn, name, read.inputs)
    if not placeholders(result):
        msg = (
            f"the graph asset {name!r} must return what a task gave, got {result!r}; its value is "
            "computed in each run, by tasks"
        )
        raise AssetDefinitionError(msg)
    models = {call.config_model for call in calls} - {None}
    if len(models) > 1:
        msg = f"the tasks of the graph asset {name!r} take different configs: {models}"
        raise AssetDefinitionError(msg)
    context_param = "context" if any(call.context_param for call in calls) else None
    signature = Signature(
        read.inputs, read.optional_inputs, context_param, next(iter(models), None)
    )
    traced = TracedFunction(name, calls, result, context_param)
    is_async = any(call.is_async for call in calls)
    return traced.call_async if is_async else traced, is_async, signature


def _call_with_placeholders(fn: Callable[..., Any], name: str, inputs: list[str]) -> Any:
    try:
        return fn(**{parameter: Placeholder(parameter, parameter) for parameter in inputs})
    except (TypeError, AttributeError) as error:
        msg = (
            f"the graph asset {name!r} does something with a value besides giving it to a task, "
            f"but values exist only in a run: {error}"
        )
        raise AssetDefinitionError(msg) from error
