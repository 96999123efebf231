"""Links to a storage's file, its lock files, who may read it, and what a death during its creation leaves."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support import letters, run_script

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError, StorageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and modes are those of Unix")

ALL = rs.PartitionKeyRange.single("a", "d")


@rs.Asset(partitions_def=letters(4))
def asset():
    pass


def lock_files(folder):
    return sorted(path.name for path in folder.glob("*-owner-*"))


class Held:
    """A backfill that is in flight until the block ends."""

    def __init__(self, path):
        begun, self.gate = threading.Event(), threading.Event()

        @rs.Asset(partitions_def=letters(4), name="held")
        def held():
            begun.set()
            assert self.gate.wait(60)

        self.asset = held
        self.repo = rs.CodeRepository([held]).resolve(rs.Storage.embedded(path))
        self.backfill_id = self.repo.backfill(partition_range=ALL, block=False).backfill_id
        assert begun.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gate.set()
        self.repo.close()

    def assert_alive_through(self, path):
        other = rs.CodeRepository([self.asset]).resolve(rs.Storage.embedded(path))
        with pytest.raises(ExecutionError, match="is running"):
            other.resume_backfill(self.backfill_id)
        assert other.backfills(limit=1)["owner_alive"].to_list() == [True]
        other.close()


@pytest.mark.parametrize("link", ["file", "folder", "relative", "chain"])
def test_a_storage_is_the_same_through_a_symbolic_link(tmp_path, link):
    real = tmp_path / "real" / "rivers.db"
    (tmp_path / "links").mkdir()
    through = tmp_path / "links" / "rivers.db"
    if link == "folder":
        (tmp_path / "other").symlink_to(tmp_path / "real")
        through = tmp_path / "other" / "rivers.db"
    elif link == "relative":
        through.symlink_to("../real/rivers.db")
    elif link == "chain":
        (tmp_path / "links" / "next.db").symlink_to(real)
        through.symlink_to("next.db")
    else:
        through.symlink_to(real)
    with Held(real) as held:
        held.assert_alive_through(through)
    assert rs.Storage.embedded(through).path == str(through)
    assert [run.status for run in rs.Storage.embedded(through).get_runs()] == ["completed"] * 4
    assert [path.name for path in (tmp_path / "links").iterdir() if path.is_file()] in (
        [], ["rivers.db"], ["rivers.db", "next.db"], ["next.db", "rivers.db"],
    )  # fmt: skip


def test_a_new_storage_is_made_where_a_link_leads(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "rivers.db").symlink_to("real/rivers.db")
    with Held(tmp_path / "rivers.db") as held:
        held.assert_alive_through(tmp_path / "real" / "rivers.db")


def test_an_owner_whose_lock_file_cannot_be_opened_is_alive(tmp_path):
    resource = pytest.importorskip("resource")
    with Held(tmp_path / "rivers.db") as held:
        client = rs.BackfillClient(rs.Storage.open(tmp_path / "rivers.db", read_only=True))
        assert client.get_view(held.backfill_id).interrupted is False
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        opened = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        try:
            while True:
                try:
                    opened.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
            assert client.get_view(held.backfill_id).interrupted is False
        finally:
            for file in opened:
                os.close(file)
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs other users")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_an_owner_of_another_user_is_alive(tmp_path, mode):
    path = tmp_path / "rivers.db"
    for place in (tmp_path, *tmp_path.parents):
        if place.stat().st_uid == os.geteuid() and str(place).startswith("/tmp/"):
            place.chmod(0o777)
    with Held(path) as held:
        for file in tmp_path.iterdir():
            file.chmod(mode if "-owner-" in file.name else 0o666)
        script = """
