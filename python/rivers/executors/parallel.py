"""Runs in other processes: whole batches go there, outcomes come back, values never travel."""

from __future__ import annotations

import asyncio
import mmap
import os
import pickle
import queue
import signal
import struct
import tempfile
import threading
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from loky import ProcessPoolExecutor

from rivers._rivers import WorkerBatch
from rivers.executors.program import Program
from rivers.io import InMemoryIOHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivers._rivers import Batch, Run, Worked

_AT = struct.Struct("<QI")
"""Where a worker is: the run's number and the step's index."""


class Processes:
    """Worker processes, made when they are needed and replaced when they die."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rivers-")
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._made = 0
        self._programs: dict[int, tuple[Program, Path]] = {}

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch in one of the program's processes."""
        path = self._send(batch.key, program, batch)
        process = self._take(program.max_workers or 1)
        try:
            while (sent := batch.send()) is not None:
                process.execute(batch, program, path, *sent)
        finally:
            self._free.put(process)

    def _take(self, most: int) -> _Process:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if self._made < most:
                self._made += 1
                return _Process(Path(self._folder.name) / f"process-{self._made}")
        return self._free.get()

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


class _Process:
    """One worker process. It writes where it is into a file of twelve bytes, so that it is known
    which run killed it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_bytes(_AT.pack(0, 0))
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(max_workers=1, timeout=None, initializer=_initialize)

    def execute(self, batch: Batch, program: Program, path: Path, first: int, end: int) -> None:
        """Has runs executed. Of those that were not, the batch knows afterwards."""
        self._path.write_bytes(_AT.pack(first, 0))
        try:
            report = self._pool.submit(_work, path, self._path, first, end).result()
        except BrokenProcessPool as error:
            self._replace()
            at, step = _AT.unpack(self._path.read_bytes())
            if at > first:
                # What came before it is not reported, so it is executed again, without this one.
                report = self._pool.submit(_work, path, self._path, first, at).result()
                batch.receive(report, first, end)
            else:
                _fail(batch.lost(first, end), program, step, error)
        except Exception as error:  # noqa: BLE001  (whatever kept the worker from reporting)
            _fail(batch.lost(first, end), program, 0, error)
        else:
            batch.receive(report, first, end)

    def _replace(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)
        self._pool = self._new()

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def _fail(run: Run | None, program: Program, index: int, error: BaseException) -> None:
    """Fails the run that took its process with it, at the step that it was at."""
    if run is None:
        return
    reason = str(error).partition("\n")[0] or "no reason given"
    run.fail(
        index,
        type(error).__name__,
        "the worker process that executed this run did not report: it was killed, or it left the "
        f"interpreter ({reason})",
    )
    for step in program.steps:
        if step.index > index:
            run.skip(step.index)


def _initialize() -> None:
    """Ctrl-C goes to all processes of a terminal; the one that waits for the backfill handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=8)
def _read(program: Path) -> tuple[Program, Worked]:
    pickled, worked = pickle.loads(program.read_bytes())  # noqa: S301  (the parent wrote it)
    return Program(pickle.loads(pickled)), worked  # noqa: S301


@lru_cache(maxsize=1)
def _progress(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR)
    try:
        return mmap.mmap(descriptor, _AT.size)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _work(path: Path, progress: Path, first: int, end: int) -> bytes:
    """In the worker: executes runs until it is time to report."""
    program, worked = _read(path)
    batch = WorkerBatch(worked, first, end)
    at = _progress(progress)
    handlers = {id(step.handler): step.handler for step in program.steps}.values()
    in_memory = [handler for handler in handlers if isinstance(handler, InMemoryIOHandler)]

    def watch(run: int, step: int) -> None:
        at[:] = _AT.pack(run, step)

    def runs() -> Iterator[Run]:
        for run in batch:
            yield run
            for handler in in_memory:
                handler.forget()

    program.watch = watch
    if program.is_async:
        _loop().run_until_complete(program.execute_async(runs()))
    else:
        program.execute(runs())
    return batch.report()
