"""A value is on disk before its file takes its place; what dying processes leave is removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from tests.io.contexts import loading, multi, storing
from tests.support import keys

import rivers as rs
from rivers.io import folder

KINDS = pytest.mark.parametrize("kind", [rs.PickleIOHandler, rs.ParquetIOHandler])
FRAME = pl.DataFrame({"x": [1]})


@pytest.fixture
def events(monkeypatch):
    """What is synced and renamed, in order."""
    seen = []
    sync, replace, unlink = os.fsync, Path.replace, Path.unlink

    def fsync(descriptor):
        seen.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        sync(descriptor)

    def renamed(self, target):
        seen.append(("rename", Path(target).name))
        return replace(self, target)

    def removed(self, missing_ok=False):
        if not self.name.endswith(".tmp"):
            seen.append(("remove", self.name))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(Path, "unlink", removed)
    return seen


def kinds_of(events):
    return ["sync file" if name.endswith(".tmp") else f"{kind} {name}" for kind, name in events]


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
@KINDS
def test_a_file_is_synced_before_its_rename_and_the_folder_after_it(kind, tmp_path, events):
    handler = kind(tmp_path / "new" / "values")
    handler.handle_output(storing(*keys("k")), FRAME)
    suffix = "pickle" if kind is rs.PickleIOHandler else "parquet"
    seen = kinds_of(events)
    assert seen.index("sync file") < seen.index(f"rename k.{suffix}")
    # New folders, too: the name of a folder is stored in the one above it.
    assert set(seen[seen.index(f"rename k.{suffix}") :]) >= {"sync a"}
    assert set(seen) >= {"sync a", "sync values", "sync new", f"sync {tmp_path.name}"}
    events.clear()
    handler.handle_output(storing(*keys("k")), FRAME)
    assert kinds_of(events) == ["sync file", f"rename k.{suffix}", "sync a"]


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
def test_files_of_one_run_are_synced_together_and_their_folder_once(tmp_path, events):
    handler = rs.ParquetIOHandler(tmp_path)
    handler.handle_output(storing(*keys("first")), FRAME)
    events.clear()
    run = keys(*map(str, range(20)))
    handler.handle_output(storing(*run), {key.key[0]: FRAME for key in run})
    kinds = [kind.split()[0] for kind in kinds_of(events)]
    assert kinds == ["sync"] * 20 + ["rename"] * 20 + ["sync"]


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
def test_a_value_for_many_partitions_is_synced_before_any_file_takes_its_place(tmp_path, events):
    handler = rs.PickleIOHandler(tmp_path)
    run = keys(*map(str, range(600)))
    handler.handle_output(storing(*run), "x")
    assert handler.load_input(loading(*run)) == "x"
    assert kinds_of(events)[0] == "sync file"
    assert sum(kind.startswith("rename") for kind in kinds_of(events)) == 600


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
def test_a_removal_is_durable_and_comes_after_the_marker_of_none(tmp_path, events):
    handler = rs.ParquetIOHandler(tmp_path)
    handler.handle_output(storing(*keys("k")), FRAME)
    events.clear()
    handler.handle_output(storing(*keys("k")), None)
    assert kinds_of(events) == [
        "sync file", "rename .k.parquet.none", "sync a", "remove k.parquet", "sync a",
    ]  # fmt: skip


@KINDS
def test_syncs_can_be_given_up(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("synced"))
    handler = kind(tmp_path, sync=False)
    for partitions in ([], keys("k"), multi(("1", "us"))):
        for value in (FRAME, None, FRAME):
            handler.handle_output(storing(*partitions), value)
        assert handler.load_input(loading(*partitions)).equals(FRAME)


def test_a_sync_that_fails_fails_the_run_and_keeps_the_old_value(tmp_path, monkeypatch):
    handler = rs.PickleIOHandler(tmp_path)
    handler.handle_output(storing(), 1)

    def fails(descriptor):
        raise OSError(5, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="input/output"):
            handler.handle_output(storing(), 2)
    assert handler.load_input(loading()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pickle"]


WRITER = """
import sys, time
import rivers as rs
from rivers.io import OutputContext

from rivers.io import folder
def hang(descriptor):
    print("writing", flush=True)
    time.sleep(60)
folder.os.fsync = hang
days = rs.PartitionsDefinition.static_(["k"])
partition = rs.PartitionContext([rs.PartitionKey.single("k")], days)
rs.PickleIOHandler(sys.argv[1]).handle_output(OutputContext("a", partition=partition), "value")
"""


@pytest.fixture
def writer(tmp_path):
    """A process that is writing a value, and its temporary file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def temporary(place):
    return [path.name for path in place.rglob("*.tmp")]


def test_the_next_write_removes_the_temporary_files_of_dead_processes(tmp_path, writer):
    assert len(temporary(tmp_path)) == 1
    rs.PickleIOHandler(tmp_path).handle_output(storing(*keys("alive")), 1)
    assert len(temporary(tmp_path)) == 1, "that of a living process stays"
    writer.kill()
    writer.wait()
    handler = rs.PickleIOHandler(tmp_path)
    handler.handle_output(storing(*keys("k")), 2)
    assert temporary(tmp_path) == []
    assert handler.load_input(loading(*keys("k"))) == 2


@pytest.mark.parametrize("name", [f".{'a' * 32}.tmp", f".1-{'0' * 8}-{'a' * 32}.tmp"])
def test_temporary_files_of_unknown_processes_are_removed_when_they_are_old(tmp_path, name):
    left = tmp_path / name
    left.write_bytes(b"x")
    rs.PickleIOHandler(tmp_path).handle_output(storing(), 1)
    assert left.exists()
    old = time.time() - folder._MIN_AGE_SECONDS - 1
    os.utime(left, (old, old))
    rs.PickleIOHandler(tmp_path).handle_output(storing(), 1)
    assert not left.exists()


def test_other_files_are_left_alone(tmp_path):
    names = [".tmp", "x.tmp", ".hidden.tmp", f"{'a' * 32}.tmp", f".{'g' * 32}.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (0, 0))
    rs.PickleIOHandler(tmp_path).handle_output(storing(), 1)
    assert {path.name for path in tmp_path.iterdir()} == {*names, "a.pickle"}
