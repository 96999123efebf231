"""Where the user's functions are called: the only place."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rivers._validation import check_count

__all__ = ["Executor"]


@dataclass(frozen=True)
class Executor:
    """Where runs are executed. Make one with `in_process` or `parallel`.

    Attributes:
        max_workers: Processes; `None` for this process.

    Example:
        >>> import rivers as rs
        >>> rs.Executor.parallel(max_workers=2)
        Executor.parallel(max_workers=2)
    """

    max_workers: int | None = None

    @staticmethod
    def in_process() -> Executor:
        """Threads of this process; async functions run on one event loop (the default)."""
        return Executor()

    @staticmethod
    def parallel(max_workers: int | None = None) -> Executor:
        """Processes, each executing whole runs; assets may be defined in a notebook.

        A value goes from one run to another only through an IO handler that processes share, such
        as `PickleIOHandler` or `ParquetIOHandler`.

        Args:
            max_workers: Processes at the most; as many as there are processors by default.

        Raises:
            ConfigurationError: `max_workers` is no positive int.
        """
        if max_workers is None:
            max_workers = os.cpu_count() or 1
        return Executor(check_count("max_workers", max_workers))

    def __repr__(self) -> str:
        if self.max_workers is None:
            return "Executor.in_process()"
        return f"Executor.parallel(max_workers={self.max_workers})"
