"""A storage in a server behind PgBouncer in transaction mode: each transaction may have another of few connections."""

import contextlib
import shutil
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.postgres_server import OWNER, Server, free_port, missing, server_folder
from tests.support import wait_until

import rivers as rs

POOL_SIZE = 2
KEYS = [f"k{number:02}" for number in range(60)]
WHOLE = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])
SETTINGS = """
[databases]
postgres = host=127.0.0.1 port={server} user=rivers
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
"""


class Pooler:
    """A server and the pooler before it."""

    def __init__(self, server, program):
        self.server, self.program, self.port = server, program, free_port()
        self.settings = server.folder / "pgbouncer.ini"
        text = SETTINGS.format(server=server.port, own=self.port, size=POOL_SIZE)
        self.settings.write_text(text)
        self.process = None

    def start(self):
        with (self.server.folder / "pgbouncer.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, str(self.settings)], stderr=log, user=OWNER, group=OWNER
            )

    def kill(self):
        self.process.kill()
        self.process.wait()

    @property
    def url(self):
        return self.server.url.replace(f":{self.server.port}/", f":{self.port}/")


@pytest.fixture(scope="module")
def pooler():
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        missing("Debian's package pgbouncer")
    with server_folder() as folder, contextlib.ExitStack() as ends:
        server = Server(folder)
        server.initialize()
        server.start("fsync=off")
        ends.callback(server.stop)
        own = Pooler(server, program)
        own.start()
        ends.callback(own.kill)
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
