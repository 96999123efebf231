"""Workers that do not start: what is tried again, and what is final."""

from concurrent.futures import Future
from typing import ClassVar

import pytest

from rivers.exceptions import ExecutionError
from rivers.execution.compute import Compute

ray_pool = pytest.importorskip("rivers.execution.ray_pool")


class Unstarted:
    """An actor that never starts; the pool learns why when the test says so."""

    made: ClassVar = []

    def __init__(self, compute, options):
        self.done = Future()
        self.made.append(self)

    def start(self):
        return self

    def future(self):
        return self.done

    def kill(self):
        return None

    def fail(self, text):
        from ray.exceptions import RayActorError

        error = RayActorError()
        error.error_msg = text
        self.done.set_exception(error)


@pytest.fixture
def pool(monkeypatch):
    """A pool whose actors do not start."""
    monkeypatch.setattr(ray_pool, "RayActor", Unstarted)
    monkeypatch.setattr(Unstarted, "made", [])

    class Cluster:
        options: ClassVar = {}

    return ray_pool.RayPool(Cluster(), Compute(), None)


def requested(pool, count):
    """Has so many callers wait for an actor; returns those that were requested."""
    before = len(Unstarted.made)
    tickets = [ray_pool._Ticket(0, True, next(pool._numbers)) for _ in range(count)]
    pool._waiting, pool._events = tickets, dict.fromkeys(tickets, ray_pool.threading.Event())
    assert pool._take(tickets[0], ray_pool._User(0, lambda: None)) is None
    return Unstarted.made[before:]


def test_actors_that_fail_together_count_once(pool):
    for _ in range(4):
        started = requested(pool, 8)
        assert len(started) == 8
        for actor in started:
            actor.fail("the process was killed")
    requested(pool, 1)[0].fail("the process was killed")
    with pytest.raises(ExecutionError, match=r"could not be started: .*the process was killed"):
        requested(pool, 1)


def test_actors_that_are_lost_with_their_nodes_do_not_count(pool):
    for _ in range(10):
        requested(pool, 1)[0].fail("The actor died because its node has died. Node Id: 1")
    assert len(requested(pool, 1)) == 1


def test_who_has_lost_an_actor_asks_the_least_urgent_for_its_own_once(pool):
    asked = []

    def user(priority):
        return ray_pool._User(priority, lambda: (asked.append(priority), pool.wake_waiting()))

    pool._busy = {place: user(priority) for place, priority in enumerate((5, 1, 9))}
    for _ in range(3):
        pool.acquire(5, lambda: False, lambda: None, has_lost=True)
    assert asked == [1, 5]
