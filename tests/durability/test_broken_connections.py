"""A storage in a server behind connections that break, freeze and lose answers."""

import time
import uuid
from collections import Counter

import pytest
from tests.postgres_server import running_server
from tests.support import wait_until
from tests.tcp_proxy import Proxy

import rivers as rs
from rivers.exceptions import RiversError, StorageError

KEYS = [f"k{number:02}" for number in range(60)]
WHOLE = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
COMMIT = b'INSERT INTO "{schema}".segment'
LEASE = 6.0
OLD = 110  # Backfills to be removed.

PRUNE = """
import datetime as dt
import signal


def in_a_child(work, seconds=None):
    ready, is_ready = os.pipe()
    child = os.fork()
    if child == 0:
        work(is_ready)
        os._exit(0)
    os.read(ready, 1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] in (0, signal.SIGKILL)


def prune(is_ready):
    storage = rs.Storage.open(sys.argv[2])
    os.write(is_ready, b".")
    storage.prune(dt.timedelta(0))


def look(is_ready):
    os.write(is_ready, b".")
    storage = rs.Storage.open(sys.argv[3])
    note(f"{storage.num_backfills()} {storage.check()}")


left, seconds = sys.argv[4], 0.2
while left == sys.argv[4]:  # Until a kill comes after some were removed.
    in_a_child(prune, seconds)
    in_a_child(look)
    left, seconds = (folder / "notes").read_text().splitlines()[-1].split()[0], seconds * 1.6
in_a_child(prune)
in_a_child(look)
"""


@pytest.fixture(scope="module")
def running():
    with running_server() as url:
        yield url


class Place:
    """A storage, reached directly and through a proxy."""

    def __init__(self, running, proxy):
        schema = f"s{uuid.uuid4().hex}"
        self.url, self.proxy = f"{running}?schema={schema}", proxy
        self.commit = COMMIT.replace(b"{schema}", schema.encode())
        self.schema = schema
        self.calls = Counter()
        self.repositories = []

    def repository(self, function=lambda _: None, *, directly=False, **options):
        def work(context):
            self.calls[context.partition_key] += 1
            function(context)

        definition = rs.PartitionsDefinition.static_(KEYS)
        asset = rs.Asset(work, name="work", partitions_def=definition)
        url = self.url if directly else self.proxy.url(self.url)
        options = {"lease_seconds": LEASE, **options}
        made = rs.CodeRepository([asset], **options).resolve(rs.Storage.open(url))
        self.repositories.append(made)
        return made

    def check(self, backfill_id, *, status="completed"):
        """Each partition is recorded once."""
        storage = rs.Storage.open(self.url)
        assert storage.check() == []
        client = rs.BackfillClient(storage)
        assert client.get_backfill(backfill_id).status == status
        rows = client.backfill_partitions(backfill_id)
        assert rows["status"].to_list() == ["completed"] * len(KEYS)
        assert set(self.calls) == set(KEYS)


@pytest.fixture
def place(running):
    port = int(running.partition("@")[2].partition(":")[2].partition("/")[0])
    with Proxy(port) as proxy:
        made = Place(running, proxy)
        rs.Storage.open(made.url)  # Migrates.
        yield made
        proxy.refuses = False
        proxy.thaw()
        for repository in made.repositories:
            repository.close()


@pytest.mark.parametrize("times", [1, 3])
def test_a_commit_whose_answer_was_lost_is_looked_up(place, times):
    repository = place.repository(lambda _: time.sleep(0.01))
    place.proxy.lose_answer(place.commit, times)
    result = repository.backfill(partition_range=WHOLE, max_concurrency=2)
    assert result.completed == len(KEYS)
    assert place.proxy.num_struck == times
    assert set(place.calls.values()) == {1}
    place.check(result.backfill_id)


def test_the_answer_to_the_creation_of_a_backfill_may_be_lost(place):
    repository = place.repository()
    place.proxy.lose_answer(b"COMMIT\0")
    result = repository.backfill(partition_range=WHOLE)
    assert place.proxy.num_struck == 1
    assert repository.backfills().height == 1
    place.check(result.backfill_id)


def test_connections_that_are_cut_again_and_again_are_made_anew(place):
    repository = place.repository(lambda _: time.sleep(0.02))
    launched = repository.backfill(partition_range=WHOLE, max_concurrency=2, block=False)
    for _ in range(10):
        time.sleep(0.05)
        place.proxy.cut()
    assert repository.wait_backfill(launched.backfill_id, timeout=60).status == "completed"
    assert set(place.calls.values()) == {1}
    place.check(launched.backfill_id)


