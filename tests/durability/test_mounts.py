"""The file system of a storage is mounted read-only, or unmounted and mounted again, during a backfill.

Only root can mount anything: for other users these tests are skipped.
"""

import os
import subprocess

import pytest
from tests.support import wait_until

import rivers as rs
from rivers.exceptions import StorageError

COUNT = 60

SCRIPT = f"""
from rivers.exceptions import StorageError

keys = [f"k{{number:02}}" for number in range({COUNT})]


def visit(context):
    note(context.partition_key)
    if context.partition_key == "k09":
        wait_for("go on")


visited = rs.Asset(visit, name="visited", partitions_def=rs.PartitionsDefinition.static_(keys))
repo = rs.CodeRepository([visited]).resolve(rs.Storage.embedded(folder / "disk" / "rivers.db"))
whole = rs.PartitionKeyRange.single(keys[0], keys[-1])
try:
    if len(sys.argv) == 3:
        print(repo.resume_backfill(sys.argv[2]).completed)
    else:
        print(repo.backfill(partition_range=whole, max_concurrency=1).status)
except StorageError as error:
    note(f"error {{error}}")
    wait_for("mended")
    (backfill_id,) = repo.backfills()["backfill_id"]
    left = repo.get_backfill(backfill_id)
    print(left.status, left.completed_partitions, repo.resume_backfill(backfill_id).completed)
"""


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


def unmount(folder):
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    """A folder at which something is mounted, until the test has ended."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    for name in ("disk", "kept"):
        (tmp_path / name).mkdir()
    yield tmp_path / "disk"
    subprocess.run(["umount", "--lazy", str(tmp_path / "disk")], check=False, capture_output=True)


def until_the_error(processes, harm):
    """Harms the storage while a run is executed.

    Returns:
        The process, the partitions that it has executed, and the error that it got.
    """
    process = processes.start(SCRIPT)
    processes.wait_for_notes(10)
    harm()
    (processes.folder / "go on").touch()
    wait_until(lambda: processes.notes()[-1].startswith("error"))
    *calls, error = processes.notes()
    assert str(processes.folder / "disk" / "rivers.db") in error, "it names the file"
    return process, calls


def check_the_rest(processes, calls, recorded):
    """What was not recorded was executed in the end, and nothing else."""
    later = processes.notes()[len(calls) + 1 :]
    assert len(later) == COUNT - recorded
    assert len(set(calls + later)) == COUNT
    processes.check_integrity("disk/rivers.db")


def test_a_folder_that_is_unmounted_and_mounted_again_loses_nothing(processes, disk):
    kept = processes.folder / "kept"
    mount("--bind", kept, disk)
    process, calls = until_the_error(processes, lambda: unmount(disk))
    # What lies below a mount is another storage, or none: nothing goes there.
    assert not list(disk.iterdir())
    mount("--bind", kept, disk)
    (processes.folder / "mended").touch()
    status, recorded, completed = processes.end(process).split()
    assert (status, completed) == ("in_progress", str(COUNT))
    check_the_rest(processes, calls, int(recorded))


def test_a_disk_that_breaks_and_becomes_read_only_stops_the_backfill(processes, disk):
    image = processes.folder / "image"
    image.write_bytes(bytes(16 << 20))
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("there is no ext4 here")
    mount("-o", "loop", image, disk)
    # The file system ends its journal as after an error of the disk.
    process, calls = until_the_error(processes, lambda: mount("-o", "remount,abort", disk))
    processes.kill(process)
    subprocess.run(["umount", str(disk)], check=True)
    mount("-o", "loop", image, disk)
    [[backfill_id]] = processes.sql("SELECT id FROM backfill", "disk/rivers.db")
    recorded = len(processes.recorded_runs("disk/rivers.db"))
    assert processes.end(processes.start(SCRIPT, backfill_id)) == str(COUNT)
    check_the_rest(processes, calls, recorded)


def test_a_file_that_is_mounted_by_itself_is_refused_and_one_in_a_mounted_folder_is_not(disk):
    kept = disk.parent / "kept"
    rs.Storage.embedded(kept / "rivers.db")
    mount("--bind", kept, disk)
    assert rs.Storage.embedded(disk / "rivers.db").num_backfills() == 0
    alone = disk.parent / "alone.db"
    alone.touch()
    mount("--bind", kept / "rivers.db", alone)
    try:
        with pytest.raises(StorageError, match="mount its folder"):
            rs.Storage.embedded(alone)
        with pytest.raises(StorageError, match="mount its folder"):
            rs.Storage.open(alone, read_only=True)
    finally:
        unmount(alone)
