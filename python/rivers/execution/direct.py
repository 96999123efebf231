"""Which functions Rust calls, without a frame of this package for each run.

`Program` in `rivers.execution.runner` says what a step means. `rivers._rivers.Calls` only executes runs whose
functions return nothing, and passes on every other one to it, as far as it has come: a value, an exception, a
coroutine that waits, a partition that was marked, a step of another shape.
"""

from __future__ import annotations

import inspect
import os
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivers._rivers import DirectCalls
from rivers.execution.context import AssetExecutionContext

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence

    from rivers.execution.steps import Step

OFF = "RIVERS_NO_DIRECT_CALLS"
"""The environment variable that, if set, has every run executed in Python: the tests compare the two."""


@dataclass(frozen=True, slots=True)
class DirectCall:
    """How Rust calls the function of a step.

    Attributes:
        step: The step.
        index: The index of its first asset in the request.
        function: A plain function, or a coroutine function.
        is_async: Whether it is a coroutine function.
        context: The class of the context that it takes; `None`: it takes none.
        note_none: Takes the numbers of runs in which it returned `None`; `None`: nothing has to be noted.
    """

    step: Step
    index: int
    function: Callable[..., Any]
    is_async: bool
    context: type[AssetExecutionContext[Any]] | None
    note_none: Callable[[bytes], object] | None


def ignore_nones(numbers: bytes) -> None:
    """Takes the runs of a function without a value: nothing is stored for it."""


def direct_calls(layers: Sequence[Sequence[Step]], *, is_async: bool) -> DirectCalls | None:
    """What Rust needs to call the functions of these steps; `None`: it calls none of them.

    Args:
        layers: The steps of each layer.
        is_async: Whether the runs are executed on an event loop.
    """
    if os.environ.get(OFF):
        return None
    calls = [[_direct_call(step, is_async=is_async) for step in layer] for layer in layers]
    if not any(layer and layer[0] is not None for layer in calls):
        return None
    return DirectCalls(calls)


def _direct_call(step: Step, *, is_async: bool) -> DirectCall | None:
    """How Rust calls the function of a step; `None`: it does not."""
    function = step.fn
    if (
        type(function) is not types.FunctionType
        or step.is_async is not is_async
        or step.is_async is not inspect.iscoroutinefunction(function)
        or step.note_none is None
        or step.inputs
        or step.hooks
        or step.is_guarded
        or step.timeout is not None
        or not _takes_only(function, step.context_param)
    ):
        return None
    context = None if step.context_param is None else AssetExecutionContext
    note = None if step.note_none is ignore_nones else step.note_none
    return DirectCall(step, step.index, function, is_async, context, note)


def _takes_only(function: types.FunctionType, parameter: str | None) -> bool:
    """Whether a function can be called with the value of one parameter, or of none, by position."""
    code = function.__code__
    if parameter is None:
        return True
    return code.co_argcount > 0 and code.co_varnames[0] == parameter


class Begun:
    """The rest of a call of a coroutine function: the coroutine waits already.

    Args:
        coroutine: The coroutine.
        what: What it waits for.
    """

    is_async = True

    def __init__(self, coroutine: Coroutine[Any, Any, Any], what: Any) -> None:
        self._coroutine = coroutine
        self._what = what

    def fn(self) -> Any:
        """Returns what the caller awaits."""
        return self

    def __await__(self) -> Generator[Any, Any, Any]:
        """Awaits the coroutine, beginning with what it waits for."""
        resume: Callable[[Any], Any]
        what = self._what
        while True:
            try:
                sent = yield what
            except BaseException as error:  # noqa: BLE001  (the coroutine's matter)
                resume, sent = self._coroutine.throw, error
            else:
                resume = self._coroutine.send
            try:
                what = resume(sent)
            except StopIteration as end:
                return end.value
