"""Tasks, and graph assets that they make."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, overload

from rivers._text import did_you_mean, listed
from rivers._validation import check_timeout
from rivers.assets.asset_def import read_tags
from rivers.assets.options import R
from rivers.assets.signature import Signature, read_signature
from rivers.assets.traced_function import TracedFunction
from rivers.assets.tracing import (
    Placeholder,
    TaskCall,
    Trace,
    bind_arguments,
    current_trace,
    placeholders,
    tracing,
)
from rivers.exceptions import (
    AssetDefinitionError,
    AssetNotFoundError,
    ExecutionError,
    TaskDefinitionError,
)
from rivers.execution.compute import Compute
from rivers.execution.returned import is_coroutine_callable
from rivers.io.base import BaseIOHandler
from rivers.policies.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from rivers.assets.options import R2, TaskOptions, Undecorated
    from rivers.assets.step_def import StepDef


class Task(Generic[R]):
    """A part of a graph asset (`Asset.from_graph`): a function that several graph assets can use.

    Used as a decorator, bare or with arguments. A parameter named `context`, or annotated with
    `AssetExecutionContext`, receives the asset's context. A parameter that the graph asset's function
    does not fill takes the value of the asset of that name; if there is no such asset, its default.
    `async def` works. Called outside a graph asset, a task is its function.

    Args:
        fn: The function, or the task's name.
        tags: Free labels.
        io_handler: Stores what the task returns, under the name `asset/task`. It takes precedence over
            the `node_io_handler` of `Asset.from_graph`.
        retry: Whether and when this task alone is retried, without the tasks before it; the run waits
            for it. A policy, or the name of one in `CodeRepository(retries=)`.
        timeout: Maximum duration of a call of the function, in seconds, as for `Asset`.
        name: Name of the task; by default the function's.
        compute: What the task needs of the machine that executes it, as for `Asset`. The run executes
            all tasks in one worker, which has the largest amount of each resource that one of them needs.

    Raises:
        TaskDefinitionError: An argument is invalid, or `fn` has `*args`, `**kwargs` or positional-only
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

    @overload
    def __init__(self: Task[R2], fn: Callable[..., R2], **options: Unpack[TaskOptions]) -> None: ...

    @overload
    def __init__(
        self: Task[Undecorated],
        fn: str | None = None,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        io_handler: BaseIOHandler | str | None = None,
        retry: RetryPolicy | str | None = None,
        *,
        name: str | None = None,
        timeout: float | None = None,
        compute: Mapping[str, Any] | None = None,
    ) -> None: ...

    def __init__(
        self,
        fn: Callable[..., Any] | str | None = None,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        io_handler: BaseIOHandler | str | None = None,
        retry: RetryPolicy | str | None = None,
        *,
        name: str | None = None,
        timeout: float | None = None,
        compute: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(fn, str):
            if name is not None:
                msg = f"the name of a task is given twice, as {fn!r} and as {name!r}"
                raise TaskDefinitionError(msg)
            fn, name = None, fn
        if fn is not None and not callable(fn):
            msg = f"@Task decorates a function or takes the task's name, got {fn!r}"
            raise TaskDefinitionError(msg)
        if name is not None and (not isinstance(name, str) or not name):
            msg = f"name of a task must be a str, got {name!r}"
            raise TaskDefinitionError(msg)
        for option, value, kind in (
            ("io_handler", io_handler, BaseIOHandler | str),
            ("retry", retry, RetryPolicy | str),
        ):
            if value is not None and not isinstance(value, kind):
                expected = "RetryPolicy" if option == "retry" else "BaseIOHandler"
                msg = f"{option} of a task must be a {expected} or its name, got {value!r}"
                raise TaskDefinitionError(msg)
        self._options: TaskOptions = {
            "name": name,
            "tags": tags,
            "io_handler": io_handler,
            "retry": retry,
            "timeout": timeout,
            "compute": compute,
        }
        self.tags = read_tags(tags)
        self.io_handler = io_handler
        self.retry = retry
        self.timeout = check_timeout("timeout", timeout)
        self.compute = Compute.read("a task" if name is None else f"the task {name!r}", compute)
        self.fn = fn
        if fn is None:
            return
        self.name = name or str(getattr(fn, "__name__", "task"))
        self.is_async = is_coroutine_callable(fn)
        self.signature = read_signature(fn, f"the task {self.name!r}", TaskDefinitionError)
        functools.update_wrapper(self, fn, updated=())  # Its attributes are not the task's.

    @overload
    def __call__(self: Task[Undecorated], fn: Callable[..., R2], /) -> Task[R2]: ...

    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> R: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decorates a function, records a call while a graph asset is traced, or calls the function."""
        if self.fn is None:
            if len(args) != 1 or kwargs or not callable(args[0]):
                msg = "@Task(...) decorates a function"
                raise TaskDefinitionError(msg)
            return Task(args[0], **self._options)
        trace = current_trace()
        if trace is None:
            return self.fn(*args, **kwargs)
        try:
            arguments = bind_arguments(self.fn, self.signature.context_param, args, kwargs)
        except TypeError as error:
            msg = f"the task {self.name!r} is not called as it is defined: {error}"
            raise AssetDefinitionError(msg) from None
        return trace.record(
            TaskCall(
                self.name,
                self.fn,
                self.is_async,
                self.signature,
                arguments,
                self.io_handler,
                self.retry,
                self.timeout,
                self.name,
                self.tags,
                self.compute,
            )
        )

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>" if self.fn is not None else "<Task without a function>"


def trace_graph(
    fn: Callable[..., Any], name: str, node_io_handler: BaseIOHandler | str | None
) -> tuple[TracedFunction, Signature]:
    """Traces the function of a graph asset.

    Args:
        fn: The function; it is called once, with a placeholder for each parameter.
        name: Name of the asset.
        node_io_handler: Stores what each task returns, unless the task has a handler of its own.

    Returns:
        The recorded calls as a function, and the parameters it takes.

    Raises:
        AssetDefinitionError: The function takes a context, is async, uses a value other than by
            passing it to a task, or returns nothing that a task returned; or two of its tasks take
            different configurations.
    """
    signature = read_signature(fn, f"the asset {name!r}")
    if signature.context_param is not None or is_coroutine_callable(fn):
        msg = (
            f"the graph asset {name!r} takes a context or is async, but its function is called "
            "once, when it is defined: have its tasks take the context or be async"
        )
        raise AssetDefinitionError(msg)
    with tracing(signature) as trace:
        result = _call_with_placeholders(fn, name, list(signature.inputs))
    if not placeholders(result):
        msg = (
            f"the graph asset {name!r} must return what a task returned, got {result!r}; its value is "
            "computed in each run, by tasks"
        )
        raise AssetDefinitionError(msg)
    for call in trace.calls:
        call.io_handler = call.io_handler or node_io_handler
    signature.config_model = _config_model(name, trace)
    if any(call.signature.context_param or call.io_handler for call in trace.calls):
        signature.context_param = "context"
    return TracedFunction(name, trace.calls, result, signature.context_param), signature


def check_tasks(tasks: Iterable[Task[Any]] | None) -> None:
    """Checks the tasks that a repository lists.

    Raises:
        AssetDefinitionError: One is not a `Task`, or has no function.
    """
    if isinstance(tasks, Task):
        msg = f"tasks must be a list of tasks, got {tasks!r}; write tasks=[{tasks.name}]"
        raise AssetDefinitionError(msg)
    if tasks is not None and (isinstance(tasks, str) or not isinstance(tasks, Iterable)):
        msg = f"tasks must be a list of tasks (functions decorated with @Task), got {tasks!r}"
        raise AssetDefinitionError(msg)
    for task in tasks or ():
        if not isinstance(task, Task) or task.fn is None:
            msg = f"tasks must hold tasks (functions decorated with @Task), got {task!r}"
            raise AssetDefinitionError(msg)


def handler_of_task(step: StepDef, task: str) -> BaseIOHandler | str:
    """Returns the handler, or its name, that stores what a task of a graph asset returns.

    Raises:
        AssetNotFoundError: The step has no such task.
        ExecutionError: Nothing stores what the task returns.
    """
    calls = {call.name: call for call in step.traced.calls} if step.traced is not None else {}
    if task not in calls:
        msg = (
            f"the asset {step.name!r} has no task {task!r}; its tasks are {listed(calls) or 'none'}"
            f"{did_you_mean(task, calls)}"
        )
        raise AssetNotFoundError(msg)
    handler = calls[task].io_handler
    if handler is None:
        msg = (
            f"nothing stores what the task {task!r} of the asset {step.name!r} returns: give "
            "Asset.from_graph a node_io_handler, or the task an io_handler"
        )
        raise ExecutionError(msg)
    return handler


def _config_model(name: str, trace: Trace) -> Any:
    models = {call.signature.config_model for call in trace.calls} - {None}
    if len(models) > 1:
        msg = f"the tasks of the graph asset {name!r} take different configs: {models}"
        raise AssetDefinitionError(msg)
    return next(iter(models), None)


def _call_with_placeholders(fn: Callable[..., Any], name: str, inputs: list[str]) -> Any:
    try:
        return fn(**{parameter: Placeholder(parameter, parameter) for parameter in inputs})
    except (TypeError, AttributeError) as error:
        msg = (
            f"the graph asset {name!r} does something with a value besides giving it to a task, "
            f"but values exist only in a run: {error}"
        )
        raise AssetDefinitionError(msg) from error
