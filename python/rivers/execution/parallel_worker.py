"""The child's side of a worker process: what `rivers.execution.parallel` has it do."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from rivers._rivers import SharedRuns, WorkerBatch, WorkerLock
from rivers.execution.runner import Program
from rivers.execution.worker import execute_batch

if TYPE_CHECKING:
    from pathlib import Path

    from rivers._rivers import JobSpec

_PARENT_CHECK_SECONDS = 0.1
"""Time between two checks of whether the parent is alive."""

_lock: WorkerLock | None = None
"""Held by this worker as long as it lives."""


def initialize_worker(parent: int, lock_file: Path | None) -> None:
    """Prepares a worker process before it executes anything.

    Args:
        parent: The process id of the parent.
        lock_file: The file that the engine's worker processes lock.
    """
    global _lock  # noqa: PLW0603  (it must live as long as the process)
    # Ctrl-C reaches all processes of a terminal; the one that waits for the backfill handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if lock_file is not None:
        _lock = WorkerLock(lock_file)
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


@lru_cache(maxsize=8)
def _read(program: Path) -> tuple[Program, JobSpec]:
    pickled, spec = pickle.loads(program.read_bytes())  # noqa: S301  (the parent wrote it)
    return Program.unpickle(pickled), spec


@lru_cache(maxsize=1)
def _shared(path: Path) -> SharedRuns:
    return SharedRuns(path)


def execute_runs(program_file: Path, runs_file: Path, prior_attempts: bytes) -> bytes:
    """Executes runs until it is time to report.

    Args:
        program_file: The pickled program and job spec.
        runs_file: The file of the `SharedRuns` to claim runs from.
        prior_attempts: What `Batch.prior_attempts` returned.

    Returns:
        The report for `Batch.receive`.
    """
    program, spec = _read(program_file)
    shared = _shared(runs_file)
    return execute_batch(program, WorkerBatch(spec, shared, prior_attempts), shared.set_step)
