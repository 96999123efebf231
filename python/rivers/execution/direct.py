"""Which functions Rust calls, without a frame of this package for each run.

`Program` in `rivers.execution.runner` says what a step means. `rivers._rivers.Calls` only executes runs whose
functions return values that their handlers take in batches, and passes on every other one to it, as far as it
has come: an exception, an `Output`, a coroutine that waits, a marked partition, a step of another shape.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from rivers._rivers import DirectCalls
from rivers.execution.context import AssetExecutionContext
from rivers.execution.outputs import Materialization, Output
from rivers.io.base import stores_groups
from rivers.io.frame_types import wants_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine, Generator, Mapping, Sequence

    from rivers._rivers import Plan, Run, ValueLoader, ValueRecorder
    from rivers.execution.steps import Step, StepInput, StepOutput
    from rivers.io.base import NoteNone, NoteValues

OFF = "RIVERS_NO_DIRECT_CALLS"
"""The environment variable that, if set, has every run executed in Python: the tests compare the two."""


Argument: TypeAlias = "tuple[int, int] | ValueLoader | bool"
"""An argument of a call: what a step of the same run returned, by the positions of the step and its output;
what was stored before; the context (`True`); or `None` (`False`)."""


StoreGroup: TypeAlias = "Callable[[list[Run], list[Any]], object]"
"""Stores values of runs of one partition, or of none, and fails the runs whose values it cannot store."""


@dataclass(frozen=True, slots=True)
class DirectOutput:
    """How Rust passes on what a function returned for an output.

    Attributes:
        name: The output.
        note_none: Takes the numbers of runs in which it was `None`; `None`: there is nothing that does.
        note_values: Takes the numbers of runs in which it was something else, and the values; `None`: there
            is nothing that does.
        is_none_only: Whether `None` need not be noted: the function returns no value.
        store_group: Stores the values of several runs together, before the outcomes of these are kept;
            `None`: its handler does not.
    """

    name: str
    note_none: NoteNone | None
    note_values: NoteValues | ValueRecorder | None
    is_none_only: bool
    store_group: StoreGroup | None = None


@dataclass(frozen=True, slots=True)
class DirectCall:
    """How Rust calls the function of a step.

    Attributes:
        step: The step.
        index: The index of its first asset in the request.
        function: The function.
        is_async: Whether it is a coroutine function.
        context: The class of the context that it takes; `None`: it takes none.
        names: The names of the arguments; `None`: they are positional.
        arguments: The arguments.
        by_name: Whether it returns a dict of values by output.
        outputs: What becomes of what it returns.
        needs_one_partition: Whether Rust calls it in runs of one partition only.
    """

    step: Step
    index: int
    function: Callable[..., Any]
    is_async: bool
    context: type[AssetExecutionContext[Any]] | None
    names: tuple[str, ...] | None
    arguments: list[Argument]
    by_name: bool
    outputs: list[DirectOutput]
    needs_one_partition: bool


def _prepare() -> None:
    """Has Rust look up the names of these fields now, since a child that is forked meanwhile could not."""
    output = DirectOutput("", None, None, is_none_only=False)
    call = DirectCall(
        step=cast("Step", None), index=0, function=print, is_async=False, context=None, names=None,
        arguments=[True, (0, 0)], by_name=False, outputs=[output], needs_one_partition=False,
    )  # fmt: skip
    DirectCalls([[call]], is_plain_type)


def direct_calls(
    layers: Sequence[Sequence[Step]],
    plan: Plan | None,
    *,
    is_async: bool,
    store_group: Callable[[Step, StepOutput, list[Run], list[Any]], None],
) -> DirectCalls | None:
    """What Rust needs to call the functions of these steps; `None`: it calls none of them.

    Args:
        layers: The steps of each layer.
        plan: The plan of the runs; `None` in a worker process.
        is_async: Whether the runs are executed on an event loop.
        store_group: Stores the values of an output in several runs together.
    """
    if os.environ.get(OFF):
        return None
    calls = []
    for layer in layers:
        own: list[DirectCall | None] = []
        made: dict[str, _Made] = {}
        taken = {wanted.parameter for step in layer for wanted in step.inputs}
        for at, step in enumerate(layer):
            outputs = [_direct_output(step, own, plan, taken, store_group) for own in step.outputs]
            call = _direct_call(step, outputs, made, is_async=is_async)
            own.append(call)
            for which, output in enumerate(step.outputs):
                made[output.name] = _Made((at, which), output, call)
        calls.append(own)
    if not any(layer and layer[0] is not None for layer in calls):
        return None
    return DirectCalls(calls, is_plain_type)


def is_plain_type(kind: type) -> bool:
    """Whether a value of a type stands for itself, for each handler.

    A dict may hold a value for each partition, an `Output` says more about its value, and what can be awaited
    or iterated once is none.
    """
    return not issubclass(kind, (dict, Output, Materialization)) and not any(
        hasattr(kind, name) for name in ("__await__", "__next__", "__anext__")
    )


class _Made(NamedTuple):
    """An output of an earlier step of the same run: its position, and how Rust calls its step."""

    at: tuple[int, int]
    output: StepOutput
    call: DirectCall | None


def _direct_call(
    step: Step,
    outputs: list[DirectOutput],
    made: Mapping[str, _Made],
    *,
    is_async: bool,
) -> DirectCall | None:
    """How Rust calls the function of a step; `None`: it does not.

    Args:
        step: The step.
        outputs: What becomes of what it returns.
        made: What the steps before it in a run make, by name.
        is_async: Whether the runs are executed on an event loop.
    """
    function = step.fn
    plain = function.func if type(function) is functools.partial else function
    if (
        type(plain) is not types.FunctionType
        or step.is_async is not is_async
        or step.is_async is not inspect.iscoroutinefunction(plain)
        or step.hooks
        or step.is_guarded
        or step.timeout is not None
    ):
        return None
    arguments: dict[str, Argument] = {}
    for wanted in step.inputs:
        argument = _argument(wanted, step, made)
        if argument is None:
            return None
        arguments[wanted.parameter] = argument
    if step.context_param is not None:
        arguments[step.context_param] = True
    if not any(
        own.is_none_only or own.note_none or own.note_values or own.store_group for own in outputs
    ):
        return None
    return DirectCall(
        step=step,
        index=step.index,
        function=function,
        is_async=is_async,
        context=None if step.context_param is None else AssetExecutionContext,
        names=None if _are_first(function, list(arguments)) else tuple(arguments),
        arguments=list(arguments.values()),
        by_name=step.by_name,
        outputs=outputs,
        needs_one_partition=bool(step.inputs),
    )


def _direct_output(
    step: Step,
    output: StepOutput,
    plan: Plan | None,
    taken: Container[str],
    store_group: Callable[[Step, StepOutput, list[Run], list[Any]], None],
) -> DirectOutput:
    if not output.has_value:
        return DirectOutput(output.name, None, None, is_none_only=True)
    handler = output.handler
    note_none = handler._none_recorder(output.name, plan)  # noqa: SLF001  (not for users)
    note_values = handler._value_recorder(output.name, plan)  # noqa: SLF001
    group: StoreGroup | None = None
    # A step of the same run that takes the value loads it before others have ended.
    if note_values is None and output.name not in taken and stores_groups(handler):
        group = functools.partial(store_group, step, output)
    return DirectOutput(output.name, note_none, note_values, is_none_only=False, store_group=group)


def _argument(wanted: StepInput, step: Step, made: Mapping[str, _Made]) -> Argument | None:
    """The argument for an input; `None`: Python has to load it."""
    known = made.get(wanted.parameter)
    if known is not None and not wanted.has_value:
        return False
    if wanted.mapping is not None or wanted.gives_several or wants_frame(wanted.type_hint):
        return None
    if known is None:
        return _stored_value(wanted, step)
    at, output, call = known
    if (
        call is None
        or wanted.handler is not output.handler
        or call.outputs[at[1]].note_values is None
    ):
        return None
    return at


def _stored_value(wanted: StepInput, step: Step) -> ValueLoader | None:
    """What loads the value of an input that was stored before the run; `None`: its handler has to."""
    if not wanted.has_value or wanted.allow_missing:
        return None
    if wanted.space is not None and not step.partitioned:
        return None
    return wanted.handler._value_loader(wanted.parameter, wanted.space)  # noqa: SLF001  (not for users)


def _are_first(function: Callable[..., Any], parameters: list[str]) -> bool:
    """Whether these are the first parameters of a function, so that they can be given by position."""
    if not parameters:
        return True
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    return list(code.co_varnames[: code.co_argcount][: len(parameters)]) == parameters


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


_prepare()
