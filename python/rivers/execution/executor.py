"""The executor interface: where runs are executed, and how many at once."""

from __future__ import annotations

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from rivers._validation import check_count
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rivers._rivers import Engine
    from rivers.execution.workers import Workers

__all__ = ["Executor", "Isolation"]

Isolation: TypeAlias = Literal["none", "process", "machine"]
"""What separates a worker from the process that records: nothing, its process, or its machine."""


class Executor(ABC):
    """Where runs are executed. Make one with `in_process`, `parallel` or `ray`.

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
    Ray: ClassVar[type[RayExecutor]]
    """The class of `Executor.ray()`."""

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

    @staticmethod
    def ray(
        address: str | None = None,
        *,
        max_workers: int | None = None,
        max_deaths: int = 3,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> RayExecutor:
        """Workers on the machines of a Ray cluster (needs `pip install 'rivers[ray]'`).

        This process plans, assigns and records; the workers call the functions. A value goes from one
        run to another only through an IO handler that reaches every machine, such as
        `PickleIOHandler` over an object store, or over a shared folder with `shared=True`. As many
        workers are requested as there are runs to execute; `Asset(compute=)` says what each needs.

        Args:
            address: The cluster, as `ray.init` takes it: `"auto"` for the one that this machine belongs
                to, or `"host:port"`. By default `RAY_ADDRESS`, otherwise a cluster that runs on this
                machine, otherwise a new one on this machine, which ends with the repository. Where
                this process is connected to a cluster already, that one is used.
            max_workers: Maximum number of workers; by default as many as the cluster has room for.
            max_deaths: Number of workers that a run may take down before it fails. Other runs that
                were lost with a worker are executed again.
            runtime_env: Environment of the workers, as `ray.init` takes it, such as
                `{"py_modules": ["./helpers"], "pip": ["rivers"]}`. Where this process is connected to
                a cluster already, it is given to each worker.

        Raises:
            ConfigurationError: An argument has the wrong type or is not positive, or Ray is not
                installed.
        """
        if address is not None and (not isinstance(address, str) or not address):
            msg = f"address of a Ray cluster must be a str such as 'auto', got {address!r}"
            raise ConfigurationError(msg)
        if max_workers is not None:
            check_count("max_workers", max_workers)
        if runtime_env is not None and not isinstance(runtime_env, Mapping):
            msg = f"runtime_env must be a dict as ray.init takes it, got {runtime_env!r}"
            raise ConfigurationError(msg)
        check_count("max_deaths", max_deaths)
        if not _has_ray():
            msg = "to execute runs on a Ray cluster, install Ray: pip install 'rivers[ray]'"
            raise ConfigurationError(msg)
        return RayExecutor(address, max_workers, max_deaths, runtime_env)


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


@dataclass(frozen=True, repr=False)
class RayExecutor(Executor):
    """Executes runs on the machines of a Ray cluster.

    Attributes:
        address: The cluster, as `ray.init` takes it.
        max_workers: Maximum number of workers; `None`: as many as the cluster has room for.
        max_deaths: Number of workers that a run may take down before it fails.
        runtime_env: Environment of the workers, as `ray.init` takes it.
    """

    address: str | None = None
    max_workers: int | None = None
    max_deaths: int = 3
    runtime_env: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def capacity(self) -> int | None:
        """One run per worker; the cluster may grow, so its present size is no limit."""
        return self.max_workers

    @property
    def isolation(self) -> Literal["machine"]:
        """Each worker may be on a machine of its own."""
        return "machine"

    def start(self, engine: Engine) -> Workers:
        """Returns workers on the cluster; this process connects to it with the first submission."""
        from rivers.execution.ray_workers import RayWorkers  # noqa: PLC0415  (it imports ray)

        return RayWorkers(engine, self.address, self.max_workers, self.max_deaths, self.runtime_env)

    def __repr__(self) -> str:
        given = [] if self.address is None else [repr(self.address)]
        if self.max_workers is not None:
            given.append(f"max_workers={self.max_workers}")
        return f"Executor.ray({', '.join(given)})"


def _has_ray() -> bool:
    """Whether Ray is installed; it is not imported, which takes a second."""
    try:
        return importlib.util.find_spec("ray") is not None
    except (ImportError, ValueError):
        return False


Executor.InProcess = InProcessExecutor
Executor.Parallel = ParallelExecutor
Executor.Ray = RayExecutor
