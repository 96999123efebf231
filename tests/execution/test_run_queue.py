"""The order of runs in a repository with a run queue, and the limits that hold runs back."""

import sys
import threading

import cloudpickle
import pytest
from tests.support import TIMEOUT, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

KEYS = rs.PartitionsDefinition.static_([f"k{number:02}" for number in range(40)])


def first(number):
    return rs.PartitionKeyRange.single("k00", f"k{number - 1:02}")


class Station:
    """A repository whose runs record the name of their backfill, which is a tag; some wait for a gate."""

    def __init__(self, names="", **queue):
        self.order, self.lock, self.inside, self.peak = [], threading.Lock(), [], 0
        self.gates = {name: threading.Event() for name in names}
        self.begun = {name: threading.Event() for name in names}
        self.meeting = None

        def body(context: rs.AssetExecutionContext):
            self.visit(dict(context.run_tags)["name"])

        asset = rs.Asset(body, name="body", partitions_def=KEYS)
        config = rs.RunQueueConfig(**queue)
        self.repo = rs.CodeRepository([asset], run_queue=config).resolve(rs.Storage.memory())

    def visit(self, name):
        with self.lock:
            self.order.append(name)
            self.inside.append(name)
            self.peak = max(self.peak, len(self.inside))
        if name in self.gates:
            self.begun[name].set()
            assert self.gates[name].wait(TIMEOUT)
        if self.meeting is not None:
            self.meeting.wait(TIMEOUT)
        with self.lock:
            self.inside.remove(name)

    def submit(self, name, *tags, priority=None, runs=1, **kwargs):
        wish = [] if priority is None else [("rivers/priority", str(priority))]
        given = [("name", name), *tags, *wish]
        kwargs.setdefault("block", False)
        return self.repo.backfill(partition_range=first(runs), tags=given, **kwargs).backfill_id

    def done(self, backfill_id):
        return self.repo.get_backfill(backfill_id).status != "in_progress"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for gate in self.gates.values():
            gate.set()
        self.repo.close()


def plugged(station):
    """Occupies the only slot until the gate is opened."""
    station.submit("plug", priority=100)
    assert station.begun["plug"].wait(TIMEOUT)
    return station.gates["plug"]


def test_higher_priority_first_then_first_come():
    with Station(["plug"], max_concurrent_runs=1) as station:
        gate = plugged(station)
        for name, priority in [
            ("a", None), ("b", 5), ("c", -20), ("d", 5), ("e", -10), ("f", 0), ("g", 7),
        ]:  # fmt: skip
            station.submit(name, priority=priority)
        gate.set()
    assert station.order == ["plug", "g", "b", "d", "f", "a", "e", "c"]


def test_a_higher_priority_passes_the_rest_of_a_backfill():
    with Station(["long"], max_concurrent_runs=1) as station:
        station.submit("long", runs=30)
        assert station.begun["long"].wait(TIMEOUT)
        station.submit("equal", runs=2)
        station.submit("urgent", priority=1, runs=2)
        station.gates["long"].set()
    assert station.order == ["long", "urgent", "urgent", *["long"] * 29, "equal", "equal"]


def test_materialize_passes_at_0_before_a_waiting_backfill():
    with Station(["plug"], max_concurrent_runs=1) as station:
        gate = plugged(station)
        station.submit("backfill", runs=3)
        station.submit("urgent", priority=1)
        waiting = len(station.repo._runtime.engine.live())
        manual = threading.Thread(
            target=station.repo.materialize,
            kwargs={"partition_key": rs.PartitionKey.single("k01"), "tags": [("name", "manual")]},
        )
        manual.start()
        wait_until(lambda: len(station.repo._runtime.engine.live()) > waiting)
        gate.set()
        manual.join(TIMEOUT)
    assert station.order == ["plug", "urgent", "manual", "backfill", "backfill", "backfill"]


def test_materialize_takes_a_priority_too():
    with Station(max_concurrent_runs=1) as station:
        tags = [("name", "manual"), ("rivers/priority", "-50")]
        result = station.repo.materialize(partition_key=rs.PartitionKey.single("k01"), tags=tags)
        run = station.repo.storage.get_run(result.run_id)
        assert (run.priority, run.tags) == (-50, tags)
        plain = station.repo.materialize(
            partition_key=rs.PartitionKey.single("k01"), tags=[("name", "manual")]
        )
        assert station.repo.storage.get_run(plain.run_id).priority == 0


