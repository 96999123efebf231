"""Executes the steps of runs, in dependency order: here the user's functions are called."""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import pickle
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rivers._lazy import ComputedOnce
from rivers._rivers import Calls
from rivers._text import examinable, kind_of, message_of
from rivers.exceptions import ExecutionError
from rivers.execution import observer
from rivers.execution.context import context_of_run
from rivers.execution.direct import Begun, direct_calls
from rivers.execution.event_loop import NoThreadError
from rivers.execution.generators import (
    END,
    Pull,
    YieldedOutputs,
    YieldedPartitions,
    check_outputs,
    is_generator,
    refusal,
)
from rivers.execution.hooks import call_after_failure, call_after_return
from rivers.execution.inputs import arguments_of
from rivers.execution.outputs import Materialization, Output
from rivers.execution.recording import declared_metadata, record_metadata, record_of_partitions
from rivers.execution.resources import Resources
from rivers.execution.returned import refuse_unconsumed
from rivers.execution.skips import Skip, follow, skip_rest
from rivers.execution.timeouts import await_in_time, call_in_time, outcome_in_time
from rivers.execution.tracebacks import traceback_of
from rivers.execution.worker_resources import loads
from rivers.io.base import OutputContext
from rivers.partitions.partition_context import context_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine, Generator, Sequence

    from rivers._rivers import (
        Batch,
        CallContext,
        DirectCalls,
        Plan,
        Run,
        Selection,
        WorkerBatch,
    )
    from rivers.execution.context import AssetExecutionContext
    from rivers.execution.observer import Observation, Observed, RunObserver
    from rivers.execution.skips import LeftOut
    from rivers.execution.steps import Step, StepOutput
    from rivers.io.base import NoteNone
    from rivers.io.metadata_value import MetadataValue
    from rivers.io.output_metadata import OutputMetadata

    Call = tuple["Step", dict[str, Any]]
    # The context of a call, and what it returned or raised, or the coroutine and what that waits for.
    CallOutcome = tuple[
        CallContext | None, Any, BaseException | None, tuple[Coroutine[Any, Any, Any], Any] | None
    ]

_log = logging.getLogger("rivers")

