"""The parent's side of worker processes: ranges of runs go there, outcomes come back, values never do."""

from __future__ import annotations

import os
import pickle
import queue
import tempfile
import threading
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from loky import ProcessPoolExecutor, process_executor

from rivers._fork import reset_in_children
from rivers._rivers import SharedRuns
from rivers.execution.parallel_worker import execute_runs, initialize_worker
from rivers.execution.workers import Workers

if TYPE_CHECKING:
    from rivers._rivers import Batch, Engine
    from rivers.execution.runner import Program

_ALL_RUNS = (1 << 63) - 1
"""More runs than a batch has."""


class ProcessWorkers(Workers):
    """Worker processes, started when they are needed and replaced when they die."""

    def __init__(self, engine: Engine, max_workers: int) -> None:
        super().__init__(engine)
        self._max_workers = max_workers
        self._lock = threading.Lock()
        self._processes: _Processes | None = None

    def prepare(self) -> None:
        """Starts the first process, so that it is there when the first runs are."""
        self._started()

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch in one of the processes."""
        self._started().execute(batch, program)

    def cancel(self, backfill_key: int) -> None:
        """Kills the processes that execute runs of a backfill."""
        if self._processes is not None:
            self._processes.kill(backfill_key)

    def close(self) -> None:
        """Ends all processes."""
        with self._lock:
            if self._processes is not None:
                self._processes.close()
                self._processes = None

    def _started(self) -> _Processes:
        with self._lock:
            if self._processes is None:
                self._processes = _Processes(self._max_workers, self._engine.worker_lock_file)
            return self._processes


class _Processes:
    """The processes, and the folder with the files that they share with this one."""

    def __init__(self, max_workers: int, lock_file: Path | None) -> None:
        _register_exit_once()
        self._max_workers = max_workers
        self._lock_file = lock_file
        self._folder = tempfile.TemporaryDirectory(prefix="rivers-")
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._busy: dict[_Process, int] = {}
        self._num_started = 0
        self._programs: dict[int, tuple[Program, Path]] = {}
        self._free.put(self._start())
        reset_in_children(self)

    def reset_in_child(self) -> None:
        """Leaves the folder to the parent: a forked child would remove it when it exits."""
        self._folder._finalizer.detach()  # type: ignore[attr-defined]  # noqa: SLF001

    def execute(self, batch: Batch, program: Program) -> None:
        program_file = self._write(program, batch)
        process = self._acquire()
        self._busy[process] = batch.key
        try:
            process.execute(batch, program, program_file)
        finally:
            del self._busy[process]
            self._free.put(process)

    def kill(self, backfill_key: int) -> None:
        for process, key in list(self._busy.items()):
            if key == backfill_key:
                process.kill()

    def close(self) -> None:
        while not self._free.empty():
            self._free.get().close()
        self._folder.cleanup()

    def _acquire(self) -> _Process:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if self._num_started < self._max_workers:
                return self._start()
        return self._free.get()

    def _start(self) -> _Process:
        self._num_started += 1
        runs_file = Path(self._folder.name) / f"process-{self._num_started}"
        return _Process(runs_file, self._lock_file)

    def _write(self, program: Program, batch: Batch) -> Path:
        """Writes a program to a file, once; each worker reads it once."""
        with self._lock:
            known = self._programs.get(batch.key)
            if known is not None and known[0] is program:
                return known[1]
            path = Path(self._folder.name) / f"program-{batch.key}-{len(self._programs)}"
            path.write_bytes(pickle.dumps((program.pickled, batch.spec)))
            self._programs[batch.key] = (program, path)
            return path


def _register_exit_once() -> None:
    """Registers loky's exit hook, once, before the package's own.

    loky does so with each pool that starts (it takes what the registration returns, `None`, for a
    sign that none was registered): after the package's own hook, which it must follow, and even while
    the interpreter is being left, where registering raises.
    """
    if process_executor.process_pool_executor_at_exit is None:
        hook = process_executor._python_exit  # noqa: SLF001
        threading._register_atexit(hook)  # type: ignore[attr-defined]  # noqa: SLF001
        process_executor.process_pool_executor_at_exit = hook


class _Process:
    """One worker process, and the runs that it shares with this one.

    The side that claims a run executes it, so a slow run holds back none of its batch, and it is known
    which run the process died of.
    """

    def __init__(self, runs_file: Path, lock_file: Path | None) -> None:
        self._runs_file = runs_file
        self._initargs = os.getpid(), lock_file
        self._shared = SharedRuns(runs_file)
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            max_workers=1, timeout=None, initializer=initialize_worker, initargs=self._initargs
        )
        pool.submit(os.getpid)  # The pool starts its process with the first task.
        return pool

    def execute(self, batch: Batch, program: Program, program_file: Path) -> None:
        """Executes a batch. If the process dies of a run, the runs before it are executed again."""
        max_runs = _ALL_RUNS
        while batch.share(self._shared, max_runs):
            try:
                report = self._pool.submit(
                    execute_runs, program_file, self._runs_file, batch.prior_attempts()
                ).result()
            except Exception as error:  # noqa: BLE001  (whatever kept the worker from reporting)
                if isinstance(error, BrokenProcessPool):
                    self._replace()
                step = self._shared.step
                # Shared memory always tells how many runs had ended.
                max_runs = batch.reclaim() or 0
                if not max_runs:
                    run = next(batch, None)
                    if run is not None:
                        program.fail_lost(run, step, error)
                    max_runs = _ALL_RUNS
            else:
                batch.receive(report)
                max_runs = _ALL_RUNS

    def _replace(self) -> None:
        self.kill()
        self._pool = self._new_pool()

    def kill(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)

    def close(self) -> None:
        self._pool.shutdown(wait=True)
