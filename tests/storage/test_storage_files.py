"""Files of the embedded storage: where they are, and which are refused."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.support import keys, letters

import rivers as rs
from rivers.exceptions import ExecutionError, StorageError

LETTERS = letters(4)
ALL = rs.PartitionKeyRange.single("a", "d")


@rs.Asset(partitions_def=LETTERS)
def source(context: rs.AssetExecutionContext):
    if context.partition_key == "b":
        raise ValueError("boom")


@rs.Asset(partitions_def=LETTERS, deps=[source])
def sink():
    pass


@rs.Asset
def plain():
    pass


def repository(storage=None):
    return rs.CodeRepository([sink, source, plain]).resolve(storage or rs.Storage.memory())


def test_an_embedded_storage_is_the_same_when_it_is_reopened(tmp_path):
    path = tmp_path / "deeper" / "rivers.db"
    with repository(rs.Storage.embedded(path)) as repo:
        result = repo.backfill(partition_range=ALL, tags=[("team", "data")])
        status = repo.get_backfill(result.backfill_id)
        runs = repo.storage.get_runs()
    again = repository(rs.Storage.embedded(str(path)))
    assert again.get_backfill(result.backfill_id) == status
    assert again.storage.get_runs() == runs
    assert [run.partition_keys for run in again.storage.get_runs()] == [
        run.partition_keys for run in runs
    ]
    assert again.storage.get_materialized_partitions("sink") == keys("a", "c", "d")
    assert again.rerun_backfill(result.backfill_id).partition_keys == keys("b")


def test_a_relative_path_does_not_move_with_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    repo = repository(rs.Storage.embedded("rivers.db"))
    monkeypatch.chdir("elsewhere")
    assert repo.backfill(partition_keys=keys("a")).status == "completed"
    repo.close()
    assert repository(rs.Storage.embedded(tmp_path / "rivers.db")).storage.get_runs()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_live_backfill_is_known_as_such_wherever_its_process_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begun, gate, calls = threading.Event(), threading.Event(), []

    @rs.Asset(partitions_def=LETTERS)
    def held():
        calls.append(1)
        begun.set()
        assert gate.wait(20)

    storage = rs.Storage.embedded("rivers.db")
    with rs.CodeRepository([held]).resolve(storage) as repo:
        backfill_id = repo.backfill(partition_range=ALL, block=False).backfill_id
        assert begun.wait(20)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        other = rs.CodeRepository([held]).resolve(storage)
        with pytest.raises(ExecutionError, match="running"):
            other.resume_backfill(backfill_id)
        gate.set()
    assert (repo.get_backfill(backfill_id).status, len(calls)) == ("completed", 4)


def test_the_default_storage_is_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("RIVERS_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    repo = rs.CodeRepository([source, sink])
    assert list(tmp_path.iterdir()) == []
    repo.backfill(partition_keys=keys("a"))
    assert (tmp_path / ".rivers" / "rivers.db").is_file()
    assert Path(repo.storage.path).resolve() == tmp_path / ".rivers" / "rivers.db"
    assert len(rs.Storage.default().get_runs()) == 1


def test_the_default_storage_is_what_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RIVERS_STORAGE", str(tmp_path / "named.db"))
    rs.CodeRepository([source]).backfill(partition_keys=keys("a"))
    assert len(rs.Storage.embedded(tmp_path / "named.db").get_runs()) == 1
    monkeypatch.setenv("RIVERS_STORAGE", "memory")
    assert rs.CodeRepository([source]).storage.path == "memory"
    assert not (tmp_path / ".rivers").exists()
    assert not (tmp_path / "memory").exists()


def unusable(path, kind):
    if kind == "a directory":
        path.mkdir()
    elif kind == "no database":
        path.write_text("These are notes, and no database.\n" * 100)
    elif kind == "below a file":
        path.parent.joinpath("file").write_text("")
        return path.parent / "file" / "rivers.db"
    else:
        if kind == "newer":
            rs.Storage.embedded(path)
        with closing(sqlite3.connect(path)) as connection:
            statement = (
                "PRAGMA user_version = 999" if kind == "newer" else "CREATE TABLE notes (text)"
            )
            connection.execute(statement)
            connection.commit()
    return path


@pytest.mark.parametrize("kind", ["a directory", "no database", "below a file", "foreign", "newer"])
def test_what_is_no_storage_is_refused_naming_the_file(tmp_path, kind):
    path = unusable(tmp_path / "some.db", kind)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StorageError) as caught:
        rs.Storage.embedded(path)
    assert str(path) in str(caught.value)
    assert {"newer": "newer", "foreign": "another program"}.get(kind, "") in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