GRACE_SECONDS = 2.0
"""Time beyond its timeout after which a worker process is killed, if it should have canceled a coroutine."""
_WITH_METADATA = (Output, Materialization)
"""What a function may return in place of a value, with facts about it."""

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
        on_calls: Called with the `Calls` of a batch whose functions are called from Rust: for these steps
            `on_step` is not called.
        repeated: Indices of the outputs whose steps each attempt of a run executes, because their
            values are lost with the attempt.
        first_error: The first exception of a step that was executed in this process.
        plan: The plan of the runs; `None` in a worker process.
        resources: What the steps may refer to; `None` in a worker process.
        observer: What follows the runs; `None`: nothing does.
    """

    layers: list[list[Step]]
    pickled: bytes = b""
    on_step: Callable[[Step, Run], None] | None = None
    on_call: Callable[[float | None], None] | None = None
    on_calls: Callable[[Calls], None] | None = None
    repeated: list[int] = field(default_factory=list)
    first_error: BaseException | None = field(default=None, compare=False)
    plan: Plan | None = None
    resources: Resources | None = field(default=None, repr=False, compare=False)
    observer: RunObserver | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        since = time.monotonic()
        for layer in self.layers:
            taken = {wanted.parameter for step in layer for wanted in step.inputs}
            for step in layer:
                step.since = since
                step.note_none = _none_recorder(step, self.plan, taken)

    @ComputedOnce
    def direct(self) -> DirectCalls | None:
        """What Rust calls, made for the first batch: a dry run needs none."""
        return direct_calls(
            self.layers, self.plan, is_async=self.is_async, store_group=self._store_group
        )

    def pickle(self) -> None:
        """Pickles the layers for workers outside this process.

        Raises:
            ExecutionError: An asset cannot be pickled; the message names it.
        """
        self.pickled = _pickle(self.layers, self.resources or Resources())

    @classmethod
    def unpickle(cls, pickled: bytes) -> Program:
        """Reads, in a worker process, what `pickle` wrote, and sets up the resources of its steps."""
        loaded = loads(pickled)
        if not isinstance(loaded, _Observed):
            return cls(loaded)
        program = cls(loads(loaded.layers))
        program.observe(loaded.observer)
        return program

    def begin(self, observed: Observed) -> Observation | None:
        """Has a request that is about to be recorded followed, if something follows those of this process.

        Args:
            observed: What the program was built for.
        """
        if observer.current is None:
            return None
        observation = observer.current.observe(observed)
        self.observe(observation.runs)
        return observation

    def observe(self, follower: RunObserver) -> None:
        """Has the runs followed, here and in worker processes."""
        self.observer = follower
        self.direct = None  # Rust does not say which step it executes.
        if self.pickled:
            self.pickled = pickle.dumps(_Observed(self.pickled, follower))

    @property
    def steps(self) -> list[Step]:
        """The steps of all layers."""
        return [step for layer in self.layers for step in layer]

    @property
    def is_async(self) -> bool:
        """Whether a step's function is a coroutine function: then runs are executed on an event loop."""
        return any(step.is_async for step in self.steps)

    @property
    def _has_hooks(self) -> bool:
        return any(step.hooks for step in self.steps)

    def execute(
        self, batch: Batch | WorkerBatch, end_run: Callable[[], None] | None = None
    ) -> None:
        """Executes the runs of a batch one after another, in this thread.

        Args:
            batch: The runs.
            end_run: Called after each run of which this is more than the calls of functions that return
                nothing.
        """
        for step, called, arguments in self._calls(batch, end_run):
            try:
                if step.timeout is None:
                    called.value = called.step.fn(**arguments)
                else:
                    called.value = self._call_in_time(called.step, step, step.timeout, arguments)
            except NoThreadError:
                raise
            except BaseException as error:  # noqa: BLE001  (it fails this run only)
                called.error = error

    async def execute_async(
        self, batch: Batch | WorkerBatch, end_run: Callable[[], None] | None = None
    ) -> None:
        """Executes runs as `execute` does, on the event loop; plain functions in a thread."""
        for step, called, arguments in self._calls(batch, end_run):
            try:
                if step.timeout is not None and self.on_call is not None:
                    # The process is killed only if the coroutine cannot be canceled.
                    self.on_call(step.timeout + GRACE_SECONDS)
                if not called.step.is_async:
                    called.value, called.error = await outcome_in_time(
                        called.step.fn, arguments, step.timeout, step.title
                    )
                elif step.timeout is None:
                    called.value = await called.step.fn(**arguments)
                else:
                    call = called.step.fn(**arguments)
                    called.value = await await_in_time(call, step.timeout, step.title)
            except NoThreadError:
                raise
            except BaseException as error:  # noqa: BLE001  (it fails this run only)
                called.error = error
            finally:
                if step.timeout is not None and self.on_call is not None:
                    self.on_call(None)

    def _calls(
        self, batch: Batch | WorkerBatch, end_run: Callable[[], None] | None
    ) -> Generator[tuple[Step, _Called, dict[str, Any]]]:
        """The calls of the functions of a batch's runs, which the caller makes: sync or async.

        Where Rust calls the functions, these are the rest of the runs that have more to do.
        """
        execute_step = self._step_with_hooks if self._has_hooks else self._step
        if self.observer is not None:
            execute_step = functools.partial(_observed, self.observer, execute_step)
        for run, outcomes in self._runs(batch):
            steps = self.layers[run.layer]
            for step, outcome in zip(steps, outcomes, strict=False):
                for called, arguments in self._outcome(step, run, outcome):
                    yield step, called, arguments
            for step in steps[len(outcomes) :]:
                for called, arguments in execute_step(step, run):
                    yield step, called, arguments
            if end_run is not None:
                end_run()

    def _runs(self, batch: Batch | WorkerBatch) -> Generator[tuple[Run, Sequence[CallOutcome]]]:
        """The runs that have something left to do, and what has become of the steps that were called."""
        if self.observer is not None:
            for run in batch:
                with self.observer.run(run, self.layers[run.layer]):
                    yield run, ()
            return
        if self.direct is None:
            for run in batch:
                yield run, ()
            return
        calls = Calls(self.direct, batch)
        if self.on_calls is not None:
            self.on_calls(calls)
        try:
            yield from calls
        finally:
            calls.note()

    def _store_group(
        self, step: Step, output: StepOutput, runs: list[Run], values: list[Any]
    ) -> None:
        """Stores what a step returned for an output in several runs, before their outcomes are kept."""
        contexts = [_output_context(step, output, run, None) for run in runs]
        items = [
            (context, value)
            for context, value in zip(contexts, values, strict=True)
            if context is not None
        ]
        try:
            output.handler.handle_outputs(items)
        except BaseException as error:  # noqa: BLE001  (it fails runs only)
            _log.warning(
                "handle_outputs of %r could not store %d values of %r together (%s: %s): they are stored one "
                "by one",
                output.handler, len(items), output.name, type(error).__name__, message_of(error),
            )  # fmt: skip
            for run, value in zip(runs, values, strict=True):
                try:
                    _store_output(step, run, output, None, value, None)
                except BaseException as own:  # noqa: BLE001  (it fails this run only)
                    others = (
                        YieldedOutputs.before(output, step, run, goes_on=True)
                        if step.by_name
                        else None
                    )
                    self.fail(step, run, own, yielded=others)
            return
        for run, context in zip(runs, contexts, strict=True):
            added = None if context is None else context._all_added()  # noqa: SLF001
            if added is not None or output.facts is not None:
                record_metadata(run, output, None, {}, added)

    def _outcome(
        self, step: Step, run: Run, outcome: CallOutcome
    ) -> Generator[tuple[_Called, dict[str, Any]]]:
        """Ends a step whose function Rust has called; the caller makes what other calls are left."""
        context, value, error, pending = outcome
        called = _Called(step)
        called.value, called.error = value, error
        arguments = {} if step.context_param is None else {step.context_param: context}
        if pending is not None:
            waiting = _Called(Begun(*pending))
            yield waiting, {}
            called.value, called.error = waiting.value, waiting.error
        yield from self._end_call(step, called, run, None, arguments)

    def _call_in_time(
        self, call: Step | Pull | Begun, step: Step, seconds: float, arguments: dict[str, Any]
    ) -> Any:
        if self.on_call is None:
            return call_in_time(call.fn, arguments, seconds, step.title)
        if not isinstance(call, Pull):
            self.on_call(seconds)
            try:
                return call.fn(**arguments)
            finally:
                self.on_call(None)
        # What a generator has yielded is to be reported: the process is killed only if no thread can run.
        self.on_call(seconds + GRACE_SECONDS)
        try:
            return call_in_time(call.fn, arguments, seconds, step.title)
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
        left_out: LeftOut | None = None
        called = _Called(step)
        if step.is_guarded or not run.has_no_failures:
            enters, selection, left_out = _enter(step, run)
            if not enters:
                return
            called.selection = selection
        try:
            arguments = _arguments(step, run, selection, left_out)
        except BaseException as error:  # noqa: BLE001  (it fails this run only)
            self.fail(step, run, error)
            return
        yield called, arguments
        yield from self._end_call(step, called, run, selection, arguments)

    def _end_call(
        self,
        step: Step,
        called: _Called,
        run: Run,
        selection: Selection | None,
        arguments: dict[str, Any],
    ) -> Generator[tuple[_Called, dict[str, Any]]]:
        """Stores what the function of a step returned, or records that it raised."""
        try:
            if called.error is None:
                note = step.note_none
                context = arguments.get(step.context_param) if step.context_param else None
                given = None if context is None else context._metadata  # noqa: SLF001
                if (
                    note is not None
                    and called.value is None
                    and selection is None
                    and given is None
                    and run.has_no_failures
                ):
                    note(run.number.to_bytes(8, sys.byteorder))
                elif is_generator(called.value):
                    yield from self._generated(step, called, run, selection, arguments)
                elif step.by_name:
                    _store_outputs(step, called, run, selection, given)
                else:
                    _store_output(step, run, step.outputs[0], selection, called.value, given)
        except BaseException as error:  # noqa: BLE001  (it fails this run only)
            called.error = error
        if called.error is not None:
            self._end_raised(step, called, run, selection, arguments)

    def _end_raised(
        self,
        step: Step,
        called: _Called,
        run: Run,
        selection: Selection | None,
        arguments: dict[str, Any],
    ) -> None:
        """Records that a call raised: the step failed, or was skipped."""
        error = called.error = examinable(called.error)
        yielded = getattr(called, "yielded", None)
        if isinstance(error, Skip):
            if yielded is not None:
                yielded.skip_rest(error.reason)
            else:
                skip_rest(step, run, selection if step.partitioned else None, error.reason)
        elif error is not None:
            context = arguments.get(step.context_param) if step.context_param else None
            self.fail(step, run, error, context=context, yielded=yielded)

    def _generated(
        self,
        step: Step,
        called: _Called,
        run: Run,
        selection: Selection | None,
        arguments: dict[str, Any],
    ) -> Generator[tuple[_Called, dict[str, Any]]]:
        """Stores each value of a function that yields; the caller makes the calls that return them."""
        generator, called.value = called.value, None
        context = arguments.get(step.context_param) if step.context_param else None
        store = functools.partial(_store_yielded, step, run, context)
        yielded: YieldedPartitions | YieldedOutputs
        if step.by_name:
            yielded = YieldedOutputs(step, run, selection, store)
        else:
            entered = selection if selection is not None else run.partitions
            yielded = YieldedPartitions(step, run, entered, store)
        error: BaseException | None = refusal(step, generator, is_async=self.is_async)
        while error is None:
            pulled = _Called(Pull(generator))
            yield pulled, {}
            error = pulled.error
            if pulled.value is END or error is not None:
                break
            try:
                yielded.add(pulled.value)
            except BaseException as own:  # noqa: BLE001  (it fails this run only)
                error = own
                if self.is_async or not inspect.isasyncgen(generator):
                    yield _Called(Pull.closing(generator)), {}
        called.error = error or yielded.problem()
        if isinstance(yielded, YieldedOutputs) and called.error is None:
            called.value = yielded.values
        if yielded.has_stored():
            called.yielded = yielded

    def _step_with_hooks(self, step: Step, run: Run) -> Generator[tuple[_Called, dict[str, Any]]]:
        """Executes a step as `_step` does, and calls its hooks if it succeeds; `fail` calls the others."""
        called: _Called | None = None
        arguments: dict[str, Any] = {}
        for each, own in self._step(step, run):
            if called is None:  # A generator is called again for each of its values.
                called, arguments = each, own
            yield each, own
        if step.hooks and called is not None and called.error is None:
            context = arguments.get(step.context_param) if step.context_param else None
            selection = getattr(called, "selection", None)
            reason = None if context is None else context._marked_because()  # noqa: SLF001
            call_after_return(step, run, selection, called.value, reason)

    def fail(
        self,
        step: Step,
        run: Run,
        error: BaseException,
        message: str | None = None,
        context: AssetExecutionContext[Any] | None = None,
        yielded: YieldedPartitions | YieldedOutputs | None = None,
        repeated: Sequence[int] = (),
    ) -> None:
        """Records that a step failed: the run is retried, or the step's assets fail for good.

        Args:
            step: The step.
            run: The run.
            error: The exception.
            message: The message that is recorded; by default that of the exception.
            context: The context of the call.
            yielded: What was stored of what the call yielded or returned, if some was: only the rest fails
                or is retried.
            repeated: Indices of outputs that a retry makes again, besides those of `Program.repeated`.
        """
        if isinstance(error, KeyboardInterrupt):
            # Ctrl-C that reached a library, too. The thread that cancels the backfill for it may only be
            # about to: then this is no failure, but canceled.
            time.sleep(_CTRL_C_SECONDS)
        if self.observer is not None:
            self.observer.failed(step, run, error)
        trace = traceback_of(error) + (context._last_lines() if context is not None else "")  # noqa: SLF001
        cause = kind_of(error), message or message_of(error), trace
        failures = run.failed_attempts(step.index) + 1
        wait = step.retry.wait(error, failures) if step.retry is not None else None
        if wait is None:
            if self.first_error is None:
                self.first_error = error
            if yielded is not None:
                yielded.fail_rest(*cause)
            else:
                for index in step.indices:
                    run.fail(index, *cause)
            if step.hooks:
                call_after_failure(step, run, f"{cause[0]}: {cause[1]}")
            return
        _log.info(
            "the asset %r of the run %s failed and is tried again in %.1f s: %s: %s",
            step.name, run.id, wait, *cause[:2],
        )  # fmt: skip
        run.retry(step.indices, *cause, wait, [*self.repeated, *repeated])
        if yielded is not None:
            yielded.keep()

    def fail_lost(self, run: Run, index: int, error: BaseException) -> None:
        """Fails a run whose worker died of it.

        Args:
            run: The run.
            index: The index of the step that the worker was at.
            error: What kept the worker from reporting.
        """
        reason = message_of(error).partition("\n")[0] or "no reason given"
        message = (
            reason
            if isinstance(error, TimeoutError)
            else "the worker process that executed this run did not report: it was killed, or it left "
            f"the interpreter ({reason})"
        )
        earlier = [
            step
            for step in self.layers[run.layer]
            if step.index < index and run.executes(step.index)
        ]
        for step in self.layers[run.layer]:
            if step.index == index:
                # What the run made before may be lost with the worker: values that were not written yet, and
                # which partitions failed or were skipped.
                lost = [own for before in earlier for own in before.indices]
                self.fail(step, run, error, message, repeated=lost)
            # Later steps were not reached, whether they need the failed one or not.
            elif (
                step.index > index
                and run.executes(step.index)
                and not run.defer(step.indices, [index])
            ):
                for own in step.indices:
                    run.skip(own)


