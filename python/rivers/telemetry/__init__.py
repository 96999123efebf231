"""Traces and metrics of backfills with OpenTelemetry.

It needs the extra `rivers[otel]`, which is the API of OpenTelemetry alone: where spans and metrics go is up
to the program, which sets up an SDK. Without `instrument()` nothing of this is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cloudpickle

try:
    from opentelemetry import metrics, trace
except ImportError as error:
    missing = f"rivers.telemetry needs OpenTelemetry: pip install 'rivers[otel]' ({error})"
    raise ImportError(missing) from error

from rivers.exceptions import ConfigurationError
from rivers.execution import observer
from rivers.telemetry.backfills import Telemetry
from rivers.telemetry.names import SCOPE, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["RiversInstrumentor"]


class RiversInstrumentor:
    """Has backfills, runs and steps traced and measured.

    Call `instrument()` once, before backfills are launched. `opentelemetry-instrument` does so by itself.

    Example:
        >>> from rivers.telemetry import RiversInstrumentor
        >>> instrumentor = RiversInstrumentor()
        >>> instrumentor.instrument()
        >>> instrumentor.uninstrument()
    """

    def instrument(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        setup_worker: Callable[[], object] | None = None,
        **_others: Any,
    ) -> None:
        """Begins to trace and measure what this process launches from now on.

        Args:
            tracer_provider: Where the spans of this process go; by default the global provider.
            meter_provider: Where the metrics of this process go; by default the global provider.
            setup_worker: Called once in each worker process (`Executor.parallel()` and `Executor.ray()`), to
                set up the global providers there: it is pickled. Runs and steps are traced and measured by
                the process that executes them.

        Raises:
            ConfigurationError: `setup_worker` cannot be called or pickled.
        """
        observer.current = Telemetry(
            trace.get_tracer(SCOPE, VERSION, tracer_provider),
            metrics.get_meter(SCOPE, VERSION, meter_provider),
            _pickled(setup_worker),
        )

    def uninstrument(self, **_others: Any) -> None:
        """Traces and measures nothing that is launched from now on."""
        observer.current = None


def _pickled(setup_worker: Callable[[], object] | None) -> bytes | None:
    if setup_worker is None:
        return None
    if not callable(setup_worker):
        msg = f"setup_worker must be a function without arguments, got {setup_worker!r}"
        raise ConfigurationError(msg)
    try:
        return cloudpickle.dumps(setup_worker)  # type: ignore[no-any-return]
    except Exception as error:
        msg = (
            f"setup_worker cannot go to worker processes ({type(error).__name__}: {error}); create what "
            "it uses inside the function"
        )
        raise ConfigurationError(msg) from error
