"""The worker's side of Ray: what an actor does with the ranges of runs that it is sent."""

from __future__ import annotations

import functools
import pickle
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from rivers._rivers import WorkerBatch
from rivers._text import kind_of, message_of
from rivers.exceptions import ExecutionError
from rivers.execution import process_state, timeouts, worker_resources
from rivers.execution.context import log_extra
from rivers.execution.log_forwarding import Forwarder
from rivers.execution.runner import Program
from rivers.execution.worker import execute_batch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from rivers._rivers import Calls, JobSpec, Run
    from rivers.execution.steps import Step

_MAX_LOG_BYTES = 60_000
"""Size up to which log records travel in one message: Ray puts larger ones into its object store."""

_ANNOUNCE_SECONDS = 5.0
"""Maximum time that a step waits for the coordinator to know of it."""

_MAX_CUT = 16
"""Number of streams that are remembered as given up: ranges of them may arrive later."""

Stream = tuple[int, int]
"""Ranges that are sent one after another: the number of the batch, and that of the stream in it."""


class Outcome(NamedTuple):
    """What a worker returns for a range of runs.

    Attributes:
        report: The outcomes for `Batch.receive`.
        log: Log records, as `log_forwarding` sends them.
        is_spent: Whether a call was abandoned: then the worker is to be replaced.
    """

    report: bytes
    log: list[bytes]
    is_spent: bool


class RayWorker:
    """What an actor keeps from one range to the next.

    One thread executes runs (`execute`); the others answer what the coordinator asks meanwhile.
    """

    def __init__(self) -> None:
        self._log = _Log()
        # `Forwarder` uses no more of a connection than `send_bytes`.
        self._forwarder = Forwarder(_as_connection(self._log), self._extra, leaves_out="ray")
        self._programs: dict[int, tuple[Program, JobSpec]] = {}
        self._unread: dict[int, Exception] = {}
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._batch: WorkerBatch | None = None
        self._reached = 0
        self._cut: deque[Stream] = deque(maxlen=_MAX_CUT)
        self._current: tuple[Step, Run] | None = None
        self._calls: Calls | None = None
        self._steps: _Steps | None = None

    # -- the group that executes runs --------------------------------------------------------------

    def load(self, number: int, packed: bytes, state: bytes) -> None:
        """Reads a program and what its runs need.

        Args:
            number: The number by which `execute` refers to it.
            packed: The pickled program and job spec.
            state: What `process_state.capture` returned; empty if that has not changed.
        """
        if state:
            process_state.apply(state, is_elsewhere=True)
        try:
            pickled, spec = pickle.loads(packed)  # noqa: S301  (the coordinator wrote it)
            self._programs[number] = Program.unpickle(pickled), spec
        except Exception as error:  # noqa: BLE001  (modules of the user are imported)
            self._unread[number] = error  # Nobody waits for this call; `execute` says so.

    def execute(
        self,
        number: int,
        stream: Stream,
        sent: tuple[int, int],
        prior_attempts: bytes,
        state: bytes,
        announces_steps: bool,
    ) -> Outcome:
        """Executes a range of runs until it is time to report.

        Args:
            number: The program.
            stream: The stream that the range belongs to.
            sent: What `Batch.send` returned.
            prior_attempts: What `Batch.prior_attempts` returned.
            state: What `process_state.capture` returned; empty if that has not changed.
            announces_steps: Whether each step waits until the coordinator has asked for it (`step`).
        """
        try:
            if state:
                process_state.apply(state, is_elsewhere=True)
            program, spec = self._program(number)
            # What was just imported may have set up handlers: lines would arrive twice.
            self._forwarder.install()
            batch = WorkerBatch(spec, sent, prior_attempts)
            return self._execute(program, batch, stream, sent, announces_steps=announces_steps)
        finally:
            self._log.end_range()

    def _program(self, number: int) -> tuple[Program, JobSpec]:
        """A program that was loaded, and what its runs need.

        Raises:
            ExecutionError: It could not be read.
        """
        if number in self._unread:
            error = self._unread[number]
            msg = (
                "a Ray worker cannot read the functions of the backfill "
                f"({kind_of(error)}: {message_of(error)}); modules that they use must be "
                "where all machines import them from, or be given to Ray: "
                "Executor.ray(runtime_env={'py_modules': [...]})"
            )
            raise ExecutionError(msg) from error
        return self._programs[number]

    def _execute(
        self,
        program: Program,
        batch: WorkerBatch,
        stream: Stream,
        sent: tuple[int, int],
        *,
        announces_steps: bool,
    ) -> Outcome:
        with self._lock:
            if self._stream != stream:
                self._stream, self._reached = stream, sent[0]
            if stream in self._cut:
                return Outcome(batch.report(), [], is_spent=False)
            self._batch = batch
        direct = program.direct
        if announces_steps:
            self._steps = _Steps()
            program.direct = None  # Each step is to be known before it begins.
        # An abandoned call goes on in its thread: nothing more begins here.
        timeouts.on_abandoned = functools.partial(batch.give_up, if_stalled=False)
        try:
            report = execute_batch(program, batch, self._on_step, on_calls=self._on_calls)
        finally:
            program.direct = direct
            self._current = self._calls = timeouts.on_abandoned = None
            if self._steps is not None:
                self._steps.close()
                self._steps = None
            with self._lock:
                self._batch, self._reached = None, batch.give_up(if_stalled=False) or 0
                if self._reached < sent[1]:
                    self._cut.append(stream)
        return Outcome(report, self._log.take(), timeouts.num_abandoned > 0)

    def end(self) -> None:
        """Tears down the resources of the worker, which is about to end."""
        worker_resources.tear_down_here()

    # -- the group that answers meanwhile ----------------------------------------------------------

    def beat(self, turn: int, timeout: float) -> list[bytes]:
        """Returns the log records since the last call, and waits for the first while a range is not over.

        Args:
            turn: Which of the ranges that were sent here; the first is 1.
            timeout: Maximum time to wait, in seconds.
        """
        return self._log.wait(turn, timeout)

    def give_up(self, stream: Stream, is_forced: bool) -> int | None:
        """Gives up the runs of a stream that have not begun.

        Args:
            stream: The stream.
            is_forced: Whether to do so even if the current run has not stalled.

        Returns:
            The first run that was given up; `None`: they stay here.
        """
        with self._lock:
            if self._stream == stream and self._batch is not None:
                first = self._batch.give_up(not is_forced)
            elif is_forced:
                first = self._reached if self._stream == stream else 0
            else:
                first = None
            if first is not None:
                self._cut.append(stream)
            return first

    def step(self, seen: int, timeout: float) -> int:
        """Waits for a step after the one that is `seen` (-1: none), and returns its index.

        A worker that announces its steps begins none before the coordinator has asked for the next.

        Args:
            seen: The index that the last call returned.
            timeout: Seconds after which `seen` is returned.
        """
        steps = self._steps
        return seen if steps is None else steps.after(seen, timeout)

    def drop(self, number: int) -> None:
        """Forgets a program whose backfill has ended."""
        self._programs.pop(number, None)
        self._unread.pop(number, None)

    def _on_step(self, step: Step, run: Run) -> None:
        self._current = step, run
        if self._steps is not None:
            self._steps.announce(step.index)

    def _on_calls(self, calls: Calls) -> None:
        self._calls = calls

    def _extra(self) -> dict[str, Any]:
        current = self._current
        direct = None if self._calls is None else self._calls.current
        if direct is not None and (current is None or current[1].number != direct[1].number):
            current = direct
        return {} if current is None else log_extra(*current)