@dataclass
class _Observed:
    """A pickled program, and what follows its runs in a worker process."""

    layers: bytes
    observer: RunObserver


def _observed(
    follower: RunObserver,
    execute_step: Callable[[Step, Run], Generator[tuple[_Called, dict[str, Any]]]],
    step: Step,
    run: Run,
) -> Generator[tuple[_Called, dict[str, Any]]]:
    """Executes a step within what follows it; one that an earlier attempt has executed is none."""
    if not run.executes(step.index):
        yield from execute_step(step, run)
        return
    with follower.step(step, run):
        yield from execute_step(step, run)


def _enter(step: Step, run: Run) -> tuple[bool, Selection | None, LeftOut]:
    """Whether a step is executed, and for which partitions (`None`: all), after failures and skips.

    The last part of the result has, by upstream, skipped partitions that the step does without.
    """
    if not run.executes(step.index):
        return False, None, {}
    if step.defined is not None:
        for index in step.indices:
            run.check_defined(index, step.defined)
    if run.defer(step.indices, step.needs):
        return False, None, {}
    if any(run.failed_or_skipped(upstream) for upstream in _required(step)):
        for index in step.indices:
            run.skip(index)
        return False, None, {}
    selection = _entered(step, run)
    left_out: LeftOut = {}
    if selection is None or selection.num_partitions:
        left_out = follow(step, run, run.partitions if selection is None else selection)
        selection = _entered(step, run)
    return selection is None or selection.num_partitions > 0, selection, left_out


