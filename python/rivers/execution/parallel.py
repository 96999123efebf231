"""The parent's side of worker processes: ranges of runs go there, outcomes come back, values never do."""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from rivers._fork import reset_in_children
from rivers.exceptions import ExecutionError
from rivers.execution.program_files import ProgramFiles
from rivers.execution.worker_process import WorkerProcess
from rivers.execution.workers import Workers

if TYPE_CHECKING:
    from rivers._rivers import Batch, Engine
    from rivers.execution.runner import Program


_log = logging.getLogger("rivers")


class ProcessWorkers(Workers):
    """Worker processes, started when they are needed and replaced when they die."""

    def __init__(self, engine: Engine, max_workers: int) -> None:
        super().__init__(engine)
        self._max_workers = max_workers
        self._lock = threading.Lock()
        self._processes: _Processes | None = None

    def prepare(self) -> None:
        """Starts the first process, so that it is there when the first runs are.

        Raises:
            ExecutionError: The system starts none.
        """
        try:
            self._started().prepare()
        except OSError as error:
            msg = f"no worker process can be started: {error}"
            raise ExecutionError(msg) from error

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch in one of the processes."""
        self._started().execute(batch, program)

    def cancel(self, backfill_key: int) -> None:
        """Kills the processes that execute runs of a backfill."""
        if self._processes is not None:
            self._processes.kill(backfill_key)

    def forget(self, backfill_key: int) -> None:
        """Removes the program of a backfill, and kills the processes that still execute it."""
        if self._processes is not None:
            self._processes.kill(backfill_key)
            self._processes.forget(backfill_key)

    def close(self) -> None:
        """Ends all processes."""
        with self._lock:
            if self._processes is not None:
                self._processes.close()
                self._processes = None

    def _started(self) -> _Processes:
        with self._lock:
            if self._processes is None:
                self._processes = _Processes(self._max_workers, self._engine)
            return self._processes


class _Processes:
    """The processes, and the folder with the files that they share with this one."""

    def __init__(self, max_workers: int, engine: Engine) -> None:
        self._max_workers = max_workers
        self._engine = engine
        self._folder = tempfile.TemporaryDirectory(prefix="rivers-", ignore_cleanup_errors=True)
        self._programs = ProgramFiles(Path(self._folder.name))
        self._all: list[WorkerProcess] = []
        self._free: queue.LifoQueue[WorkerProcess] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._busy: dict[WorkerProcess, int] = {}
        self._free.put(self._new())
        reset_in_children(self)

    def reset_in_child(self) -> None:
        """Leaves the folder to the parent: a forked child would remove it when it exits."""
        self._folder._finalizer.detach()  # type: ignore[attr-defined]  # noqa: SLF001

    def prepare(self) -> None:
        with self._lock:
            first = self._all[0]
        if first not in self._busy:
            first.start()

    def execute(self, batch: Batch, program: Program) -> None:
        live = {batch.key, *self._engine.live()}
        for ended in self._programs.keys() - live:
            self.forget(ended)
        process = self._acquire()
        self._busy[process] = batch.key
        try:
            process.execute(batch, program, lambda: self._programs.file(program, batch))
        finally:
            del self._busy[process]
            self._free.put(process)

    def kill(self, backfill_key: int) -> None:
        for process, key in list(self._busy.items()):
            if key == backfill_key:
                _log.info("a worker process is killed, since its backfill has been ended")
                process.kill()

    def forget(self, backfill_key: int) -> None:
        for file in self._programs.drop(backfill_key):
            with self._lock:
                processes = list(self._all)
            for process in processes:
                process.drop(file)

    def close(self) -> None:
        while not self._free.empty():
            self._free.get().close()
        self._folder.cleanup()

    def _acquire(self) -> WorkerProcess:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if len(self._all) < self._max_workers:
                return self._new()
        return self._free.get()

    def _new(self) -> WorkerProcess:
        name = f"process-{len(self._all) + 1}"
        process = WorkerProcess(Path(self._folder.name), name, self._engine.worker_lock_file)
        self._all.append(process)
        return process
