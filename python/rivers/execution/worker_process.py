"""One worker process as its parent sees it: started, given runs, replaced when it fails to report."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import threading
import time
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loky import ProcessPoolExecutor, process_executor
from loky.backend.context import get_context

from rivers._rivers import SharedRuns
from rivers.exceptions import ExecutionError
from rivers.execution import process_state
from rivers.execution.log_forwarding import Receiver
from rivers.execution.parallel_worker import drop_program, execute_runs, initialize_worker
from rivers.execution.timeouts import timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from multiprocessing.connection import Connection

    from rivers._rivers import Batch
    from rivers.execution.runner import Program

_log = logging.getLogger("rivers")

_ALL_RUNS = (1 << 63) - 1
"""More runs than a batch has."""
_MAX_ATTEMPTS = 5
"""How often in a row a process may fail to work, for a reason outside of the runs, before that is final."""
_FIRST_DELAY_SECONDS = 0.05
"""Delay before the second of these attempts; each further delay is twice the one before."""
_LOG_TIMEOUT_SECONDS = 5.0
"""Maximum time to wait for the log records of a batch that has been reported."""


class WorkerProcess:
    """One worker process, and the runs that it shares with this one.

    The side that claims a run executes it, so a slow run holds back none of its batch, and it is known
    which run the process died of. A run fails only if the process died while it executed that run;
    whatever else keeps a process from working is tried again with a new process, and stops the backfill,
    resumable, if it persists.

    Args:
        folder: The folder for files that both processes use.
        name: A name that no other process of the folder has.
        lock_file: The file that all worker processes of the engine lock.
    """

    def __init__(self, folder: Path, name: str, lock_file: Path | None) -> None:
        _register_exit_once()
        self._folder = folder
        self._name = name
        self._lock_file = lock_file
        self._lock = threading.Lock()
        self._started: _Started | None = None
        self._num_started = 0

    def start(self) -> None:
        """Starts the process, if it has not been started.

        Raises:
            OSError: The system starts no process, or has no space for its files.
            ExecutionError: The working directory does not exist any more.
        """
        self._running()

    def execute(self, batch: Batch, program: Program, program_file: Callable[[], Path]) -> None:
        """Executes a batch.

        Args:
            batch: The runs.
            program: What executes them.
            program_file: Returns the file of the program, for the process.

        Raises:
            Exception: What kept several processes in a row from working.
        """
        max_runs, failed = _ALL_RUNS, 0
        while True:
            started: _Started | None = None
            try:
                started = self._running()
                file = program_file()
                if not batch.share(started.runs, max_runs):
                    return
                report, is_spent = started.execute(
                    file, batch.prior_attempts(), program.min_timeout
                )
            except Exception as error:
                was_running = started is not None and self._ended_in_a_run(started, error)
                step = started.runs.step if started is not None else 0
                if was_running and isinstance(error, _DeadlineError):
                    error = _timed_out(program, step)
                self._stop()
                num_ended = batch.reclaim()
                if was_running:
                    failed = 0
                    # Those that it had ended without reporting them are executed again, alone.
                    max_runs = num_ended or _ALL_RUNS
                    run = None if num_ended else next(batch, None)
                    if run is not None:
                        program.fail_lost(run, step, error)
                    continue
                failed += 1
                if failed == _MAX_ATTEMPTS:
                    raise
                _log.info("a worker process did not work, another one is tried: %r", error)
                max_runs = _ALL_RUNS
                time.sleep(_FIRST_DELAY_SECONDS * 2 ** (failed - 1))
            else:
                batch.receive(report)
                max_runs, failed = _ALL_RUNS, 0
                if is_spent:
                    self._stop()

    @staticmethod
    def _ended_in_a_run(started: _Started, error: Exception) -> bool:
        """Whether the process died, and was executing a run when it did."""
        died = isinstance(error, BrokenProcessPool | _DeadlineError)
        return died and started.runs.is_running

    def kill(self) -> None:
        """Kills the process."""
        started = self._started
        if started is not None:
            started.kill()

    def drop(self, program_file: Path) -> None:
        """Has the process forget a program, when it is free."""
        started = self._started
        if started is not None and program_file in started.program_files:
            started.drop(program_file)

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            started, self._started = self._started, None
        if started is not None:
            started.close()

    def _running(self) -> _Started:
        with self._lock:
            if self._started is None:
                self._num_started += 1
                self._folder.mkdir(mode=0o700, exist_ok=True)
                file = self._folder / f"{self._name}-{self._num_started}"
                self._started = _Started(file, self._lock_file)
            return self._started

    def _stop(self) -> None:
        """Ends a process of which it is not known what it does, so that the next attempt has a new one."""
        with self._lock:
            started, self._started = self._started, None
        if started is not None:
            started.kill()
            started.end_log()


class _Started:
    """A process that was started; it is never started again.

    Attributes:
        runs: The runs that are shared with it.
        program_files: The programs that it has read.
    """

    def __init__(self, runs_file: Path, lock_file: Path | None) -> None:
        self._runs_file = runs_file
        self.runs = SharedRuns(runs_file, create=True)
        self.program_files: set[Path] = set()
        self._num_batches = 0
        readable, self._writable = get_context("loky").Pipe(duplex=False)
        try:
            self._log = Receiver(readable)
            self._pool = _new_pool(lock_file, self._writable)
        except BaseException:
            self._writable.close()
            raise

    def execute(
        self, program_file: Path, prior_attempts: bytes, min_timeout: float | None
    ) -> tuple[bytes, bool]:
        """Has the process execute the runs that it shares.

        Args:
            program_file: The program.
            prior_attempts: What `Batch.prior_attempts` returned.
            min_timeout: The shortest timeout of a call, in seconds; `None`: there is none.

        Returns:
            What `execute_runs` returns.
        """
        self._num_batches += 1
        self.program_files.add(program_file)
        future = self._pool.submit(
            execute_runs, program_file, self._runs_file, prior_attempts, process_state.capture(),
            self._num_batches,
        )  # fmt: skip
        if min_timeout is not None:
            self._end_in_time(future, min_timeout)
        report: tuple[bytes, bool] = future.result()
        # Its log lines come before the outcome.
        self._log.wait_for(self._num_batches, _LOG_TIMEOUT_SECONDS)
        return report

    def _end_in_time(self, future: Future[Any], min_timeout: float) -> None:
        """Waits for a report, and kills the process if a call takes longer than its timeout.

        Raises:
            _DeadlineError: It was killed, while it was still in that call.
        """
        left = min_timeout
        while not futures.wait([future], left).done:
            deadline, now = self.runs.deadline, time.monotonic()
            # A call that begins after this has at least its timeout.
            left = min_timeout if deadline == 0 else max(deadline / 1e6 - now, 0.0)
            if left == 0.0:
                for process in list(self._pool._processes):  # noqa: SLF001  (`kill` does not wait)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                futures.wait([future])
                if future.exception() is not None and self.runs.deadline == deadline:
                    raise _DeadlineError
                return

    def drop(self, program_file: Path) -> None:
        self.program_files.discard(program_file)
        try:
            self._pool.submit(drop_program, program_file)
        except Exception:  # noqa: BLE001  (a process that is gone has forgotten everything)
            _log.debug("a worker process is gone", exc_info=True)

    def kill(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)

    def end_log(self) -> None:
        """Waits for the log records of a process that was killed, and removes its file."""
        self._writable.close()
        self._log.wait_for_end(_LOG_TIMEOUT_SECONDS)
        self._runs_file.unlink(missing_ok=True)

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        self.end_log()


class _DeadlineError(Exception):
    """A process was killed because a call took longer than its timeout."""


def _timed_out(program: Program, index: int) -> TimeoutError:
    [step, *_] = [step for step in program.steps if step.index == index]
    error = timed_out(step.title, step.timeout or 0.0, "its worker process was killed")
    _log.warning("%s", error)
    return error


def _check_working_directory() -> None:
    """A process starts where its parent is."""
    try:
        Path.cwd()
    except OSError as error:
        msg = (
            "a worker process cannot be started, since the working directory of this process does not "
            "exist any more; change to another one"
        )
        raise ExecutionError(msg) from error


def _new_pool(lock_file: Path | None, log: Connection) -> ProcessPoolExecutor:
    _check_working_directory()
    pool = ProcessPoolExecutor(
        max_workers=1, timeout=None, initializer=initialize_worker,
        initargs=(os.getpid(), lock_file, log), context=get_context("loky"),
    )  # fmt: skip
    # The new process inherits the signal mask: Ctrl-C must not end it before it ignores the signal.
    # Starting the tracker of `multiprocessing` unblocks the signal, so that must not happen in between.
    blocks = hasattr(signal, "pthread_sigmask")
    if blocks:
        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else None
    try:
        with _flushable_streams():
            pool.submit(os.getpid)  # The pool starts its process with the first task.
    except BaseException:
        pool.shutdown(wait=False, kill_workers=True)
        raise
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pool


@contextlib.contextmanager
def _flushable_streams() -> Generator[None]:
    """Replaces standard streams that are absent or broken while a process starts: loky flushes them."""
    replaced = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            replaced[name] = stream
            setattr(sys, name, io.StringIO())
    try:
        yield
    finally:
        for name, stream in replaced.items():
            setattr(sys, name, stream)


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