def _required(step: Step) -> list[int]:
    """The assets without which a step cannot be executed."""
    return step.needs if step.required is None else step.required


def _entered(step: Step, run: Run) -> Selection | None:
    """The partitions for which some output of a step is made; `None`: all."""
    entered = [run.enter(index, _required(step)) for index in step.indices]
    every: Selection | None = entered[0]
    for other in entered[1:]:
        every = None if every is None or other is None else every.union(other)
    return every


def _arguments(
    step: Step, run: Run, selection: Selection | None, left_out: LeftOut | None
) -> dict[str, Any]:
    arguments, missing = arguments_of(step, run, selection, left_out)
    if step.context_param is not None:
        context = context_of_run(step, run, selection)
        if missing:
            context._missing_inputs = missing  # noqa: SLF001  (a part of it that users do not set)
        arguments[step.context_param] = context
    return arguments


def _pickle(layers: list[list[Step]], resources: Resources) -> bytes:
    """The layers as bytes, at submission, so that nothing is submitted that cannot be executed."""
    try:
        return resources.dumps(layers)
    except Exception as error:
        for step in itertools.chain.from_iterable(layers):
            try:
                resources.dumps(step)
            except Exception as own:  # noqa: BLE001  (pickling can raise anything)
                msg = (
                    f"the asset {step.name!r} cannot go to another process, since something it uses "
                    f"cannot be pickled ({type(own).__name__}: {own}); create it inside the function, "
                    "or use Executor.in_process()"
                )
                raise ExecutionError(msg) from error
        raise


