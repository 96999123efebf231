"""Names and attributes of spans and metrics, after the semantic conventions of OpenTelemetry."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.metrics import Histogram, Meter
    from opentelemetry.trace import Span

    from rivers._rivers import Run
    from rivers.execution.steps import Step

SCOPE = "rivers"
"""The name of the tracer and the meter."""
VERSION = importlib.metadata.version("rivers")
PROPAGATOR = TraceContextTextMapPropagator()
"""How spans reach other processes: as W3C Trace Context."""
_BOUNDARIES = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400]
"""Boundaries of durations in seconds, where an SDK has no others for them."""


def durations(meter: Meter, name: str, description: str) -> Histogram:
    """A histogram of durations in seconds."""
    return meter.create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=_BOUNDARIES
    )


def named(what: str, assets: Sequence[str]) -> str:
    """The name of a span: there are few names, whatever the number of partitions."""
    return f"{what} {assets[0]}" if len(assets) == 1 else what


def partitions(step: Step, run: Run) -> dict[str, str | int]:
    """The attributes that say which partitions a step is executed for."""
    if not step.partitioned:
        return {}
    count = run.partitions.num_partitions
    key = {"rivers.partition.key": run.partitions.text(0)} if count == 1 else {}
    return {"rivers.partition.count": count, **key}


def error_type(error: BaseException) -> str:
    """The value of `error.type`."""
    kind = type(error)
    own = kind.__module__ == "builtins"
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def set_error(span: Span, error: BaseException) -> None:
    """Marks a span as failed."""
    span.set_attribute("error.type", error_type(error))
    span.set_status(trace.StatusCode.ERROR, str(error))
