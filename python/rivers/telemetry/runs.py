"""Spans and durations of runs and steps, in whichever process executes them."""

from __future__ import annotations

import contextlib
import logging
import pickle
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.context import Context

from rivers.execution.context import log_extra
from rivers.telemetry.names import (
    PROPAGATOR,
    SCOPE,
    VERSION,
    durations,
    error_type,
    named,
    partitions,
    set_error,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, Tracer

    from rivers._rivers import Run
    from rivers.execution.steps import Step

_log = logging.getLogger("rivers")


class Instruments:
    """Where a process that executes runs sends their spans and durations."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self.tracer = tracer
        self.runs = durations(meter, "rivers.run.duration", "Duration of attempts of runs.")
        self.steps = durations(
            meter, "rivers.step.duration",
            "Duration of steps: loading inputs, calling the function, storing its value.",
        )  # fmt: skip


class Runs:
    """Follows runs in whichever process executes them.

    Args:
        carrier: The span that theirs belong to, as W3C Trace Context has it.
        setup_worker: A pickled function that sets up the providers of a worker process.
        instruments: Those of this process.
    """

    def __init__(
        self,
        carrier: dict[str, str],
        setup_worker: bytes | None,
        instruments: Instruments,
    ) -> None:
        self._carrier = carrier
        self._setup_worker = setup_worker
        self._instruments = instruments
        self._parent = PROPAGATOR.extract(carrier, Context())

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_worker, (self._carrier, self._setup_worker)

    @contextlib.contextmanager
    def run(self, run: Run, steps: Sequence[Step]) -> Generator[None]:
        """The span of an attempt of a run."""
        extra = log_extra(steps[0], run)
        names = [output.name for step in steps for output in step.outputs]
        failed = max(run.failed_attempts(step.index) for step in steps)
        attributes = {
            "rivers.asset.names": names,
            "rivers.backfill.id": extra["backfill"],
            "rivers.run.id": run.id,
            "rivers.run.attempt": failed + 1,
            **partitions(steps[0], run),
        }
        began = time.monotonic()
        tracer, recorded = self._instruments.tracer, _Outcome()
        with tracer.start_as_current_span(
            named("run", names), self._parent, attributes=attributes,
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            token = _run.set(recorded)
            try:
                yield
            finally:
                _run.reset(token)
                _end(span, recorded)
                self._instruments.runs.record(time.monotonic() - began, recorded.attributes())

    @contextlib.contextmanager
    def step(self, step: Step, run: Run) -> Generator[None]:
        """The span of a step, which is current while its function is called."""
        began = time.monotonic()
        recorded, names = _Outcome(), [output.name for output in step.outputs]
        with self._instruments.tracer.start_as_current_span(
            named("step", [step.name]),
            attributes={
                "rivers.asset.names": names, "rivers.run.id": run.id, **partitions(step, run),
            },
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            token = _step.set((span, recorded))
            try:
                yield
            finally:
                _step.reset(token)
                _end(span, recorded)
                attributes = {"rivers.step.name": step.name, **recorded.attributes()}
                self._instruments.steps.record(time.monotonic() - began, attributes)

    def failed(self, step: Step, run: Run, error: BaseException) -> None:
        """Records an exception with the span of its step."""
        current, own_run = _step.get(), _run.get()
        if own_run is not None:
            own_run.error = own_run.error or error
        if current is None:
            # Its worker died: it has taken the spans with it.
            with self._lost(step, run):
                self.failed(step, run, error)
            return
        span, recorded = current
        recorded.error = error
        span.record_exception(error)

    @contextlib.contextmanager
    def _lost(self, step: Step, run: Run) -> Generator[None]:
        with self.run(run, [step]), self.step(step, run):
            yield


class _Outcome:
    """What has become of a run or a step."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def attributes(self) -> dict[str, str]:
        return {} if self.error is None else {"error.type": error_type(self.error)}


_run: ContextVar[_Outcome | None] = ContextVar("rivers_traced_run", default=None)
_step: ContextVar[tuple[Span, _Outcome] | None] = ContextVar("rivers_traced_step", default=None)

_of_worker: list[Instruments] = []
"""Those of this process, if it is a worker."""


def _in_worker(carrier: dict[str, str], setup_worker: bytes | None) -> Runs:
    """Follows runs in a worker process, which is set up for that once."""
    if not _of_worker:
        if setup_worker is not None:
            try:
                pickle.loads(setup_worker)()  # noqa: S301  (this program pickled it)
            except Exception:  # noqa: BLE001  (runs are executed all the same)
                _log.exception("setup_worker raised an exception: this process may trace nothing")
        tracer = trace.get_tracer(SCOPE, VERSION)
        _of_worker.append(Instruments(tracer, metrics.get_meter(SCOPE, VERSION)))
    return Runs(carrier, setup_worker, _of_worker[0])


def _end(span: Span, recorded: _Outcome) -> None:
    if recorded.error is not None:
        set_error(span, recorded.error)
