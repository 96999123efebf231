"""The child's side of a worker process: what `rivers.execution.parallel` has it do."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from rivers._rivers import SharedRuns, WorkerBatch, WorkerLock
from rivers.execution import process_state, timeouts
from rivers.execution.context import log_extra
from rivers.execution.log_forwarding import Forwarder
from rivers.execution.runner import Program
from rivers.execution.worker import execute_batch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from rivers._rivers import Calls, JobSpec, Run
    from rivers.execution.steps import Step

_PARENT_CHECK_SECONDS = 0.1
"""Time between two checks of whether the parent is alive."""


class _Worker:
    """What a worker process keeps from one batch to the next.

    Attributes:
        lock: Held as long as the process lives.
        forwarder: Sends log records to the parent.
        programs: The programs that were read, by file.
        shared: What runs are claimed from, by file; only the last.
        current: The step and the run that are being executed, if Python calls their function.
        calls: The calls that Rust makes.
    """

    def __init__(self, lock: WorkerLock | None, log: Connection) -> None:
        self.lock = lock
        self.forwarder = Forwarder(log, self._extra)
        self.programs: dict[Path, tuple[Program, JobSpec]] = {}
        self.shared: dict[Path, SharedRuns] = {}
        self.current: tuple[Step, Run] | None = None
        self.calls: Calls | None = None

    def program(self, file: Path) -> tuple[Program, JobSpec]:
        known = self.programs.get(file)
        if known is None:
            pickled, spec = pickle.loads(file.read_bytes())  # noqa: S301  (the parent wrote it)
            known = self.programs[file] = Program.unpickle(pickled), spec
        return known

    def runs(self, file: Path) -> SharedRuns:
        if file not in self.shared:
            self.shared = {file: SharedRuns(file)}
        return self.shared[file]

    def _extra(self) -> dict[str, Any]:
        current = self.current
        direct = None if self.calls is None else self.calls.current
        if direct is not None and (current is None or current[1].number != direct[1].number):
            current = direct
        return {} if current is None else log_extra(*current)


_worker: _Worker | None = None


def initialize_worker(parent: int, lock_file: Path | None, log: Connection) -> None:
    """Prepares a worker process before it executes anything.

    Args:
        parent: The process id of the parent.
        lock_file: The file that the engine's worker processes lock.
        log: Where log records and warnings are sent.
    """
    global _worker  # noqa: PLW0603  (it lives as long as the process)
    # Ctrl-C reaches all processes of a terminal; the one that waits for the backfill handles it. The
    # parent has blocked the signal for this process until here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _worker = _Worker(None if lock_file is None else WorkerLock(lock_file), log)
    _worker.forwarder.install()
    # A process that could not see this worker's lock saw the parent dead, so it must be dead by now.
    _exit_if_orphaned(parent)
    threading.Thread(
        target=_watch_parent, args=(parent,), name="rivers-parent-watch", daemon=True
    ).start()


def _exit_if_orphaned(parent: int) -> None:
    """Ends this process if its parent is dead: its runs are executed again elsewhere."""
    if os.getppid() != parent:
        os._exit(1)


def _watch_parent(parent: int) -> None:
    while True:
        time.sleep(_PARENT_CHECK_SECONDS)
        _exit_if_orphaned(parent)


def execute_runs(
    program_file: Path, runs_file: Path, prior_attempts: bytes, state: bytes, number: int
) -> tuple[bytes, bool]:
    """Executes runs until it is time to report.

    Args:
        program_file: The pickled program and job spec.
        runs_file: The file of the `SharedRuns` to claim runs from.
        prior_attempts: What `Batch.prior_attempts` returned.
        state: What `process_state.capture` returned in the parent.
        number: Number of this batch, which marks the end of its log records.

    Returns:
        The report for `Batch.receive`, and whether a call was abandoned: then the process is to be
        replaced.
    """
    worker = _worker
    if worker is None:
        raise AssertionError  # A worker that was not initialized gets no runs.
    process_state.apply(state)
    program, spec = worker.program(program_file)
    # What was just imported may have set up handlers: lines would arrive twice.
    worker.forwarder.install()
    shared = worker.runs(runs_file)

    def on_step(step: Step, run: Run) -> None:
        worker.current = step, run
        shared.set_step(step.index)

    def on_call(seconds: float | None) -> None:
        shared.deadline = 0 if seconds is None else int((time.monotonic() + seconds) * 1e6)

    def on_calls(calls: Calls) -> None:
        worker.calls = calls

    batch = WorkerBatch(spec, shared, prior_attempts)
    try:
        report = execute_batch(program, batch, on_step, on_call, on_calls)
        return report, timeouts.num_abandoned > 0
    finally:
        worker.current = worker.calls = None
        worker.forwarder.flush_to(number)


def drop_program(program_file: Path) -> None:
    """Forgets a program whose backfill has ended."""
    if _worker is not None:
        _worker.programs.pop(program_file, None)
