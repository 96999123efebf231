"""One actor as the coordinator sees it: started, sent ranges of runs, asked for some of them, ended."""

from __future__ import annotations

import functools
import logging
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rivers.exceptions import RiversError
from rivers.execution.log_forwarding import handle
from rivers.execution.ray_worker import Outcome

if TYPE_CHECKING:
    from ray import ObjectRef

    from rivers.execution.compute import Compute
    from rivers.execution.ray_worker import Stream

_log = logging.getLogger("rivers")

_BEAT_AFTER_SECONDS = 0.1
"""Time after which the log records of a range are fetched while it is executed."""
_BEAT_SECONDS = 1.0
"""Maximum time in which a worker answers a beat."""
_SILENT_SECONDS = 4.0
"""Time without an answer after which the worker's node is asked whether the worker is stopped."""
_PROBE_SECONDS = 4.0
"""Time in which a node must answer; one that does not is frozen."""
_CONTROL_SECONDS = 5.0
"""Maximum time to wait for the answer to other questions."""


class LostWorkerError(Exception):
    """A worker will not report: its process or its node is dead, unreachable or stopped."""


class Started(NamedTuple):
    """What a worker says when it has started.

    Attributes:
        problem: Why it cannot be used; `None`: it can.
        node: The id of its node.
        address: The address of its node.
        process: Its process id.
    """

    problem: str | None
    node: str
    address: str
    process: int


@functools.cache
def actor_class() -> Any:
    """The class of the actors. Ray pickles it by value, so that it starts where our package is missing."""

    class RiversWorker:
        def __init__(self) -> None:
            self.worker: Any = None

        @ray.method(concurrency_group="control")
        def start(self, expected: str) -> tuple[str | None, str, str, int]:
            import os  # noqa: PLC0415
            from importlib import import_module  # noqa: PLC0415

            address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
            where = ray.get_runtime_context().get_node_id(), address
            install = f"install rivers=={expected} there, or have Ray do so with runtime_env="
            try:
                rivers = import_module("rivers")
                worker_class = import_module("rivers.execution.ray_worker").RayWorker
            except ImportError as error:
                problem = (
                    f"rivers cannot be imported on the Ray node {where[1]} ({error}); {install}"
                )
                return problem, *where, os.getpid()
            if rivers.__version__ != expected:
                problem = (
                    f"the Ray node {where[1]} has rivers {rivers.__version__}, but this process has "
                    f"{expected}; {install}"
                )
                return problem, *where, os.getpid()
            self.worker = worker_class()
            return None, *where, os.getpid()

        @ray.method(concurrency_group="work")
        def load(self, *arguments: Any) -> None:
            self.worker.load(*arguments)

        @ray.method(concurrency_group="work")
        def execute(self, *arguments: Any) -> tuple[Any, ...]:
            return tuple(self.worker.execute(*arguments))

        @ray.method(concurrency_group="work")
        def end(self) -> None:
            if self.worker is not None:
                self.worker.end()

        @ray.method(concurrency_group="control")
        def ask(self, method: str, *arguments: Any) -> Any:
            return getattr(self.worker, method)(*arguments)

    options: dict[str, Any] = {
        "max_restarts": 0,
        "max_task_retries": 0,
        "concurrency_groups": {"work": 1, "control": 4},
    }
    return ray.remote(**options)(RiversWorker)


