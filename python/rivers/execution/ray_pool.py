"""The actors with one resource requirement: as many as there is work for."""

from __future__ import annotations

import bisect
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.exceptions import RayError

from rivers.exceptions import ExecutionError
from rivers.execution.ray_actor import RayActor, Started
from rivers.execution.ray_cluster import unmet_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers.execution.compute import Compute
    from rivers.execution.ray_cluster import Cluster

_log = logging.getLogger("rivers")

_MAX_STARTING = 32
"""Number of actors that are requested at a time and have not started."""
_MAX_START_FAILURES = 5
"""How often in a row actors may fail to start before that is final; those that were requested together
count once, and those whose node died do not count."""
_NODE_DIED = "its node has died"
"""What Ray says of an actor that was lost with its node."""
IDLE_SECONDS = 10.0
"""Time after which an actor without work is ended."""
_UNWANTED_SECONDS = 5.0
"""Time after which a request for an actor that nobody waits for any more is withdrawn."""
_CHECK_AFTER_IDLE_SECONDS = 0.5
"""An actor that was idle for longer is asked whether it is alive before it is sent runs."""
_UNMET_SECONDS = 2.0
"""Time without a worker after which it is checked whether a node can have one."""
_CLOSE_SECONDS = 5.0
"""Time in which actors tear down their resources."""


class _Ticket(NamedTuple):
    """The place of a caller that waits for an actor: the smallest is the first."""

    urgency: int
    has_lost_none: bool
    number: int


class _User(NamedTuple):
    """What an actor is used for."""

    priority: int
    on_asked: Callable[[], None]
    is_asked: bool = False


