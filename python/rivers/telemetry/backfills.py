"""Spans of backfills, and the counts of what this process runs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace

from rivers.exceptions import RiversError
from rivers.telemetry.names import PROPAGATOR, durations, named, set_error
from rivers.telemetry.runs import Instruments, Runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.trace import Span, Tracer

    from rivers._rivers import Engine
    from rivers._storage import BackfillRecord
    from rivers.execution.observer import Observed

_STATES = ("completed", "failed", "canceled")


class Telemetry:
    """Follows the requests of this process."""

    def __init__(self, tracer: Tracer, meter: Meter, setup_worker: bytes | None) -> None:
        self.tracer = tracer
        self._runs = Instruments(tracer, meter)
        self._setup_worker = setup_worker
        self._lock = threading.Lock()
        self._live: set[_Observation] = set()
        self._ended = dict.fromkeys(_STATES, 0)
        self.durations = durations(
            meter,
            "rivers.backfill.duration",
            "Duration of backfills in the process that runs them.",
        )
        meter.create_observable_up_down_counter(
            "rivers.backfill.active", [self._observe_active], "{backfill}",
            "Backfills that this process runs.",
        )  # fmt: skip
        meter.create_observable_up_down_counter(
            "rivers.run.active", [self._observe_runs], "{run}", "Runs that are being executed.",
        )  # fmt: skip
        meter.create_observable_up_down_counter(
            "rivers.partition.pending", [self._observe_pending], "{partition}",
            "Partitions of the queue that have not ended.",
        )  # fmt: skip
        meter.create_observable_counter(
            "rivers.partition.ended", [self._observe_ended], "{partition}",
            "Partitions that have ended, by state.",
        )  # fmt: skip

    def observe(self, observed: Observed) -> _Observation:
        """Starts the span of a backfill."""
        return _Observation(self, observed, self._runs, self._setup_worker)

    def add(self, observation: _Observation) -> None:
        """Counts a backfill that is live from now on."""
        with self._lock:
            self._live.add(observation)

    def remove(self, observation: _Observation, counts: dict[str, int]) -> None:
        """Counts a backfill that is not live any more, with the partitions that have ended here."""
        with self._lock:
            self._live.discard(observation)
            for state in _STATES:
                self._ended[state] += counts[state]

    def _observe_active(self, _options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            live = [each for each in self._live if not each.is_manual]
        yield metrics.Observation(len(live))

    def _observe_runs(self, _options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            live = list(self._live)
        yield metrics.Observation(sum(each.num_running() for each in live))

    def _observe_pending(self, _options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            live = list(self._live)
        yield metrics.Observation(sum(each.num_pending() for each in live))

    def _observe_ended(self, _options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            counts = [self._ended, *(each.counts() for each in self._live)]
        for state in _STATES:
            total = sum(own[state] for own in counts)
            yield metrics.Observation(total, {"rivers.partition.state": state})


class _Observation:
    """The span and the counts of a backfill; a manual run has counts only."""

    def __init__(
        self,
        telemetry: Telemetry,
        observed: Observed,
        instruments: Instruments,
        setup_worker: bytes | None,
    ) -> None:
        self._telemetry = telemetry
        self._observed = observed
        self.is_manual = observed.is_manual
        self._began = time.monotonic()
        self._live: tuple[Engine, int, str] | None = None
        self._first: dict[str, int] | None = None
        self._counts = dict.fromkeys(_STATES, 0)
        parent = _carried(observed.traceparent)
        self._span: Span | None = None
        if not observed.is_manual:
            self._span = telemetry.tracer.start_span(
                named("backfill", observed.assets),
                parent,
                attributes={
                    "rivers.asset.names": list(observed.assets),
                    "rivers.backfill.partition.count": observed.num_partitions,
                    "rivers.backfill.run.count": observed.num_runs,
                    "rivers.backfill.resumed": observed.resumed is not None,
                },
            )
            parent = trace.set_span_in_context(self._span, parent)
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier, parent)
        self.traceparent = carrier.get("traceparent")
        self.runs = Runs(carrier, setup_worker, instruments)

    def started(self, engine: Engine, key: int, backfill_id: str) -> None:
        self._live = engine, key, backfill_id
        self._first = self._read()
        self._telemetry.add(self)
        if self._span is not None:
            self._span.set_attribute("rivers.backfill.id", backfill_id)

    def refused(self, error: BaseException) -> None:
        if self._span is not None:
            set_error(self._span, error)
            self._span.end()

    def stopped(self, reason: str) -> None:
        self._end(self.counts(), "stopped")
        if self._span is not None:
            self._span.set_status(trace.StatusCode.ERROR, reason)
            self._span.end()

    def ended(self, record: BackfillRecord | None) -> None:
        status = "removed" if record is None else record["status"]
        counts = self.counts()
        if record is not None:
            counts = self._since({state: record[state] for state in _STATES})  # type: ignore[literal-required]
        self._end(counts, status)
        if self._span is None:
            return
        self._span.set_attribute("rivers.backfill.status", status)
        for state in _STATES:
            self._span.set_attribute(f"rivers.backfill.partition.{state}", counts[state])
        if status == "failed":
            self._span.set_status(trace.StatusCode.ERROR, f"{counts['failed']} partitions failed")
        self._span.end()

    def _end(self, counts: dict[str, int], status: str) -> None:
        self._telemetry.remove(self, counts)
        self._live = None
        if not self.is_manual:
            self._telemetry.durations.record(
                time.monotonic() - self._began, {"rivers.backfill.status": status}
            )

    def counts(self) -> dict[str, int]:
        """How many partitions have ended by now since this process runs it, by state."""
        now = self._read()
        if now is not None:
            self._counts = self._since(now)
        return self._counts

    def _since(self, now: dict[str, int]) -> dict[str, int]:
        first = self._first or dict.fromkeys(_STATES, 0)
        return {state: now[state] - first[state] for state in _STATES}

    def num_pending(self) -> int:
        """How many partitions have not ended."""
        now = self._read()
        return 0 if now is None else self._observed.num_partitions - sum(now.values())

    def num_running(self) -> int:
        """How many runs are being executed."""
        live = self._live
        progress = None if live is None else live[0].progress(live[1])
        return 0 if progress is None else progress[2]

    def _read(self) -> dict[str, int] | None:
        """The counts of the backfill; `None`: it is not live any more."""
        live = self._live
        if live is None:
            return None
        try:
            snapshot = live[0].snapshot(live[2])
        except RiversError:  # The engine is closed.
            return None
        return None if snapshot is None else {state: snapshot[state] for state in _STATES}  # type: ignore[literal-required]


def _carried(traceparent: str | None) -> Context | None:
    """The context of a stored span; `None`: the current one."""
    return None if traceparent is None else PROPAGATOR.extract({"traceparent": traceparent})
