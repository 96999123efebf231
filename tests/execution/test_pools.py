"""Pools: the number of steps that use a resource at once, over all runs."""

import sys
import threading
import time

import cloudpickle
import pytest

import rivers as rs
from rivers.exceptions import AssetDefinitionError, ConfigurationError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

NUMBERS = rs.PartitionsDefinition.static_([str(number) for number in range(24)])
ALL = rs.PartitionKeyRange.single("0", "23")


class Gauge:
    """Counts how many steps hold a resource at once."""

    def __init__(self):
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error):
        with self._lock:
            self.now -= 1


def user(name, gauge, pool, slots=None, meeting=None):
    """Makes an asset that holds a slot of a pool while it waits for others."""

    def fn():
        with gauge:
            if meeting is not None:
                meeting.wait(10)
            time.sleep(0.001)

    return rs.Asset(fn, name=name, partitions_def=NUMBERS, pool=pool, pool_slots=slots)


def test_a_pool_bounds_all_backfills_and_runs_together_and_is_used_up(repo):
    gauge = Gauge()
    # Three at once must be possible: fewer would deadlock.
    meeting = threading.Barrier(3)
    one, two = (user(name, gauge, "db", meeting=meeting) for name in ("one", "two"))
    repository = repo(one, two, pool_limits={"db": 3})
    backfills = [
        repository.backfill([name], partition_range=ALL, max_concurrency=8, block=False)
        for name in ("one", "two")
    ]
    handles = [repository.submit(["one"], rs.PartitionKey.single(key)) for key in ("0", "1", "2")]
    assert all(handle.wait().success for handle in handles)
    repository.close()
    assert [repository.get_backfill(b.backfill_id).status for b in backfills] == ["completed"] * 2
    assert gauge.most == 3


def test_slots_count(repo):
    light, heavy = Gauge(), Gauge()
    assets = user("light", light, "db"), user("heavy", heavy, ["db", "api"], {"db": 3})
    repository = repo(*assets, pool_limits={"db": 4, "api": 1})
    for name in ("light", "heavy"):
        repository.backfill([name], partition_range=ALL, max_concurrency=8, block=False)
    repository.close()
    assert heavy.most == 1
    assert light.most <= 4


def test_a_run_needs_the_maximum_of_its_steps(repo):
    gauge = Gauge()
    meeting = threading.Barrier(2)
    few, many = user("few", gauge, "db", 1, meeting), user("many", gauge, "db", 2, meeting)
    repository = repo(few, many, pool_limits={"db": 4})
    result = repository.backfill(partition_range=ALL, max_concurrency=8)
    assert (result.status, gauge.most) == ("completed", 2)


def test_a_pool_bounds_worker_processes_too(repo, tmp_path):
    held, seen = tmp_path / "held", tmp_path / "seen"
    held.mkdir()

    @rs.Asset(partitions_def=NUMBERS, pool="license")
    def licensed(context: rs.AssetExecutionContext):
        mine = held / context.partition_key
        mine.touch()
        time.sleep(0.002)
        with seen.open("a") as file:
            file.write(f"{len(list(held.iterdir()))}\n")
        mine.unlink()

    repository = repo(
        licensed, default_executor=rs.Executor.parallel(3), pool_limits={"license": 1}
    )
    result = repository.backfill(partition_range=ALL, max_concurrency=3)
    assert result.completed == 24
    assert set(seen.read_text().split()) == {"1"}


def test_what_waits_for_its_next_attempt_holds_no_pool(repo):
    calls = []

    def fn(context: rs.AssetExecutionContext):
        calls.append(context.asset_name)
        if context.asset_name == "stuck":
            raise ConnectionError

    stuck, other = (
        rs.Asset(fn, name=name, partitions_def=NUMBERS, pool="db") for name in ("stuck", "other")
    )
    repository = repo(stuck, other, pool_limits={"db": 1})
    hours = rs.RetryPolicy(1, rs.Backoff.constant(3_600))
    waiting = repository.backfill(["stuck"], partition_range=ALL, retry=hours, block=False)
    assert repository.backfill(["other"], partition_range=ALL).completed == 24
    assert repository.cancel_backfill(waiting.backfill_id)


@pytest.mark.parametrize(
    ("options", "limits", "told"),
    [
        ({"pool": "dbs"}, {"db": 4}, "did you mean 'db'"),
        ({"pool": "db"}, None, "no entry"),
        ({"pool": "db", "pool_slots": 5}, {"db": 4}, "5 slots of the pool 'db', which has 4"),
        ({"pool": "db", "pool_slots": 0}, {"db": 4}, "at least 1"),
        ({"pool": "db", "pool_slots": "2"}, {"db": 4}, "at least 1"),
        ({"pool": ["db"], "pool_slots": {"api": 1}}, {"db": 4}, "its pools are ['db']"),
        ({"pool_slots": 2}, {"db": 4}, "its pools are []"),
        ({"pool": 3}, {"db": 4}, "name of a pool"),
        ({"pool": ""}, {"db": 4}, "name of a pool"),
    ],
)
def test_what_does_not_fit_is_refused(repo, options, limits, told):
    with pytest.raises(AssetDefinitionError) as refused:
        repo(rs.Asset(lambda: None, name="a", **options), pool_limits=limits)
    assert told in str(refused.value)


@pytest.mark.parametrize("limits", [{"db": 0}, {"db": "4"}, {1: 4}, ["db"], {"db": True}])
def test_what_is_no_limit_is_refused(repo, limits):
    with pytest.raises(ConfigurationError, match="pool_limits"):
        repo(NUMBERS, pool_limits=limits)
