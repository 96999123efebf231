"""Executes the steps of runs, in dependency order: here the user's functions are called."""

from __future__ import annotations

import itertools
import logging
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cloudpickle

from rivers._rivers import Space
from rivers._text import message_of, storable
from rivers.exceptions import ExecutionError
from rivers.execution.context import AssetExecutionContext
from rivers.execution.event_loop import NoThreadError
from rivers.execution.outputs import Materialization, Output
from rivers.execution.returned import refuse_unconsumed
from rivers.execution.timeouts import await_in_time, call_in_time, outcome_in_time
from rivers.io.base import InputContext, OutputContext

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from rivers._rivers import PartitionKey, Run, Selection
    from rivers.execution.steps import Step, StepInput, StepOutput

    Call = tuple["Step", dict[str, Any]]

_log = logging.getLogger("rivers")

GRACE_SECONDS = 2.0
"""Time beyond its timeout after which a worker process is killed, if it should have canceled a coroutine."""

_CTRL_C_SECONDS = 0.2
"""Time in which Ctrl-C reaches the thread that waits for a backfill."""


@dataclass
class Program:
    """The steps of a backfill's runs.

    Attributes:
        layers: The steps by the layer of the plan whose runs execute them, in dependency order.
        pickled: The layers as workers outside this process read them; empty if there are none.
        on_step: Called with a step and the run before the step is executed.
        on_call: If set, called with the timeout before a call that has one, and with `None` after it:
            what executes the program ends a call that takes too long. Otherwise the program does.
        repeated: Indices of the outputs whose steps each attempt of a run executes, because their
            values are lost with the attempt.
        first_error: The first exception of a step that was executed in this process.
    """

    layers: list[list[Step]]
    pickled: bytes = b""
    on_step: Callable[[Step, Run], None] | None = None
    on_call: Callable[[float | None], None] | None = None
    repeated: list[int] = field(default_factory=list)
    first_error: BaseException | None = field(default=None, compare=False)

    def pickle(self) -> None:
        """Pickles the layers for workers outside this process.

        Raises:
            ExecutionError: An asset cannot be pickled; the message names it.
        """
        self.pickled = _pickle(self.layers)

    @property
    def steps(self) -> list[Step]:
        """The steps of all layers."""
        return [step for layer in self.layers for step in layer]

    @property
    def _only_layer(self) -> list[Step] | None:
        """The steps of each run, if all runs have the same."""
        return self.layers[0] if len(self.layers) == 1 else None

    @property
    def is_async(self) -> bool:
        """Whether a step's function is a coroutine function: then runs are executed on an event loop."""
        return any(step.is_async for step in self.steps)

    def execute(self, runs: Iterable[Run]) -> None:
        """Executes runs one after another, in this thread."""
        only = self._only_layer
        for run in runs:
            for step in only or self.layers[run.layer]:
                for called, arguments in self._step(step, run):
                    try:
                        if step.timeout is None:
                            called.value = step.fn(**arguments)
                        else:
                            called.value = self._call_in_time(step, step.timeout, arguments)
                    except NoThreadError:
                        raise
                    except BaseException as error:  # noqa: BLE001  (it fails this run only)
                        called.error = error

    async def execute_async(self, runs: Iterable[Run]) -> None:
        """Executes runs one after another on the event loop; plain functions in a thread."""
        only = self._only_layer
        for run in runs:
            for step in only or self.layers[run.layer]:
                for called, arguments in self._step(step, run):
                    try:
                        if step.timeout is not None and self.on_call is not None:
                            # The process is killed only if the coroutine cannot be canceled.
                            self.on_call(step.timeout + GRACE_SECONDS)
                        if not step.is_async:
                            called.value, called.error = await outcome_in_time(
                                step.fn, arguments, step.timeout, step.title
                            )
                        elif step.timeout is None:
                            called.value = await step.fn(**arguments)
                        else:
                            call = step.fn(**arguments)
                            called.value = await await_in_time(call, step.timeout, step.title)
                    except NoThreadError:
                        raise
                    except BaseException as error:  # noqa: BLE001  (it fails this run only)
                        called.error = error
                    finally:
                        if step.timeout is not None and self.on_call is not None:
                            self.on_call(None)

    def _call_in_time(self, step: Step, seconds: float, arguments: dict[str, Any]) -> Any:
        if self.on_call is None:
            return call_in_time(step.fn, arguments, seconds, step.title)
        self.on_call(seconds)
        try:
            return step.fn(**arguments)
        finally:
            self.on_call(None)

    @property
    def min_timeout(self) -> float | None:
        """The shortest timeout of a step, in seconds."""
        return min((step.timeout for step in self.steps if step.timeout is not None), default=None)

    def _step(self, step: Step, run: Run) -> Generator[tuple[_Called, dict[str, Any]]]:
        """Executes a step except for the call of its function, which the caller makes: sync or async."""
        if self.on_step is not None:
            self.on_step(step, run)
        selection: Selection | None = None
        if step.defined is not None or not run.has_no_failures:
            enters, selection = _enter(step, run)
            if not enters:
                return
        called = _Called(step)
        try:
            arguments = _arguments(step, run, selection)
        except BaseException as error:  # noqa: BLE001  (it fails this run only)
            self.fail(step, run, error)
            return
        yield called, arguments
        try:
            if called.error is None and called.value is not None:
                _store(step, run, selection, called.value)
        except BaseException as error:  # noqa: BLE001  (it fails this run only)
            called.error = error
        if called.error is not None:
            context = arguments.get(step.context_param) if step.context_param else None
            self.fail(step, run, called.error, context=context)

    def fail(
        self,
        step: Step,
        run: Run,
        error: BaseException,
        message: str | None = None,
        context: AssetExecutionContext[Any] | None = None,
    ) -> None:
        """Records that a step failed: the run is retried, or the step's assets fail for good."""
        if isinstance(error, KeyboardInterrupt):
            # Ctrl-C that reached a library, too. The thread that cancels the backfill for it may only be
            # about to: then this is no failure, but canceled.
            time.sleep(_CTRL_C_SECONDS)
        trace = _traceback_of(error) + (context._last_lines() if context is not None else "")  # noqa: SLF001
        cause = type(error).__name__, message or message_of(error), trace
        failures = run.failed_attempts(step.index) + 1
        wait = step.retry.wait(error, failures) if step.retry is not None else None
        if wait is None:
            if self.first_error is None:
                self.first_error = error
            for index in step.indices:
                run.fail(index, *cause)
            return
        _log.info(
            "the asset %r of the run %s failed and is tried again in %.1f s: %s: %s",
            step.name, run.id, wait, *cause[:2],
        )  # fmt: skip
        run.retry(step.indices, *cause, wait, self.repeated)

    def fail_lost(self, run: Run, index: int, error: BaseException) -> None:
        """Fails a run whose worker died of it.

        Args:
            run: The run.
            index: The index of the step that the worker was at.
            error: What kept the worker from reporting.
        """
        reason = str(error).partition("\n")[0] or "no reason given"
        message = (
            reason
            if isinstance(error, TimeoutError)
            else "the worker process that executed this run did not report: it was killed, or it left "
            f"the interpreter ({reason})"
        )
        for step in self.layers[run.layer]:
            if step.index == index:
                self.fail(step, run, error, message)
            # Later steps were not reached, whether they need the failed one or not.
            elif (
                step.index > index
                and run.executes(step.index)
                and not run.defer(step.indices, [index])
            ):
                for own in step.indices:
                    run.skip(own)


