"""Graph assets: one asset, made by several tasks."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from rivers.assets.asset import Asset
from rivers.assets.signature import read_signature
from rivers.assets.tracing import Call, Composed, Later, bound, laters, noted, noting
from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable


class Task:
    """A step inside a graph asset (`Asset.from_graph`): a function of its own, used again anywhere.

    Used as a decorator, bare or with a name. A parameter named `context`, or annotated with
    `AssetExecutionContext`, gets the asset's context; `async def` works. Called outside a graph
    asset, a task is its function.

    Args:
        fn: The function.
        name: The task's name; the function's by default.

    Raises:
        AssetDefinitionError: It is no function, or has `*args`, `**kwargs` or positional-only
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
        """Decorate a function; or note a call in a graph asset; or call the function."""
        if self.fn is None:
            if len(args) != 1 or kwargs or not callable(args[0]):
                msg = "@Task(...) decorates a function"
                raise AssetDefinitionError(msg)
            return Task(args[0], name=self._name)
        calls = noted()
        if calls is None:
            return self.fn(*args, **kwargs)
        read = self.signature
        try:
            arguments = bound(self.fn, read.context_param, args, kwargs)
        except TypeError as error:
            msg = f"the task {self.name!r} is not called as it is defined: {error}"
            raise AssetDefinitionError(msg) from None
        calls.append(
            Call(
                self.name, self.fn, self.is_async, read.context_param, read.config_model, arguments
            )
        )
        return Later(len(calls) - 1, self.name)

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>" if self.fn is not None else "<Task without a function>"


class GraphAsset(Asset):
    """What `Asset.from_graph` makes."""

    def _bind(self, fn: Callable[..., Any] | None) -> None:
        super()._bind(fn)
        if fn is None:
            return
        if self.context_param is not None or self.is_async:
            msg = (
                f"the graph asset {self.name!r} takes a context or is async, but its function is called "
                "once, when it is defined: have its tasks take the context or be async"
            )
            raise AssetDefinitionError(msg)
        with noting() as calls:
            result = self._compose(fn)
        if not laters(result):
            msg = (
                f"the graph asset {self.name!r} must return what a task gave, got {result!r}; what it "
                "returns is worked out in each run, by tasks"
            )
            raise AssetDefinitionError(msg)
        self.is_async = any(call.is_async for call in calls)
        if any(call.context_param is not None for call in calls):
            self.context_param = "context"
        models = {call.config_model for call in calls} - {None}
        if len(models) > 1:
            msg = f"the tasks of the graph asset {self.name!r} take different configs: {models}"
            raise AssetDefinitionError(msg)
        self.config_model = next(iter(models), None)
        composed = Composed(self.name, calls, result, self.context_param)
        self.step_fn = composed.call_async if self.is_async else composed

    def _compose(self, fn: Callable[..., Any]) -> Any:
        try:
            return fn(**{name: Later(name, name) for name in self.inputs})
        except (TypeError, AttributeError) as error:
            msg = (
                f"the graph asset {self.name!r} does something with a value besides giving it to a task, "
                f"but values are there only when it runs: {error}"
            )
            raise AssetDefinitionError(msg) from error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decorate a function, or make the asset's value from its inputs."""
        if self.fn is None or noted() is not None:
            return super().__call__(*args, **kwargs)
        return self.step_fn(**bound(self.fn, None, args, kwargs))
