"""A storage that is opened for reading only reads, and never writes."""

import gc
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

import rivers as rs
from rivers.exceptions import StorageError

LETTERS = rs.PartitionsDefinition.static_(list("abcd"))


@rs.Asset(partitions_def=LETTERS)
def letters():
    return 1


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "runs.db"
    with rs.CodeRepository([letters]).resolve(rs.Storage.embedded(path)) as repo:
        repo.backfill(partition_keys=[rs.PartitionKey.single("a")])
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.is_file() and not file.name.endswith("-shm")
    }


def test_it_reads_what_is_recorded_and_leaves_the_file_as_it_is(database, tmp_path):
    before = contents(tmp_path)
    storage = rs.Storage.open(database, read_only=True)
    assert [run.status for run in storage.get_runs()] == ["completed"]
    assert len(storage.get_materialized_partitions("letters")) == 1
    assert rs.BackfillClient(storage).backfills().height == 1
    after = contents(tmp_path)
    assert after["runs.db"] == before["runs.db"]
    assert not [name for name in after if "owner" in name]


def test_it_refuses_to_write(database):
    storage = rs.Storage.open(database, read_only=True)
    with pytest.raises(StorageError, match="open for reading only"):
        storage.add_dynamic_partitions("d", ["a"])
    with pytest.raises(StorageError, match="open for reading only"):
        rs.CodeRepository([letters]).resolve(storage).backfill(
            partition_keys=[rs.PartitionKey.single("b")]
        )
    assert len(rs.Storage.embedded(database).get_runs()) == 1


def test_it_sees_what_another_process_records_meanwhile(database):
    storage = rs.Storage.open(database, read_only=True)
    with rs.CodeRepository([letters]).resolve(rs.Storage.embedded(database)) as repo:
        repo.backfill(partition_keys=[rs.PartitionKey.single("b")])
        assert len(storage.get_runs()) == 2


def test_a_file_that_is_missing_is_not_created(tmp_path):
    with pytest.raises(StorageError, match="no such file"):
        rs.Storage.open(tmp_path / "missing.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_is_refused_with_the_remedy_and_not_migrated(database):
    with closing(sqlite3.connect(database)) as connection:
        newest = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {newest - 1}")
        connection.commit()
    with pytest.raises(StorageError, match="older rivers") as refused:
        rs.Storage.open(database, read_only=True)
    assert refused.value.remedy == ("migrate", str(database))
    assert "Storage.embedded(" in str(refused.value)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == newest - 1


def test_a_newer_file_is_refused(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.commit()
    with pytest.raises(StorageError, match="newer rivers"):
        rs.Storage.open(database, read_only=True)


READ = """
import os, sys
from rivers import Storage, _rivers  # While the folder of the package can be read.

if os.geteuid() == 0:  # Root may write everywhere.
    os.seteuid(65534)
try:
    open(os.path.join(os.path.dirname(sys.argv[1]), "written"), "w")
except PermissionError:
    print(len(Storage.open(sys.argv[1], read_only=True).get_runs()))
"""


def test_it_reads_a_file_in_a_folder_that_it_may_not_write_to():
    # Not in `tmp_path`: other users may not enter the folders above it.
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "a b#%"
        folder.mkdir()
        path = folder / "runs.db"
        with rs.CodeRepository([letters]).resolve(rs.Storage.embedded(path)) as repo:
            repo.backfill(partition_keys=[rs.PartitionKey.single("a")])
        del repo
        gc.collect()
        Path(above).chmod(0o755)
        path.chmod(0o444)
        folder.chmod(0o555)
        try:
            read = subprocess.run(
                [sys.executable, "-c", READ, path], capture_output=True, text=True, check=False
            )
        finally:
            folder.chmod(0o755)
    assert (read.stdout, read.stderr) == ("1\n", "")
