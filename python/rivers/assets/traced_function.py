"""The function of a graph asset in a run: executes the task calls that were recorded."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rivers.assets.tracing import Placeholder, TaskCall, fill
from rivers.exceptions import ExecutionError
from rivers.execution.event_loop import outcome_in_thread
from rivers.execution.returned import refuse_pending
from rivers.execution.skips import Skip
from rivers.execution.task_context import TaskExecutionContext, context_of_task
from rivers.execution.timeouts import await_in_time, call_in_time, outcome_in_time
from rivers.io.base import BaseIOHandler, OutputContext
from rivers.policies.retry import RetryPolicy, check_retry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from rivers.execution.context import AssetExecutionContext

    HandlerOf = Callable[[BaseIOHandler | str | None, str], BaseIOHandler | None]

_Values = dict[str | int, Any]
"""Values of inputs by name, and of task calls by index."""

_log = logging.getLogger("rivers")


@dataclass
class TracedFunction:
    """Executes the recorded calls in the order in which they were recorded.

    Attributes:
        name: Name of the asset.
        calls: The recorded calls.
        result: The asset's value, with placeholders.
        context_param: The argument that is the context; `None` if nothing needs it.
    """

    name: str
    calls: list[TaskCall]
    result: Any
    context_param: str | None

    @property
    def is_async(self) -> bool:
        """Whether a task is async, so that `call_async` executes the calls."""
        return any(call.is_async for call in self.calls)

    def with_names(
        self, retries: Mapping[str, RetryPolicy], handler_of: HandlerOf
    ) -> TracedFunction:
        """Returns the function with the retry policies and handlers of its tasks looked up by name."""
        calls = [
            replace(
                call,
                retry=check_retry(f"retry of the task {call.name!r}", call.retry, retries),
                io_handler=handler_of(call.io_handler, f"the task {call.name!r}"),
            )
            for call in self.calls
        ]
        return replace(self, calls=calls)

    def __call__(self, **inputs: Any) -> Any:
        """Returns the asset's value for these inputs."""
        values, context = self._begin(inputs)
        for index, call in enumerate(self.calls):
            failures = 0
            while index not in values:
                try:
                    with self._naming_the_task(call):
                        arguments = _arguments(call, values, context)
                        if call.timeout is None:
                            value = call.fn(**arguments)
                        else:
                            value = call_in_time(call.fn, arguments, call.timeout, _what(call))
                        refuse_pending(value, _what(call))
                        values[index] = value
                except BaseException as error:  # noqa: BLE001  (its policy decides)
                    failures += 1
                    time.sleep(self._delay(call, error, failures))
            self._store(call, values[index], context)
        return fill(self.result, values)

    async def call_async(self, **inputs: Any) -> Any:
        """Returns the asset's value where some task is async; plain tasks run in a thread."""
        values, context = self._begin(inputs)
        for index, call in enumerate(self.calls):
            failures = 0
            while index not in values:
                try:
                    with self._naming_the_task(call):
                        arguments = _arguments(call, values, context)
                        if call.is_async:
                            value = await _awaited(call, arguments)
                        else:
                            value, raised = await outcome_in_time(
                                call.fn, arguments, call.timeout, _what(call)
                            )
                            if raised is not None:
                                raise raised  # noqa: TRY301  (its policy decides below)
                        refuse_pending(value, _what(call))
                        values[index] = value
                except BaseException as error:  # noqa: BLE001  (its policy decides)
                    failures += 1
                    await asyncio.sleep(self._delay(call, error, failures))
            stored = {"call": call, "value": values[index], "context": context}
            _, raised = await outcome_in_thread(self._store, stored)
            if raised is not None:
                raise raised
        return fill(self.result, values)

    def _begin(self, inputs: dict[str, Any]) -> tuple[_Values, Any]:
        context = inputs.pop(self.context_param, None) if self.context_param else None
        return dict(inputs.items()), context

    @contextmanager
    def _naming_the_task(self, call: TaskCall) -> Generator[None]:
        """Adds the task's name to the traceback of an exception."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"in the task {call.name!r} of the asset {self.name!r}")
            raise

    def _delay(self, call: TaskCall, error: BaseException, failures: int) -> float:
        """Returns the seconds until the task's next attempt, or raises the error if there is none."""
        delay = call.retry.wait(error, failures) if isinstance(call.retry, RetryPolicy) else None
        if delay is None or isinstance(error, Skip):
            raise error
        _log.info(
            "the task %r of the asset %r failed and is retried in %.1f s: %s: %s",
            call.name, self.name, delay, type(error).__name__, error,
        )  # fmt: skip
        return delay

    def _store(
        self, call: TaskCall, value: Any, context: AssetExecutionContext[Any] | None
    ) -> None:
        """Stores what a task returned under `asset/task`; called directly, an asset stores nothing."""
        if not isinstance(call.io_handler, BaseIOHandler) or context is None:
            return
        call.io_handler.handle_output(
            OutputContext(
                asset_name=f"{self.name}/{call.name}",
                partition=context.partition,
                run_id=context.run_id or "",
                tags=context.run_tags,
            ),
            value,
        )


def _what(call: TaskCall) -> str:
    return f"the task {call.name!r}"


async def _awaited(call: TaskCall, arguments: dict[str, Any]) -> Any:
    if call.timeout is None:
        return await call.fn(**arguments)
    return await await_in_time(call.fn(**arguments), call.timeout, _what(call))


def _arguments(call: TaskCall, values: _Values, context: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, value in call.arguments.items():
        if isinstance(value, Placeholder) and value.source not in values:
            if value.is_optional:
                continue  # There is no such asset, so the parameter has its default.
            msg = f"the task {call.name!r} needs a value for its parameter {name!r}"
            raise ExecutionError(msg)
        arguments[name] = fill(value, values)
    if call.signature.context_param is not None:
        if call.signature.context_class is TaskExecutionContext:
            context = context_of_task(call.task_name, call.tags, context)
        arguments[call.signature.context_param] = context
    return arguments
