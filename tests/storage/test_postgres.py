"""A storage in a PostgreSQL server, in Python and on the command line."""

import os
import subprocess
import sys
import uuid

import pytest
from tests.postgres_server import running_server

import rivers as rs
from rivers.exceptions import ConfigurationError, StorageError
from rivers.storage.location import StorageLocation

KEYS = [f"k{number:02}" for number in range(40)]
WHOLE = rs.PartitionKeyRange.single(KEYS[0], KEYS[-1])


@pytest.fixture(scope="module")
def running():
    with running_server() as url:
        yield url


@pytest.fixture
def url(running):
    return f"{running}?schema=s{uuid.uuid4().hex}"


def repository(url, function):
    definition = rs.PartitionsDefinition.static_(KEYS)
    asset = rs.Asset(function, name="work", partitions_def=definition)
    return rs.CodeRepository([asset]).resolve(rs.Storage.open(url))


def test_a_backfill_is_recorded_and_read_by_another_client(url):
    def work(context):
        if context.partition_key == "k07":
            raise ValueError("seven \0")
        context.add_output_metadata({"rows": 5})

    repo = repository(url, work)
    result = repo.backfill(partition_range=WHOLE)
    assert (result.status, result.completed, result.failed) == ("failed", 39, 1)
    repo.close()
    client = rs.BackfillClient(rs.Storage.postgres(url, read_only=True))
    view = client.get_backfill(result.backfill_id)
    assert (view.status, view.completed_partitions) == ("failed", 39)
    assert client.backfill_partitions(result.backfill_id).height == 40
    assert "seven" in client.backfill_errors(result.backfill_id)["message"][0]
    assert client.storage.check() == []


def test_what_is_missing_is_executed_after_reopening(url):
    calls = []

    def work(context):
        calls.append(context.partition_key)
        if context.partition_key == "k03" and len(calls) < 41:
            raise ValueError("once")

    repository(url, work).backfill(partition_range=WHOLE)
    again = repository(url, work)
    assert again.backfill(partition_range=WHOLE, only_missing=True).completed == 1
    assert calls[40:] == ["k03"]


def test_the_command_line_finds_the_server_in_the_environment(url):
    repository(url, lambda: None).backfill(partition_range=WHOLE)
    for words in (["list"], ["status", "latest"], ["db", "check"], ["db", "migrate"]):
        done = subprocess.run(
            [sys.executable, "-m", "rivers", *words],
            capture_output=True, text=True, check=False, env={**os.environ, "RIVERS_STORAGE": url},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in done.stdout + done.stderr


def test_another_process_cancels_a_backfill(url):
    repo = repository(url, lambda: __import__("time").sleep(0.05))
    launched = repo.backfill(partition_range=WHOLE, block=False, max_concurrency=1)
    rs.BackfillClient(rs.Storage.postgres(url)).cancel_backfill(launched.backfill_id)
    assert repo.wait_backfill(launched.backfill_id, timeout=30).status == "canceled"


def test_a_process_that_died_is_noticed_at_once(url, tmp_path):
    script = f"""
import os, time
import rivers as rs
def work(context):
    if context.partition_key == "k05":
        time.sleep(0.5)
        os._exit(1)
asset = rs.Asset(work, name="work", partitions_def=rs.PartitionsDefinition.static_({KEYS!r}))
repo = rs.CodeRepository([asset]).resolve(rs.Storage.open({url!r}))
repo.backfill(partition_range=rs.PartitionKeyRange.single("k00", "k39"), max_concurrency=1)
"""
    subprocess.run([sys.executable, "-c", script], check=False, cwd=tmp_path)
    repo = repository(url, lambda: None)
    (backfill_id,) = repo.backfills()["backfill_id"]
    assert repo.resume_backfill(backfill_id).completed == 40


def test_a_password_is_never_shown(url):
    storage = rs.Storage.open(url)
    shown = [repr(storage), storage.path, repr(StorageLocation.parse(url))]
    shown.append(StorageLocation.parse(url).display)
    places = [
        "h/d?user=u&password=s3cret", "h/d?password=s3cret", "u:s3cret@h/d", "u:1/s3cret@h:5/d",
        "u:s3cret?@h/d", "u:x?s3cret@h/d", "u:@s3cret@h/d", "u:x:s3cret@h,i:5/d?schema=x",
    ]  # fmt: skip
    shown += [StorageLocation.parse(f"postgresql://{place}").display for place in places]
    for plain in ("h/d", "h:5432/d?schema=a@b", "u@h:1,i:2/d?sslmode=require", "/d?host=%2Frun"):
        assert StorageLocation.parse(f"postgresql://{plain}").display == f"postgresql://{plain}"
    with pytest.raises(StorageError) as unreachable:
        rs.Storage.open("postgresql://rivers:s3cret@127.0.0.1:1/x?connect_timeout=1")
    with pytest.raises(ConfigurationError) as wrong:
        rs.Storage.open("postgresql://rivers:s3cret@127.0.0.1:port/x")
    shown += [str(unreachable.value), str(wrong.value)]
    assert not any("s3cret" in text for text in shown), shown


def test_other_urls_are_refused():
    for url in ("mysql://host/x", "postgres+x://host/x", "s3://bucket/x"):
        with pytest.raises(ConfigurationError, match="URL"):
            rs.Storage.open(url)