class _Steps:
    """Has the coordinator know of each step before it begins: the worker may die of it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._index = -1
        self._seen = -1
        self._closed = False

    def announce(self, index: int) -> None:
        with self._changed:
            self._index = index
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._seen == index, _ANNOUNCE_SECONDS)

    def after(self, seen: int, timeout: float) -> int:
        with self._changed:
            self._seen = seen
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._index != seen or self._closed, timeout)
            return self._index

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Log:
    """Log records that were not taken yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._records: list[bytes] = []
        self._num_ended = 0

    def send_bytes(self, data: bytes) -> None:
        with self._changed:
            self._records.append(data)
            self._changed.notify_all()

    def take(self) -> list[bytes]:
        """Returns all records, which the coordinator gets with an outcome."""
        with self._changed:
            taken, self._records = self._records, []
            return taken

    def end_range(self) -> None:
        """Notes that the next of the ranges has ended."""
        with self._changed:
            self._num_ended += 1
            self._changed.notify_all()

    def wait(self, turn: int, timeout: float) -> list[bytes]:
        """Returns the first records, as many as fit into a small message; waits for the first.

        It does not wait once the range is over: the coordinator reads its outcome after the answer.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._num_ended >= turn, timeout)
            size = count = 0
            for record in self._records:
                size += len(record)
                if count and size > _MAX_LOG_BYTES:
                    break
                count += 1
            taken, self._records = self._records[:count], self._records[count:]
            return taken


def _as_connection(log: _Log) -> Connection:
    return log  # type: ignore[return-value]