import os, sys
import rivers as rs
rs.BackfillClient(rs.Storage.memory()).get_view("x")
os.setuid(65534)
client = rs.BackfillClient(rs.Storage.embedded(sys.argv[1]))
print(client.get_view(sys.argv[2]).interrupted)
"""
        done = run_script(script, path, held.backfill_id)
        assert done.stdout.strip() == "False", done.stderr


def test_a_file_with_several_names_is_refused(tmp_path):
    rs.Storage.embedded(tmp_path / "rivers.db")
    os.link(tmp_path / "rivers.db", tmp_path / "other.db")
    for name in ("rivers.db", "other.db"):
        with pytest.raises(StorageError, match="several names"):
            rs.Storage.embedded(tmp_path / name)
        with pytest.raises(StorageError, match="several names"):
            rs.Storage.open(tmp_path / name, read_only=True)
    (tmp_path / "other.db").unlink()
    assert rs.Storage.embedded(tmp_path / "rivers.db").num_backfills() == 0


def test_lock_files_of_processes_that_have_ended_are_removed(tmp_path):
    script = """
import os, sys
import rivers as rs
def main():
    asset = rs.Asset(lambda: None, name="a", partitions_def=rs.PartitionsDefinition.static_(["a"]))
    repo = rs.CodeRepository([asset]).resolve(rs.Storage.embedded(sys.argv[1]))
    repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "a"))
    if len(sys.argv) > 2:
        os._exit(0)
main()
"""
    path = tmp_path / "rivers.db"
    for end in ([], ["killed"], [], ["killed"]):
        assert run_script(script, path, *end).returncode == 0
        assert len(lock_files(tmp_path)) <= 1
    with Held(path):
        assert len(lock_files(tmp_path)) == 1
    repo = rs.CodeRepository([asset]).resolve(rs.Storage.embedded(path))
    repo.backfill(partition_range=ALL)
    with Held(path) as held:
        held.assert_alive_through(path)
        assert len(lock_files(tmp_path)) == 2


def test_a_new_folder_is_private_and_an_existing_one_is_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        (tmp_path / "existing").mkdir()
        for folder in ("new/deeper", "existing"):
            repo = rs.CodeRepository([asset]).resolve(
                rs.Storage.embedded(tmp_path / folder / "rivers.db")
            )
            repo.backfill(partition_range=ALL)
            files = [file for file in (tmp_path / folder).iterdir() if file.is_file()]
            assert len(files) == 4, files
            modes = {stat.S_IMODE(file.stat().st_mode) for file in files}
            assert modes == {0o600 if folder.startswith("new") else 0o644}
            repo.close()
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "new" / "deeper").stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_death_at_any_write_of_a_new_storage_is_repaired(tmp_path):
    strace = "/usr/bin/strace"
    if not Path(strace).exists():
        pytest.skip("there is no strace")
    script = "import sys, rivers as rs; rs.Storage.embedded(sys.argv[1])"
    killed = 0
    for number in range(1, 40):
        path = tmp_path / f"{number}.db"
        inject = f"inject=pwrite64,ftruncate,fdatasync,fsync:signal=KILL:when={number}"
        done = subprocess.run(
            [strace, "-qq", "-f", "-o", os.devnull, "-e", inject, sys.executable, "-c", script, path],
            check=False,
        )  # fmt: skip
        if done.returncode == 0:
            break
        killed += 1
        assert rs.Storage.embedded(path).num_backfills() == 0
    if not killed:
        pytest.skip("processes cannot be traced here")


@pytest.mark.parametrize(
    "seconds", [1e-9, 0.1, 0, -1, float("nan"), float("inf"), True, "15", 10**400]
)
def test_a_lease_that_cannot_be_renewed_in_time_is_refused(seconds):
    with pytest.raises(ConfigurationError, match="lease_seconds"):
        rs.CodeRepository([asset], lease_seconds=seconds)


@pytest.mark.parametrize("limit", [-1, 1 << 63, 1 << 70, 1.5, True, "3"])
def test_a_limit_that_is_no_count_is_refused(limit):
    with rs.CodeRepository([asset]).resolve(rs.Storage.memory()) as repo:
        client = rs.BackfillClient(repo.storage)
        for call in (repo.backfills, client.backfills, client.list_views, repo.storage.get_runs):
            with pytest.raises(ConfigurationError, match="limit"):
                call(limit=limit)
