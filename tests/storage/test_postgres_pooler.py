"""A storage in a server behind PgBouncer in transaction mode: each transaction may have another of few connections."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.pooler import POOL_SIZE, pooled_server
from tests.support import wait_until

import rivers as rs

KEYS = [f"k{number:02}" for number in range(60)]
WHOLE = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])


@pytest.fixture(scope="module")
def pooler():
    with pooled_server() as own:
        yield own


@pytest.fixture
def url(pooler):
    return f"{pooler.url}?schema=s{uuid.uuid4().hex}"


@pytest.fixture
def repository(url):
    made = []

    def make(function=lambda: None, **options):
        definition = rs.PartitionsDefinition.static_(KEYS)
        asset = rs.Asset(function, name="work", partitions_def=definition)
        made.append(rs.CodeRepository([asset], **options).resolve(rs.Storage.open(url)))
        return made[-1]

    yield make
    for own in made:
        own.close()


def test_two_coordinators_share_fewer_connections_than_they_have(repository, pooler):
    def work(context):
        if context.partition_key == "k07":
            raise ValueError("seven")
        context.add_output_metadata({"rows": 5})
        time.sleep(0.002)

    both = [repository(work), repository(work)]
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda own: own.backfill(partition_range=WHOLE), both))
    for own, other, result in zip(both, reversed(both), results, strict=True):
        assert (result.status, result.completed, result.failed) == ("failed", 59, 1)
        assert other.backfill_partitions(result.backfill_id).height == len(KEYS)
        assert "seven" in other.backfill_errors(result.backfill_id)["message"][0]
        assert own.storage.check() == []
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rivers'"
    assert 0 < int(pooler.server.sql(sql)) <= POOL_SIZE


def test_a_cancel_arrives_although_no_notification_does(repository):
    repo = repository(lambda: time.sleep(0.05))
    launched = repo.backfill(partition_range=WHOLE, block=False, max_concurrency=1)
    repository().cancel_backfill(launched.backfill_id)
    assert repo.wait_backfill(launched.backfill_id, timeout=30).status == "canceled"


def test_one_of_many_processes_migrates(url):
    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(rs.Storage.open, [url] * 8))
    assert [own.num_backfills() for own in opened] == [0] * 8


def test_a_pooler_that_is_killed_and_started_again_loses_nothing(repository, pooler):
    calls = []

    def work(context):
        calls.append(context.partition_key)
        time.sleep(0.01)

    repo = repository(work)
    launched = repo.backfill(partition_range=WHOLE, block=False, max_concurrency=2)
    wait_until(lambda: len(calls) > 10)
    pooler.kill()
    pooler.start()
    assert repo.wait_backfill(launched.backfill_id, timeout=60).status == "completed"
    assert sorted(calls) == KEYS
    assert repo.storage.check() == []
