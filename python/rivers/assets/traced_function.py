"""The function of a graph asset in a run: executes the task calls that were recorded."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivers.assets.tracing import TaskCall, fill

if TYPE_CHECKING:
    from collections.abc import Generator

_Values = dict[str | int, Any]
"""Values of inputs by name, and of task calls by index."""


@dataclass
class TracedFunction:
    """Executes the recorded calls in the order in which they were recorded.

    Attributes:
        name: Name of the asset.
        calls: The recorded calls.
        result: The asset's value, with placeholders.
        context_param: The argument that is the context; `None` if no task takes it.
    """

    name: str
    calls: list[TaskCall]
    result: Any
    context_param: str | None

    def __call__(self, **inputs: Any) -> Any:
        """Returns the asset's value for these inputs."""
        values, context = self._begin(inputs)
        for index, call in enumerate(self.calls):
            with self._naming_the_task(call):
                values[index] = call.fn(**_arguments(call, values, context))
        return fill(self.result, values)

    async def call_async(self, **inputs: Any) -> Any:
        """Returns the asset's value where some task is async; plain tasks run in a thread."""
        values, context = self._begin(inputs)
        for index, call in enumerate(self.calls):
            with self._naming_the_task(call):
                arguments = _arguments(call, values, context)
                if call.is_async:
                    values[index] = await call.fn(**arguments)
                else:
                    values[index] = await asyncio.to_thread(call.fn, **arguments)
        return fill(self.result, values)

    def _begin(self, inputs: dict[str, Any]) -> tuple[_Values, Any]:
        context = inputs.pop(self.context_param) if self.context_param else None
        return dict(inputs.items()), context

    @contextmanager
    def _naming_the_task(self, call: TaskCall) -> Generator[None]:
        """Adds the task's name to the traceback of an exception."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"in the task {call.name!r} of the asset {self.name!r}")
            raise


def _arguments(call: TaskCall, values: _Values, context: Any) -> dict[str, Any]:
    arguments = {name: fill(value, values) for name, value in call.arguments.items()}
    if call.context_param is not None:
        arguments[call.context_param] = context
    return arguments
