"""Runs in other processes: whole batches go there, outcomes come back, values never travel."""

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

from rivers._rivers import SharedRuns
from rivers.execution.parallel_worker import execute_runs, initialize_worker

if TYPE_CHECKING:
    from rivers._rivers import Batch, Run
    from rivers.execution.runner import Program


_ALL = (1 << 63) - 1
"""As many runs as there are."""


class Processes:
    """Worker processes, made when they are needed and replaced when they die."""

    def __init__(self, workers_file: Path | None) -> None:
        _register_exit_once()
        self._workers_file = workers_file
        self._folder = tempfile.TemporaryDirectory(prefix="rivers-")
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._busy: dict[_Process, int] = {}
        self._made = 0
        self._programs: dict[int, tuple[Program, Path]] = {}
        self._free.put(self._make())

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch in one of the program's processes."""
        path = self._send(batch.key, program, batch)
        process = self._take(program.max_workers or 1)
        self._busy[process] = batch.key
        try:
            process.execute(batch, program, path)
        finally:
            del self._busy[process]
            self._free.put(process)

    def kill(self, key: int) -> None:
        """Ends the processes that execute runs of a backfill, at once."""
        for process, busy_with in list(self._busy.items()):
            if busy_with == key:
                process.kill()

    def _take(self, most: int) -> _Process:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if self._made < most:
                return self._make()
        return self._free.get()

    def _make(self) -> _Process:
        self._made += 1
        return _Process(Path(self._folder.name) / f"process-{self._made}", self._workers_file)

    def _send(self, key: int, program: Program, batch: Batch) -> Path:
        """Writes a program to a file, once; each worker reads it once."""
        with self._lock:
            known = self._programs.get(key)
            if known is not None and known[0] is program:
                return known[1]
            path = Path(self._folder.name) / f"program-{key}-{len(self._programs)}"
            path.write_bytes(pickle.dumps((program.pickled, batch.worked)))
            self._programs[key] = (program, path)
            return path

    def close(self) -> None:
        """Ends all processes."""
        while not self._free.empty():
            self._free.get().close()
        self._folder.cleanup()


def _register_exit_once() -> None:
    """Registers the pools' exit hook, once, before the package's own.

    loky does so with each pool that starts (it takes what the registration returns, `None`, for a
    sign that none was made): after the package's own hook, which it must follow, and even while the
    interpreter is being left, where registering raises.
    """
    if process_executor.process_pool_executor_at_exit is None:
        hook = process_executor._python_exit  # noqa: SLF001
        threading._register_atexit(hook)  # type: ignore[attr-defined]  # noqa: SLF001
        process_executor.process_pool_executor_at_exit = hook


class _Process:
    """One worker process, and the runs that it shares with this one.

    Who claims a run executes it, so a slow run holds back none of its batch, and it is known which
    run the process died of.
    """

    def __init__(self, path: Path, workers_file: Path | None) -> None:
        self._path = path
        self._start = os.getpid(), workers_file
        self._shared = SharedRuns(path)
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            max_workers=1, timeout=None, initializer=initialize_worker, initargs=self._start
        )
        pool.submit(os.getpid)  # It starts its process with the first task.
        return pool

    def execute(self, batch: Batch, program: Program, path: Path) -> None:
        """Executes a batch; of a run that the process dies of, those before it again."""
        most = _ALL
        while batch.send(self._shared, most):
            try:
                report = self._pool.submit(execute_runs, path, self._path, batch.earlier()).result()
            except Exception as error:  # noqa: BLE001  (whatever kept the worker from reporting)
                if isinstance(error, BrokenProcessPool):
                    self._replace()
                step = self._shared.step
                most = batch.lost()
                if not most:
                    _fail(next(batch, None), program, step, error)
                    most = _ALL
            else:
                batch.receive(report)
                most = _ALL

    def _replace(self) -> None:
        self.kill()
        self._pool = self._new()

    def kill(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def _fail(run: Run | None, program: Program, index: int, error: BaseException) -> None:
    """Fails the run that took its process with it, at the step that it was at."""
    if run is None:
        return
    reason = str(error).partition("\n")[0] or "no reason given"
    message = (
        "the worker process that executed this run did not report: it was killed, or it left the "
        f"interpreter ({reason})"
    )
    for step in program.layers[run.layer]:
        if step.index == index:
            program.fail(step, run, error, message)
        # What stands behind it was not reached, whether it needs it or not.
        elif (
            step.index > index and run.executes(step.index) and not run.defer(step.indices, [index])
        ):
            for own in step.indices:
                run.skip(own)