class _Called:
    """A call of a step's function, with its value or error.

    `selection` is set if the call is for some of the run's partitions only, `yielded` if the function has
    yielded values that are stored.
    """

    __slots__ = ("error", "selection", "step", "value", "yielded")

    selection: Selection | None
    yielded: YieldedPartitions | YieldedOutputs

    def __init__(self, step: Step | Pull | Begun) -> None:
        self.step = step
        self.value: Any = None
        self.error: BaseException | None = None


def _store_outputs(
    step: Step, called: _Called, run: Run, selection: Selection | None, given: OutputMetadata | None
) -> None:
    """Stores what a multi-asset returned; an output that was stored does not fail with a later one."""
    check_outputs(step, run, selection, called.value)
    for output in step.outputs:
        try:
            _store_output(step, run, output, selection, called.value.get(output.name), given)
        except BaseException:
            called.yielded = YieldedOutputs.before(output, step, run, selection)
            raise


def _store_output(
    step: Step,
    run: Run,
    output: StepOutput,
    selection: Selection | None,
    part: Any,
    given: OutputMetadata | None,
) -> None:
    """Stores the value of an output, and records its metadata."""
    stored = _store_part(step, run, output, selection, part, given)
    if stored is not None:
        declared, added = stored
        facts = output.facts
        if given is not None or declared or added is not None or facts is not None:
            record_metadata(run, output, given, declared, added)