class RayActor:
    """One actor; it executes the ranges of one batch at a time.

    Args:
        compute: What it needs of its node.
        options: Further options of Ray.

    Attributes:
        started: What it said when it had started; `None` before that.
        idle_since: When it was last given back, by `time.monotonic`.
    """

    def __init__(self, compute: Compute, options: dict[str, Any]) -> None:
        self._handle = actor_class().options(**compute.options(), **options).remote()
        self.started: Started | None = None
        self.idle_since = time.monotonic()
        # Which of the ranges that were sent to it each is, until its outcome is there.
        self._turns: dict[ObjectRef[Any], int] = {}
        self._num_sent = 0
        self._programs: set[int] = set()
        self._state = b""
        self._is_given_up = False

    def start(self) -> ObjectRef[Any]:
        """Returns a reference to what becomes `started`."""
        ref: ObjectRef[Any] = self._handle.start.remote(version("rivers"))
        return ref

    def is_alive(self) -> bool:
        """Whether it answers."""
        try:
            ray.get(self._handle.ask.remote("beat", 0, 0.0), timeout=_CONTROL_SECONDS)
        except RayError:
            return False
        return True

    def load(self, number: int, packed: bytes | ObjectRef[bytes], state: bytes) -> None:
        """Has it read a program, unless it has done so.

        Args:
            number: The program.
            packed: What `RayWorker.load` reads.
            state: What `process_state.capture` returned: what the program imports may be on its path.
        """
        if number not in self._programs:
            self._programs.add(number)
            self._handle.load.remote(number, packed, self._changed(state))

    def send(
        self,
        name: str,
        number: int,
        stream: Stream,
        sent: tuple[int, int],
        prior_attempts: bytes,
        state: bytes,
        *,
        announces_steps: bool,
    ) -> ObjectRef[Any]:
        """Sends a range of runs; returns a reference to its outcome.

        Args:
            name: What Ray's dashboard calls it.
            number: The program.
            stream: The stream that the range belongs to.
            sent: What `Batch.send` returned.
            prior_attempts: What `Batch.prior_attempts` returned.
            state: What `process_state.capture` returned.
            announces_steps: Whether each step waits until it is known here.
        """
        ref: ObjectRef[Any] = self._handle.execute.options(name=name).remote(
            number, stream, sent, prior_attempts, self._changed(state), announces_steps
        )
        self._num_sent += 1
        self._turns[ref] = self._num_sent
        return ref

    def _changed(self, state: bytes) -> bytes:
        """The state that it is to apply; empty if that is the one that it was sent last."""
        changed = b"" if state == self._state else state
        self._state = state
        return changed

    def outcome(self, ref: ObjectRef[Any]) -> Outcome:
        """Waits for the outcome of a range; meanwhile log records arrive.

        Raises:
            LostWorkerError: There will be none.
            Exception: What kept the worker from executing runs.
        """
        turn = self._turns.pop(ref)
        try:
            try:
                outcome = Outcome(*ray.get(ref, timeout=_BEAT_AFTER_SECONDS))
            except GetTimeoutError:
                outcome = self._outcome_later(ref, turn)
        except RayTaskError as error:
            if isinstance(error.cause, RiversError):
                raise error.cause from None
            raise
        except RayError as error:
            raise LostWorkerError(self._reason(error)) from error
        for record in outcome.log:
            handle(record)
        return outcome

    def _outcome_later(self, ref: ObjectRef[Any], turn: int) -> Outcome:
        beat, asked_at = self._beat(turn), time.monotonic()
        while True:
            ready, _ = ray.wait([ref, beat], num_returns=1, timeout=_SILENT_SECONDS)
            if self._is_given_up:
                raise LostWorkerError(self._reason("its cluster was given up"))
            if beat in ready or ref in ready:
                if beat not in ready:
                    # Its records come before those of the report.
                    ray.wait([beat], timeout=_BEAT_SECONDS + _CONTROL_SECONDS)
                for record in ray.get(beat, timeout=0):
                    handle(record)
                if ref in ready:
                    return Outcome(*ray.get(ref))
                beat, asked_at = self._beat(turn), time.monotonic()
            elif self._is_frozen():
                msg = f"it has not answered for {time.monotonic() - asked_at:.0f} s"
                raise LostWorkerError(self._reason(msg))

    def _beat(self, turn: int) -> ObjectRef[Any]:
        ref: ObjectRef[Any] = self._handle.ask.remote("beat", turn, _BEAT_SECONDS)
        return ref

    def _is_frozen(self) -> bool:
        """Whether its process is stopped, or its node does not answer.

        A function that holds the interpreter for long keeps a worker from answering, too.
        """
        if self.started is None:
            raise AssertionError  # Only actors that have started are sent runs.
        strategy = NodeAffinitySchedulingStrategy(self.started.node, soft=False)
        probe = _process_state().options(scheduling_strategy=strategy)
        try:
            state = ray.get(probe.remote(self.started.process), timeout=_PROBE_SECONDS)
        except RayError:
            return True
        return state in {"T", "t", "Z", ""}

    def next_step(self, ref: ObjectRef[Any], seen: int) -> int | None:
        """Waits for the next step that a range announces; `None`: the range has an outcome.

        Args:
            ref: The range.
            seen: The index of the last step; -1: none was announced.
        """
        while True:
            asked = self._handle.ask.remote("step", seen, _BEAT_SECONDS)
            ready, _ = ray.wait([ref, asked], num_returns=1, timeout=_SILENT_SECONDS)
            if ref in ready or not ready:
                return None
            try:
                index: int = ray.get(asked)
            except RayError:
                return None
            if index != seen:
                return index

    def give_up(self, stream: Stream, *, is_forced: bool) -> ObjectRef[Any]:
        """Asks it to give up runs; see `RayWorker.give_up`."""
        ref: ObjectRef[Any] = self._handle.ask.remote("give_up", stream, is_forced)
        return ref

    def drop(self, number: int) -> None:
        """Has it forget a program."""
        if number in self._programs:
            self._programs.discard(number)
            self._handle.ask.remote("drop", number)

    def abandon(self) -> None:
        """Has `outcome` no longer wait, without asking Ray, which may not answer."""
        self._is_given_up = True

    def kill(self) -> None:
        """Ends its process, whatever it does; does not wait for Ray, which may not answer."""
        if self._is_given_up:
            return
        threading.Thread(
            target=ray.kill, args=(self._handle,), name="rivers-ray-kill", daemon=True
        ).start()

    def close(self) -> ObjectRef[Any]:
        """Tears down its resources; returns a reference that is ready when it may be killed."""
        ref: ObjectRef[Any] = self._handle.end.remote()
        return ref

    def _reason(self, error: object) -> str:
        where = "" if self.started is None else f" on {self.started.address}"
        text = " ".join(str(error).split())
        _, _, detail = text.partition("Worker exit detail: ")
        detail = (detail or text).partition(" Some common causes")[0]
        return f"the Ray worker{where} was lost: {detail[:300]}"


@functools.cache
def _process_state() -> Any:
    """A task that returns the state of a process of its node, such as `"R"` or `"T"`."""

    def process_state(process: int) -> str:
        try:
            with open(f"/proc/{process}/stat") as file:  # noqa: PTH123  (by value, without imports)
                return file.read().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return ""
        except OSError:
            return "?"

    return ray.remote(num_cpus=0, max_retries=0)(process_state)
