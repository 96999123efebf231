"""Pools whose slots are set in the storage hold for all processes that share it."""

import json
import subprocess
import sys
import uuid

import pytest
from tests.postgres_server import running_server
from tests.support import TIMEOUT, wait_until

import rivers as rs
from rivers.exceptions import AssetDefinitionError, ConfigurationError

WORKER = """
import pathlib, sys, time
import rivers as rs
location, folder, name, slots = sys.argv[1:]
held = pathlib.Path(folder) / "held"

def work(context):
    mine = held / f"{name}-{context.partition_key}"
    mine.touch()
    time.sleep(0.01)
    count = len(list(held.iterdir()))
    mine.unlink()
    with open(pathlib.Path(folder) / f"seen-{name}", "a") as file:
        file.write(f"{count}\\n")

keys = [str(number) for number in range(12)]
asset = rs.Asset(work, name=name, partitions_def=rs.PartitionsDefinition.static_(keys), pool="db",
                 pool_slots=int(slots))
with rs.CodeRepository([asset], pool_limits={"db": None}, lease_seconds=2).resolve(rs.Storage.open(location)) as repo:
    result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "11"), max_concurrency=6)
    print(result.status, result.completed)
"""


@pytest.fixture(params=["file", "server"])
def location(request, tmp_path):
    if request.param == "file":
        yield str(tmp_path / "runs.db")
        return
    with running_server() as url:
        yield f"{url}?schema=pools_{uuid.uuid4().hex}"


@pytest.fixture
def start(location, tmp_path):
    (tmp_path / "held").mkdir()
    started = []

    def start(name, slots=1):
        command = [sys.executable, "-c", WORKER, location, str(tmp_path), name, str(slots)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def most(tmp_path):
    """The largest number of runs that were in flight at once."""
    files = list(tmp_path.glob("seen-*"))
    return max(int(line) for file in files for line in file.read_text().split())


def test_a_pool_holds_over_processes(location, start, tmp_path):
    storage = rs.Storage.open(location)
    storage.set_pool("db", 2)
    processes = [start("one"), start("two"), start("three")]
    told = [process.communicate(timeout=TIMEOUT)[0].strip() for process in processes]
    assert told == ["completed 12"] * 3
    assert most(tmp_path) <= 2
    wait_until(lambda: storage.pools() == {"db": (2, 0, 0)})


def test_runs_that_need_many_slots_get_their_turn(location, start, tmp_path):
    rs.Storage.open(location).set_pool("db", 3)
    processes = [start("small"), start("large", 3)]
    told = [process.communicate(timeout=TIMEOUT)[0].strip() for process in processes]
    assert told == ["completed 12"] * 2


def test_the_slots_of_a_process_that_died_come_back(location, start, tmp_path):
    storage = rs.Storage.open(location)
    storage.set_pool("db", 1)
    first = start("first")
    wait_until(lambda: storage.pools()["db"].lent == 1)
    first.kill()
    first.wait()
    for path in (tmp_path / "held").iterdir():
        path.unlink()
    assert start("second").communicate(timeout=TIMEOUT)[0].strip() == "completed 12"


def day(number=1, **options):
    keys = [str(index) for index in range(number)]
    definition = rs.PartitionsDefinition.static_(keys)
    return rs.Asset(lambda: None, name="day", partitions_def=definition, pool="db", **options)


ALL = [rs.PartitionKey.single("0")]


def test_a_pool_without_slots_holds_runs_back_until_it_gets_some(repo):
    storage = rs.Storage.memory()
    storage.set_pool("db", 0)
    repository = repo(day(), storage=storage, pool_limits={"db": 4})
    launched = repository.backfill(partition_keys=ALL, block=False)
    wait_until(lambda: storage.pools()["db"].waiting == 1)
    assert repository.get_backfill(launched.backfill_id).status == "in_progress"
    storage.set_pool("db", 1)
    assert repository.wait_backfill(launched.backfill_id, timeout=TIMEOUT).status == "completed"


def test_the_limit_of_the_storage_can_be_removed_meanwhile(repo):
    storage = rs.Storage.memory()
    storage.set_pool("db", 0)
    repository = repo(day(), storage=storage, pool_limits={"db": None})
    launched = repository.backfill(partition_keys=ALL, block=False)
    storage.set_pool("db", None)
    assert repository.wait_backfill(launched.backfill_id, timeout=TIMEOUT).status == "completed"


def test_the_limit_of_the_code_remains(repo):
    storage = rs.Storage.memory()
    storage.set_pool("db", 9)
    with pytest.raises(AssetDefinitionError, match="could never run"):
        repo(day(pool_slots=3), storage=storage, pool_limits={"db": 2})


def test_runs_that_could_never_start_are_refused(repo):
    storage = rs.Storage.memory()
    storage.set_pool("db", 2)
    repository = repo(day(pool_slots=3), storage=storage, pool_limits={"db": None})
    with pytest.raises(ConfigurationError, match=r"takes 3 slots of the pool .db., which has 2"):
        repository.backfill(partition_keys=ALL)
    assert storage.num_backfills() == 0


@pytest.mark.parametrize(
    ("name", "slots"), [("", 1), ("db", -1), ("db", True), ("db", 1.5), (3, 1)]
)
def test_wrong_pools_are_refused(name, slots):
    with pytest.raises(ConfigurationError):
        rs.Storage.memory().set_pool(name, slots)


def test_pools_are_set_and_listed_in_the_shell(shell):
    told = shell.run("pools", "set", "ware house", 4)
    assert "'ware house' has 4 slots" in told
    shell.run("pools", "set", "api", 1)
    listed = shell.run("pools").splitlines()
    assert [line.split("\t")[:2] for line in listed[-2:]] == [["api", "1"], ["ware house", "4"]]
    changed = json.loads(shell.run("pools", "unset", "api", "--json"))
    assert (changed["pool"], changed["slots"]) == ("api", None)
    changed = json.loads(shell.run("pools", "set", "ware house", 4, "--json"))
    assert (changed["pool"], changed["slots"]) == ("ware house", 4)
    told = json.loads(shell.run("pools", "--json"))
    assert told == {"ware house": {"slots": 4, "lent": 0, "waiting": 0}}
