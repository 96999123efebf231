"""The executor interface: where runs are executed, and how many at once."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from rivers._validation import check_count

if TYPE_CHECKING:
    from rivers._rivers import Engine
    from rivers.execution.workers import Workers

__all__ = ["Executor", "Isolation"]

Isolation: TypeAlias = Literal["none", "process", "machine"]
"""What separates a worker from the process that records: nothing, its process, or its machine."""


class Executor(ABC):
    """Where runs are executed. Make one with `in_process` or `parallel`.

    An executor is a value: it can be given to several repositories. `start` returns the workers that
    execute runs for one engine.

    Attributes:
        capacity: Maximum number of runs that it executes at the same time; `None` is unlimited.
        isolation: What separates its workers from this process: `"none"`, `"process"` or
            `"machine"`. A value that one run passes to another must reach that far; see
            `BaseIOHandler.reach`.

    Example:
        >>> import rivers as rs
        >>> rs.Executor.parallel(max_workers=2)
        Executor.parallel(max_workers=2)
        >>> isinstance(rs.Executor.in_process(), rs.Executor.InProcess)
        True
    """

    InProcess: ClassVar[type[InProcessExecutor]]
    """The class of `Executor.in_process()`."""
    Parallel: ClassVar[type[ParallelExecutor]]
    """The class of `Executor.parallel()`."""

    @property
    @abstractmethod
    def capacity(self) -> int | None:
        """Maximum number of runs that it executes at the same time; `None` is unlimited."""

    @property
    @abstractmethod
    def isolation(self) -> Isolation:
        """What separates its workers from this process."""

    @abstractmethod
    def start(self, engine: Engine) -> Workers:
        """Returns the workers of an engine. They cost nothing until runs are submitted.

        Args:
            engine: The engine whose runs they execute.
        """

    @staticmethod
    def in_process() -> InProcessExecutor:
        """Threads of this process; async functions run on one event loop (the default)."""
        return InProcessExecutor()

    @staticmethod
    def parallel(max_workers: int | None = None) -> ParallelExecutor:
        """Processes, each executing whole runs; assets may be defined in a notebook.

        A value goes from one run to another only through an IO handler that reaches beyond a process,
        such as `PickleIOHandler` or `ParquetIOHandler`.

        Args:
            max_workers: Maximum number of processes; by default one per processor.

        Raises:
            ConfigurationError: `max_workers` is not a positive int.
        """
        if max_workers is None:
            max_workers = os.cpu_count() or 1
        return ParallelExecutor(check_count("max_workers", max_workers))


@dataclass(frozen=True, repr=False)
class InProcessExecutor(Executor):
    """Executes runs in threads of this process."""

    @property
    def capacity(self) -> None:
        """Unlimited: threads are started as they are needed."""

    @property
    def isolation(self) -> Literal["none"]:
        """Workers share the memory of this process."""
        return "none"

    def start(self, engine: Engine) -> Workers:
        """Returns threads that execute runs."""
        from rivers.execution.in_process import ThreadWorkers  # noqa: PLC0415  (only when needed)

        return ThreadWorkers(engine)

    def __repr__(self) -> str:
        return "Executor.in_process()"


@dataclass(frozen=True, repr=False)
class ParallelExecutor(Executor):
    """Executes runs in processes of this machine.

    Attributes:
        max_workers: Maximum number of processes.
    """

    max_workers: int

    @property
    def capacity(self) -> int:
        """One run per process."""
        return self.max_workers

    @property
    def isolation(self) -> Literal["process"]:
        """Each worker is a process."""
        return "process"

    def start(self, engine: Engine) -> Workers:
        """Returns processes that execute runs; the first starts with the first submission."""
        from rivers.execution.parallel import ProcessWorkers  # noqa: PLC0415  (it imports loky)

        return ProcessWorkers(engine, self.max_workers)

    def __repr__(self) -> str:
        return f"Executor.parallel(max_workers={self.max_workers})"


Executor.InProcess = InProcessExecutor
Executor.Parallel = ParallelExecutor