def test_max_concurrent_runs_bounds_all_backfills_together():
    with Station(max_concurrent_runs=3) as station:
        station.meeting = threading.Barrier(3)
        for name in "ab":
            station.submit(name, runs=12, max_concurrency=4)
    assert (station.peak, len(station.order)) == (3, 24)


def test_max_concurrency_holds_within_the_queue():
    with Station(max_concurrent_runs=5) as station:
        station.meeting = threading.Barrier(2)
        station.submit("a", runs=12, max_concurrency=2, block=True)
    assert station.peak == 2


def test_a_run_blocked_by_a_tag_limit_does_not_block_those_behind_it():
    limits = [rs.TagConcurrencyLimit("db", limit=1)]
    with Station(["held"], max_concurrent_runs=4, tag_concurrency_limits=limits) as station:
        station.submit("held", ("db", "prod"))
        assert station.begun["held"].wait(TIMEOUT)
        blocked = station.submit("blocked", ("db", "test"), priority=50, runs=2)
        station.submit("free", runs=3, block=True)
        assert not station.done(blocked)
        assert station.order == ["held", "free", "free", "free"]
        station.gates["held"].set()
    assert station.order[4:] == ["blocked", "blocked"]


def test_a_tag_limit_bounds_one_backfill_below_its_own_max_concurrency():
    limits = [rs.TagConcurrencyLimit("db", "prod", limit=2)]
    with Station(tag_concurrency_limits=limits) as station:
        station.meeting = threading.Barrier(2)
        station.submit("a", ("db", "prod"), runs=10, max_concurrency=8, block=True)
        assert station.peak == 2


def test_a_limit_of_one_value_leaves_other_values_alone():
    limits = [rs.TagConcurrencyLimit("db", "prod", limit=1)]
    with Station(["held"], tag_concurrency_limits=limits) as station:
        station.submit("held", ("db", "prod"))
        assert station.begun["held"].wait(TIMEOUT)
        blocked = station.submit("blocked", ("db", "prod"))
        station.submit("free", ("db", "test"), block=True)
        assert not station.done(blocked)


@pytest.mark.parametrize("unique", [True, False])
def test_per_unique_value_gives_each_value_a_limit_of_its_own(unique):
    limits = [rs.TagConcurrencyLimit("db", limit=1, per_unique_value=unique)]
    with Station(["one", "two"], tag_concurrency_limits=limits) as station:
        station.submit("one", ("db", "a"))
        assert station.begun["one"].wait(TIMEOUT)
        other = station.submit("two", ("db", "b"))
        same = station.submit("same", ("db", "a"), priority=9)
        if unique:
            assert station.begun["two"].wait(TIMEOUT)
        station.submit("free", block=True)
        assert not station.done(same)
        assert ("two" in station.order) == unique
        assert not station.done(other)
    assert station.order[-1] in ("same", "two")


def test_a_limit_of_0_holds_back_and_what_it_holds_can_be_canceled():
    limits = [rs.TagConcurrencyLimit("db", limit=0)]
    with Station(tag_concurrency_limits=limits) as station:
        held = station.submit("held", ("db", "x"), runs=5)
        station.submit("free", block=True)
        assert station.repo.cancel_backfill(held) is True
        wait_until(lambda: station.done(held))
        status = station.repo.get_backfill(held)
        assert (status.status, status.canceled_partitions) == ("canceled", 5)
    assert station.order == ["free"]


def test_a_rerun_passes_the_queue_with_the_priority_of_the_first():
    with Station(["plug", "again"], max_concurrent_runs=1) as station:
        gate = plugged(station)
        again = station.submit("again", priority=3)
        assert station.repo.cancel_backfill(again) is True
        wait_until(lambda: station.done(again))
        station.submit("lower", priority=2)
        station.repo.rerun_backfill(again, block=False)
        station.gates["again"].set()
        gate.set()
    assert station.order == ["plug", "again", "lower"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: rs.RunQueueConfig(max_concurrent_runs=0),
        lambda: rs.RunQueueConfig(max_concurrent_runs="4"),
        lambda: rs.RunQueueConfig(tag_concurrency_limits=["db"]),
        lambda: rs.RunQueueConfig(tag_concurrency_limits=rs.TagConcurrencyLimit("db", limit=1)),
        lambda: rs.TagConcurrencyLimit("db", limit=-1),
        lambda: rs.TagConcurrencyLimit("db", limit=None),
        lambda: rs.TagConcurrencyLimit(3, limit=1),
        lambda: rs.TagConcurrencyLimit("db", 3, limit=1),
        lambda: rs.TagConcurrencyLimit("db", "prod", limit=1, per_unique_value=True),
    ],
)
def test_what_is_no_limit_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()