class RayPool:
    """The actors with one resource requirement.

    Args:
        cluster: Where they are.
        compute: What each needs of its node.
        max_workers: Maximum number of actors; `None`: as many as the cluster has room for.
    """

    def __init__(self, cluster: Cluster, compute: Compute, max_workers: int | None) -> None:
        self._cluster = cluster
        self.compute = compute
        self._max_workers = max_workers
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[_Ticket] = []
        self._events: dict[_Ticket, threading.Event] = {}
        self._idle: list[RayActor] = []
        self._starting: dict[RayActor, float] = {}
        self._busy: dict[RayActor, _User] = {}
        self._num_failures = 0
        self._failed_at = 0.0
        self._problem: str | None = None
        self._unmet: str | None = None
        self._waiting_since: float | None = None
        self._closed = False

    def acquire(
        self,
        priority: int,
        is_wanted: Callable[[], bool],
        on_asked: Callable[[], None],
        *,
        has_lost: bool = False,
    ) -> RayActor | None:
        """Waits for a free actor; the most urgent caller gets it.

        Args:
            priority: The priority of what is executed.
            is_wanted: Whether there still is something to execute.
            on_asked: Called, in any thread, when another caller needs the actor sooner.
            has_lost: Whether the caller has lost an actor. A new one takes a second to start, so one
                of those that are as urgent at most is asked for its actor.

        Returns:
            The actor; `None`: it is no longer wanted.

        Raises:
            ExecutionError: No actor can be started.
        """
        ticket = _Ticket(-priority, not has_lost, next(self._numbers))
        changed = threading.Event()
        with self._lock:
            bisect.insort(self._waiting, ticket)
            self._events[ticket] = changed
            asked = self._least_urgent(priority) if has_lost and not self._idle else None
        try:
            if asked is not None:
                asked.on_asked()
            while True:
                actor = self._take(ticket, _User(priority, on_asked))
                if actor is not None and self._is_usable(actor):
                    return actor
                if actor is None:
                    changed.wait(1.0)
                    changed.clear()
                if not is_wanted():
                    return None
        finally:
            with self._lock:
                self._waiting.remove(ticket)
                del self._events[ticket]
                if not self._waiting:
                    self._waiting_since = None
                self._wake()

    def release(self, actor: RayActor) -> None:
        """Gives back an actor that has nothing more to do."""
        with self._lock:
            self._busy.pop(actor, None)
            actor.idle_since = time.monotonic()
            self._idle.append(actor)
            self._wake()

    def discard(self, actor: RayActor) -> None:
        """Ends an actor of which it is not known what it does."""
        with self._lock:
            self._busy.pop(actor, None)
            self._starting.pop(actor, None)
            if actor in self._idle:
                self._idle.remove(actor)
        actor.kill()

    def wake_waiting(self) -> None:
        """Has those that wait check whether they still want an actor."""
        with self._lock:
            for event in self._events.values():
                event.set()

    def actors(self) -> list[RayActor]:
        """The actors that have started."""
        with self._lock:
            return [*self._idle, *self._busy]

    @property
    def unmet(self) -> str | None:
        """Why no node can have one of its workers, if there is work for them."""
        return self._unmet

    def check(self, nodes: list[dict[str, Any]]) -> bool:
        """Ends what is not needed, and reports a requirement that no node can meet; once a second.

        Args:
            nodes: The nodes that are alive, as `ray.nodes` describes them.

        Returns:
            Whether more workers have been requested for a while than there was room for.
        """
        now = time.monotonic()
        with self._lock:
            unneeded = [actor for actor in self._idle if now - actor.idle_since > IDLE_SECONDS]
            for actor in unneeded:
                self._idle.remove(actor)
            too_many = max(len(self._starting) - len(self._waiting), 0)
            for actor in list(self._starting)[::-1][:too_many]:
                if now - self._starting[actor] > _UNWANTED_SECONDS:
                    del self._starting[actor]
                    unneeded.append(actor)
            starves = self._waiting and not self._busy and not self._idle
            if not starves:
                self._waiting_since = self._unmet = None
            elif self._waiting_since is None:
                self._waiting_since = now
            since = self._waiting_since
            is_starved = bool(self._waiting) and any(
                now - requested_at > _UNMET_SECONDS for requested_at in self._starting.values()
            )
        for actor in unneeded:
            actor.kill()
        if since is not None and now - since > _UNMET_SECONDS:
            unmet = unmet_by(nodes, self.compute)
            if unmet is not None and unmet != self._unmet:
                _log.warning("runs wait for a Ray worker with %s: %s", self.compute, unmet)
            self._unmet = unmet
        return is_starved

    def end_idle(self) -> None:
        """Ends the actors that have nothing to do: others wait for the room that they take."""
        with self._lock:
            idle, self._idle = self._idle, []
        for actor in idle:
            actor.kill()

    def abandon(self) -> None:
        """Has nobody wait for an actor any more, and starts none; the cluster does not answer."""
        with self._lock:
            self._closed = True
            self._idle, self._starting, self._busy = [], {}, {}
            for event in self._events.values():
                event.set()

    def close(self) -> None:
        """Ends all actors."""
        with self._lock:
            self._closed = True
            idle, others = self._idle, [*self._starting, *self._busy]
            self._idle, self._starting, self._busy = [], {}, {}
        ended = [actor.close() for actor in idle]
        if ended:
            ray.wait(ended, num_returns=len(ended), timeout=_CLOSE_SECONDS)
        for actor in [*idle, *others]:
            actor.kill()

    def _least_urgent(self, priority: int) -> _User | None:
        """Takes note that the least urgent user is asked for its actor, and returns it."""
        users = [
            (user.priority, place, actor)
            for place, (actor, user) in enumerate(self._busy.items())
            if user.priority <= priority and not user.is_asked
        ]
        if not users:
            return None
        actor = min(users)[2]
        asked = self._busy[actor]
        self._busy[actor] = asked._replace(is_asked=True)
        return asked

    def _take(self, ticket: _Ticket, user: _User) -> RayActor | None:
        with self._lock:
            if self._problem is not None:
                raise ExecutionError(self._problem)
            place = self._waiting.index(ticket)
            if place < len(self._idle):
                actor = self._idle.pop()
                self._busy[actor] = user
                return actor
            started = self._start_missing()
        for actor in started:
            self._watch(actor)
        return None

    def _start_missing(self) -> list[RayActor]:
        """Requests an actor for each that waits, as far as that is allowed."""
        started: list[RayActor] = []
        while len(self._starting) < min(len(self._waiting) - len(self._idle), _MAX_STARTING):
            total = len(self._starting) + len(self._idle) + len(self._busy)
            if self._closed or (self._max_workers is not None and total >= self._max_workers):
                break
            actor = RayActor(self.compute, self._cluster.options)
            self._starting[actor] = time.monotonic()
            started.append(actor)
        return started

    def _watch(self, actor: RayActor) -> None:
        actor.start().future().add_done_callback(lambda done: self._has_started(actor, done))

    def _has_started(self, actor: RayActor, done: Any) -> None:
        """Called in a thread of Ray's when an actor has started, or has failed to."""
        problem = None
        try:
            actor.started = Started(*done.result())
            problem = actor.started.problem
        except RayError as error:
            problem = f"a Ray worker could not be started: {' '.join(str(error).split())[:500]}"
            with self._lock:
                if self._starting.get(actor, 0.0) > self._failed_at and _NODE_DIED not in problem:
                    self._num_failures += 1
                    self._failed_at = time.monotonic()
                is_final = self._num_failures >= _MAX_START_FAILURES
        else:
            is_final = True
        with self._lock:
            was_wanted = self._starting.pop(actor, None) is not None
            if problem is None and was_wanted:
                self._num_failures = 0
                actor.idle_since = time.monotonic()
                self._idle.append(actor)
            elif was_wanted and is_final:
                self._problem = problem
            self._wake()
        if problem is not None and was_wanted:
            if not is_final:
                _log.info("%s; another one is tried", problem)
            actor.kill()

    def _is_usable(self, actor: RayActor) -> bool:
        """Whether an actor is alive: it may have died, with its node, while it was idle."""
        if time.monotonic() - actor.idle_since < _CHECK_AFTER_IDLE_SECONDS or actor.is_alive():
            return True
        self.discard(actor)
        return False

    def _wake(self) -> None:
        """Wakes as many as there are free actors, or all to learn of a problem, or one to start more."""
        count = len(self._waiting) if self._problem is not None else max(len(self._idle), 1)
        for ticket in self._waiting[:count]:
            self._events[ticket].set()
