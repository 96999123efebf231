"""How a storage in a server is reached: roles and schemas."""

import re
import subprocess
import time
import uuid
from urllib.parse import quote

import pytest
from tests.postgres_server import binaries, running_server
from tests.support import wait_until

import rivers as rs
from rivers.exceptions import StorageError

KEYS = [f"k{number:02}" for number in range(40)]
WHOLE = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])


@pytest.fixture(scope="module")
def running():
    with running_server() as url:
        yield url


@pytest.fixture
def schema():
    return f"s{uuid.uuid4().hex}"


def sql(url, text):
    """Executes SQL as the server's owner."""
    command = [binaries() / "psql", "-v", "ON_ERROR_STOP=1", "-qAtc", text, url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def repository(url, function=lambda: None, **options):
    definition = rs.PartitionsDefinition.static_(KEYS)
    asset = rs.Asset(function, name="work", partitions_def=definition)
    return rs.CodeRepository([asset], **options).resolve(rs.Storage.open(url))


def test_a_role_that_may_only_read_suffices_to_read(running, schema):
    url, role = f"{running}?schema={schema}", f"reader_{schema}"
    backfill_id = repository(url).backfill(partition_range=WHOLE).backfill_id
    sql(running, f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};"
                 f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")  # fmt: skip
    reading = re.sub(r"//[^@]*@", f"//{role}@", url)
    client = rs.BackfillClient(rs.Storage.postgres(reading, read_only=True))
    assert client.get_backfill(backfill_id).completed_partitions == 40
    assert client.backfill_partitions(backfill_id).height == 40
    assert client.storage.check() == []
    assert client.storage.pools() == {}
    with pytest.raises(StorageError, match="reading only"):
        client.storage.set_pool("db", 1)
    with pytest.raises(StorageError, match="lacks a privilege"):
        rs.Storage.postgres(reading).set_pool("db", 1)


@pytest.mark.parametrize("name", ['we"ird', "Groß", "two words", "select", "a@b", "x" * 63])
def test_a_schema_may_have_any_name(running, name):
    url = f"{running}?schema={quote(name)}"
    assert repository(url).backfill(partition_range=WHOLE).completed == 40
    assert rs.Storage.open(url).num_backfills() >= 1


def test_a_coordinator_has_three_connections_and_its_worker_processes_none(running, schema):
    url = f"{running}?schema={schema}&application_name={schema}"
    sql_count = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{schema}'"
    counts = set()

    def work(context):
        time.sleep(0.02)

    with repository(url, work, default_executor=rs.Executor.parallel(max_workers=2)) as repo:
        launched = repo.backfill(partition_range=WHOLE, max_concurrency=2, block=False)
        while repo.get_backfill(launched.backfill_id).status == "in_progress":
            counts.add(int(sql(running, sql_count)))
            repo.backfill_partitions(launched.backfill_id)
        assert repo.wait_backfill(launched.backfill_id).status == "completed"
    assert max(counts) == 3


def test_commits_write_segments_and_change_nothing_that_others_read(running, schema):
    """So an old snapshot elsewhere keeps no dead rows: of many commits, none updates the backfill."""
    url = f"{running}?schema={schema}"
    changed = f"""SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables
                  WHERE schemaname = '{schema}' AND n_tup_ins + n_tup_upd + n_tup_del > 0"""
    with repository(url, lambda: time.sleep(0.03)) as repo:
        repo.backfill(partition_range=WHOLE, max_concurrency=1)
    wait_until(lambda: "segment" in sql(running, changed))
    rows = [line.split("|") for line in sql(running, changed).splitlines()]
    tables = {name: tuple(map(int, numbers)) for name, *numbers in rows}
    inserted, updated, deleted = tables.pop("segment")
    assert inserted >= 10  # A busy machine records several runs by one commit.
    assert updated + deleted <= inserted
    assert tables["backfill"][0] == 1
    assert tables["backfill"][1] <= 5