def test_connections_that_freeze_are_replaced_while_the_lease_lasts(place):
    repository = place.repository(lambda _: time.sleep(0.02), lease_seconds=30.0)
    launched = repository.backfill(partition_range=WHOLE, max_concurrency=2, block=False)
    wait_until(lambda: len(place.calls) > 5)
    before = place.proxy.num_connections
    place.proxy.freeze()
    assert repository.wait_backfill(launched.backfill_id, timeout=60).status == "completed"
    assert place.proxy.num_connections > before
    assert set(place.calls.values()) == {1}
    place.proxy.thaw()
    place.check(launched.backfill_id)


def test_a_slow_connection_changes_nothing(place):
    place.proxy.delay = 0.05
    repository = place.repository()
    result = repository.backfill(partition_range=WHOLE, max_concurrency=2)
    assert set(place.calls.values()) == {1}
    place.check(result.backfill_id)


@pytest.mark.parametrize("how", ["frozen", "refused"])
def test_a_server_that_is_away_for_longer_than_the_lease_ends_the_backfill_here(place, how):
    """Another process takes it over; what was sent and arrives late is refused."""
    repository = place.repository(lambda _: time.sleep(0.25), lease_seconds=4.0)
    launched = repository.backfill(partition_range=WHOLE, max_concurrency=2, block=False)
    wait_until(lambda: len(place.calls) > 5)
    if how == "frozen":
        place.proxy.freeze(new=True)
    else:
        place.proxy.refuses = True
        place.proxy.cut()
        with pytest.raises(RiversError) as stopped:
            repository.wait_backfill(launched.backfill_id, timeout=60)
        assert "s3cret" not in str(stopped.value)
    wait_until(lambda: not repository._runtime._connection.engine.live())
    # Nothing new starts.
    started = place.calls.total()
    time.sleep(0.6)
    assert place.calls.total() == started < len(KEYS)
    other = place.repository(directly=True)
    recorded = other.get_backfill(launched.backfill_id).completed_partitions
    assert other.resume_backfill(launched.backfill_id).completed == len(KEYS)
    assert place.calls.total() <= len(KEYS) + started - recorded
    place.proxy.refuses = False
    place.proxy.thaw()
    time.sleep(0.5)  # What was frozen arrives.
    place.check(launched.backfill_id)


def test_a_frozen_connection_does_not_keep_a_reader_for_ever(place):
    repository = place.repository()
    result = repository.backfill(partition_range=WHOLE)
    place.proxy.freeze()
    assert repository.storage.num_backfills() == 1
    place.check(result.backfill_id)


def test_a_transaction_that_broke_is_not_continued_on_another_connection(place):
    """The segments that a merge removes come back with it."""
    repository = place.repository(lambda _: time.sleep(0.03))
    segments = f'"{place.schema}".segment'.encode()
    place.proxy.cut_after(b"SELECT seq FROM " + segments + b" WHERE backfill = $1 AND seq BETWEEN")
    place.proxy.lose_answer(b"DELETE FROM " + segments, 1)
    place.proxy.lose_answer(b"UPDATE " + segments, 99)
    result = repository.backfill(partition_range=WHOLE, max_concurrency=1)
    assert place.proxy.num_struck >= 1
    place.check(result.backfill_id)


def test_the_first_connection_through_a_cut_says_what_is_wrong(place):
    place.proxy.refuses = True
    with pytest.raises(StorageError, match=r"rivers@127.0.0.1") as refused:
        rs.Storage.open(place.proxy.url(place.url))
    assert "s3cret" not in str(refused.value)


def test_a_prune_that_is_killed_again_and_again_removes_whole_backfills(place, processes):
    repository = place.repository(directly=True)
    for number in range(OLD):
        repository.backfill(partition_keys=[rs.PartitionKey.single(KEYS[number % len(KEYS)])])
    repository.close()
    place.proxy.delay = 0.01
    processes.end(processes.start(PRUNE, place.proxy.url(place.url), place.url, OLD))
    left = [int(note.split()[0]) for note in processes.notes()]
    assert {note.partition(" ")[2] for note in processes.notes()} == {"[]"}
    assert left == sorted(left, reverse=True)
    assert left[0] == OLD  # The first was killed in the middle of a transaction.
    assert left[-1] == 0