def _enter(step: Step, run: Run) -> tuple[bool, Selection | None]:
    """Whether a step is executed, and for which partitions (`None`: all), after earlier failures."""
    if not run.executes(step.index):
        return False, None
    if step.defined is not None:
        for index in step.indices:
            run.check_defined(index, step.defined)
    if run.defer(step.indices, step.needs):
        return False, None
    if any(run.failed_or_skipped(upstream) for upstream in step.needs):
        for index in step.indices:
            run.skip(index)
        return False, None
    selection: Selection | None = None
    for index in step.indices:
        selection = run.enter(index, step.needs)
    return selection is None or selection.num_partitions > 0, selection


def _arguments(step: Step, run: Run, selection: Selection | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for wanted in step.inputs:
        keys = _needed(wanted, step, run, selection)
        if keys or wanted.space is None or wanted.mapping is None:
            arguments[wanted.parameter] = _load(wanted, step, run, keys)
        elif not wanted.has_default:
            arguments[wanted.parameter] = None
    if step.context_param is not None:
        arguments[step.context_param] = AssetExecutionContext(step, run, selection)
    return arguments


def _traceback_of(error: BaseException) -> str:
    try:
        return storable("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001  (an exception may fail to show itself)
        return storable("".join(traceback.format_tb(error.__traceback__)))


def _pickle(layers: list[list[Step]]) -> bytes:
    """The layers as bytes, at submission, so that nothing is submitted that cannot be executed."""
    try:
        return cloudpickle.dumps(layers)  # type: ignore[no-any-return]
    except Exception as error:
        for step in itertools.chain.from_iterable(layers):
            try:
                cloudpickle.dumps(step)
            except Exception as own:  # noqa: BLE001  (pickling can raise anything)
                msg = (
                    f"the asset {step.name!r} cannot go to another process, since something it uses "
                    f"cannot be pickled ({type(own).__name__}: {own}); create it inside the function, "
                    "or use Executor.in_process()"
                )
                raise ExecutionError(msg) from error
        raise


class _Called:
    """A call of a step's function, with its value or error."""

    __slots__ = ("error", "step", "value")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.value: Any = None
        self.error: BaseException | None = None


def _needed(
    wanted: StepInput, step: Step, run: Run, selection: Selection | None
) -> list[PartitionKey]:
    """The upstream's partitions that the run's partitions need."""
    if wanted.space is None:
        return []
    if step.partitioned:
        return (selection or run.partitions).upstream(wanted.space, wanted.mapping).keys()
    if wanted.mapping is None:
        return wanted.space.all().keys()
    return Space.unpartitioned().all().upstream(wanted.space, wanted.mapping).keys()


def _load(wanted: StepInput, step: Step, run: Run, keys: list[PartitionKey]) -> object:
    context = InputContext(
        asset=wanted.parameter,
        partitions=keys,
        downstream=step.name,
        run_id=run.id,
        metadata=wanted.metadata,
    )
    return wanted.handler.load_input(context)


def _store(step: Step, run: Run, selection: Selection | None, value: Any) -> None:
    for output in step.outputs:
        part = value[output.name] if step.by_name else value
        if isinstance(part, Output):
            part = part.value
        refuse_unconsumed(part, f"the asset {output.name!r}")
        if part is not None and not isinstance(part, Materialization):
            output.handler.handle_output(_output_context(step, output, run, selection), part)


def _output_context(
    step: Step, output: StepOutput, run: Run, selection: Selection | None
) -> OutputContext:
    keys, failed = [], []
    if step.partitioned:
        entered = selection if selection is not None else run.partitions
        left = None if run.has_no_failures else run.survivors(step.index)
        keys = (left or entered).keys()
        if left is not None:
            survived = set(keys)
            failed = [key for key in entered.keys() if key not in survived]  # noqa: SIM118
    return OutputContext(
        asset=output.name,
        partitions=keys,
        run_id=run.id,
        metadata=output.metadata,
        tags=run.tags,
        failed=failed,
    )
