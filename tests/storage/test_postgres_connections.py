"""How a storage in a server is reached: roles and schemas."""

import re
import subprocess
import uuid
from urllib.parse import quote

import pytest
from tests.postgres_server import binaries, running_server

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