def _store_part(
    step: Step,
    run: Run,
    output: StepOutput,
    selection: Selection | None,
    part: Any,
    given: OutputMetadata | None,
) -> tuple[dict[str, MetadataValue], OutputMetadata | None] | None:
    """Stores the value of an output, for these partitions (`None`: all those for which it is made).

    Returns:
        What the value declares about itself, and what the handler added; `None`: nothing is left to record.
    """
    declared: dict[str, MetadataValue] = {}
    added: OutputMetadata | None = None
    if isinstance(part, _WITH_METADATA):
        declared = declared_metadata(part)
    if isinstance(part, Output):
        part = part.value
    refuse_unconsumed(part, f"the asset {output.name!r}")
    if output.has_value:
        context = _output_context(step, output, run, selection)
        if context is None:
            return None
        if isinstance(part, Materialization):
            age = time.monotonic() - step.since
            output.handler._note_no_value(context, age)  # noqa: SLF001  (not for users)
            return declared, added
        if given is not None or declared:
            known = {} if given is None else given.of_call(context.partition)
            context.output_metadata = {**known, **declared}
        output.handler.handle_output(context, part)
        # What the handler has added goes to the records.
        constant = context._constant  # noqa: SLF001
        if constant is not None and selection is None and given is None and not declared:
            if constant.json != output.facts:
                run.add_metadata(output.index, None, constant.json)
            return None
        added = context._all_added()  # noqa: SLF001
    return declared, added


def _store_yielded(
    step: Step,
    run: Run,
    call: AssetExecutionContext[Any] | None,
    output: StepOutput,
    selection: Selection | None,
    value: Any,
) -> None:
    """Stores a value that was yielded for these partitions (`None`: those for which it is made)."""
    given = None if call is None else call._metadata  # noqa: SLF001  (what it has added so far)
    stored = _store_part(step, run, output, selection, value, given)
    if stored is None:
        return
    declared, added = stored
    if given is None and not declared and added is None and output.facts is None:
        return
    if step.by_name or selection is None:
        record_metadata(run, output, given, declared, added)
    else:
        record_of_partitions(run, output, selection.keys(), given, declared, added)


def _none_recorder(step: Step, plan: Plan | None, taken: Container[str]) -> NoteNone | None:
    """What to call with the numbers of runs in which a step returned `None`, if that is cheap.

    Args:
        step: The step.
        plan: The plan of the runs; `None` in a worker process.
        taken: Assets whose values other steps of the same run load.
    """
    output = step.outputs[0]
    if step.by_name:
        return None
    if not output.has_value:
        return _ignore
    handler = output.handler
    if handler._stores_at_once and (plan is None or output.name in taken):  # noqa: SLF001  (not for users)
        return None
    return handler._none_recorder(output.name, plan)  # noqa: SLF001


def _ignore(numbers: bytes) -> None:
    """Takes the runs of a function without a value: nothing is stored for it."""


def _output_context(
    step: Step, output: StepOutput, run: Run, selection: Selection | None
) -> OutputContext | None:
    """What a handler knows of a value; `None` if all partitions of the run have failed."""
    partition, failed = None, []
    if step.partitioned:
        entered = selection if selection is not None else run.partitions
        left = None if run.has_no_failures else run.survivors(output.index, selection)
        if left is not None:
            if not left.num_partitions:
                return None
            survived = set(left.keys())
            failed = [key for key in entered.keys() if key not in survived]  # noqa: SIM118
        partition = context_of(left or entered, step.definition)
    elif not run.has_no_failures:
        left = run.survivors(output.index)
        if left is not None and not left.num_partitions:
            return None
    return OutputContext(
        asset_name=output.name,
        asset_metadata=output.metadata,
        partition=partition,
        type_hint=output.type_hint,
        run_id=run.id,
        tags=run.tags,
        failed=failed,
    )
