"""What a worker process does."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from rivers._rivers import SharedRuns, WorkerBatch, WorkerSign
from rivers.execution.runner import Program
from rivers.io import InMemoryIOHandler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rivers._rivers import Run, Worked


_WATCH_INTERVAL = 0.1
"""Seconds between two looks at whether the parent lives."""


_sign: WorkerSign | None = None
"""In a worker, for all its life."""


def initialize_worker(parent: int, workers_file: Path | None) -> None:
    """In a worker, before it executes anything."""
    global _sign  # noqa: PLW0603  (what is to live as long as the process)
    # Ctrl-C goes to all processes of a terminal; the one that waits for the backfill handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if workers_file is not None:
        _sign = WorkerSign(workers_file)
    # Whoever found no sign of this worker found its parent dead; then it is by now.
    _leave_without(parent)
    threading.Thread(target=_watch, args=(parent,), name="rivers-parent-watch", daemon=True).start()


def _leave_without(parent: int) -> None:
    """Ends this process if its parent is gone: what it executes is executed again elsewhere."""
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while True:
        time.sleep(_WATCH_INTERVAL)
        _leave_without(parent)


@lru_cache(maxsize=8)
def _read(program: Path) -> tuple[Program, Worked]:
    pickled, worked = pickle.loads(program.read_bytes())  # noqa: S301  (the parent wrote it)
    return Program(pickle.loads(pickled)), worked  # noqa: S301


@lru_cache(maxsize=1)
def _shared(path: Path) -> SharedRuns:
    return SharedRuns(path)


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def execute_runs(path: Path, runs_path: Path, earlier: bytes) -> bytes:
    """In the worker: executes runs until it is time to report."""
    program, worked = _read(path)
    shared = _shared(runs_path)
    batch = WorkerBatch(worked, shared, earlier)
    outputs = [output for step in program.steps for output in step.outputs]
    handlers = {id(output.handler): output.handler for output in outputs}.values()
    in_memory = [handler for handler in handlers if isinstance(handler, InMemoryIOHandler)]

    def runs() -> Iterator[Run]:
        for run in batch:
            yield run
            for handler in in_memory:
                handler.forget()

    program.watch = shared.set_step
    program.repeated = [
        output.index for output in outputs if isinstance(output.handler, InMemoryIOHandler)
    ]
    if program.is_async:
        _loop().run_until_complete(program.execute_async(runs()))
    else:
        program.execute(runs())
    return batch.report()
